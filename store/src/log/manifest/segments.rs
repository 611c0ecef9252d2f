//! The segments of a stream in the manifest: each as what it says beyond the one before, for a device that keeps little
//! memory has thousands of them, and the manifest is written anew at every seal.
//!
//! ```text
//! mark          u8: bit 0 pinned, bits 1 and 2 rung, bits 3 and 4 lowest rung tried, bit 5 wishes follow (else those of the
//!               segment before), bit 6 the name follows as text (else it is a number)
//! number        steps from that of the segment before; or the name, a u32 length and bytes
//! wishes        if the mark says so
//! varints       rows; first time, from the last of the segment before; last time, from the first; first sequence number,
//!               from the last of the segment before; last, from the first; bytes
//! ```
//!
//! Steps are differences that wrap, as varints of `2 d`, or `-2 d - 1` below zero. Before the first segment all is 0.

use super::Wishes;
use crate::error::Result;
use crate::keep::Rung;
use crate::value::{i64_of, key_of_i64};
use crate::wire::{Reader, Writer};

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    /// Name of its file.
    pub file: String,
    /// Rows.
    pub rows: u64,
    /// First and last time.
    pub time_range: (i64, i64),
    /// First and last sequence number.
    pub sequences: (u64, u64),
    /// Bytes of the file.
    pub bytes: u64,
    /// How it should have been stored when it was written.
    pub wishes: Wishes,
    /// Whether it holds what was pinned of a larger segment, and nothing else.
    pub pinned: bool,
    /// What has become of its rows.
    pub rung: Rung,
    /// The lowest rung that was tried under the stream's policy, whether or not it made the file smaller.
    pub tried: Rung,
}

const PINNED: u8 = 1;
const RUNG: u32 = 1;
const TRIED: u32 = 3;
const WISHES: u8 = 1 << 5;
const NAMED: u8 = 1 << 6;
/// Bytes of an entry at least: a byte each.
const LEAST_BYTES: usize = 8;

/// Name of a segment's file.
pub(crate) fn segment_file(number: u64) -> String {
    format!("segment-{number:010}")
}

/// Number of a segment's file, if the name is that of one.
fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("segment-")?.parse().ok()?;
    (segment_file(number) == name).then_some(number)
}

/// What an entry is told from.
#[derive(Default)]
struct Before {
    number: u64,
    time: i64,
    sequence: u64,
    wishes: Wishes,
}

impl Before {
    fn step(&mut self, segment: &SegmentEntry, number: Option<u64>) {
        self.number = number.unwrap_or(self.number);
        self.time = segment.time_range.1;
        self.sequence = segment.sequences.1;
        if self.wishes != segment.wishes {
            self.wishes.clone_from(&segment.wishes);
        }
    }
}

/// Writes the segments of a stream.
pub fn write(segments: &[SegmentEntry], out: &mut Writer) {
    out.u32(u32::try_from(segments.len()).unwrap_or(u32::MAX));
    let mut before = Before::default();
    for segment in segments {
        let number = segment_number(&segment.file);
        let mut mark = u8::from(segment.pinned) * PINNED;
        mark |= (segment.rung as u8) << RUNG | (segment.tried as u8) << TRIED;
        mark |= u8::from(segment.wishes != before.wishes) * WISHES;
        mark |= u8::from(number.is_none()) * NAMED;
        out.u8(mark);
        match number {
            Some(number) => out.step(before.number, number),
            None => out.bytes(segment.file.as_bytes()),
        }
        if mark & WISHES != 0 {
            segment.wishes.write(out);
        }
        out.varint(segment.rows);
        out.step(key_of_i64(before.time), key_of_i64(segment.time_range.0));
        out.step(key_of_i64(segment.time_range.0), key_of_i64(segment.time_range.1));
        out.step(before.sequence, segment.sequences.0);
        out.step(segment.sequences.0, segment.sequences.1);
        out.varint(segment.bytes);
        before.step(segment, number);
    }
}

