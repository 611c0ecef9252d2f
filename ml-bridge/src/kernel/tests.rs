//! Every kernel of every family against a naive oracle.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::depthwise::Depthwise;
use super::geometry::Geometry;
use super::geometry::Window;
use super::lanes::Weights;
use super::linear::{Linear, Place};
use super::pointwise::Binary;
use super::pool::Pool;
use super::requantize::{Bounds, Factor, Requantize, Rounding};
use super::{Isa, Scratch, binary, depthwise, linear, look_up};
use crate::model::{Activation, Affine};

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
        outputs in prop_oneof![1usize..9, 1usize..150, Just(16usize), Just(32), Just(48), Just(64)],
        segments in 1usize..4,
        segment in 1usize..70,
        column_step in 1usize..40,
        seed in any::<u64>(),
        shift in -26i32..=1,
    ) {
        let mut next = noise(seed);
        let offsets: Vec<usize> = (0..segments).map(|s| s * (segment + 5)).collect();
        let geometry = Geometry { size, row_step: column_step * size[1] + 3, column_step, offsets, segment };
        let input: Vec<u8> = (0..geometry.reach() + 64).map(|_| next() as u8).collect();
        let weights: Vec<i8> = (0..outputs * geometry.patch()).map(|_| next() as i8).collect();
        let low = next() as u8;
        let end = Requantize {
            bias: (0..outputs).map(|_| next() as i32 >> 14).collect(),
            factor: (0..outputs).map(|_| Factor { multiplier: 1 << 30 | (next() as i32 & 0x3fff_ffff & -1 << (next() % 2 * 29)), shift: shift - (next() % 3) as i32 }).collect(),
            rounding: if next() % 2 == 0 { Rounding::Twice } else { Rounding::Once },
            zero_point: i32::from(next() as u8),
            bounds: Bounds { low: low / 2, high: low / 2 + 128 },
        };
        let want = naive(&geometry, outputs, &weights, &end, &input);
        // One behind the other, and row by row with gaps.
        let place = match next() % 2 {
            0 => Place::packed(geometry.positions(), outputs),
            _ => Place { row: size[1], pitch: size[1] * outputs + 7, start: 3 },
        };
        for isa in Isa::available() {
            let layer = Linear::new(isa, geometry.clone(), outputs, Weights::Plain(&weights), end.clone(), place).unwrap();
            let again = Linear::new(isa, geometry.clone(), outputs, Weights::Packed(&layer.prepared()), end.clone(), place);
            prop_assert_eq!(again.as_ref(), Some(&layer));
            let mut output = vec![0u8; place.reach(geometry.positions(), outputs)];
            let mut scratch = Scratch::default();
            scratch.fit_linear(isa, &layer);
            linear(isa, &layer, &input, &mut output, &mut scratch);
            for (position, want) in want.chunks_exact(outputs).enumerate() {
                prop_assert_eq!(&output[place.at(position, outputs)..][..outputs], want, "{} {}", isa.name(), position);
            }
            prop_assert!(place.start == 0 || output[..3] == [0; 3]);
        }
    }

    #[test]
    fn depthwise_equals_naive(
        size in [1usize..5, 1usize..9],
        channels in prop_oneof![1usize..20, Just(32usize), Just(40), Just(64), Just(100)],
        taps in [1usize..6, 1usize..6],
        stride in [1usize..3, 1usize..3],
        dilation in [1usize..3, 1usize..3],
        upright in any::<bool>(),
        seed in any::<u64>(),
        shift in -26i32..=1,
    ) {
        let mut next = noise(seed);
        let (size, taps) = if upright { ([size[0] * size[1], 1], [taps[0], 1]) } else { (size, taps) };
        let width = (size[1] - 1) * stride[1] + (taps[1] - 1) * dilation[1] + 1;
        let window = Window { size, channels, pitch: width * channels, taps, stride, dilation };
        let weights: Vec<i8> = (0..taps[0] * taps[1] * channels).map(|_| next() as i8).collect();
        let low = next() as u8;
        let end = Requantize {
            bias: (0..channels).map(|_| next() as i32 >> 14).collect(),
            factor: (0..channels).map(|_| Factor { multiplier: 1 << 30 | (next() as i32 & 0x3fff_ffff & -1 << (next() % 2 * 29)), shift: shift - (next() % 3) as i32 }).collect(),
            rounding: if next() % 2 == 0 { Rounding::Twice } else { Rounding::Once },
            zero_point: i32::from(next() as u8),
            bounds: Bounds { low: low / 2, high: low / 2 + 128 },
        };
        let input: Vec<u8> = (0..window.reach() + 8 * window.pitch.max(dilation[0] * channels) * dilation[1] * stride[0] + 128).map(|_| next() as u8).collect();
        let mut want = Vec::new();
        for y in 0..size[0] {
            for x in 0..size[1] {
                for channel in 0..channels {
                    let mut sum = 0i32;
                    for ky in 0..taps[0] {
                        for kx in 0..taps[1] {
                            let at = (y * stride[0] + ky * dilation[0]) * window.pitch
                                + (x * stride[1] + kx * dilation[1]) * channels + channel;
                            sum += i32::from(input[at]) * i32::from(weights[(ky * taps[1] + kx) * channels + channel]);
                        }
                    }
                    want.push(end.apply(channel, sum));
                }
            }
        }
        for isa in Isa::available() {
            let layer = Depthwise::new(isa, window.clone(), Weights::Plain(&weights), end.clone()).unwrap();
            let again = Depthwise::new(isa, window.clone(), Weights::Packed(&layer.prepared()), end.clone());
            prop_assert_eq!(again.as_ref(), Some(&layer));
            prop_assert!(layer.reach() <= input.len());
            let mut output = vec![0u8; want.len()];
            let mut scratch = Scratch::default();
            scratch.fit_depthwise(&layer);
            depthwise(isa, &layer, &input, &mut output, &mut scratch);
            prop_assert_eq!(&output, &want, "{}", isa.name());
        }
    }

    #[test]
    fn binary_equals_its_definition(
        scales in [1e-3f32..1.0, 1e-3f32..1.0, 1e-3f32..1.0],
        equal in any::<bool>(),
        zero_points in [-128i32..=127, -128i32..=127, -128i32..=127],
        kind in 0..3,
        length in 0usize..70,
        seed in any::<u64>(),
    ) {
        let mut next = noise(seed);
        let scales = if equal { [scales[0]; 3] } else { scales };
        let affine = |i: usize| Affine { scale: scales[i], zero_point: zero_points[i] };
        let (l, r, to) = (affine(0), affine(1), affine(2));
        let layer = match kind {
            0 => Binary::sum(l, r, to, 1, Activation::None),
            1 => Binary::sum(l, r, to, -1, Activation::Relu),
            _ => Binary::product(l, r, to, Activation::Relu6),
        };
        let left: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        let right: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        let want: Vec<u8> = left.iter().zip(&right).map(|(a, b)| layer.apply(*a, *b)).collect();
        for isa in Isa::available() {
            let mut output = vec![0u8; length];
            binary(isa, &layer, &left, &right, &mut output);
            prop_assert_eq!(&output, &want, "{}", isa.name());
        }
        // And near the real numbers.
        for ((a, b), c) in left.iter().zip(&right).zip(&want) {
            let real = |q: u8, x: Affine| f64::from(x.scale) * f64::from(i32::from(q) - 128 - x.zero_point);
            let (a, b) = (real(*a, l), real(*b, r));
            let exact = match kind { 0 => a + b, 1 => (a - b).max(0.0), _ => (a * b).clamp(0.0, 6.0) };
            let steps = (exact / f64::from(to.scale) + f64::from(to.zero_point)).clamp(-128.0, 127.0);
            prop_assert!((steps - f64::from(i32::from(*c) - 128)).abs() < 1.01);
        }
    }

    #[test]
    fn maxima_equal_naive(
        input in [1usize..9, 1usize..9],
        channels in prop_oneof![1usize..40, Just(8usize), Just(16), Just(64)],
        window in [1usize..4, 1usize..4],
        stride in [1usize..4, 1usize..4],
        spare in 0usize..20,
        seed in any::<u64>(),
    ) {
        let mut next = noise(seed);
        let output = [0, 1].map(|axis| (input[axis] - 1) / stride[axis] + 1);
        let before = [0, 1].map(|axis| next() as usize % window[axis]);
        let low = next() as u8 / 2;
        let pool = Pool { input, channels, output, window, stride, before, bounds: Bounds { low, high: low + 100 }, max: true };
        let image: Vec<u8> = (0..input[0] * input[1] * channels + spare).map(|_| next() as u8).collect();
        let mut want = Vec::new();
        for y in 0..output[0] {
            for x in 0..output[1] {
                for channel in 0..channels {
                    let mut most = 0;
                    for row in (y * stride[0]).saturating_sub(before[0])..(y * stride[0] + window[0]).saturating_sub(before[0]).min(input[0]) {
                        for column in (x * stride[1]).saturating_sub(before[1])..(x * stride[1] + window[1]).saturating_sub(before[1]).min(input[1]) {
                            most = most.max(image[(row * input[1] + column) * channels + channel]);
                        }
                    }
                    want.push(most.clamp(low, low + 100));
                }
            }
        }
        for isa in Isa::available() {
            let mut got = vec![0u8; want.len()];
            pool.run(isa, &image, &mut got);
            prop_assert_eq!(&got, &want, "{}", isa.name());
        }
    }

    #[test]
    fn tables_equal_look_ups(input in proptest::collection::vec(any::<u8>(), 0..200), seed in any::<u64>()) {
        let mut next = noise(seed);
        let mut table = [0u8; 256];
        table.iter_mut().for_each(|t| *t = next() as u8);
        let want: Vec<u8> = input.iter().map(|b| table[usize::from(*b)]).collect();
        for isa in Isa::available() {
            let mut got = vec![0u8; want.len()];
            look_up(isa, &table, &input, &mut got);
            prop_assert_eq!(&got, &want, "{}", isa.name());
        }
    }
}
