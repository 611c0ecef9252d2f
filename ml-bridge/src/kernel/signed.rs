//! Bytes of a file as the int8 numbers, or lines of them, that they are.
#![allow(unsafe_code)]

use super::lanes::Line;

/// `bytes` as int8.
pub fn signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: both have one byte an element, and every byte is an int8; the result lives as long as `bytes`.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// The lines that `bytes` are, if they start on a cache line and end with one; else none.
pub fn lines_of(bytes: &[u8]) -> &[Line] {
    // SAFETY: a line is 64 bytes, each of which may have any value; `align_to` sees to where lines start.
    let (before, lines, after) = unsafe { bytes.align_to::<Line>() };
    if before.is_empty() && after.is_empty() {
        lines
    } else {
        &[]
    }
}

/// `lines` as bytes.
pub fn bytes_of(lines: &[Line]) -> &[u8] {
    // SAFETY: a line is 64 bytes without gaps; the result lives as long as `lines`.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

/// Bytes that start on a cache line.
#[derive(Debug, Clone)]
pub struct Aligned {
    lines: Vec<Line>,
    bytes: usize,
}

impl Aligned {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let line = |part: &[u8]| {
            let mut line = Line([0; 64]);
            line.0[..part.len()].copy_from_slice(signed(part));
            line
        };
        Aligned {
            lines: bytes.chunks(64).map(line).collect(),
            bytes: bytes.len(),
        }
    }
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &bytes_of(&self.lines)[..self.bytes]
    }
}
