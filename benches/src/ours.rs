//! Our layouts as subjects: each code layout alone, and a whole column (domain, codes, statistics).

use std::ops::Range;
use std::sync::Arc;

use siltstone_store::batch::{BatchColumn, ColumnData};
use siltstone_store::codes::choose::{self, Layout, MiniBlock};
use siltstone_store::codes::{self, Codes, CodesKind, Interval};
use siltstone_store::column::{Column as StoreColumn, Condition, Hints, Part, PartKind, Sum};
use siltstone_store::rows::RowRanges;
use siltstone_store::schema::ColumnType;
use siltstone_store::section::{FileBytes, PAGE_BYTES, Pages, Section};
use siltstone_store::value::{key_of_f64, key_of_i64};

use crate::data::Column;
use crate::subject::{Form, Maker, Subject, Totals, middle};

/// All makers of ours for this form: for codes each layout with each setting, then what no layout asks for by itself;
/// then the whole column under each wish. `short` leaves out the settings between the ends of a dial.
pub fn makers(form: Form, short: bool) -> Vec<Box<dyn Maker>> {
    let between = [
        Layout::Small(MiniBlock::Rows128),
        Layout::Small(MiniBlock::Rows512),
    ];
    let mut makers: Vec<Box<dyn Maker>> = Vec::new();
    if form == Form::Codes {
        let layouts = Layout::OF_CODES
            .into_iter()
            .filter(|layout| !short || !between.contains(layout));
        makers.extend(layouts.map(|layout| Box::new(Codecs::Wish(layout)) as Box<dyn Maker>));
        // A layout that is no wish's first choice yet is measured all the same. Equal bytes are measured once.
        let kinds = CodesKind::ALL
            .into_iter()
            .filter(|&kind| kind != CodesKind::Constant);
        makers.extend(kinds.map(|kind| Box::new(Codecs::Kind(kind)) as Box<dyn Maker>));
    }
    for layout in [
        Layout::default(),
        Layout::Scan,
        Layout::Small(MiniBlock::default()),
    ] {
        makers.push(Box::new(Whole {
            layout,
            step_bits: None,
        }));
    }
    for step_bits in [7, 10] {
        makers.push(Box::new(Whole {
            layout: Layout::default(),
            step_bits: Some(step_bits),
        }));
    }
    makers
}

/// Bytes with the checksums of their pages behind, as a segment has them.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = bytes.len() as u64;
    let sums: Vec<u8> = bytes
        .chunks(PAGE_BYTES as usize)
        .flat_map(|page| crc32fast::hash(page).to_le_bytes())
        .collect();
    bytes.extend(sums);
    bytes.extend(len.to_le_bytes());
    bytes
}

fn checked(file: FileBytes) -> (Arc<Pages>, u64) {
    let bytes = (*file).as_ref();
    let (rest, len) = bytes.split_last_chunk::<8>().expect("a length");
    let len = u64::from_le_bytes(*len);
    let sums = rest[len as usize..].chunks_exact(4);
    let sums = sums
        .map(|sum| u32::from_le_bytes(sum.try_into().expect("four bytes")))
        .collect();
    (Pages::new("column".into(), file, len, sums).unwrap(), len)
}

/// Codes alone, as a wish would have them or in a layout by name.
#[derive(Debug)]
enum Codecs {
    Wish(Layout),
    Kind(CodesKind),
}

impl Maker for Codecs {
    fn name(&self) -> String {
        match self {
            Codecs::Wish(layout) => layout.name().into(),
            Codecs::Kind(kind) => format!("kind {}", kind.name()),
        }
    }

    fn ours(&self) -> bool {
        true
    }

    fn encode(&self, column: &Column, form: Form) -> Option<Vec<u8>> {
        debug_assert!(form == Form::Codes);
        let (kind, mut bytes) = match *self {
            Codecs::Wish(layout) => choose::encode(&column.codes, layout),
            Codecs::Kind(kind) => (kind, codes::encode(kind, &column.codes)),
        };
        bytes.extend((kind as u16).to_le_bytes());
        Some(with_checksums(bytes))
    }

    fn open(&self, bytes: FileBytes, _: u64, _: Form) -> Box<dyn Subject> {
        let (pages, len) = checked(bytes);
        let kind = pages.section(len - 2..len, "kind").unwrap().u16(0).unwrap();
        let kind = CodesKind::from_code(kind).expect("a kind");
        Box::new(Plain(
            codes::open(kind, pages.section(0..len - 2, "codes").unwrap()).unwrap(),
        ))
    }
}

struct Plain(Box<dyn Codes>);

impl Subject for Plain {
    fn form(&self) -> Form {
        Form::Codes
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.resize((range.end - range.start) as usize, 0);
        self.0.decode(range, out).unwrap();
    }

    fn get(&self, row: u64) -> u64 {
        self.0.get(row).unwrap()
    }

    fn count(&self, ranges: &[Range<u64>], low: u64, high: u64) -> u64 {
        self.0.count(ranges, Interval { low, high }).unwrap()
    }

    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> u64 {
        self.0.quantile(ranges, k).unwrap().0
    }

    fn medians(&self, ranges: &[Range<u64>]) -> Vec<u64> {
        let ks: Vec<u64> = ranges.iter().map(middle).collect();
        self.0.quantile_each(ranges, &ks).unwrap()
    }

    fn parts(&self) -> Vec<(String, u64)> {
        self.0.parts()
    }
}

/// A whole column of a segment: domain, codes, block statistics, as the store chooses them.
#[derive(Debug)]
struct Whole {
    layout: Layout,
    /// Rows of a step of the running sums, as a power of two; the column's own choice if absent.
    step_bits: Option<u8>,
}

