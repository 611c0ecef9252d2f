//! A frame of the log: some rows that are there whole or not at all.
//!
//! ```text
//! header, 40 bytes
//!   0 magic "FRAM" | 4 payload bytes u32 | 8 sequence before the first row u64 | 16 durable u64
//!   24 rows u32 | 28 flags u32 | 32 payload crc32 u32 | 36 header crc32 u32 (of bytes 0..36)
//! payload: parts, each  kind u8 | bytes u32 | body
//!   rows   (1)  stream u32 | rows u32 | columns u16 | times | columns x (id u32, type u8, nulls u8, bitmap?, values)
//!   source (2)  name | position                        (each u32 length, bytes)
//! ```
//!
//! Both checksums start from the salt of their generation, so bytes inside a user's text never look like a frame.
//! `durable` is the sequence number up to which the log was known to be on disk when the frame was written: it tells a
//! torn end, which is no news after a power cut, from damage to rows that were promised. Flag 1 means that the frame
//! counts only together with the next one (a batch too large for one frame).

use std::collections::HashSet;
use std::ops::Range;

use crate::batch::{Batch, BatchColumn, ColumnData};
use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::schema::{ColumnId, ColumnType, Schema};
use crate::value::{i64_of, key_of_i64};
use crate::wire::{Reader, Writer};

use super::pack;

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 40;
/// Most values (times included) that one frame holds; bounds what a frame can claim before it is read.
pub(crate) const MAX_FRAME_VALUES: usize = 1 << 22;
/// Most bytes of a payload: a value of the largest size has to fit.
pub(crate) const MAX_PAYLOAD_BYTES: u32 = 1 << 30;

const MAGIC: u32 = u32::from_le_bytes(*b"FRAM");
const MORE: u32 = 1;
const ROWS: u8 = 1;
const SOURCE: u8 = 2;

/// What a frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of payload after the header.
    pub payload_bytes: u32,
    /// Sequence number of the row before the first of this frame.
    pub before: u64,
    /// Rows up to this one were on disk when the frame was written.
    pub durable: u64,
    /// Rows in the frame.
    pub rows: u32,
    /// Whether the frame counts only together with the next one.
    pub more: bool,
    payload_crc: u32,
}

impl FrameHeader {
    /// Sequence number of the last row of the frame.
    pub fn last(&self) -> u64 {
        self.before.saturating_add(u64::from(self.rows))
    }

    /// Reads a header; `None` if these bytes are none.
    pub fn read(bytes: &[u8], salt: u32) -> Option<FrameHeader> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let mut input = Reader::new(bytes, "", "");
        if input.u32().ok()? != MAGIC {
            return None;
        }
        let payload_bytes = input.u32().ok()?;
        let (before, durable) = (input.u64().ok()?, input.u64().ok()?);
        let (rows, flags) = (input.u32().ok()?, input.u32().ok()?);
        let (payload_crc, header_crc) = (input.u32().ok()?, input.u32().ok()?);
        let good = checksum(salt, &bytes[..HEADER_BYTES - 4]) == header_crc
            && payload_bytes <= MAX_PAYLOAD_BYTES
            && flags & !MORE == 0
            && before.checked_add(u64::from(rows)).is_some();
        good.then_some(FrameHeader {
            payload_bytes,
            before,
            durable,
            rows,
            more: flags & MORE != 0,
            payload_crc,
        })
    }

    /// Whether `payload` is what the header was written for.
    pub fn fits(&self, payload: &[u8], salt: u32) -> bool {
        payload.len() as u64 == u64::from(self.payload_bytes) && checksum(salt, payload) == self.payload_crc
    }
}

fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

