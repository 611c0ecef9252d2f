//! Every kernel of every family against a naive oracle.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::linear::{Geometry, Linear};
use super::requantize::{Bounds, Factor, Requantize};
use super::{Isa, linear};

fn naive(geometry: &Geometry, outputs: usize, weights: &[i8], end: &Requantize, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for y in 0..geometry.size[0] {
        for x in 0..geometry.size[1] {
            for channel in 0..outputs {
                let mut sum = 0i32;
                for (s, offset) in geometry.offsets.iter().enumerate() {
                    for i in 0..geometry.segment {
                        let a = input[y * geometry.row_step + x * geometry.column_step + offset + i];
                        let w = weights[channel * geometry.patch() + s * geometry.segment + i];
                        sum = sum.wrapping_add(i32::from(a) * i32::from(w));
                    }
                }
                out.push(end.apply(channel, sum));
            }
        }
    }
    out
}

/// Deterministic noise from a seed.
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn linear_equals_naive(
        size in [1usize..5, 1usize..9],
        outputs in 1usize..150,
        segments in 1usize..4,
        segment in 1usize..70,
        column_step in 1usize..40,
        seed in any::<u64>(),
        shift in -12i32..=1,
    ) {
        let mut next = noise(seed);
        let offsets: Vec<usize> = (0..segments).map(|s| s * (segment + 5)).collect();
        let geometry = Geometry { size, row_step: column_step * size[1] + 3, column_step, offsets, segment };
        let input: Vec<u8> = (0..geometry.reach()).map(|_| next() as u8).collect();
        let weights: Vec<i8> = (0..outputs * geometry.patch()).map(|_| next() as i8).collect();
        let low = next() as u8;
        let end = Requantize {
            bias: (0..outputs).map(|_| next() as i32 >> 14).collect(),
            factor: (0..outputs).map(|_| Factor { multiplier: 1 << 30 | (next() as i32 & 0x3fff_ffff), shift: shift - (next() % 3) as i32 }).collect(),
            zero_point: i32::from(next() as u8),
            bounds: Bounds { low: low / 2, high: low / 2 + 128 },
        };
        let want = naive(&geometry, outputs, &weights, &end, &input);
        for isa in Isa::available() {
            let layer = Linear::new(isa, geometry.clone(), outputs, &weights, end.clone());
            let mut output = vec![0u8; want.len()];
            let mut scratch = vec![0i16; layer.scratch()];
            linear(isa, &layer, &input, &mut output, &mut scratch);
            prop_assert_eq!(&output, &want, "{}", isa.name());
        }
    }
}
