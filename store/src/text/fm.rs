//! Fm: being built.

use std::ops::{Bound, Range};

use super::{TextIndex, TextKind, TextPattern};
use crate::batch::ByteColumn;
use crate::error::Result;
use crate::rows::Mask;
use crate::section::Section;

/// Encodes strings.
pub fn encode(strings: &ByteColumn) -> Result<Vec<u8>> {
    let _ = strings;
    todo!()
}

/// The read side.
#[derive(Debug)]
pub struct Fm {}

impl Fm {
    /// Opens a section.
    pub fn open(section: Section) -> Result<Fm> {
        let _ = section;
        todo!()
    }
}

impl TextIndex for Fm {
    fn kind(&self) -> TextKind {
        TextKind::Fm
    }
    fn len(&self) -> u64 {
        todo!()
    }
    fn extract(&self, _: u64, _: &mut Vec<u8>) -> Result<()> {
        todo!()
    }
    fn count(&self, _: &[Range<u64>], _: &TextPattern) -> Result<u64> {
        todo!()
    }
    fn select(&self, _: Range<u64>, _: &TextPattern, _: &mut Mask) -> Result<()> {
        todo!()
    }
    fn count_between(&self, _: &[Range<u64>], _: Bound<&[u8]>, _: Bound<&[u8]>) -> Result<u64> {
        todo!()
    }
    fn select_between(&self, _: Range<u64>, _: Bound<&[u8]>, _: Bound<&[u8]>, _: &mut Mask) -> Result<()> {
        todo!()
    }
    fn parts(&self) -> Vec<(String, u64)> {
        todo!()
    }
}
