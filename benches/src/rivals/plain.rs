//! The column as it is: eight bytes a value, asked in place.

use std::ops::Range;

use siltstone_store::section::FileBytes;

use crate::data::Column;
use crate::subject::{Form, Maker, Subject, Totals};

/// Makes plain slices.
#[derive(Debug)]
pub struct Plain;

/// The bits of each row, as rivals store them.
pub fn bits(column: &Column, form: Form) -> Option<Vec<u64>> {
    match form {
        Form::Codes => Some(column.codes.clone()),
        Form::Floats => Some(
            column
                .floats
                .as_ref()?
                .iter()
                .map(|value| value.to_bits())
                .collect(),
        ),
    }
}

/// The rows as little-endian bytes.
pub fn bytes(column: &Column, form: Form) -> Option<Vec<u8>> {
    Some(
        bits(column, form)?
            .iter()
            .flat_map(|bits| bits.to_le_bytes())
            .collect(),
    )
}

impl Maker for Plain {
    fn name(&self) -> String {
        "plain slice".into()
    }

    fn in_place(&self) -> bool {
        true
    }

    fn encode(&self, column: &Column, form: Form) -> Option<Vec<u8>> {
        bytes(column, form)
    }

    fn open(&self, bytes: FileBytes, _: u64, form: Form) -> Box<dyn Subject> {
        Box::new(Mapped { bytes, form })
    }
}

struct Mapped {
    bytes: FileBytes,
    form: Form,
}

impl Mapped {
    /// Maps begin on a page, so that the bytes are numbers where they lie; a copy is made only of what is asked.
    fn rows(&self, range: &Range<u64>) -> &[[u8; 8]] {
        let bytes = (*self.bytes).as_ref();
        bytes[range.start as usize * 8..range.end as usize * 8]
            .as_chunks()
            .0
    }
}

impl Subject for Mapped {
    fn form(&self) -> Form {
        self.form
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.resize((range.end - range.start) as usize, 0);
        for (place, bytes) in out.iter_mut().zip(self.rows(&range)) {
            *place = u64::from_le_bytes(*bytes);
        }
    }

    fn get(&self, row: u64) -> u64 {
        self.form
            .key_of_bits(u64::from_le_bytes(self.rows(&(row..row + 1))[0]))
    }

    fn count(&self, ranges: &[Range<u64>], low: u64, high: u64) -> u64 {
        let inside = |bytes: &&[u8; 8]| {
            let key = self.form.key_of_bits(u64::from_le_bytes(**bytes));
            key >= low && key <= high
        };
        ranges
            .iter()
            .map(|range| self.rows(range).iter().filter(inside).count() as u64)
            .sum()
    }

    fn totals(&self, range: Range<u64>) -> Totals {
        // Little-endian machines turn this into a load.
        crate::subject::with_scratch(|out| {
            self.decode(range, out);
            Totals::of(self.form, out)
        })
    }
}
