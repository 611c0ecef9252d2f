//! The footer of a segment file: everything needed to find and check the rest.

use std::ops::Range;

use super::stat::ColumnTotals;
use super::{HEADER_BYTES, MAGIC, VERSION};
use crate::column::PartKind;
use crate::error::{Error, Result};
use crate::rows::index;
use crate::schema::{SharedSchema, read_schema, write_schema};
use crate::section::PAGE_BYTES;
use crate::wire::{Reader, Writer};

/// Bytes after the footer: its length (u64), its crc32 (u32), zero (u32), magic (8).
pub const TRAILER_BYTES: u64 = 24;

/// A section of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionEntry {
    /// Column id.
    pub column: u32,
    /// Role.
    pub kind: PartKind,
    /// Codec within the role.
    pub codec: u16,
    /// Bytes of the file.
    pub range: Range<u64>,
}

/// What the footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Number of rows.
    pub rows: u64,
    /// First and last time.
    pub time_range: (i64, i64),
    /// First and last sequence number.
    pub sequences: (u64, u64),
    /// Shape of the stream.
    pub schema: SharedSchema,
    /// Rows with a value and plain bytes of each column of the schema.
    pub totals: Vec<ColumnTotals>,
    /// Bytes of the run directory.
    pub runs: Range<u64>,
    /// Bytes of the row times.
    pub times: Range<u64>,
    /// Sections of the columns.
    pub sections: Vec<SectionEntry>,
    /// Bytes from the start of the file that page checksums cover: header and sections.
    pub covered: u64,
}

/// Name of a part's role, for errors and `silt stat`.
pub fn part_name(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Domain => "domain",
        PartKind::Codes => "codes",
        PartKind::Validity => "validity",
        PartKind::Statistics => "statistics",
        PartKind::Text => "text index",
        PartKind::Time => "times",
        PartKind::Precision => "precision",
        PartKind::Buckets => "buckets",
    }
}

fn part_of_code(code: u16) -> Option<PartKind> {
    use PartKind::{Buckets, Codes, Domain, Precision, Statistics, Text, Time, Validity};
    [
        Domain, Codes, Validity, Statistics, Text, Time, Precision, Buckets,
    ]
    .into_iter()
    .find(|kind| *kind as u16 == code)
}

/// The header of a segment file.
pub fn header() -> Vec<u8> {
    let mut out = Writer::new();
    out.raw(&MAGIC);
    out.u16(VERSION.0);
    out.u16(VERSION.1);
    out.align(HEADER_BYTES);
    out.into_bytes()
}

/// The footer and trailer of a segment file whose pages have these checksums.
pub fn write(footer: &Footer, crcs: &[u32]) -> Vec<u8> {
    let mut out = Writer::new();
    out.u64(footer.rows);
    out.i64(footer.time_range.0);
    out.i64(footer.time_range.1);
    out.u64(footer.sequences.0);
    out.u64(footer.sequences.1);
    for range in [&footer.runs, &footer.times] {
        out.u64(range.start);
        out.u64(range.end - range.start);
    }
    write_schema(&footer.schema, &mut out);
    for totals in &footer.totals {
        out.u64(totals.values);
        out.u64(totals.plain_bytes);
    }
    out.u32(u32::try_from(footer.sections.len()).unwrap_or(u32::MAX));
    for section in &footer.sections {
        out.u32(section.column);
        out.u16(section.kind as u16);
        out.u16(section.codec);
        out.u64(section.range.start);
        out.u64(section.range.end - section.range.start);
    }
    out.u64(footer.covered);
    out.u32(u32::try_from(crcs.len()).unwrap_or(u32::MAX));
    for crc in crcs {
        out.u32(*crc);
    }
    let body = out.into_bytes();
    let mut trailer = Writer::new();
    trailer.u64(body.len() as u64);
    trailer.u32(crc32fast::hash(&body));
    trailer.u32(0);
    trailer.raw(&MAGIC);
    let mut all = body;
    all.extend_from_slice(&trailer.into_bytes());
    all
}

