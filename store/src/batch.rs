//! Rows in columnar form, as they are appended and as scans give them back.

use crate::error::{Error, Result};
use crate::rows::{Mask, index};
use crate::schema::{ColumnType, MAX_VALUE_BYTES, SharedSchema};
use crate::value::{Value, key_of_f32, key_of_f64, key_of_i64};

/// Byte strings one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteColumn {
    offsets: Vec<u64>,
    bytes: Vec<u8>,
}

impl Default for ByteColumn {
    fn default() -> Self {
        ByteColumn {
            offsets: vec![0],
            bytes: Vec::new(),
        }
    }
}

impl ByteColumn {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// String `position`.
    ///
    /// # Panics
    /// If `position` is not below [`ByteColumn::len`].
    pub fn get(&self, position: usize) -> &[u8] {
        &self.bytes[index(self.offsets[position])..index(self.offsets[position + 1])]
    }

    /// Adds a string.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.close();
    }

    /// The buffer to append bytes of the next string to; finish it with [`ByteColumn::close`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the string begun in [`ByteColumn::buffer`].
    pub fn close(&mut self) {
        self.offsets.push(self.bytes.len() as u64);
    }

    /// Start of each string in [`ByteColumn::bytes`], and the end of the last.
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// All strings joined.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The offsets and the joined strings, as [`ByteColumn::offsets`] and [`ByteColumn::bytes`] show them.
    pub fn into_parts(self) -> (Vec<u64>, Vec<u8>) {
        (self.offsets, self.bytes)
    }

    /// Removes all strings, keeping the memory.
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.bytes.clear();
    }
}

/// Values of a column, one a row; a null row holds a placeholder (key 0, empty bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnData {
    /// Order-preserving keys of a fixed-width type (see [`crate::value`]).
    Keys(Vec<u64>),
    /// Text or bytes.
    Binary(ByteColumn),
}

/// A column of a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchColumn {
    /// The values.
    pub data: ColumnData,
    /// One bit a row, 1 where there is a value; absent when nothing is null.
    pub validity: Option<Mask>,
}

impl BatchColumn {
    /// An empty column for values of type `ty`.
    pub fn new(ty: ColumnType) -> Self {
        let data = if ty.is_binary() {
            ColumnData::Binary(ByteColumn::default())
        } else {
            ColumnData::Keys(Vec::new())
        };
        BatchColumn { data, validity: None }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.data {
            ColumnData::Keys(keys) => keys.len(),
            ColumnData::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether row `row` has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|v| v[row])
    }

    /// Number of null rows.
    pub fn null_count(&self) -> usize {
        self.validity.as_ref().map_or(0, |v| v.count_zeros())
    }

    /// Adds a null row.
    pub fn push_null(&mut self) {
        let len = self.len();
        self.validity
            .get_or_insert_with(|| Mask::repeat(true, len))
            .push(false);
        match &mut self.data {
            ColumnData::Keys(keys) => keys.push(0),
            ColumnData::Binary(bytes) => bytes.close(),
        }
    }

    /// Adds a key; the column must hold a fixed-width type.
    pub fn push_key(&mut self, key: u64) {
        debug_assert!(
            matches!(self.data, ColumnData::Keys(_)),
            "keys go into fixed-width columns"
        );
        if let ColumnData::Keys(keys) = &mut self.data {
            keys.push(key);
            if let Some(validity) = &mut self.validity {
                validity.push(true);
            }
        }
    }

    /// Adds a byte string; the column must hold text or bytes.
    pub fn push_bytes(&mut self, value: &[u8]) {
        debug_assert!(
            matches!(self.data, ColumnData::Binary(_)),
            "bytes go into text or bytes columns"
        );
        if let ColumnData::Binary(bytes) = &mut self.data {
            bytes.push(value);
            if let Some(validity) = &mut self.validity {
                validity.push(true);
            }
        }
    }

    /// Adds row `row` of `other`, which must be of the same form.
    pub fn push_from(&mut self, other: &BatchColumn, row: usize) {
        if !other.is_valid(row) {
            return self.push_null();
        }
        match &other.data {
            ColumnData::Keys(keys) => self.push_key(keys[row]),
            ColumnData::Binary(bytes) => self.push_bytes(bytes.get(row)),
        }
    }

