//! The kernels of SSE2 and AVX2, written once: both add two exact products of 16-bit numbers to each 32-bit lane
//! (`pmaddwd`; the form for bytes would saturate).
//!
//! The input is widened once for each layer, the weights of a block once for all its positions. A family brings its
//! register type `Vector` and the operations on it; 16 lanes are `R` registers.

/// Defines `linear`, `depthwise` and `binary` for the instructions `$feature`, `$tile` patches at a time.
macro_rules! pairs {
    ($feature:literal, $tile:literal) => {
        use super::Scratch;
        use super::spell::spell;
        use super::depthwise::{Depthwise, Packed};
        use super::lanes::{Group, Line, Scale};
        use super::linear::{LANES, Linear, patch_at};
        use super::pointwise::{Binary, Combine, Fast, SUM_SHIFT};
        use super::requantize::Bounds;
        use super::taps::{Pair, Taps};

        /// Registers for 16 lanes.
        const R: usize = LANES * 4 / size_of::<Vector>();

        /// Runs `layer` over `input` into `output`.
        pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
            let (geometry, lanes) = (&layer.geometry, &layer.lanes);
            let (reach, positions) = (geometry.reach(), geometry.positions());
            let steps = geometry.offsets.len() * lanes.words;
            assert!(reach <= input.len() && layer.written() <= output.len());
            assert!(reach <= scratch.words.len());
            let wide = &mut scratch.words[..reach];
            for (to, from) in wide.iter_mut().zip(&input[..reach]) {
                *to = i16::from(*from);
            }
            for group in &lanes.groups {
                assert!(group.blocks == 1 && group.block < lanes.bias.len());
                assert!(group.first + group.outputs <= layer.outputs && group.outputs <= LANES);
                let lines = &lanes.weights[group.line..][..steps];
                let pass = Pass {
                    layer,
                    group,
                    wide,
                    output: output.as_mut_ptr(),
                };
                // SAFETY: the family is only chosen where its instructions were detected. The assertions say that
                // every patch lies in the widened input, every result in the output, and that there are weights for
                // all steps, widened or not.
                unsafe {
                    if positions >= $tile {
                        let weights = &mut scratch.weights[..steps * 2];
                        for (to, from) in weights.chunks_exact_mut(2).zip(lines) {
                            for (to, from) in to.iter_mut().flat_map(|p| &mut p.0).zip(from.0) {
                                *to = i16::from(from);
                            }
                        }
                        pass.run::<$tile>(weights.as_ptr(), positions);
                    } else {
                        for position in 0..positions {
                            pass.single(lines, position);
                        }
                    }
                }
            }
        }

        /// One block of a layer on its way over all positions.
        struct Pass<'a> {
            layer: &'a Linear,
            group: &'a Group,
            wide: &'a [i16],
            output: *mut u8,
        }

        impl Pass<'_> {
            /// All positions, `M` at a time, the last tile moved back to end with the last.
            ///
            /// # Safety
            /// As stated in [`linear`]; `M <= positions`.
            #[target_feature(enable = $feature)]
            unsafe fn run<const M: usize>(&self, weights: *const Pair, positions: usize) {
                let geometry = &self.layer.geometry;
                let mut done = 0;
                while done < positions {
                    let first = done.min(positions - M);
                    let mut x = first % geometry.size[1];
                    let mut at = patch_at(geometry, first);
                    let mut bases = [self.wide.as_ptr(); M];
                    for base in &mut bases {
                        // SAFETY: the patch of a position lies in the input.
                        *base = unsafe { self.wide.as_ptr().add(at) };
                        x += 1;
                        at += geometry.column_step;
                        if x == geometry.size[1] {
                            x = 0;
                            at = at + geometry.row_step - geometry.size[1] * geometry.column_step;
                        }
                    }
                    // SAFETY: passed on.
                    unsafe { self.tile::<M>(weights, &bases, first) };
                    done = first + M;
                }
            }

            /// # Safety
            /// As [`Pass::run`]; `bases` point to the patches of positions `first` and following.
            #[inline]
            #[target_feature(enable = $feature)]
            unsafe fn tile<const M: usize>(
                &self,
                weights: *const Pair,
                bases: &[*const i16; M],
                first: usize,
            ) {
                let lanes = &self.layer.lanes;
                // SAFETY: biases hold 16 numbers; `steps * 2` pairs of weights follow `weights`; each segment of each patch,
                // rounded up to whole words, lies in the input.
                unsafe {
                    let bias = start(&lanes.bias[self.group.block].0);
                    let mut sums = [bias; M];
                    let mut weights = weights;
                    for offset in &self.layer.geometry.offsets {
                        for at in (*offset..*offset + lanes.words * 4).step_by(2) {
                            for (base, sums) in bases.iter().zip(&mut sums) {
                                let x = pair(base.add(at));
                                for (n, sum) in sums.iter_mut().enumerate() {
                                    let w = aligned(weights.cast::<i16>().add(n * 32 / R));
                                    *sum = add(*sum, madd(x, w));
                                }
                            }
                            weights = weights.add(1);
                        }
                    }
                    // Emission names sums by reference, which would keep them in memory throughout: they go there
                    // once, here, each named by a constant.
                    let mut finished = [bias; M];
                    spell!(finished, sums, R, M * R, 0 1 2 3 4 5 6 7 8 9 10 11);
                    for (position, sums) in (first..).zip(&finished) {
                        self.emit(sums, position);
                    }
                }
            }

            /// One patch, weights widened on the way.
            ///
            /// # Safety
            /// As stated in [`linear`].
            #[target_feature(enable = $feature)]
            unsafe fn single(&self, lines: &[Line], position: usize) {
                let (geometry, lanes) = (&self.layer.geometry, &self.layer.lanes);
                let base = patch_at(geometry, position);
                // SAFETY: as in `tile`.
                unsafe {
                    let mut sums = start(&lanes.bias[self.group.block].0);
                    let mut lines = lines.iter();
                    for offset in &geometry.offsets {
                        let mut at = self.wide.as_ptr().add(base + offset);
                        for line in lines.by_ref().take(lanes.words) {
                            let weights: *const i8 = line.0.as_ptr();
                            for half in 0..2 {
                                let x = pair(at.add(half * 2));
                                for (n, sum) in sums.iter_mut().enumerate() {
                                    let w = widen(weights.add(half * 32 + n * 32 / R));
                                    *sum = add(*sum, madd(x, w));
                                }
                            }
                            at = at.add(4);
                        }
                    }
                    self.emit(&sums, position);
                }
            }

            /// Takes the sums of `position` back to bytes and stores them.
            ///
            /// # Safety
            /// As [`Pass::run`].
            #[inline]
            #[target_feature(enable = $feature)]
            unsafe fn emit(&self, sums: &[Vector; R], position: usize) {
                let (layer, group) = (self.layer, self.group);
                let at = layer.place.at(position, layer.outputs) + group.first;
                // SAFETY: as many bytes as the group has outputs lie at `at`.
                let to = unsafe { std::slice::from_raw_parts_mut(self.output.add(at), group.outputs) };
                // SAFETY: passed on.
                unsafe {
                    if is_exact(layer.lanes.exact, layer.lanes.shifted) {
                        put(*sums, layer.lanes.scale(group.block), layer.end.bounds, to);
                    } else {
                        for ((channel, to), sum) in (group.first..).zip(to).zip(numbers(*sums)) {
                            *to = layer.end.scale(channel, sum.wrapping_add(1 << 31) as i32);
                        }
                    }
                }
            }
        }

        /// 16 numbers in registers.
        ///
        /// # Safety
        /// The processor has the instructions.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn start(numbers: &[u32; LANES]) -> [Vector; R] {
            // SAFETY: the registers' bytes lie in `numbers`.
            unsafe { std::array::from_fn(|n| read(numbers.as_ptr().add(n * LANES / R).cast())) }
        }

        /// Registers as 16 numbers.
        #[inline]
        fn numbers(sums: [Vector; R]) -> [u32; LANES] {
            // SAFETY: both are 64 bytes of plain numbers.
            unsafe { std::mem::transmute(sums) }
        }

        /// 16 sums plus 2^31 to as many bytes as `to` takes.
        ///
        /// # Safety
        /// The processor has the instructions; `to` takes at most 16 bytes.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn put(sums: [Vector; R], scale: &Scale, bounds: Bounds, to: &mut [u8]) {
            // SAFETY: the caller's word.
            unsafe {
                let mut values = sums;
                for (n, value) in values.iter_mut().enumerate() {
                    *value = back(*value, scale, n);
                }
                let bytes = narrow(values, bounds);
                if to.len() == LANES {
                    _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
                } else {
                    let mut all = [0u8; LANES];
                    _mm_storeu_si128(all.as_mut_ptr().cast(), bytes);
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
            assert!(taps.reach() <= input.len() && output.len() == taps.rows * taps.runs * taps.run);
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
                            _mm_loadu_si128(input.add(block * LANES + offsets[0]).cast()),
                            _mm_loadu_si128(input.add(block * LANES + offsets[1]).cast()),
                        );
                        for (n, (sum, x)) in sums.iter_mut().zip(x).enumerate() {
                            *sum = add(*sum, madd(x, read(weights.0.as_ptr().add(n * 32 / R))));
                        }
                    }
                    if is_exact(taps.exact, taps.shifted) {
                        put(sums, &taps.scales[pattern], layer.end.bounds, to);
                    } else {
                        super::portable::slowly(layer, block * LANES, &numbers(sums), to);
                    }
                }
            }
        }

        /// Combines `left` and `right`, which are as long as `output`.
        pub fn binary(layer: &Binary, fast: &Fast, left: &[u8], right: &[u8], output: &mut [u8]) {
            assert!(left.len() == output.len() && right.len() == output.len());
            if !is_exact(true, fast.shifted) {
                return super::portable::binary(layer, fast, left, right, output);
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
            super::portable::binary(layer, fast, &left[whole..], &right[whole..], rest);
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
                let left = each(_mm_loadu_si128(left.cast()));
                let right = each(_mm_loadu_si128(right.cast()));
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

pub(super) use pairs;
