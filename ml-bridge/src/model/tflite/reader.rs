//! A flatbuffer walked by hand: tables, vectors and scalars, every offset a claim.
//!
//! ```text
//! table:  i32 distance back to its vtable, then its inline fields
//! vtable: u16 its bytes, u16 the table's bytes, then one u16 per field: where in the table it is, 0 if absent
//! vector: u32 count, then the elements; offsets to tables are u32 distances forward
//! ```

use crate::{Error, Result};

/// The bytes of a file.
#[derive(Clone, Copy)]
pub(super) struct Buffer<'a>(pub(super) &'a [u8]);

/// A table at a checked position.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    vtable: usize,
    fields: usize,
}

/// A vector at a checked position.
#[derive(Clone, Copy)]
pub(super) struct Vector<'a> {
    bytes: &'a [u8],
    /// First element.
    at: usize,
    pub(super) count: usize,
}

fn corrupt(at: usize, what: &str) -> Error {
    Error::corrupt("model", "flatbuffer", at as u64, what)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N);
    end.and_then(|end| bytes.get(at..end))
        .and_then(|part| part.try_into().ok())
        .ok_or_else(|| corrupt(at, "an offset points outside the file"))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(u32::from_le_bytes(array(bytes, at)?) as usize)
}

/// Follows the forward offset at `at`.
fn follow(bytes: &[u8], at: usize) -> Result<usize> {
    let to = at
        .checked_add(u32_at(bytes, at)?)
        .filter(|to| *to < bytes.len() && *to != at);
    to.ok_or_else(|| corrupt(at, "an offset points outside the file"))
}

impl<'a> Buffer<'a> {
    /// The root table, if the file carries `identifier`.
    pub(super) fn root(self, identifier: &[u8; 4]) -> Result<Table<'a>> {
        if self.0.get(4..8) != Some(identifier) {
            return Err(corrupt(4, "this is not a .tflite file"));
        }
        Table::new(self.0, follow(self.0, 0)?)
    }
}

impl<'a> Table<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Result<Self> {
        let back = i64::from(i32::from_le_bytes(array(bytes, at)?));
        let vtable = i64::try_from(at)
            .ok()
            .and_then(|at| usize::try_from(at - back).ok());
        let vtable = vtable.ok_or_else(|| corrupt(at, "a table's field list lies outside the file"))?;
        let size = usize::from(u16::from_le_bytes(array(bytes, vtable)?));
        if size < 4 || vtable.checked_add(size).is_none_or(|end| end > bytes.len()) {
            return Err(corrupt(vtable, "a table's field list lies outside the file"));
        }
        Ok(Table {
            bytes,
            at,
            vtable,
            fields: (size - 4) / 2,
        })
    }

    /// Where field `number` is, if present.
    fn place(&self, number: usize) -> Result<Option<usize>> {
        if number >= self.fields {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(array(self.bytes, self.vtable + 4 + 2 * number)?);
        Ok((offset != 0).then(|| self.at + usize::from(offset)))
    }

    fn scalar<const N: usize>(&self, number: usize) -> Result<Option<[u8; N]>> {
        self.place(number)?.map(|at| array(self.bytes, at)).transpose()
    }

    pub(super) fn u8(&self, number: usize) -> Result<u8> {
        Ok(self.scalar::<1>(number)?.map_or(0, |b| b[0]))
    }

    pub(super) fn u32(&self, number: usize) -> Result<u32> {
        Ok(self.scalar(number)?.map_or(0, u32::from_le_bytes))
    }

    pub(super) fn i32(&self, number: usize, default: i32) -> Result<i32> {
        Ok(self.scalar(number)?.map_or(default, i32::from_le_bytes))
    }

    pub(super) fn f32(&self, number: usize) -> Result<f32> {
        Ok(self.scalar(number)?.map_or(0.0, f32::from_le_bytes))
    }

    pub(super) fn u64(&self, number: usize) -> Result<u64> {
        Ok(self.scalar(number)?.map_or(0, u64::from_le_bytes))
    }

    /// Field `number`, a table.
    pub(super) fn table(&self, number: usize) -> Result<Option<Table<'a>>> {
        self.place(number)?
            .map(|at| Table::new(self.bytes, follow(self.bytes, at)?))
            .transpose()
    }

    /// Field `number`, a vector of elements of `size` bytes; empty if absent.
    pub(super) fn vector(&self, number: usize, size: usize) -> Result<Vector<'a>> {
        let Some(at) = self.place(number)? else {
            return Ok(Vector {
                bytes: self.bytes,
                at: 0,
                count: 0,
            });
        };
        let start = follow(self.bytes, at)?;
        let count = u32_at(self.bytes, start)?;
        let end = count.checked_mul(size).and_then(|b| b.checked_add(start + 4));
        match end {
            Some(end) if end <= self.bytes.len() => Ok(Vector {
                bytes: self.bytes,
                at: start + 4,
                count,
            }),
            _ => Err(corrupt(start, "a vector is longer than the file")),
        }
    }

    /// Field `number`, text; empty if absent, broken characters replaced.
    pub(super) fn text(&self, number: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(self.vector(number, 1)?.bytes()).into_owned())
    }
}

impl<'a> Vector<'a> {
    /// The vector's bytes, for one of bytes.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.at + self.count).unwrap_or(&[])
    }

    /// Where in the file the first element is.
    pub(super) fn start(&self) -> usize {
        self.at
    }

    pub(super) fn i32s(&self) -> Result<Vec<i32>> {
        (0..self.count)
            .map(|i| Ok(i32::from_le_bytes(array(self.bytes, self.at + 4 * i)?)))
            .collect()
    }

    pub(super) fn f32s(&self) -> Result<Vec<f32>> {
        (0..self.count)
            .map(|i| Ok(f32::from_le_bytes(array(self.bytes, self.at + 4 * i)?)))
            .collect()
    }

    pub(super) fn i64s(&self) -> Result<Vec<i64>> {
        (0..self.count)
            .map(|i| Ok(i64::from_le_bytes(array(self.bytes, self.at + 8 * i)?)))
            .collect()
    }

    /// Element `index`, a table.
    pub(super) fn table(&self, index: usize) -> Result<Table<'a>> {
        if index >= self.count {
            return Err(corrupt(self.at, "a table is named that does not exist"));
        }
        Table::new(self.bytes, follow(self.bytes, self.at + 4 * index)?)
    }
}
