//! Streams, columns and their types.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Largest value of a text or bytes column, in bytes (64 MiB).
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// Unit of a stream's clock, fixed when the stream is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeUnit {
    /// Seconds.
    Second,
    /// Milliseconds.
    Millisecond,
    /// Microseconds.
    Microsecond,
    /// Nanoseconds (default).
    Nanosecond,
}

impl TimeUnit {
    /// Ticks of this unit in a second.
    pub fn per_second(self) -> i64 {
        match self {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        }
    }

    /// Short name: `s`, `ms`, `us` or `ns`.
    pub fn symbol(self) -> &'static str {
        match self {
            TimeUnit::Second => "s",
            TimeUnit::Millisecond => "ms",
            TimeUnit::Microsecond => "us",
            TimeUnit::Nanosecond => "ns",
        }
    }
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// True or false.
    Bool,
    /// 8-bit signed integer.
    I8,
    /// 16-bit signed integer.
    I16,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer.
    U8,
    /// 16-bit unsigned integer.
    U16,
    /// 32-bit unsigned integer.
    U32,
    /// 64-bit unsigned integer.
    U64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// Point in time, counted from 1970-01-01T00:00:00Z.
    Timestamp(TimeUnit),
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Bytes,
}

impl ColumnType {
    /// Whether values are text or bytes (as opposed to fixed-width keys).
    pub fn is_binary(self) -> bool {
        matches!(self, ColumnType::Text | ColumnType::Bytes)
    }

    /// Whether values are floats.
    pub fn is_float(self) -> bool {
        matches!(self, ColumnType::F32 | ColumnType::F64)
    }

    /// Whether values are integers, signed or not.
    pub fn is_integer(self) -> bool {
        !self.is_binary() && !self.is_float() && !matches!(self, ColumnType::Bool | ColumnType::Timestamp(_))
    }

    /// Bytes of one value in plain binary form; 0 for text and bytes.
    pub fn width_bytes(self) -> usize {
        match self {
            ColumnType::Bool | ColumnType::I8 | ColumnType::U8 => 1,
            ColumnType::I16 | ColumnType::U16 => 2,
            ColumnType::I32 | ColumnType::U32 | ColumnType::F32 => 4,
            ColumnType::I64 | ColumnType::U64 | ColumnType::F64 | ColumnType::Timestamp(_) => 8,
            ColumnType::Text | ColumnType::Bytes => 0,
        }
    }

    /// Inclusive range of keys (see [`crate::value`]) that values of this type can have.
    pub fn key_range(self) -> (u64, u64) {
        let signed = |bits: u32| {
            let low = if bits == 64 {
                i64::MIN
            } else {
                -(1i64 << (bits - 1))
            };
            (
                crate::value::key_of_i64(low),
                crate::value::key_of_i64(-(low + 1)),
            )
        };
        match self {
            ColumnType::Bool => (0, 1),
            ColumnType::I8 => signed(8),
            ColumnType::I16 => signed(16),
            ColumnType::I32 => signed(32),
            ColumnType::I64 | ColumnType::Timestamp(_) => signed(64),
            ColumnType::U8 => (0, u64::from(u8::MAX)),
            ColumnType::U16 => (0, u64::from(u16::MAX)),
            ColumnType::U32 | ColumnType::F32 => (0, u64::from(u32::MAX)),
            ColumnType::U64 | ColumnType::F64 | ColumnType::Text | ColumnType::Bytes => (0, u64::MAX),
        }
    }

    /// Number of this type in files; never reused.
    pub fn code(self) -> u8 {
        match self {
            ColumnType::Bool => 1,
            ColumnType::I8 => 2,
            ColumnType::I16 => 3,
            ColumnType::I32 => 4,
            ColumnType::I64 => 5,
            ColumnType::U8 => 6,
            ColumnType::U16 => 7,
            ColumnType::U32 => 8,
            ColumnType::U64 => 9,
            ColumnType::F32 => 10,
            ColumnType::F64 => 11,
            ColumnType::Timestamp(TimeUnit::Second) => 12,
            ColumnType::Timestamp(TimeUnit::Millisecond) => 13,
            ColumnType::Timestamp(TimeUnit::Microsecond) => 14,
            ColumnType::Timestamp(TimeUnit::Nanosecond) => 15,
            ColumnType::Text => 16,
            ColumnType::Bytes => 17,
        }
    }

