//! Kernels in plain Rust, written so that the compiler vectorizes them; the measure for all others.

use super::linear::{Geometry, Linear, Packed, gather};

/// Dot product in wrapping 32-bit arithmetic; both sides have the same length.
#[inline]
fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).fold(0i32, |sum, (x, y)| {
        sum.wrapping_add(i32::from(*x) * i32::from(*y))
    })
}

/// Runs `layer` over `input` into `output` (positions x outputs).
pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut [i16]) {
    let Packed::Rows { length, weights } = &layer.packed else {
        debug_assert!(false, "weights packed for another kernel");
        return;
    };
    let geometry = &layer.geometry;
    let patch = &mut scratch[..*length];
    patch.fill(0);
    for (position, results) in output.chunks_exact_mut(layer.outputs).enumerate() {
        gather(
            input,
            geometry,
            place(geometry, position),
            &mut patch[..geometry.patch()],
        );
        for ((channel, result), row) in results.iter_mut().enumerate().zip(weights.chunks_exact(*length)) {
            *result = layer.end.apply(channel, dot(patch, row));
        }
    }
}

/// First byte of the patch at `position`.
#[inline]
pub(super) fn place(geometry: &Geometry, position: usize) -> usize {
    let width = geometry.size[1];
    position / width * geometry.row_step + position % width * geometry.column_step
}
