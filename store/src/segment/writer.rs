//! Writes a segment file from sorted rows, one column at a time.

use std::borrow::Cow;

use super::footer::{Footer, SectionEntry, header, write as write_footer};
use super::stat::ColumnTotals;
use super::{SECTION_ALIGNMENT, SegmentInfo, runs};
use crate::batch::{Batch, BatchColumn};
use crate::column::{Column, Hints, time};
use crate::error::{Error, Result};
use crate::rows::index;
use crate::section::PAGE_BYTES;

/// Takes the file's bytes in order.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// A segment file that is being written: bytes so far, and the checksum of each page of them.
pub(super) struct Output<'a> {
    sink: Sink<'a>,
    written: u64,
    crcs: Vec<u32>,
    page: crc32fast::Hasher,
}

impl<'a> Output<'a> {
    /// A file with nothing but its header.
    pub(super) fn begin(sink: Sink<'a>) -> Result<Output<'a>> {
        let mut output = Output {
            sink,
            written: 0,
            crcs: Vec::new(),
            page: crc32fast::Hasher::new(),
        };
        output.write(&header())?;
        Ok(output)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        (self.sink)(bytes)?;
        while !bytes.is_empty() {
            let room = PAGE_BYTES - self.written % PAGE_BYTES;
            let take = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            self.page.update(&bytes[..take]);
            self.written += take as u64;
            if self.written % PAGE_BYTES == 0 {
                self.end_page();
            }
            bytes = &bytes[take..];
        }
        Ok(())
    }

    fn end_page(&mut self) {
        self.crcs.push(std::mem::take(&mut self.page).finalize());
    }

    /// Writes a section and gives the bytes that it takes, without the padding after it.
    pub(super) fn section(&mut self, bytes: &[u8]) -> Result<std::ops::Range<u64>> {
        let start = self.written;
        self.write(bytes)?;
        let end = self.written;
        let padding = end.next_multiple_of(SECTION_ALIGNMENT as u64) - end;
        self.write(&[0; SECTION_ALIGNMENT][..index(padding)])?;
        Ok(start..end)
    }

    /// Writes the footer, whose `covered` is filled in here.
    pub(super) fn finish(mut self, footer: Footer) -> Result<SegmentInfo> {
        let covered = self.written;
        if covered % PAGE_BYTES != 0 {
            self.end_page();
        }
        let footer = Footer { covered, ..footer };
        let tail = write_footer(&footer, &self.crcs);
        (self.sink)(&tail)?;
        Ok(SegmentInfo {
            rows: footer.rows,
            time_range: footer.time_range,
            sequences: footer.sequences,
            bytes: covered + tail.len() as u64,
        })
    }
}

/// Writes rows that are sorted by (keys, time) and not empty as a segment file.
///
/// `hints` has an entry for each column of the schema. Holds one encoded column in memory at a time.
///
/// # Errors
/// `InvalidArgument` if there are no rows or they are not sorted by time inside a run; what `sink` refuses.
pub fn write(batch: &Batch, sequences: (u64, u64), hints: &[Hints], sink: Sink<'_>) -> Result<SegmentInfo> {
    write_by_column(
        Cow::Borrowed(batch),
        &mut |at| Ok(Cow::Borrowed(&batch.columns[at])),
        sequences,
        hints,
        sink,
    )
}

/// [`write()`] for rows of which only times and key columns are in `batch`, which is let go of before channels, as many
/// rows long, are asked for one after the other, by their position in the schema.
///
/// # Errors
/// See [`write()`]; what `channel` returned.
pub fn write_by_column<'a>(
    batch: Cow<'_, Batch>,
    channel: &mut dyn FnMut(usize) -> Result<Cow<'a, BatchColumn>>,
    sequences: (u64, u64),
    hints: &[Hints],
    sink: Sink<'_>,
) -> Result<SegmentInfo> {
    if batch.is_empty() {
        return Err(Error::invalid("a segment needs at least one row"));
    }
    let run_list = runs::find(&batch);
    let in_order = run_list.iter().all(|run| {
        batch.times[index(run.start)..index(run.end)]
            .windows(2)
            .all(|pair| pair[0] <= pair[1])
    });
    if !in_order {
        return Err(Error::invalid("rows of a segment are sorted by (keys, time)"));
    }
    let schema = batch.schema().clone();
    let mut output = Output::begin(sink)?;
    let runs = output.section(&runs::encode(&batch, &run_list))?;
    let times = output.section(&time::encode(&batch.times, &run_list))?;
    let keys = schema.keys().len();
    let mut totals: Vec<ColumnTotals> = (schema.keys().iter().zip(&batch.columns))
        .map(|(spec, column)| ColumnTotals::of(spec.ty, column))
        .collect();
    let rows = batch.len();
    let first = batch.times.iter().min().copied().unwrap_or_default();
    let last = batch.times.iter().max().copied().unwrap_or_default();
    drop((batch, run_list));
    let mut sections = Vec::new();
    let no_hints = Hints::default();
    for (position, spec) in schema.columns().iter().enumerate().skip(keys) {
        let hint = hints.get(position).unwrap_or(&no_hints);
        let column = channel(position)?;
        if column.len() != rows {
            return Err(Error::invalid("columns of a segment are as long as its times"));
        }
        totals.push(ColumnTotals::of(spec.ty, &column));
        let parts = Column::encode(spec.ty, &column, hint)?;
        drop(column);
        for part in parts {
            let range = output.section(&part.body)?;
            sections.push(SectionEntry {
                column: spec.id.0,
                kind: part.kind,
                codec: part.codec,
                range,
            });
        }
    }
    output.finish(Footer {
        rows: rows as u64,
        time_range: (first, last),
        sequences,
        schema,
        totals,
        runs,
        times,
        sections,
        covered: 0,
    })
}
