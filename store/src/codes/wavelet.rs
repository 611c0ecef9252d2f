//! Adaptive wavelet matrix over bit planes: the rank layout.

use std::ops::Range;

use super::{Codes, CodesKind, Interval};
use crate::error::Result;
use crate::rows::Mask;
use crate::section::Section;

/// Encodes codes.
pub fn encode(codes: &[u64]) -> Vec<u8> {
    let _ = codes;
    todo!()
}

/// The read side.
#[derive(Debug)]
pub struct Wavelet {}

impl Wavelet {
    /// Opens a section.
    pub fn open(section: Section) -> Result<Wavelet> {
        let _ = section;
        todo!()
    }
}

impl Codes for Wavelet {
    fn kind(&self) -> CodesKind {
        CodesKind::Wavelet
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
