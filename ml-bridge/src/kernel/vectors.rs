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
        use super::doubtful::SUM_SHIFT;
        use super::geometry::LANES;
        use super::line::Pair;
        use super::pointwise::{Binary, Combine, Fast};
        use super::requantize::Bounds;
        use super::scale::Scale;
        use super::signed::pairs_of;
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
        pub(super) unsafe fn put(sums: [Vector; R], scale: &Constants, bounds: Bounds, to: &mut [u8]) {
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
            let parts = taps.stock.parts();
            let weights = pairs_of(parts.weights);
            assert!(weights.len() == taps.patterns * taps.offsets.len());
            for (pattern, weights) in weights.chunks_exact(taps.offsets.len().max(1)).enumerate() {
                let station = Station {
                    layer,
                    taps,
                    pattern,
                    weights,
                    bias: &parts.bias[pattern].0,
                };
                // SAFETY: the family is only chosen where its instructions were detected; `reach` says that all taps of all
                // runs lie in the input.
                unsafe { station.all(parts.scale(pattern), input.as_ptr(), output) };
            }
        }

        /// A pattern's weights and biases.
        struct Station<'a> {
            layer: &'a Depthwise,
            taps: &'a Taps,
            pattern: usize,
            weights: &'a [Pair],
            bias: &'a [u32; LANES],
        }

        impl Station<'_> {
            /// The pattern's results.
            ///
            /// # Safety
            /// The processor has the instructions; all taps of all runs, rounded up to 16 bytes, can be read from `input` on.
            #[target_feature(enable = $feature)]
            unsafe fn all(&self, scale: &Scale, input: *const u8, output: &mut [u8]) {
                let (taps, scale) = (self.taps, Constants::of(scale));
                let rows = output.chunks_exact_mut((taps.runs * taps.run).max(1));
                for (row, output) in rows.enumerate() {
                    for (number, output) in output.chunks_exact_mut(taps.run.max(1)).enumerate() {
                        let at = row * taps.row_step + number * taps.run_step;
                        // SAFETY: the caller's word.
                        unsafe { self.run(&scale, input.add(at), output) };
                    }
                }
            }

            /// Those of one run, which starts at `input`.
            ///
            /// # Safety
            /// As [`Station::all`], for the run.
            #[inline]
            #[target_feature(enable = $feature)]
            unsafe fn run(&self, scale: &Constants, input: *const u8, output: &mut [u8]) {
                let blocks = output.chunks_mut(LANES).enumerate();
                for (block, to) in blocks.skip(self.pattern).step_by(self.taps.patterns) {
                    // SAFETY: the caller's word.
                    unsafe {
                        let mut sums = start(self.bias);
                        for (offsets, weights) in self.taps.offsets.iter().zip(self.weights) {
                            let x = mix(
                                load(input.add(block * LANES + offsets[0])),
                                load(input.add(block * LANES + offsets[1])),
                            );
                            for (n, (sum, x)) in sums.iter_mut().zip(x).enumerate() {
                                *sum = add(*sum, madd(x, read(weights.0.as_ptr().add(n * 32 / R))));
                            }
                        }
                        if self.taps.exact {
                            put(sums, scale, self.layer.end.bounds, to);
                        } else {
                            super::plain::slowly(self.layer, block * LANES, &numbers(sums), to);
                        }
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
            let terms = fast
                .terms
                .each_ref()
                .map(|term| term.as_ref().map(Constants::of));
            let end = Constants::of(&fast.end);
            let whole = output.len() / LANES * LANES;
            let (most, rest) = output.split_at_mut(whole);
            for (at, to) in most.chunks_exact_mut(LANES).enumerate() {
                // SAFETY: the family is only chosen where its instructions were detected; 16 bytes lie there.
                unsafe {
                    combine(
                        layer,
                        (&terms, &end),
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
        unsafe fn combine(
            layer: &Binary,
            (terms, end): (&[Option<Constants>; 2], &Constants),
            left: *const u8,
            right: *const u8,
            to: &mut [u8],
        ) {
            // SAFETY: the caller's word.
            unsafe {
                let zeros = layer.zero_points.map(|z| splat(z));
                let sign = splat(i32::MIN);
                let term = |value: Vector, side: usize| match &terms[side] {
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
                put(sums, end, layer.bounds, to);
            }
        }
    };
}

pub(super) use vectors;
