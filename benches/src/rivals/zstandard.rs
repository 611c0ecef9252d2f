//! zstd -3 over plain blocks of 64 KiB.

use std::ops::Range;

use siltstone_store::section::FileBytes;

use super::pcodec::{Blocks, join};
use super::plain;
use crate::data::Column;
use crate::subject::{Form, Maker, Subject};

const BLOCK_ROWS: usize = 8192;

/// Makes zstd blocks.
#[derive(Debug)]
pub struct Zstd;

impl Maker for Zstd {
    fn name(&self) -> String {
        "zstd -3 64K".into()
    }

    fn encode(&self, column: &Column, form: Form) -> Option<Vec<u8>> {
        let bytes = plain::bytes(column, form)?;
        let blocks = bytes
            .chunks(BLOCK_ROWS * 8)
            .map(|block| zstd::bulk::compress(block, 3).unwrap());
        Some(join(&blocks.collect::<Vec<_>>()))
    }

    fn open(&self, bytes: FileBytes, rows: u64, form: Form) -> Box<dyn Subject> {
        let blocks = Blocks::open(bytes, rows, BLOCK_ROWS);
        Box::new(Packed {
            blocks,
            form,
            buffer: std::cell::RefCell::new(vec![0; BLOCK_ROWS * 8]),
        })
    }
}

struct Packed {
    blocks: Blocks,
    form: Form,
    buffer: std::cell::RefCell<Vec<u8>>,
}

impl Subject for Packed {
    fn form(&self) -> Form {
        self.form
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.resize((range.end - range.start) as usize, 0);
        let mut buffer = self.buffer.borrow_mut();
        let mut done = 0;
        self.blocks.each(range, |bytes, _, wanted| {
            zstd::bulk::decompress_to_buffer(bytes, &mut buffer[..]).unwrap();
            let rows = buffer.as_chunks::<8>().0;
            let place = &mut out[done..done + wanted.len()];
            done += wanted.len();
            place
                .iter_mut()
                .zip(&rows[wanted])
                .for_each(|(place, bytes)| *place = u64::from_le_bytes(*bytes));
        });
    }
}
