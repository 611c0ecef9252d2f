//! Segments: immutable flat files, each holding the rows of a span of time, sorted by (keys, time).
//!
//! ```text
//! 0        header: magic, version                                    64 bytes
//! 64       sections, each on a 64-byte start, zero-padded            run directory, times, one group a column
//! ...      footer: schema, row count, section table, page checksums
//! end-24   trailer: footer length, footer crc32, magic
//! ```
//!
//! The footer is checked when the file is opened, a 64 KiB page the first time it is touched. See `docs/format.md`.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::column::time::TimeColumn;
use crate::column::{Column, Part, PartKind};
use crate::domain::bounded::Precision;
use crate::error::{Error, Result};
use crate::schema::{ColumnId, ColumnSpec, Schema, SharedSchema};
use crate::section::{FileBytes, Pages, Section};

pub mod buckets;
mod check;
pub mod downsample;
pub mod footer;
pub mod rewrite;
pub mod runs;
pub mod stat;
pub mod writer;

use buckets::{Buckets, DIRECTORY};
use footer::{Footer, SectionEntry};
use runs::RunDirectory;

/// First bytes of a segment file.
pub const MAGIC: [u8; 8] = *b"SILTSEG\n";
/// Version of the format that this library writes, and the newest it reads.
pub const VERSION: (u16, u16) = (1, 0);
/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Start of every section is a multiple of this.
pub const SECTION_ALIGNMENT: usize = 64;

/// What the manifest says of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Rows.
    pub rows: u64,
    /// First and last time of the rows.
    pub time_range: (i64, i64),
    /// First and last sequence number of the rows.
    pub sequences: (u64, u64),
    /// Bytes of the file.
    pub bytes: u64,
}

/// A segment open for reading.
#[derive(Debug)]
pub struct Segment {
    pages: Arc<Pages>,
    footer: Arc<Footer>,
    runs: Arc<RunDirectory>,
    times: Arc<TimeColumn>,
    /// Columns of the footer's schema, opened when first asked. Boxed, since most segments are asked for few.
    columns: Vec<OnceLock<Box<Column>>>,
    /// What a row stands for, if for more than itself.
    buckets: Option<Arc<Buckets>>,
    bytes: u64,
}

impl Segment {
    /// Opens the bytes of file `name`: header, footer and run directory are checked, pages on first touch.
    ///
    /// # Errors
    /// `Corrupt` or `UnsupportedVersion`, naming the file.
    pub fn open(name: &str, file: FileBytes) -> Result<Segment> {
        let bytes = (*file).as_ref().len() as u64;
        let (footer, crcs) = footer::read(name, (*file).as_ref())?;
        let pages = Pages::new(name.to_owned(), file, footer.covered, crcs)?;
        let runs = RunDirectory::open(
            pages.section(footer.runs.clone(), "run directory")?,
            footer.rows,
            &footer.schema,
        )?;
        let times = TimeColumn::open(pages.section(footer.times.clone(), "row times")?, footer.rows)?;
        let columns = footer.schema.columns().iter().map(|_| OnceLock::new()).collect();
        let mut directories = footer.sections.iter().filter(|s| s.kind == PartKind::Buckets);
        let buckets = match (directories.next(), directories.next()) {
            (None, _) => None,
            (Some(entry), None) if entry.column == DIRECTORY => {
                let section = pages.section(entry.range.clone(), "directory of buckets")?;
                Some(Arc::new(Buckets::open(&section, &footer.schema)?))
            }
            _ => {
                let what = "a segment has one directory of buckets, which is of no column";
                return Err(Error::corrupt(name, "footer", 0, what));
            }
        };
        Ok(Segment {
            pages,
            buckets,
            footer: Arc::new(footer),
            runs: Arc::new(runs),
            times: Arc::new(times),
            columns,
            bytes,
        })
    }

    /// The same segment without the columns that were opened: what is opened through it goes with it.
    pub(crate) fn anew(&self) -> Segment {
        Segment {
            pages: Arc::clone(&self.pages),
            footer: Arc::clone(&self.footer),
            runs: Arc::clone(&self.runs),
            times: Arc::clone(&self.times),
            columns: self.columns.iter().map(|_| OnceLock::new()).collect(),
            buckets: self.buckets.clone(),
            bytes: self.bytes,
        }
    }

    /// The same segment, which shares the shape of its stream in memory where it has not changed.
    #[must_use]
    pub(crate) fn with_schema_of(mut self, stream: &SharedSchema) -> Segment {
        if let Some(footer) = Arc::get_mut(&mut self.footer).filter(|footer| footer.schema == *stream) {
            footer.schema = SharedSchema::clone(stream);
        }
        self
    }