/// Header and payload of a frame, ready to be appended to a log.
pub(crate) fn seal_frame(
    payload: &[u8],
    before: u64,
    rows: u32,
    durable: u64,
    more: bool,
    salt: u32,
) -> Vec<u8> {
    let mut out = Writer::new();
    out.u32(MAGIC);
    out.u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.u64(before);
    out.u64(durable);
    out.u32(rows);
    out.u32(if more { MORE } else { 0 });
    out.u32(checksum(salt, payload));
    let mut bytes = out.into_bytes();
    let header_crc = checksum(salt, &bytes);
    bytes.extend_from_slice(&header_crc.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Rows of one stream, as a frame holds them.
#[derive(Debug)]
pub(crate) struct RowsPart {
    /// The stream.
    pub stream: u32,
    /// Sequence number of the row before the first.
    pub before: u64,
    /// Time of each row.
    pub times: Vec<i64>,
    /// Columns that are not null throughout.
    pub columns: Vec<(ColumnId, ColumnType, BatchColumn)>,
}

/// One part of a frame.
#[derive(Debug)]
pub(crate) enum FramePart {
    /// Rows.
    Rows(RowsPart),
    /// How far a source has been read once the rows of this frame are in.
    Source {
        /// Name of the source.
        name: String,
        /// Whatever the source finds its place again by.
        position: Vec<u8>,
    },
}

/// Adds rows `rows` of a batch, whose columns are those of `schema`, to a payload.
///
/// # Errors
/// `InvalidArgument` if the values take more bytes than a frame holds.
pub(crate) fn write_rows(
    stream: u32,
    schema: &Schema,
    batch: &Batch,
    rows: Range<usize>,
    out: &mut Writer,
) -> Result<()> {
    let mut body = Writer::new();
    body.u32(stream);
    body.u32(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    let columns = schema.columns().iter().zip(&batch.columns);
    let present = columns.filter(|(_, column)| rows.clone().any(|row| column.is_valid(row)));
    let present: Vec<_> = present.collect();
    body.u16(u16::try_from(present.len()).map_err(|_| Error::invalid("a row has more than 65,535 columns"))?);
    let times: Vec<u64> = batch.times[rows.clone()]
        .iter()
        .map(|&time| key_of_i64(time))
        .collect();
    pack::pack_keys(ColumnType::I64, &times, &mut body);
    for (spec, column) in present {
        body.u32(spec.id.0);
        body.u8(spec.ty.code());
        write_column(spec.ty, column, rows.clone(), &mut body);
        if body.len() > MAX_PAYLOAD_BYTES as usize / 2 {
            return Err(Error::invalid(
                "the values of one row take more bytes than the log holds; append fewer",
            ));
        }
    }
    write_part(ROWS, &body.into_bytes(), out);
    Ok(())
}

fn write_column(ty: ColumnType, column: &BatchColumn, rows: Range<usize>, out: &mut Writer) {
    let valid = |row: &usize| column.is_valid(*row);
    let nulls = column.validity.is_some() && rows.clone().any(|row| !column.is_valid(row));
    out.u8(u8::from(nulls));
    if nulls {
        let mut bitmap = vec![0u8; rows.len().div_ceil(8)];
        for (position, row) in rows.clone().enumerate() {
            bitmap[position / 8] |= u8::from(column.is_valid(row)) << (position % 8);
        }
        out.raw(&bitmap);
    }
    match &column.data {
        ColumnData::Keys(keys) if !nulls => pack::pack_keys(ty, &keys[rows], out),
        ColumnData::Keys(keys) => {
            let keys: Vec<u64> = rows.filter(valid).map(|row| keys[row]).collect();
            pack::pack_keys(ty, &keys, out);
        }
        ColumnData::Binary(strings) => {
            pack::pack_strings(rows.filter(valid).map(|row| strings.get(row)), out);
        }
    }
}

/// Adds the position of a source to a payload.
pub(crate) fn write_source(name: &str, position: &[u8], out: &mut Writer) {
    let mut body = Writer::new();
    body.bytes(name.as_bytes());
    body.bytes(position);
    write_part(SOURCE, &body.into_bytes(), out);
}

fn write_part(kind: u8, body: &[u8], out: &mut Writer) {
    out.u8(kind);
    out.bytes(body);
}

/// Reads the parts of a payload. Rows of a part for which `skip(stream, last sequence)` holds are left out.
///
/// # Errors
/// `Corrupt` naming `file` if the payload makes no sense, though its checksum is right.
pub(crate) fn read_payload(
    header: &FrameHeader,
    payload: &[u8],
    file: &str,
    skip: &dyn Fn(u32, u64) -> bool,
) -> Result<Vec<FramePart>> {
    let mut input = Reader::new(payload, file, "frame");
    let mut out = Vec::new();
    let mut before = header.before;
    let mut values_left = MAX_FRAME_VALUES;
    while input.left() > 0 {
        let kind = input.u8()?;
        let body = input.bytes()?;
        let mut body = Reader::new(body, file, "frame part");
        match kind {
            ROWS => {
                let (stream, rows) = (body.u32()?, body.u32()?);
                let last = before.saturating_add(u64::from(rows));
                if !skip(stream, last) {
                    out.push(FramePart::Rows(read_rows(
                        stream,
                        before,
                        rows,
                        &mut values_left,
                        &mut body,
                    )?));
                }
                before = last;
            }
            SOURCE => {
                let name = body.text()?.to_owned();
                out.push(FramePart::Source {
                    name,
                    position: body.bytes()?.to_vec(),
                });
            }
            other => return Err(input.corrupt(format!("{other} is no kind of frame part"))),
        }
    }
    if before != header.last() {
        return Err(input.corrupt(format!(
            "{} rows instead of {}",
            before - header.before,
            header.rows
        )));
    }
    Ok(out)
}

fn read_rows(
    stream: u32,
    before: u64,
    rows: u32,
    values_left: &mut usize,
    input: &mut Reader<'_>,
) -> Result<RowsPart> {
    let rows = rows as usize;
    let columns = usize::from(input.u16()?);
    let values = rows.saturating_mul(columns + 1);
    let Some(left) = values_left.checked_sub(values) else {
        return Err(input.corrupt(format!("{values} values are more than a frame holds")));
    };
    *values_left = left;
    let times = pack::unpack_keys(ColumnType::I64, rows, input)?;
    let times = times.into_iter().map(i64_of).collect();
    let mut out = RowsPart {
        stream,
        before,
        times,
        columns: Vec::with_capacity(columns.min(1024)),
    };
    let mut seen = HashSet::new();
    for _ in 0..columns {
        let id = ColumnId(input.u32()?);
        let code = input.u8()?;
        let Some(ty) = ColumnType::from_code(code) else {
            return Err(input.corrupt(format!("unknown column type {code}")));
        };
        if !seen.insert(id) {
            return Err(input.corrupt(format!("column {} comes twice", id.0)));
        }
        out.columns.push((id, ty, read_column(ty, rows, input)?));
    }
    if input.left() > 0 {
        return Err(input.corrupt("bytes are left over"));
    }
    Ok(out)
}

fn read_column(ty: ColumnType, rows: usize, input: &mut Reader<'_>) -> Result<BatchColumn> {
    let validity = match input.u8()? {
        0 => None,
        1 => {
            let bitmap = input.raw(rows.div_ceil(8))?;
            Some(
                (0..rows)
                    .map(|row| bitmap[row / 8] >> (row % 8) & 1 == 1)
                    .collect::<Mask>(),
            )
        }
        other => return Err(input.corrupt(format!("{other} instead of 0 or 1 for nulls"))),
    };
    let values = validity.as_ref().map_or(rows, |v| v.count_ones());
    let is_valid = |row: usize| validity.as_ref().is_none_or(|v| v[row]);
    let mut column = BatchColumn::new(ty);
    if ty.is_binary() {
        let strings = pack::unpack_strings(values, input)?;
        let text_is_good =
            ty != ColumnType::Text || (0..values).all(|i| std::str::from_utf8(strings.get(i)).is_ok());
        if !text_is_good {
            return Err(input.corrupt("text is not UTF-8"));
        }
        let mut next = 0;
        for row in 0..rows {
            if is_valid(row) {
                column.push_bytes(strings.get(next));
                next += 1;
            } else {
                column.push_null();
            }
        }
        return Ok(column);
    }
    let keys = pack::unpack_keys(ty, values, input)?;
    if validity.is_none() {
        column.data = ColumnData::Keys(keys);
        return Ok(column);
    }
    let mut keys = keys.into_iter();
    for row in 0..rows {
        match is_valid(row).then(|| keys.next()).flatten() {
            Some(key) => column.push_key(key),
            None => column.push_null(),
        }
    }
    Ok(column)
}
