//! pco in independent chunks: the whole chunk is decoded for one value.

use std::ops::Range;

use pco::standalone::{simple_compress, simple_decompress_into};
use siltstone_store::section::FileBytes;

use crate::data::Column;
use crate::subject::{Form, Maker, Subject};

/// Makes chunks of `rows` rows at pco's default level.
#[derive(Debug)]
pub struct Pco {
    /// Rows of a chunk; pco's own choice for a column in one piece is 2^18.
    pub rows: usize,
}

impl Maker for Pco {
    fn name(&self) -> String {
        format!("pco {}", self.rows)
    }

    fn encode(&self, column: &Column, form: Form) -> Option<Vec<u8>> {
        let settings = pco::ChunkConfig::default();
        let chunks: Vec<Vec<u8>> = match form {
            Form::Codes => {
                let pack = |chunk| simple_compress::<u64>(chunk, &settings).unwrap();
                column.codes.chunks(self.rows).map(pack).collect()
            }
            Form::Floats => {
                let pack = |chunk| simple_compress::<f64>(chunk, &settings).unwrap();
                column.floats.as_ref()?.chunks(self.rows).map(pack).collect()
            }
        };
        Some(join(&chunks))
    }

    fn open(&self, bytes: FileBytes, rows: u64, form: Form) -> Box<dyn Subject> {
        let blocks = Blocks::open(bytes, rows, self.rows);
        Box::new(Chunks {
            blocks,
            form,
            buffer: std::cell::RefCell::default(),
        })
    }
}

/// Blocks one after the other, then the end of each, then their number.
pub fn join(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = blocks.concat();
    let mut end = 0u32;
    for block in blocks {
        end += block.len() as u32;
        bytes.extend(end.to_le_bytes());
    }
    bytes.extend((blocks.len() as u32).to_le_bytes());
    bytes
}

/// What [`join`] made, opened.
pub struct Blocks {
    bytes: FileBytes,
    rows: u64,
    block_rows: u64,
    count: usize,
}

impl Blocks {
    /// Opens blocks of `block_rows` rows.
    pub fn open(bytes: FileBytes, rows: u64, block_rows: usize) -> Blocks {
        let all = (*bytes).as_ref();
        let count = u32::from_le_bytes(*all.last_chunk().expect("a count")) as usize;
        Blocks {
            bytes,
            rows,
            block_rows: block_rows as u64,
            count,
        }
    }

    fn end(&self, block: usize) -> usize {
        let all = (*self.bytes).as_ref();
        let at = all.len() - 4 * (self.count + 1 - block);
        u32::from_le_bytes(all[at..at + 4].try_into().expect("four bytes")) as usize
    }

    /// For each block that `range` touches: its bytes, its number of rows, the wanted rows inside it.
    pub fn each(&self, range: Range<u64>, mut call: impl FnMut(&[u8], usize, Range<usize>)) {
        let mut row = range.start;
        while row < range.end {
            let block = row / self.block_rows;
            let first = block * self.block_rows;
            let end = (first + self.block_rows).min(self.rows);
            let index = block as usize;
            let start = if index == 0 { 0 } else { self.end(index - 1) };
            let bytes = &(*self.bytes).as_ref()[start..self.end(index)];
            let until = end.min(range.end);
            call(
                bytes,
                (end - first) as usize,
                (row - first) as usize..(until - first) as usize,
            );
            row = until;
        }
    }
}

struct Chunks {
    blocks: Blocks,
    form: Form,
    buffer: std::cell::RefCell<(Vec<u64>, Vec<f64>)>,
}

impl Subject for Chunks {
    fn form(&self) -> Form {
        self.form
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.resize((range.end - range.start) as usize, 0);
        let (codes, floats) = &mut *self.buffer.borrow_mut();
        let mut done = 0;
        self.blocks.each(range, |bytes, rows, wanted| {
            let place = &mut out[done..done + wanted.len()];
            done += wanted.len();
            match self.form {
                Form::Codes if wanted.len() == rows => {
                    simple_decompress_into(bytes, place).unwrap();
                }
                Form::Codes => {
                    codes.resize(rows, 0);
                    simple_decompress_into(bytes, &mut codes[..]).unwrap();
                    place.copy_from_slice(&codes[wanted]);
                }
                Form::Floats => {
                    floats.resize(rows, 0.0);
                    simple_decompress_into(bytes, &mut floats[..]).unwrap();
                    place
                        .iter_mut()
                        .zip(&floats[wanted])
                        .for_each(|(place, value)| *place = value.to_bits());
                }
            }
        });
    }
}