    /// Key of row `row`, if it has a value of a fixed-width type.
    pub fn key(&self, row: usize) -> Option<u64> {
        match &self.data {
            ColumnData::Keys(keys) if self.is_valid(row) => Some(keys[row]),
            _ => None,
        }
    }

    /// Bytes of row `row`, if it has a text or bytes value.
    pub fn bytes(&self, row: usize) -> Option<&[u8]> {
        match &self.data {
            ColumnData::Binary(bytes) if self.is_valid(row) => Some(bytes.get(row)),
            _ => None,
        }
    }

    /// Value of row `row`, of type `ty`.
    pub fn value(&self, ty: ColumnType, row: usize) -> Value {
        match &self.data {
            _ if !self.is_valid(row) => Value::Null,
            ColumnData::Keys(keys) => Value::from_key(ty, keys[row]),
            ColumnData::Binary(bytes) => match ty {
                ColumnType::Text => Value::Text(String::from_utf8_lossy(bytes.get(row)).into_owned()),
                _ => Value::Bytes(bytes.get(row).to_vec()),
            },
        }
    }

    /// Adds a value, if it fits type `ty` without loss.
    ///
    /// # Errors
    /// `InvalidArgument` naming value and type; the column is unchanged.
    pub fn push_value(&mut self, ty: ColumnType, value: &Value) -> Result<()> {
        match (ty, value) {
            (_, Value::Null) => self.push_null(),
            (ColumnType::Text, Value::Text(text)) => {
                check_length(text.len())?;
                self.push_bytes(text.as_bytes());
            }
            (ColumnType::Bytes, value) if value.as_bytes().is_some() => {
                let bytes = value.as_bytes().unwrap_or_default();
                check_length(bytes.len())?;
                self.push_bytes(bytes);
            }
            _ => self.push_key(key_of_value(ty, value).ok_or_else(|| {
                Error::invalid(format!(
                    "{value:?} does not fit a column of type {ty} without loss"
                ))
            })?),
        }
        Ok(())
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        let data = match &self.data {
            ColumnData::Keys(keys) => keys.capacity() * 8,
            ColumnData::Binary(bytes) => bytes.offsets.capacity() * 8 + bytes.bytes.capacity(),
        };
        data + self.validity.as_ref().map_or(0, |v| v.capacity() / 8)
    }
}

fn check_length(len: usize) -> Result<()> {
    if len > MAX_VALUE_BYTES {
        return Err(Error::invalid(format!(
            "a value of {len} bytes is over the limit of {MAX_VALUE_BYTES} bytes"
        )));
    }
    Ok(())
}

/// Key of `value` in a fixed-width column of type `ty`, if it is represented exactly.
///
/// Integers go into integer and float columns that hold them exactly; floats only into float columns.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each narrowed value is compared with what it came from"
)]
pub fn key_of_value(ty: ColumnType, value: &Value) -> Option<u64> {
    let integer = match *value {
        Value::Bool(b) if ty == ColumnType::Bool => return Some(u64::from(b)),
        Value::I64(v) => Some(i128::from(v)),
        Value::U64(v) => Some(i128::from(v)),
        Value::Timestamp(v) if matches!(ty, ColumnType::Timestamp(_) | ColumnType::I64) => {
            Some(i128::from(v))
        }
        _ => None,
    };
    let (low, high) = ty.key_range();
    match (ty, value) {
        (ColumnType::F64, Value::F64(v)) => Some(key_of_f64(*v)),
        (ColumnType::F64, Value::F32(v)) => {
            // Widening goes by bits where it can: a NaN keeps its payload only inside its own type.
            Some(key_of_f64(f64::from(*v)))
        }
        (ColumnType::F32, Value::F32(v)) => Some(key_of_f32(*v)),
        (ColumnType::F32, Value::F64(v)) => {
            let narrow = *v as f32;
            (f64::from(narrow).to_bits() == v.to_bits()).then(|| key_of_f32(narrow))
        }
        (ColumnType::F64, _) => {
            let v = integer?;
            let float = v as f64;
            (float as i128 == v).then(|| key_of_f64(float))
        }
        (ColumnType::F32, _) => {
            let v = integer?;
            let float = v as f32;
            (float as i128 == v).then(|| key_of_f32(float))
        }
        (ColumnType::Bool | ColumnType::Text | ColumnType::Bytes, _) => None,
        (ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64, _) => u64::try_from(integer?)
            .ok()
            .filter(|key| *key >= low && *key <= high),
        _ => {
            let key = key_of_i64(i64::try_from(integer?).ok()?);
            (key >= low && key <= high).then_some(key)
        }
    }
}

