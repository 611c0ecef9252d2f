//! Telling a producer how many of its rows survive a power cut, so that it can forget them.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use siltstone_store::store::{Receipt, Store};

use crate::failure::Outcome;

/// Batches that may wait for a sync before one is asked for.
const MOST_PENDING: usize = 1_024;

/// Prints `durable N` on standard output whenever the first `N` rows of this run have become safe.
#[derive(Debug, Default)]
pub struct Acknowledge {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: u64,
    /// Sequence number of each batch's last row, and the rows of this run up to it.
    pending: VecDeque<(u64, u64)>,
}

impl Acknowledge {
    /// Takes note of a batch, and tells what is safe by now.
    ///
    /// # Errors
    /// When the sync fails, or nobody reads standard output any more.
    pub fn appended(&self, store: &Store, rows: usize, receipt: Receipt) -> Outcome<()> {
        let full = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.rows += rows as u64;
            let place = (receipt.sequence, state.rows);
            state.pending.push_back(place);
            state.pending.len() >= MOST_PENDING
        };
        if full {
            store.wait_durable(receipt.sequence)?;
        }
        self.tell(store.durable())
    }

    /// Tells which rows are safe, given that those up to sequence number `durable` are.
    ///
    /// # Errors
    /// When nobody reads standard output any more.
    pub fn tell(&self, durable: u64) -> Outcome<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut safe = None;
        while let Some(&(sequence, rows)) = state.pending.front() {
            if sequence > durable {
                break;
            }
            safe = Some(rows);
            state.pending.pop_front();
        }
        if let Some(rows) = safe {
            let mut out = std::io::stdout().lock();
            writeln!(out, "durable {rows}")?;
            out.flush()?;
        }
        Ok(())
    }
}