    /// Type with this number, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => ColumnType::Bool,
            2 => ColumnType::I8,
            3 => ColumnType::I16,
            4 => ColumnType::I32,
            5 => ColumnType::I64,
            6 => ColumnType::U8,
            7 => ColumnType::U16,
            8 => ColumnType::U32,
            9 => ColumnType::U64,
            10 => ColumnType::F32,
            11 => ColumnType::F64,
            12 => ColumnType::Timestamp(TimeUnit::Second),
            13 => ColumnType::Timestamp(TimeUnit::Millisecond),
            14 => ColumnType::Timestamp(TimeUnit::Microsecond),
            15 => ColumnType::Timestamp(TimeUnit::Nanosecond),
            16 => ColumnType::Text,
            17 => ColumnType::Bytes,
            _ => return None,
        })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Bool => f.write_str("bool"),
            ColumnType::I8 => f.write_str("i8"),
            ColumnType::I16 => f.write_str("i16"),
            ColumnType::I32 => f.write_str("i32"),
            ColumnType::I64 => f.write_str("i64"),
            ColumnType::U8 => f.write_str("u8"),
            ColumnType::U16 => f.write_str("u16"),
            ColumnType::U32 => f.write_str("u32"),
            ColumnType::U64 => f.write_str("u64"),
            ColumnType::F32 => f.write_str("f32"),
            ColumnType::F64 => f.write_str("f64"),
            ColumnType::Timestamp(unit) => write!(f, "timestamp({})", unit.symbol()),
            ColumnType::Text => f.write_str("text"),
            ColumnType::Bytes => f.write_str("bytes"),
        }
    }
}

/// Identity of a column inside its stream. Never reused, so files of any age mean the same column by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(pub u32);

/// A key column or channel of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Identity, given by the schema; never reused.
    pub id: ColumnId,
    /// Name, unique in the stream (the time column's name included).
    pub name: String,
    /// Type of the values.
    pub ty: ColumnType,
    /// Physical unit as the user wrote it ("m/s2"); empty when none.
    pub unit: String,
}

/// Shape of a stream: a clock, key columns, channels.
///
/// Rows of a segment are sorted by (keys, time). Columns are ordered: keys first, then channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    time_name: String,
    time_unit: TimeUnit,
    key_count: usize,
    columns: Vec<ColumnSpec>,
    next_id: u32,
}

impl Schema {
    /// A schema with only a clock; add keys, then channels.
    pub fn new(time_name: impl Into<String>, time_unit: TimeUnit) -> Self {
        Schema {
            time_name: time_name.into(),
            time_unit,
            key_count: 0,
            columns: Vec::new(),
            next_id: 1,
        }
    }

    /// Adds a key column (which device, which axis).
    ///
    /// # Errors
    /// `InvalidArgument` if the name is empty or taken, the type is a float, or channels were already added.
    pub fn with_key(mut self, name: impl Into<String>, ty: ColumnType) -> Result<Self> {
        if self.columns.len() != self.key_count {
            return Err(Error::invalid("key columns are declared before channels"));
        }
        if ty.is_float() {
            return Err(Error::invalid(
                "a key column can be text, bytes, an integer, a boolean or a timestamp, not a float",
            ));
        }
        self.push(name.into(), ty, String::new())?;
        self.key_count += 1;
        Ok(self)
    }

    /// Adds a channel; `unit` may be empty.
    ///
    /// # Errors
    /// `InvalidArgument` if the name is empty or taken.
    pub fn with_channel(
        mut self,
        name: impl Into<String>,
        ty: ColumnType,
        unit: impl Into<String>,
    ) -> Result<Self> {
        self.push(name.into(), ty, unit.into())?;
        Ok(self)
    }