/// Rows of one stream, column by column: times, then key columns and channels in schema order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    schema: SharedSchema,
    /// Time of each row, in the stream's unit.
    pub times: Vec<i64>,
    /// One column for each of [`crate::schema::Schema::columns`], each as long as `times`.
    pub columns: Vec<BatchColumn>,
}

impl Batch {
    /// A batch without rows.
    pub fn new(schema: SharedSchema) -> Self {
        let columns = schema.columns().iter().map(|c| BatchColumn::new(c.ty)).collect();
        Batch {
            schema,
            times: Vec::new(),
            columns,
        }
    }

    /// Shape of the rows.
    pub fn schema(&self) -> &SharedSchema {
        &self.schema
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds a row: its time, then a value for each column in schema order.
    ///
    /// # Errors
    /// `InvalidArgument` if the number of values or a type is wrong; the batch is unchanged.
    pub fn push_row(&mut self, time: i64, values: &[Value]) -> Result<()> {
        if values.len() != self.columns.len() {
            return Err(Error::invalid(format!(
                "a row of this stream has {} values besides its time, not {}",
                self.columns.len(),
                values.len()
            )));
        }
        for (position, value) in values.iter().enumerate() {
            let spec = &self.schema.columns()[position];
            if let Err(error) = self.columns[position].push_value(spec.ty, value) {
                let len = self.times.len();
                for column in &mut self.columns[..position] {
                    truncate_column(column, len);
                }
                return Err(Error::invalid(format!("column {:?}: {error}", spec.name)));
            }
        }
        self.times.push(time);
        Ok(())
    }

    /// Checks that all columns are as long as the times, of the right form, in range, and valid UTF-8 where text.
    ///
    /// # Errors
    /// `InvalidArgument` naming the column.
    pub fn check(&self) -> Result<()> {
        let rows = self.times.len();
        if self.columns.len() != self.schema.columns().len() {
            return Err(Error::invalid(
                "a batch has one column for each column of its schema",
            ));
        }
        for (spec, column) in self.schema.columns().iter().zip(&self.columns) {
            let mask_fits = column.validity.as_ref().is_none_or(|v| v.len() == rows);
            if column.len() != rows || !mask_fits {
                return Err(Error::invalid(format!(
                    "column {:?} does not have {rows} rows",
                    spec.name
                )));
            }
            match &column.data {
                ColumnData::Keys(keys) if !spec.ty.is_binary() => {
                    let (low, high) = spec.ty.key_range();
                    let bad = (0..rows).find(|&r| column.is_valid(r) && !(low..=high).contains(&keys[r]));
                    if let Some(row) = bad {
                        return Err(Error::invalid(format!(
                            "column {:?}, row {row}: the value is outside type {}",
                            spec.name, spec.ty
                        )));
                    }
                }
                ColumnData::Binary(bytes) if spec.ty.is_binary() => {
                    for row in 0..rows {
                        let value = bytes.get(row);
                        check_length(value.len())?;
                        if spec.ty == ColumnType::Text && std::str::from_utf8(value).is_err() {
                            return Err(Error::invalid(format!(
                                "column {:?}, row {row}: not valid UTF-8; declare the column as bytes",
                                spec.name
                            )));
                        }
                    }
                }
                _ => {
                    return Err(Error::invalid(format!(
                        "column {:?} does not hold values of type {}",
                        spec.name, spec.ty
                    )));
                }
            }
        }
        Ok(())
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.times.capacity() * 8 + self.columns.iter().map(BatchColumn::memory_bytes).sum::<usize>()
    }
}

fn truncate_column(column: &mut BatchColumn, len: usize) {
    match &mut column.data {
        ColumnData::Keys(keys) => keys.truncate(len),
        ColumnData::Binary(bytes) => {
            bytes.offsets.truncate(len + 1);
            bytes.bytes.truncate(index(bytes.offsets[len]));
        }
    }
    if let Some(validity) = &mut column.validity {
        validity.truncate(len);
    }
}