/// Reads them.
///
/// # Errors
/// `Corrupt`.
pub fn read(input: &mut Reader<'_>) -> Result<Vec<SegmentEntry>> {
    let count = input.count(LEAST_BYTES)?;
    let mut before = Before::default();
    let mut segments = Vec::with_capacity(count);
    for _ in 0..count {
        let mark = input.u8()?;
        if mark & 1 << 7 != 0 {
            return Err(input.corrupt(format!("{mark} is no mark of a segment")));
        }
        let (number, file) = if mark & NAMED == 0 {
            let number = input.step(before.number)?;
            (Some(number), segment_file(number))
        } else {
            (None, input.text()?.to_owned())
        };
        let wishes = if mark & WISHES == 0 {
            before.wishes.clone()
        } else {
            Wishes::read(input)?
        };
        let rows = input.varint()?;
        let first = input.step(key_of_i64(before.time))?;
        let last = input.step(first)?;
        let from = input.step(before.sequence)?;
        let segment = SegmentEntry {
            file,
            rows,
            time_range: (i64_of(first), i64_of(last)),
            sequences: (from, input.step(from)?),
            bytes: input.varint()?,
            wishes,
            pinned: mark & PINNED != 0,
            rung: rung(input, mark >> RUNG)?,
            tried: rung(input, mark >> TRIED)?,
        };
        before.step(&segment, number);
        segments.push(segment);
    }
    Ok(segments)
}

fn rung(input: &Reader<'_>, code: u8) -> Result<Rung> {
    let code = code & 3;
    Rung::from_code(code).ok_or_else(|| input.corrupt(format!("unknown rung {code}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::codes::choose::{Dial, Layout};
    use crate::schema::ColumnId;

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => any::<u64>().prop_map(segment_file),
            4 => (0u64..50).prop_map(segment_file),
            1 => "[a-z0-9é.-]{0,12}",
            1 => "segment-[0-9]{1,25}",
        ]
    }

    fn wishes() -> impl Strategy<Value = Wishes> {
        prop_oneof![
            Just(Wishes::default()),
            any::<u32>().prop_map(|column| Wishes {
                all: Layout::Scan,
                columns: vec![(ColumnId(column), Layout::Rank(Dial::Smaller))],
            }),
        ]
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0u64..1_000, Just(0), Just(u64::MAX)]
    }

    prop_compose! {
        fn entry()(
            file in name(),
            [rows, first, last, from, to, bytes] in [number(), number(), number(), number(), number(), number()],
            wishes in wishes(),
            (pinned, rung, tried) in (any::<bool>(), 0usize..4, 0usize..4),
        ) -> SegmentEntry {
            SegmentEntry {
                file,
                rows,
                time_range: (i64_of(first), i64_of(last)),
                sequences: (from, to),
                bytes,
                wishes,
                pinned,
                rung: Rung::ALL[rung],
                tried: Rung::ALL[tried],
            }
        }
    }

    fn written(segments: &[SegmentEntry]) -> Vec<u8> {
        let mut out = Writer::new();
        write(segments, &mut out);
        out.into_bytes()
    }

    proptest! {
        #[test]
        fn any_segments_come_back(segments in proptest::collection::vec(entry(), 0..20)) {
            let bytes = written(&segments);
            let mut input = Reader::new(&bytes, "manifest", "segments");
            prop_assert_eq!(read(&mut input).unwrap(), segments);
            prop_assert_eq!(input.left(), 0);
        }

        #[test]
        fn any_bytes_give_segments_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut input = Reader::new(&bytes, "manifest", "segments");
            if let Ok(segments) = read(&mut input) {
                let again = written(&segments);
                prop_assert_eq!(read(&mut Reader::new(&again, "manifest", "segments")).unwrap(), segments);
            }
        }
    }

    /// Segments as they follow each other on a device.
    #[test]
    fn a_segment_takes_few_bytes() {
        let segments: Vec<_> = (0..1_000u64)
            .map(|n| SegmentEntry {
                file: segment_file(n + 7),
                rows: 30_000 + n % 100,
                time_range: (
                    1_700_000_000_000_000 + i64::try_from(n).unwrap() * 30_000_000,
                    1_700_000_000_000_000 + i64::try_from(n).unwrap() * 30_000_000 + 29_999_000,
                ),
                sequences: (n * 30_000 + 1, (n + 1) * 30_000),
                bytes: 200_000 + n * 7 % 1_000,
                wishes: Wishes::default(),
                pinned: false,
                rung: Rung::Sealed,
                tried: Rung::Sealed,
            })
            .collect();
        assert!(written(&segments).len() <= 20 * segments.len());
    }
}
