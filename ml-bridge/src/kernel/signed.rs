//! Bytes of a file as the int8 numbers, or lines of them, that they are.
#![allow(unsafe_code)]

use super::line::{Line, Pair};
use super::scale::{Bias, Scale};

/// `bytes` as int8.
pub fn signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: both have one byte an element, and every byte is an int8; the result lives as long as `bytes`.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// The lines that `bytes` are, if they start on a cache line and end with one; else none.
pub fn lines_of(bytes: &[u8]) -> &[Line] {
    if bytes.as_ptr().addr() % align_of::<Line>() != 0 || bytes.len() % size_of::<Line>() != 0 {
        return &[];
    }
    // SAFETY: a line is 64 bytes, each of which may have any value; they start on a multiple of 64.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<Line>()) }
}

/// Things that are whole lines of numbers, without gaps, any bytes of which are such a thing.
trait Whole: Copy {}
impl Whole for Line {}
impl Whole for Bias {}
impl Whole for Scale {}
impl Whole for Pair {}

/// `things` as bytes.
#[expect(private_bounds, reason = "what may be seen as bytes is listed here")]
pub fn bytes_of<T: Whole>(things: &[T]) -> &[u8] {
    // SAFETY: these are numbers without gaps; the result lives as long as `things`.
    unsafe { std::slice::from_raw_parts(things.as_ptr().cast(), size_of_val(things)) }
}

/// The whole things that `lines` are.
fn things<T: Whole>(lines: &[Line]) -> &[T] {
    const { assert!(align_of::<T>() <= align_of::<Line>() && size_of::<T>() % size_of::<Line>() == 0) }
    let count = size_of_val(lines) / size_of::<T>();
    // SAFETY: lines are as aligned as these things, `count` of which they are long, and hold any bytes; the result lives as
    // long as `lines`.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), count) }
}

/// `lines` as biases.
#[inline]
pub fn biases_of(lines: &[Line]) -> &[Bias] {
    things(lines)
}

/// `lines` as constants.
#[inline]
pub fn scales_of(lines: &[Line]) -> &[Scale] {
    things(lines)
}

/// `lines` as pairs of weights.
#[inline]
pub fn pairs_of(lines: &[Line]) -> &[Pair] {
    things(lines)
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
