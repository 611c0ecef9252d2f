//! Blocks that were unpacked to be asked: indexes of templates in memory.
//!
//! Those used last, of all text indexes together, stay: up to [`KEPT`], and 4 MiB.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::TextIndex;
use super::template::plan::Plan;
use super::template::{self, Templates};
use crate::error::Result;
use crate::section::Section;

/// Unpacked blocks that stay in memory, of all indexes together.
pub const KEPT: usize = 16;
/// Bytes of their indexes, but for the last one's, which stays whatever it takes.
const KEPT_BYTES: usize = 4 << 20;

/// The blocks used last, the latest at the back.
static RECENT: Mutex<VecDeque<Arc<Unpacked>>> = Mutex::new(VecDeque::new());

/// A block as an index in memory.
#[derive(Debug)]
pub struct Unpacked {
    /// The index.
    pub index: Templates,
    bytes: usize,
}

impl Unpacked {
    /// An index of the rows of a plan.
    ///
    /// # Errors
    /// See [`template::encode`].
    pub fn new(plan: Plan) -> Result<Unpacked> {
        let body = template::write(&plan)?;
        drop(plan);
        let bytes = body.len();
        let index = Templates::open(Section::from_vec(body))?;
        Ok(Unpacked { index, bytes })
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.index.len()
    }
}

/// A block's index while that is in memory.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Weak<Unpacked>>);

impl Kept {
    /// The index, which `unpack` makes if it is not in memory.
    ///
    /// # Errors
    /// Those of `unpack`.
    pub fn index(&self, unpack: impl FnOnce() -> Result<Unpacked>) -> Result<Arc<Unpacked>> {
        let mut unpacked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match unpacked.upgrade() {
            Some(index) => index,
            None => {
                let index = Arc::new(unpack()?);
                *unpacked = Arc::downgrade(&index);
                index
            }
        };
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        match recent.iter().rposition(|other| Arc::ptr_eq(other, &index)) {
            Some(place) if place + 1 == recent.len() => {}
            place => {
                place.map(|place| recent.remove(place));
                recent.push_back(Arc::clone(&index));
            }
        }
        let mut bytes: usize = recent.iter().map(|block| block.bytes).sum();
        while recent.len() > KEPT || (recent.len() > 1 && bytes > KEPT_BYTES) {
            bytes -= recent.pop_front().map_or(bytes, |block| block.bytes);
        }
        Ok(index)
    }
}