fn column_type(form: Form) -> ColumnType {
    match form {
        Form::Codes => ColumnType::I64,
        Form::Floats => ColumnType::F64,
    }
}

/// Codes are stored as plain integers; those above 2^63 wrap around and would lose their order.
fn batch_of(column: &Column, form: Form) -> Option<BatchColumn> {
    let keys = match form {
        Form::Codes if column.codes.iter().any(|&code| code > i64::MAX as u64) => return None,
        Form::Codes => column.codes.iter().map(|&code| key_of_i64(code as i64)).collect(),
        Form::Floats => column
            .floats
            .as_ref()?
            .iter()
            .map(|&value| key_of_f64(value))
            .collect(),
    };
    Some(BatchColumn {
        data: ColumnData::Keys(keys),
        validity: None,
    })
}

const ROLES: [PartKind; 6] = [
    PartKind::Domain,
    PartKind::Codes,
    PartKind::Validity,
    PartKind::Statistics,
    PartKind::Text,
    PartKind::Time,
];

impl Maker for Whole {
    fn name(&self) -> String {
        match self.step_bits {
            Some(bits) => format!("column {}, sums at {}", self.layout, 1 << bits),
            None => format!("column {}", self.layout),
        }
    }

    fn ours(&self) -> bool {
        true
    }

    fn encode(&self, column: &Column, form: Form) -> Option<Vec<u8>> {
        let batch = batch_of(column, form)?;
        let hints = Hints {
            layout: self.layout,
            step_bits: self.step_bits,
            ..Hints::default()
        };
        let parts = StoreColumn::encode(column_type(form), &batch, &hints).unwrap();
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for part in &parts {
            directory.extend((part.kind as u16).to_le_bytes());
            directory.extend(part.codec.to_le_bytes());
            directory.extend((bytes.len() as u64).to_le_bytes());
            directory.extend((part.body.len() as u64).to_le_bytes());
            bytes.extend(&part.body);
            bytes.resize(bytes.len().next_multiple_of(64), 0);
        }
        bytes.extend(&directory);
        bytes.extend((parts.len() as u64).to_le_bytes());
        Some(with_checksums(bytes))
    }

    fn open(&self, bytes: FileBytes, rows: u64, form: Form) -> Box<dyn Subject> {
        let (pages, len) = checked(bytes);
        let all = pages.section(0..len, "column").unwrap();
        let count = all.u64(len - 8).unwrap();
        let parts = (0..count).map(|i| {
            let at = len - 8 - 20 * (count - i);
            let role = all.u16(at).unwrap();
            let (start, size) = (all.u64(at + 4).unwrap(), all.u64(at + 12).unwrap());
            Part::<Section> {
                kind: ROLES
                    .into_iter()
                    .find(|&kind| kind as u16 == role)
                    .expect("a role"),
                codec: all.u16(at + 2).unwrap(),
                body: pages.section(start..start + size, "part").unwrap(),
            }
        });
        let column = StoreColumn::open(column_type(form), rows, parts.collect()).unwrap();
        Box::new(Opened { column, form })
    }
}

struct Opened {
    column: StoreColumn,
    form: Form,
}

/// Keys of signed integers have their sign bit turned around; codes do not.
const SIGN: u64 = 1 << 63;

fn rows_of(ranges: &[Range<u64>]) -> RowRanges {
    let mut rows = RowRanges::empty();
    ranges.iter().for_each(|range| rows.push(range.clone()));
    rows
}

impl Subject for Opened {
    fn form(&self) -> Form {
        self.form
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.clear();
        let mut rows = BatchColumn {
            data: ColumnData::Keys(std::mem::take(out)),
            validity: None,
        };
        self.column.decode(range, &mut rows).unwrap();
        if let ColumnData::Keys(keys) = rows.data {
            *out = keys;
        }
    }

    fn decodes_keys(&self) -> bool {
        true
    }

    fn key_flip(&self) -> u64 {
        if self.form == Form::Codes { SIGN } else { 0 }
    }

    fn get(&self, row: u64) -> u64 {
        self.column.get(row).unwrap().expect("a value") ^ self.key_flip()
    }

    fn count(&self, ranges: &[Range<u64>], low: u64, high: u64) -> u64 {
        let interval = Interval {
            low: low ^ self.key_flip(),
            high: high ^ self.key_flip(),
        };
        self.column
            .count(&rows_of(ranges), &Condition::Keys(interval))
            .unwrap()
    }

    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> u64 {
        self.column.quantile(&rows_of(ranges), k).unwrap() ^ self.key_flip()
    }

    fn medians(&self, ranges: &[Range<u64>]) -> Vec<u64> {
        let median = |range: &Range<u64>| self.quantile(std::slice::from_ref(range), middle(range));
        ranges.iter().map(median).collect()
    }

    fn totals(&self, range: Range<u64>) -> Totals {
        let rows = RowRanges::single(range);
        let (min, max) = self.column.min_max(&rows).unwrap().expect("rows");
        let sum = match self.column.sum(&rows).unwrap() {
            Sum::Integer(sum) => sum as f64,
            Sum::Float(sum) => sum,
        };
        Totals {
            sum,
            min: min ^ self.key_flip(),
            max: max ^ self.key_flip(),
        }
    }

    fn parts(&self) -> Vec<(String, u64)> {
        self.column.parts()
    }

    fn choice(&self) -> String {
        let (domain, layout) = self.column.describe();
        format!("{domain}/{layout}")
    }
}
