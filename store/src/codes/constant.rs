//! One code, however many positions.

use std::ops::Range;

use super::{Codes, CodesKind, Interval};
use crate::error::Result;
use crate::rows::Mask;
use crate::section::Section;

/// Encodes equal codes.
pub fn encode(codes: &[u64]) -> Vec<u8> {
    let _ = codes;
    todo!()
}

/// The read side.
#[derive(Debug)]
pub struct Constant {}

impl Constant {
    /// Opens a section.
    pub fn open(section: Section) -> Result<Constant> {
        let _ = section;
        todo!()
    }
}

impl Codes for Constant {
    fn kind(&self) -> CodesKind {
        CodesKind::Constant
    }
    fn len(&self) -> u64 {
        todo!()
    }
    fn get(&self, _: u64) -> Result<u64> {
        todo!()
    }
    fn decode(&self, _: Range<u64>, _: &mut [u64]) -> Result<()> {
        todo!()
    }
    fn count(&self, _: &[Range<u64>], _: Interval) -> Result<u64> {
        todo!()
    }
    fn select(&self, _: Range<u64>, _: Interval, _: &mut Mask) -> Result<()> {
        todo!()
    }
    fn quantile(&self, _: &[Range<u64>], _: u64) -> Result<(u64, u64)> {
        todo!()
    }
    fn parts(&self) -> Vec<(String, u64)> {
        todo!()
    }
}
