//! Layers of signs of every family against a naive one.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::bits::{self, BIAS_PARTS, Patches, Signs};
use super::requantize::{Bounds, Factor, Requantize, Rounding};
use super::{Isa, Scratch};
use crate::math::Random;
use crate::model::{Padding, Sliding, padding_before};

fn naive(p: &Patches, outputs: usize, weights: &[u8], zero: u8, end: &Requantize, input: &[u8]) -> Vec<u8> {
    let row = p.words() * 8;
    let mut results = Vec::new();
    for (y, x) in (0..p.output[0]).flat_map(|y| (0..p.output[1]).map(move |x| (y, x))) {
        for output in 0..outputs {
            let mut sum = 0i32;
            for tap in 0..p.window[0] * p.window[1] {
                let place = |axis: usize, result: usize, tap: usize| {
                    (result * p.stride[axis] + tap * p.dilation[axis])
                        .checked_sub(p.before[axis])
                        .filter(|v| *v < p.input[axis])
                };
                let pixel = place(0, y, tap / p.window[1]).zip(place(1, x, tap % p.window[1]));
                for channel in 0..p.channels {
                    // Outside is real zero, whose sign is +1.
                    let positive =
                        pixel.is_none_or(|(r, c)| input[(r * p.input[1] + c) * p.channels + channel] >= zero);
                    let at = (output * p.window[0] * p.window[1] + tap) * row;
                    let minus = weights[at + channel / 8] >> (channel % 8) & 1 == 1;
                    sum += if positive == minus { -1 } else { 1 };
                }
            }
            results.push(end.apply(output, sum * BIAS_PARTS));
        }
    }
    results
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn signs_equal_naive(
        size in [1usize..7, 1usize..7],
        channels in prop_oneof![1usize..20, 60usize..70, Just(64usize), 120usize..200],
        outputs in 1usize..20,
        window in [1usize..4, 1usize..4],
        stride in [1usize..3, 1usize..3],
        dilation in [1usize..3, 1usize..3],
        same in any::<bool>(),
        zero in any::<u8>(),
        seed in any::<u64>(),
    ) {
        let padding = if same { Padding::Same } else { Padding::Valid };
        let sliding = Sliding { stride, dilation, padding };
        let placed = padding_before(size, window, &sliding);
        prop_assume!(placed.is_some());
        let (before, output) = placed.unwrap();
        let p = Patches { input: size, channels, output, window, stride, dilation, before };
        let mut random = Random::new(seed);
        let mut bytes = |count: usize| -> Vec<u8> { (0..count).map(|_| random.next_u64() as u8).collect() };
        let weights = bytes(outputs * window[0] * window[1] * p.words() * 8);
        let input = bytes(size[0] * size[1] * channels);
        let end = Requantize {
            bias: (0..outputs).map(|o| o as i32 * 700 - 3000).collect(),
            factor: (0..outputs).map(|o| Factor::new((1.0 + o as f64 / 9.0) / 256.0)).collect(),
            rounding: Rounding::Twice,
            zero_point: 120,
            bounds: Bounds { low: 0, high: 255 },
        };
        let want = naive(&p, outputs, &weights, zero, &end, &input);
        let layer = Signs::new(p.clone(), outputs, &weights, zero, end);
        // The same layer from signs to signs: those of its input, and those of its results.
        let words = |numbers: &[u8], channels: usize, zero: u8| -> Vec<u8> {
            let pixel = |pixel: &[u8]| {
                let mut word = vec![0u8; channels.div_ceil(64) * 8];
                for (at, byte) in pixel.iter().enumerate() {
                    word[at / 8] |= u8::from(*byte < zero) << (at % 8);
                }
                word
            };
            numbers.chunks_exact(channels).flat_map(pixel).collect()
        };
        let next = want[want.len() / 2];
        let mut between = layer.clone();
        between.take_signs();
        prop_assert!(between.give_signs(next));
        let want_signs = words(&want, outputs, next);
        for isa in Isa::available() {
            let mut scratch = Scratch::default();
            between.fit(&mut scratch);
            scratch.bits.fill(u64::MAX);
            let mut got = vec![7u8; between.results()];
            bits::run(isa, &between, &words(&input, channels, zero), &mut got, &mut scratch);
            prop_assert_eq!(&got, &want_signs, "{}", isa.name());
        }
        for isa in Isa::available() {
            let mut scratch = Scratch::default();
            layer.fit(&mut scratch);
            // What an earlier layer left there must not matter.
            scratch.bits.fill(u64::MAX);
            let mut got = vec![0u8; layer.results()];
            bits::run(isa, &layer, &input, &mut got, &mut scratch);
            prop_assert_eq!(&got, &want, "{}", isa.name());
        }
    }
}
