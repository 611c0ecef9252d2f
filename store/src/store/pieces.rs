//! Batches of any size, for callers that do not choose it: taken in pieces that the log's share of the budget holds.

use super::{Receipt, Store};
use crate::batch::Batch;
use crate::error::Result;
use crate::tail::order;

impl Store {
    /// Appends rows in pieces of which each surely fits; the receipt is that of the last.
    pub(super) fn append_by_pieces(&self, stream: &str, batch: &Batch) -> Result<Receipt> {
        // What is packed takes about what it takes in memory, and whole blocks with a header beside.
        let most = self.shares().map_or(usize::MAX, |shares| {
            usize::try_from(shares.log() / 4).unwrap_or(usize::MAX)
        });
        let bytes = batch.memory_bytes();
        let rows = batch.len();
        let pieces = if bytes <= most {
            1
        } else {
            bytes.div_ceil(most.max(1))
        };
        let step = rows.div_ceil(pieces.max(1)).max(1);
        if step >= rows {
            return self.append(stream, batch);
        }
        let (mut start, mut receipt) = (0, None);
        while start < rows {
            let end = rows.min(start + step);
            let mut piece = Batch::new(batch.schema().clone());
            order::append(&mut piece, batch, start..end);
            receipt = Some(self.append(stream, &piece)?);
            start = end;
        }
        match receipt {
            Some(receipt) => Ok(receipt),
            None => self.append(stream, batch),
        }
    }
}