    /// Name of the file.
    pub fn name(&self) -> &str {
        self.pages.name()
    }

    /// What the manifest says of this segment.
    pub fn info(&self) -> SegmentInfo {
        SegmentInfo {
            rows: self.footer.rows,
            time_range: self.footer.time_range,
            sequences: self.footer.sequences,
            bytes: self.bytes,
        }
    }

    /// Pages whose checksums were compared so far: how much of the file was touched.
    pub fn pages_touched(&self) -> u64 {
        self.pages.touched()
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.footer.rows
    }

    /// Shape of the stream when the segment was written.
    pub fn schema(&self) -> &Schema {
        &self.footer.schema
    }

    /// Bytes of the longest column of text or bytes.
    pub(crate) fn text_bytes(&self) -> u64 {
        let columns = self.footer.schema.columns().iter().zip(&self.footer.totals);
        let texts = columns.filter(|(spec, _)| spec.ty.is_binary());
        texts.map(|(_, totals)| totals.plain_bytes).max().unwrap_or(0)
    }

    /// Runs of rows with equal keys.
    pub fn runs(&self) -> &RunDirectory {
        &self.runs
    }

    /// Row times.
    pub fn times(&self) -> &TimeColumn {
        &self.times
    }

    /// Position in this segment's own schema of a column by id; `None` when the segment is older than the column.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.footer.schema.position_of_id(id)
    }

    /// The channel at `position` of this segment's own schema; `None` for a key column or one that is all null.
    ///
    /// # Errors
    /// `Corrupt` if the column's headers make no sense.
    pub fn column(&self, position: usize) -> Result<Option<&Column>> {
        let (Some(cell), Some(spec)) = (
            self.columns.get(position),
            self.footer.schema.columns().get(position),
        ) else {
            return Ok(None);
        };
        if position < self.footer.schema.keys().len() {
            return Ok(None);
        }
        if let Some(column) = cell.get() {
            return Ok(Some(column));
        }
        let column = Box::new(self.open_column(spec)?);
        Ok(Some(cell.get_or_init(|| column)))
    }

    fn open_column(&self, spec: &ColumnSpec) -> Result<Column> {
        Column::open(spec.ty, self.footer.rows, self.column_parts(spec)?)
    }

    /// The parts of a column, none of them opened yet.
    fn column_parts(&self, spec: &ColumnSpec) -> Result<Vec<Part<Section>>> {
        let sections = self.footer.sections.iter().filter(|s| s.column == spec.id.0);
        let part = |section: &SectionEntry| {
            let what = format!("{} of column {:?}", footer::part_name(section.kind), spec.name);
            Ok(Part {
                kind: section.kind,
                codec: section.codec,
                body: self.pages.section(section.range.clone(), what)?,
            })
        };
        sections.map(part).collect()
    }

    /// Bytes of the sections that belong to a column, by part; the run directory and times are column 0.
    pub fn section_ranges(&self, column: u32) -> impl Iterator<Item = Range<u64>> + '_ {
        self.footer
            .sections
            .iter()
            .filter(move |s| s.column == column)
            .map(|s| s.range.clone())
    }

    /// Bytes of the run directory and of the row times.
    pub fn row_directory_bytes(&self) -> (u64, u64) {
        (
            self.footer.runs.end - self.footer.runs.start,
            self.footer.times.end - self.footer.times.start,
        )
    }

    /// Checks every page that was not touched yet, and opens every column.
    ///
    /// # Errors
    /// The first damage.
    pub fn check(&self) -> Result<()> {
        self.pages.check()?;
        (0..self.columns.len()).try_for_each(|position| self.column(position).map(|_| ()))
    }

    /// Checks every page and opens every column; lists the damage.
    pub fn scrub(&self) -> Vec<crate::Error> {
        let mut damage = self.pages.scrub();
        if damage.is_empty() {
            damage.extend((0..self.columns.len()).filter_map(|position| self.column(position).err()));
        }
        damage
    }
}

/// How exact the values of a column are in all of some segments; `None` if they do not go together.
pub(crate) fn carried(segments: &[Arc<Segment>], id: ColumnId) -> Result<Option<Option<Precision>>> {
    let mut all = None;
    for segment in segments {
        let column = match segment.position(id) {
            Some(position) => segment.column(position)?,
            None => None,
        };
        match Precision::join(all, column.and_then(|column| column.precision())) {
            Some(both) => all = both,
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}
