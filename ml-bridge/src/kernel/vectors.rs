//! What the families of AVX2, SSE2 and NEON share, written once: depthwise layers, sums of two tensors, and the way
//! back to bytes.
//!
//! A family brings its register types, `Vector` for 32-bit lanes (as pairs of 16-bit numbers, too) and `Bytes` for 16
//! bytes, and the operations on them; 16 lanes are `R` registers. `back` takes sums back in integers throughout;
//! `finish` may go another way as long as `narrow` makes the same bytes of it.

/// Defines `depthwise` and `binary` for the instructions `$feature`.
macro_rules! vectors {
    ($feature:literal) => {
        use super::depthwise::{Depthwise, Packed};
        use super::lanes::Scale;
        use super::linear::LANES;
        use super::pointwise::{Binary, Combine, Fast, SUM_SHIFT};
        use super::requantize::Bounds;
        use super::taps::Taps;

        /// Registers for 16 lanes.
        pub(super) const R: usize = LANES * 4 / size_of::<Vector>();

        /// 16 numbers in registers.
        ///
        /// # Safety
        /// The processor has the instructions.
        #[inline]
        #[target_feature(enable = $feature)]
        pub(super) unsafe fn start(numbers: &[u32; LANES]) -> [Vector; R] {
            // SAFETY: the registers' bytes lie in `numbers`.
            unsafe { std::array::from_fn(|n| read(numbers.as_ptr().add(n * LANES / R).cast())) }
        }

        /// Registers as 16 numbers.
        #[inline]
        pub(super) fn numbers(sums: [Vector; R]) -> [u32; LANES] {
            // SAFETY: both are 64 bytes of plain numbers.
            unsafe { std::mem::transmute(sums) }
        }

        /// 16 sums plus 2^31 to as many bytes as `to` takes.
        ///
        /// # Safety
        /// The processor has the instructions; `to` takes at most 16 bytes.
        #[inline]
        #[target_feature(enable = $feature)]
        pub(super) unsafe fn put(sums: [Vector; R], scale: &Scale, bounds: Bounds, to: &mut [u8]) {
            // SAFETY: the caller's word.
            unsafe {
                let mut values = sums;
                for (n, value) in values.iter_mut().enumerate() {
                    if n * LANES / R < to.len() {
                        *value = finish(*value, scale, n);
                    }
                }
                let bytes = narrow(values, bounds);
                if to.len() == LANES {
                    store(to.as_mut_ptr(), bytes);
                } else if to.len() == LANES / 2 {
                    store_half(to.as_mut_ptr(), bytes);
                } else {
                    let mut all = [0u8; LANES];
                    store(all.as_mut_ptr(), bytes);
                    to.copy_from_slice(&all[..to.len()]);
                }
            }
        }

        /// Runs `layer` over `input` into `output`.
        pub fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8]) {
            let Packed::Taps(taps) = &layer.packed else {
                debug_assert!(false, "weights packed for another kernel");
                return;
            };
            assert!(layer.reach() <= input.len() && output.len() == taps.rows * taps.runs * taps.run);
            assert!(taps.weights.len() == taps.patterns * taps.offsets.len());
            for (row, output) in output
                .chunks_exact_mut((taps.runs * taps.run).max(1))
                .enumerate()
            {
                for (number, output) in output.chunks_exact_mut(taps.run.max(1)).enumerate() {
                    let at = row * taps.row_step + number * taps.run_step;
                    // SAFETY: the family is only chosen where its instructions were detected; `reach` says that all
                    // taps of the run lie in the input.
                    unsafe { run(layer, taps, input.as_ptr().add(at), output) };
                }
            }
        }

        /// One run, which starts at `input`.
        ///
        /// # Safety
        /// The processor has the instructions; all taps of the run, rounded up to 16 bytes, can be read.
        #[target_feature(enable = $feature)]
        unsafe fn run(layer: &Depthwise, taps: &Taps, input: *const u8, output: &mut [u8]) {
            for (block, to) in output.chunks_mut(LANES).enumerate() {
                let pattern = block % taps.patterns;
                let weights = &taps.weights[pattern * taps.offsets.len()..][..taps.offsets.len()];
                // SAFETY: the caller's word.
                unsafe {
                    let mut sums = start(&taps.bias[pattern].0);
                    for (offsets, weights) in taps.offsets.iter().zip(weights) {
                        let x = mix(
                            load(input.add(block * LANES + offsets[0])),
                            load(input.add(block * LANES + offsets[1])),
                        );
                        for (n, (sum, x)) in sums.iter_mut().zip(x).enumerate() {
                            *sum = add(*sum, madd(x, read(weights.0.as_ptr().add(n * 32 / R))));
                        }
                    }
                    if taps.exact {
                        put(sums, &taps.scales[pattern], layer.end.bounds, to);
                    } else {
                        super::plain::slowly(layer, block * LANES, &numbers(sums), to);
                    }
                }
            }
        }

        /// Combines `left` and `right`, which are as long as `output`.
        pub fn binary(layer: &Binary, fast: &Fast, left: &[u8], right: &[u8], output: &mut [u8]) {
            assert!(left.len() == output.len() && right.len() == output.len());
            if !fits(fast) {
                return super::plain::binary(layer, fast, left, right, output);
            }
            let whole = output.len() / LANES * LANES;
            let (most, rest) = output.split_at_mut(whole);
            for (at, to) in most.chunks_exact_mut(LANES).enumerate() {
                // SAFETY: the family is only chosen where its instructions were detected; 16 bytes lie there.
                unsafe {
                    combine(
                        layer,
                        fast,
                        left.as_ptr().add(at * LANES),
                        right.as_ptr().add(at * LANES),
                        to,
                    );
                }
            }
            super::plain::binary(layer, fast, &left[whole..], &right[whole..], rest);
        }

        /// # Safety
        /// The processor has the instructions; 16 bytes can be read at both.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn combine(layer: &Binary, fast: &Fast, left: *const u8, right: *const u8, to: &mut [u8]) {
            // SAFETY: the caller's word.
            unsafe {
                let zeros = layer.zero_points.map(|z| splat(z));
                let sign = splat(i32::MIN);
                let term = |value: Vector, side: usize| match &fast.terms[side] {
                    None => shift_left::<{ SUM_SHIFT as i32 - 1 }>(value),
                    Some(scale) => back(
                        add(shift_left::<{ SUM_SHIFT as i32 }>(value), sign),
                        scale,
                        0,
                    ),
                };
                let left = each(load(left));
                let right = each(load(right));
                let mut sums = [sign; R];
                for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
                    let (left, right) = (sub(left, zeros[0]), sub(right, zeros[1]));
                    let raw = match layer.combine {
                        // The upper half of one side is cleared, so that only the lower halves are multiplied.
                        Combine::Product => madd(left, and(right, splat(0xffff))),
                        Combine::Sum { sign: 1, .. } => add(term(left, 0), term(right, 1)),
                        Combine::Sum { .. } => sub(term(left, 0), term(right, 1)),
                    };
                    *sum = add(raw, sign);
                }
                put(sums, &fast.end, layer.bounds, to);
            }
        }
    };
}

pub(super) use vectors;
