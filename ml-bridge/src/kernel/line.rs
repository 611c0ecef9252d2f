//! What weights are kept in: lines of bytes, and pairs of them made wider.

/// 64 bytes on a cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Line(pub [i8; 64]);

/// Two weights for each of 16 lanes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Pair(pub [i16; 32]);

impl Pair {
    /// The weights of `lines` as 16-bit numbers, two pairs a line.
    pub fn widen(lines: &[Line], pairs: &mut [Pair]) {
        for (pairs, line) in pairs.chunks_exact_mut(2).zip(lines) {
            for (pair, half) in pairs.iter_mut().zip(line.0.chunks_exact(32)) {
                for (to, from) in pair.0.iter_mut().zip(half) {
                    *to = i16::from(*from);
                }
            }
        }
    }
}
