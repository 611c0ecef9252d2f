//! Recurrent layers of every family against naive ones, written from the formulas.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::fixed16::{logistic, tanh_all};
use super::lstm::{self, Constants, Gate, Lstm};
use super::requantize::Factor;
use super::svdf::{self, Parts, Svdf};
use super::{Isa, fixed16};
use crate::math::Random;

fn short(value: i64) -> i64 {
    value.clamp(-32768, 32767)
}

/// To 31 bits behind the point halves up, then to an integer halves away from zero.
fn times(factor: Factor, value: i64) -> i64 {
    let wide = i128::from(value) << factor.shift.max(0);
    let first = (wide * i128::from(factor.multiplier) + (1 << 30)).div_euclid(1 << 31);
    away(first as i64, (-factor.shift).max(0) as u32)
}

fn away(value: i64, bits: u32) -> i64 {
    let unit = 1i64 << bits;
    value.signum() * ((value.abs() + unit / 2) / unit)
}

fn tanh(bits: u32, value: i64) -> i64 {
    let mut to = [0];
    tanh_all(bits, &[value as i16], &mut to);
    i64::from(to[0])
}

struct Naive {
    cells: Vec<i64>,
    last: Vec<i64>,
}

impl Naive {
    fn step(&mut self, c: &Constants, gates: &[Option<Gate>; 4], x: &[u8]) -> Vec<u8> {
        let raw = |gate: &Gate, cell: usize| {
            let dot = |weights: &[i8], values: &[i64], zero: i32| -> i64 {
                let row = &weights[cell * values.len()..][..values.len()];
                row.iter()
                    .zip(values)
                    .map(|(w, v)| i64::from(*w) * (v - i64::from(zero)))
                    .sum()
            };
            let x: Vec<i64> = x.iter().map(|b| i64::from(*b) - 128).collect();
            let input = dot(&gate.input, &x, c.input_zero_point) + i64::from(gate.bias[cell]);
            let recurrent = dot(&gate.recurrent, &self.last, c.state_zero_point);
            let first = short(times(gate.input_factor, input));
            short(first + times(gate.recurrent_factor, recurrent)) as i16
        };
        let sigmoid = |gate: &Gate, cell| i64::from(logistic(raw(gate, cell)));
        let (mut cells, mut last, mut bytes) = (vec![], vec![], vec![]);
        let [own, Some(forget), Some(candidate), Some(out)] = gates else {
            unreachable!()
        };
        for cell in 0..c.cells {
            let kept = sigmoid(forget, cell);
            let taken = own.as_ref().map_or(32767 - kept, |g| sigmoid(g, cell));
            let new = tanh(3, i64::from(raw(candidate, cell)));
            let sum = short(away(kept * self.cells[cell], 15) + away(taken * new, 30 - c.cell_shift));
            let limit = if c.clip > 0 { i64::from(c.clip) } else { 32768 };
            let state = sum.clamp(-limit, limit);
            let product = sigmoid(out, cell) * tanh(15 - c.cell_shift, state);
            let value = (times(c.hidden, product) + i64::from(c.hidden_zero_point)).clamp(-128, 127);
            cells.push(state);
            last.push(value);
            bytes.push((value + 128) as u8);
        }
        (self.cells, self.last) = (cells, last);
        bytes
    }
}