    fn push(&mut self, name: String, ty: ColumnType, unit: String) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid("a column needs a name"));
        }
        if name == self.time_name || self.column(&name).is_some() {
            return Err(Error::invalid(format!(
                "the column name {name:?} is used twice; rename one of the two"
            )));
        }
        self.columns.push(ColumnSpec {
            id: ColumnId(self.next_id),
            name,
            ty,
            unit,
        });
        self.next_id += 1;
        Ok(())
    }

    /// Rebuilds a schema as it was written to a file.
    ///
    /// # Errors
    /// `InvalidArgument` if names or ids repeat, or an id is not below `next_id`.
    pub fn from_parts(
        time_name: String,
        time_unit: TimeUnit,
        key_count: usize,
        columns: Vec<ColumnSpec>,
        next_id: u32,
    ) -> Result<Self> {
        let schema = Schema {
            time_name,
            time_unit,
            key_count,
            columns,
            next_id,
        };
        let mut names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        names.push(&schema.time_name);
        names.sort_unstable();
        let mut ids: Vec<u32> = schema.columns.iter().map(|c| c.id.0).collect();
        ids.sort_unstable();
        let repeated = names.windows(2).any(|w| w[0] == w[1]) || ids.windows(2).any(|w| w[0] == w[1]);
        if repeated || key_count > schema.columns.len() || ids.last().is_some_and(|&id| id >= next_id) {
            return Err(Error::invalid(
                "the schema repeats a column name or id, or counts keys it does not have",
            ));
        }
        Ok(schema)
    }

    /// Name of the time column.
    pub fn time_name(&self) -> &str {
        &self.time_name
    }

    /// Unit of the time column.
    pub fn time_unit(&self) -> TimeUnit {
        self.time_unit
    }

    /// Key columns and channels, keys first. The time column is not among them.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// Key columns.
    pub fn keys(&self) -> &[ColumnSpec] {
        &self.columns[..self.key_count]
    }

    /// Channels: all columns that are not keys.
    pub fn channels(&self) -> &[ColumnSpec] {
        &self.columns[self.key_count..]
    }

    /// First id that no column of this stream ever had.
    pub fn next_id(&self) -> u32 {
        self.next_id
    }

    /// The column of this name, unless it is the time column.
    pub fn column(&self, name: &str) -> Option<&ColumnSpec> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Position of a column in [`Schema::columns`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Position of a column by id.
    pub fn position_of_id(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|c| c.id == id)
    }
}

/// A schema that many holders share.
pub type SharedSchema = Arc<Schema>;

/// Appends a schema to a record: names, units and types by column id.
pub(crate) fn write_schema(schema: &Schema, out: &mut crate::wire::Writer) {
    out.bytes(schema.time_name.as_bytes());
    out.u8(ColumnType::Timestamp(schema.time_unit).code());
    out.u32(schema.next_id);
    out.u32(u32::try_from(schema.key_count).unwrap_or(u32::MAX));
    out.u32(u32::try_from(schema.columns.len()).unwrap_or(u32::MAX));
    for column in &schema.columns {
        out.u32(column.id.0);
        out.u8(column.ty.code());
        out.bytes(column.name.as_bytes());
        out.bytes(column.unit.as_bytes());
    }
}

/// Reads what [`write_schema`] wrote.
pub(crate) fn read_schema(input: &mut crate::wire::Reader<'_>) -> Result<Schema> {
    let time_name = input.text()?.to_owned();
    let Some(ColumnType::Timestamp(time_unit)) = ColumnType::from_code(input.u8()?) else {
        return Err(input.corrupt("the time column is not a timestamp"));
    };
    let next_id = input.u32()?;
    let key_count = input.u32()? as usize;
    let count = input.count(13)?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let id = ColumnId(input.u32()?);
        let code = input.u8()?;
        let ty = ColumnType::from_code(code)
            .ok_or_else(|| input.corrupt(format!("unknown column type {code}")))?;
        let name = input.text()?.to_owned();
        let unit = input.text()?.to_owned();
        columns.push(ColumnSpec { id, name, ty, unit });
    }
    Schema::from_parts(time_name, time_unit, key_count, columns, next_id)
        .map_err(|error| input.corrupt(error.to_string()))
}
