//! Layers of dot products for AVX2, whose instruction adds two exact products of 16-bit numbers to each 32-bit lane
//! (`pmaddwd`; the form for bytes would saturate): a lane is an output, two patch bytes a step.
//!
//! The input is widened once for each layer, the weights of a block once for all its positions. See [`super::vectors`]
//! for what the family brings.

/// Defines `linear` for the instructions `$feature`, `$tile` patches at a time.
macro_rules! pairs {
    ($feature:literal, $tile:literal) => {
        use super::Scratch;
        use super::lanes::Group;
        use super::line::Line;
        use super::linear::{Linear, patch_at};
        use super::spell::spell;

        /// Runs `layer` over `input` into `output`.
        pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
            let (geometry, lanes) = (&layer.geometry, &layer.lanes);
            let (reach, positions) = (layer.reach(), geometry.positions());
            let steps = geometry.offsets.len() * lanes.words;
            assert!(reach <= input.len() && layer.written() <= output.len());
            assert!(reach <= scratch.words.len());
            let wide = &mut scratch.words[..reach];
            for (to, from) in wide.iter_mut().zip(&input[..reach]) {
                *to = i16::from(*from);
            }
            let parts = lanes.stock.parts();
            for group in &lanes.groups {
                assert!(group.blocks == 1 && group.block < parts.bias.len());
                assert!(group.first + group.outputs <= layer.outputs && group.outputs <= LANES);
                let lines = &parts.weights[group.line..][..steps];
                let pass = Pass {
                    layer,
                    bias: &parts.bias[group.block].0,
                    scale: parts.scale(group.block),
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
                        Pair::widen(lines, weights);
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
            bias: &'a [u32; LANES],
            scale: &'a Scale,
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
                let constants = Constants::of(self.scale);
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
                    unsafe { self.tile::<M>(&constants, weights, &bases, first) };
                    done = first + M;
                }
            }

            /// # Safety
            /// As [`Pass::run`]; `bases` point to the patches of positions `first` and following.
            #[inline]
            #[target_feature(enable = $feature)]
            unsafe fn tile<const M: usize>(
                &self,
                constants: &Constants,
                weights: *const Pair,
                bases: &[*const i16; M],
                first: usize,
            ) {
                let lanes = &self.layer.lanes;
                // SAFETY: biases hold 16 numbers; `steps * 2` pairs of weights follow `weights`; each segment of each patch,
                // rounded up to whole words, lies in the input.
                unsafe {
                    let bias = start(self.bias);
                    let mut sums = [bias; M];
                    let mut weights = weights;
                    for offset in &self.layer.geometry.offsets {
                        for at in (*offset..*offset + lanes.words * 4).step_by(4) {
                            for half in [0, 2] {
                                for (base, sums) in bases.iter().zip(&mut sums) {
                                    let x = pair(base.add(at + half));
                                    for (n, sum) in sums.iter_mut().enumerate() {
                                        let w = aligned(weights.cast::<i16>().add(n * 32 / R));
                                        *sum = add(*sum, madd(x, w));
                                    }
                                }
                                weights = weights.add(1);
                            }
                        }
                    }
                    // Emission names sums by reference, which would keep them in memory throughout: they go there
                    // once, here, each named by a constant.
                    let mut finished = [bias; M];
                    spell!(finished, sums, R, M * R, 0 1 2 3 4 5 6 7 8 9 10 11);
                    for (position, sums) in (first..).zip(&finished) {
                        self.emit(constants, sums, position);
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
                let constants = Constants::of(self.scale);
                let base = patch_at(geometry, position);
                // SAFETY: as in `tile`.
                unsafe {
                    let mut sums = start(self.bias);
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
                    self.emit(&constants, &sums, position);
                }
            }

            /// Takes the sums of `position` back to bytes and stores them.
            ///
            /// # Safety
            /// As [`Pass::run`].
            #[inline]
            #[target_feature(enable = $feature)]
            unsafe fn emit(&self, constants: &Constants, sums: &[Vector; R], position: usize) {
                let (layer, group) = (self.layer, self.group);
                let at = layer.place.at(position, layer.outputs) + group.first;
                // SAFETY: as many bytes as the group has outputs lie at `at`.
                let to = unsafe { std::slice::from_raw_parts_mut(self.output.add(at), group.outputs) };
                // SAFETY: passed on.
                unsafe {
                    if layer.lanes.exact {
                        put(*sums, constants, layer.end.bounds, to);
                    } else {
                        for ((channel, to), sum) in (group.first..).zip(to).zip(numbers(*sums)) {
                            *to = layer.end.scale(channel, sum.wrapping_add(1 << 31) as i32);
                        }
                    }
                }
            }
        }
    };
}

pub(super) use pairs;
