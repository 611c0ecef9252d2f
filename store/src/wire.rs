//! Little-endian encoding of the small records in footers, manifests and logs.

use crate::error::{Error, Result};

/// Appends little-endian fields to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty record.
    pub fn new() -> Self {
        Writer::default()
    }

    /// A u32 count and that many records.
    pub(crate) fn list<T>(&mut self, items: &[T], write: impl Fn(&T, &mut Writer)) {
        self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        items.iter().for_each(|item| write(item, self));
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Number of bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes, two's complement.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Seven bits a byte, lowest first; the highest bit of a byte says that more follow.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 1 << 7 {
            self.u8(value.to_le_bytes()[0] | 1 << 7);
            value >>= 7;
        }
        self.u8(value.to_le_bytes()[0]);
    }

    /// How far `to` is from `from`, either way round, as a varint that is short for short ways.
    pub(crate) fn step(&mut self, from: u64, to: u64) {
        let way = to.wrapping_sub(from);
        self.varint(way << 1 ^ 0u64.wrapping_sub(way >> 63));
    }

    /// Bytes as they are.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// A u32 length, then the bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.raw(value);
    }

    /// Zero bytes up to a multiple of `alignment`.
    pub fn align(&mut self, alignment: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
    }
}

/// Reads what [`Writer`] wrote; every length is checked against the bytes left.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    file: &'a str,
    section: &'a str,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, which are `section` of `file` in errors.
    pub fn new(bytes: &'a [u8], file: &'a str, section: &'a str) -> Self {
        Reader {
            bytes,
            at: 0,
            file,
            section,
        }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Position of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// An [`Error::Corrupt`] at the current position.
    pub fn corrupt(&self, what: impl Into<String>) -> Error {
        Error::corrupt(self.file, self.section, self.at as u64, what)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// `Corrupt` if fewer are left.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.corrupt(format!("{len} bytes expected, {} left", self.left())));
        };
        let out = &self.bytes[self.at..end];
        self.at = end;
        Ok(out)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N)?);
        Ok(out)
    }

    /// One byte.
    ///
    /// # Errors
    /// `Corrupt` if none is left.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes.
    ///
    /// # Errors
    /// `Corrupt` if fewer are left.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// `Corrupt` if fewer are left.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// `Corrupt` if fewer are left.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, two's complement.
    ///
    /// # Errors
    /// `Corrupt` if fewer are left.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// What [`Writer::varint`] wrote.
    ///
    /// # Errors
    /// `Corrupt` if it does not end within the bytes left, or says more than 64 bits.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 1 << 7 {
                return Ok(value);
            }
        }
        Err(self.corrupt("a number of more than 64 bits"))
    }

    /// Where [`Writer::step`] led to.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub(crate) fn step(&mut self, from: u64) -> Result<u64> {
        let code = self.varint()?;
        Ok(from.wrapping_add(code >> 1 ^ 0u64.wrapping_sub(code & 1)))
    }

    /// A u32 length, then that many bytes.
    ///
    /// # Errors
    /// `Corrupt` if fewer are left.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()? as usize;
        self.raw(len)
    }

    /// A u32 length, then that many bytes of UTF-8.
    ///
    /// # Errors
    /// `Corrupt` if fewer are left or they are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.corrupt("a name is not UTF-8"))
    }

    /// A u32 count of records of at least `record_bytes` each.
    ///
    /// # Errors
    /// `Corrupt` if that many cannot be left.
    pub fn count(&mut self, record_bytes: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count.saturating_mul(record_bytes.max(1)) > self.left() {
            return Err(self.corrupt(format!("{count} records claimed, {} bytes left", self.left())));
        }
        Ok(count)
    }

    /// A u32 count and that many records of at least `record_bytes` each.
    pub(crate) fn list<T>(
        &mut self,
        record_bytes: usize,
        read: impl Fn(&mut Reader<'a>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.count(record_bytes)?;
        (0..count).map(|_| read(self)).collect()
    }
}