/// Reads and checks header, trailer and footer of file `name`; gives the footer and the page checksums.
///
/// # Errors
/// `Corrupt` or `UnsupportedVersion`.
pub fn read(name: &str, file: &[u8]) -> Result<(Footer, Vec<u32>)> {
    let len = file.len() as u64;
    let corrupt = |section: &str, offset: u64, what: String| Error::corrupt(name, section, offset, what);
    if len < HEADER_BYTES as u64 + TRAILER_BYTES || file.get(..8) != Some(&MAGIC[..]) {
        return Err(corrupt("header", 0, format!("not a segment file ({len} bytes)")));
    }
    let mut head = Reader::new(&file[8..HEADER_BYTES], name, "header");
    let version = (head.u16()?, head.u16()?);
    if version.0 != VERSION.0 {
        return Err(Error::UnsupportedVersion {
            file: name.to_owned(),
            found: version,
            supported: VERSION,
        });
    }
    let trailer_start = len - TRAILER_BYTES;
    let mut trailer = Reader::new(&file[index(trailer_start)..], name, "trailer");
    let footer_len = trailer.u64()?;
    let crc = trailer.u32()?;
    let reserved = trailer.u32()?;
    if trailer.raw(8)? != MAGIC || reserved != 0 || footer_len > trailer_start - HEADER_BYTES as u64 {
        return Err(corrupt(
            "trailer",
            trailer_start,
            "the file does not end as a segment file does".into(),
        ));
    }
    let footer_start = trailer_start - footer_len;
    let body = &file[index(footer_start)..index(trailer_start)];
    let found = crc32fast::hash(body);
    if found != crc {
        return Err(corrupt(
            "footer",
            footer_start,
            format!("checksum {found:08x} instead of {crc:08x}"),
        ));
    }
    let (footer, crcs) = read_body(name, body)?;
    if footer.covered != footer_start {
        return Err(corrupt(
            "footer",
            0,
            format!("{} bytes are covered, not {footer_start}", footer.covered),
        ));
    }
    Ok((footer, crcs))
}

fn read_body(name: &str, body: &[u8]) -> Result<(Footer, Vec<u32>)> {
    let mut input = Reader::new(body, name, "footer");
    let rows = input.u64()?;
    let time_range = (input.i64()?, input.i64()?);
    let sequences = (input.u64()?, input.u64()?);
    let runs = read_range(&mut input)?;
    let times = read_range(&mut input)?;
    let schema = SharedSchema::new(read_schema(&mut input)?);
    let mut totals = Vec::with_capacity(schema.columns().len());
    for _ in schema.columns() {
        let found = ColumnTotals {
            values: input.u64()?,
            plain_bytes: input.u64()?,
        };
        if found.values > rows {
            return Err(input.corrupt(format!("{} values in {rows} rows", found.values)));
        }
        totals.push(found);
    }
    let count = input.count(24)?;
    let mut sections = Vec::with_capacity(count);
    for _ in 0..count {
        let column = input.u32()?;
        let code = input.u16()?;
        let kind = part_of_code(code).ok_or_else(|| input.corrupt(format!("unknown part {code}")))?;
        let codec = input.u16()?;
        sections.push(SectionEntry {
            column,
            kind,
            codec,
            range: read_range(&mut input)?,
        });
    }
    let covered = input.u64()?;
    let count = input.count(4)?;
    if count as u64 != covered.div_ceil(PAGE_BYTES) {
        return Err(input.corrupt(format!("{count} page checksums for {covered} bytes")));
    }
    let crcs = (0..count).map(|_| input.u32()).collect::<Result<Vec<u32>>>()?;
    if input.left() > 0 {
        return Err(input.corrupt("the footer is longer than what it holds"));
    }
    if rows == 0 || time_range.0 > time_range.1 || sequences.0 > sequences.1 {
        return Err(input.corrupt("a segment has rows, and its ranges are in order"));
    }
    Ok((
        Footer {
            rows,
            time_range,
            sequences,
            schema,
            totals,
            runs,
            times,
            sections,
            covered,
        },
        crcs,
    ))
}

fn read_range(input: &mut Reader<'_>) -> Result<Range<u64>> {
    let start = input.u64()?;
    let len = input.u64()?;
    let end = start
        .checked_add(len)
        .ok_or_else(|| input.corrupt("a section ends beyond all files"))?;
    Ok(start..end)
}