fn weights(random: &mut Random, count: usize) -> Vec<i8> {
    (0..count)
        .map(|_| (random.below(255) as i32 - 127) as i8)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lstm_equals_naive(
        steps in 1usize..4,
        inputs in 1usize..20,
        cells in 1usize..40,
        coupled in any::<bool>(),
        cell_shift in 9u32..=15,
        clip in prop_oneof![Just(0i16), 1i16..],
        seed in any::<u64>(),
    ) {
        let mut random = Random::new(seed);
        let mut gate = || Gate {
            input: weights(&mut random, cells * inputs),
            recurrent: weights(&mut random, cells * cells),
            bias: (0..cells).map(|_| random.below(40000) as i32 - 20000).collect(),
            input_factor: Factor::new(0.01 + random.uniform() * 2.0),
            recurrent_factor: Factor::new(0.01 + random.uniform() * 2.0),
        };
        let gates = [(!coupled).then(&mut gate), Some(gate()), Some(gate()), Some(gate())];
        let c = Constants {
            steps,
            inputs,
            cells,
            input_zero_point: -7,
            state_zero_point: 5,
            cell_shift,
            clip,
            hidden: Factor::new(2f64.powi(-23)),
            hidden_zero_point: 4,
        };
        let [own, others @ ..] = gates.clone();
        let layer = Lstm::new(c, own, others.map(Option::unwrap));
        let input: Vec<u8> = (0..2 * steps * inputs).map(|_| random.below(256) as u8).collect();
        let mut naive = Naive { cells: vec![0; cells], last: vec![5; cells] };
        let want: Vec<u8> = input.chunks(inputs).flat_map(|x| naive.step(&c, &gates, x)).collect();
        for isa in Isa::available() {
            let mut memory = layer.memory();
            let mut got = vec![0u8; want.len()];
            for (input, output) in input.chunks(steps * inputs).zip(got.chunks_mut(steps * cells)) {
                lstm::run(isa, &layer, &mut memory, input, output);
            }
            prop_assert_eq!(&got, &want, "{}", isa.name());
        }
    }

    #[test]
    fn svdf_equals_naive(
        inputs in 1usize..20,
        units in 1usize..30,
        rank in 1usize..4,
        length in 1usize..7,
        seed in any::<u64>(),
    ) {
        let mut random = Random::new(seed);
        let filters = units * rank;
        let features = weights(&mut random, filters * inputs);
        let times16: Vec<i16> = (0..filters * length).map(|_| (random.below(65535) as i32 - 32767) as i16).collect();
        let bias: Vec<i32> = (0..units).map(|_| random.below(1 << 20) as i32 - (1 << 19)).collect();
        let parts = Parts {
            inputs,
            rank,
            features: &features,
            times: &times16,
            bias: bias.clone(),
            input_zero_point: 9,
            feature_factor: Factor::new(0.01 + random.uniform()),
            factor: Factor::new(1e-7 + random.uniform() * 1e-6),
            zero_point: 100,
        };
        let layer = Svdf::new(parts.clone());
        let inputs_of: Vec<Vec<u8>> =
            (0..9).map(|_| (0..inputs).map(|_| random.below(256) as u8).collect()).collect();
        let mut memory = vec![vec![0i64; length]; filters];
        let mut want = Vec::new();
        for x in &inputs_of {
            for (filter, ring) in memory.iter_mut().enumerate() {
                let row = &features[filter * inputs..][..inputs];
                let dot: i64 = row.iter().zip(x).map(|(w, x)| i64::from(*w) * (i64::from(*x) - 128 - 9)).sum();
                ring.remove(0);
                ring.push(short(times(parts.feature_factor, dot)));
            }
            for (unit, bias) in bias.iter().enumerate() {
                let of = |filter: usize| -> i64 {
                    let row = &times16[filter * length..][..length];
                    row.iter().zip(&memory[filter]).map(|(w, v)| i64::from(*w) * v).sum()
                };
                // Sums wrap in 32 bits.
                let sum = (unit * rank..(unit + 1) * rank).map(of).sum::<i64>() + i64::from(*bias);
                let sum = i64::from(sum as i32);
                want.push((times(parts.factor, sum) + 100).clamp(0, 255) as u8);
            }
        }
        for isa in Isa::available() {
            let mut memory = layer.memory();
            let mut got = vec![0u8; want.len()];
            for (input, output) in inputs_of.iter().zip(got.chunks_mut(units)) {
                svdf::run(isa, &layer, &mut memory, input, output);
            }
            prop_assert_eq!(&got, &want, "{}", isa.name());
        }
    }

    #[test]
    fn functions_of_slices_equal_those_of_numbers(values in proptest::collection::vec(any::<i16>(), 0..70)) {
        let mut all = values.clone();
        fixed16::logistic_all(&mut all);
        let each: Vec<i16> = values.iter().map(|v| logistic(*v)).collect();
        prop_assert_eq!(all, each);
    }
}
