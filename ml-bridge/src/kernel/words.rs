//! Layers of dot products for instructions that add four products of bytes to each 32-bit lane, in registers of 256 or 128
//! bits: a lane is an output, four patch bytes a step; see [`super::lanes::Order::Blocks`] for packing.
//!
//! Neither input nor weights are widened. A tile of patches reads a block's weights once; a single patch spreads its words
//! over several sets of sums, which hides the latency of the products. A family brings, beside what
//! [`super::vectors`] shares: `quad` (four bytes in every lane), `weights` (a register of them), `dot` (the products), and
//! `bytes`, which gives the input in the form that `dot` takes.

/// Defines `linear` for the instructions `$feature`, `$tile` patches at a time, `$sets` sets of sums for a single one.
macro_rules! words {
    ($feature:literal, $tile:literal, $sets:literal) => {
        /// Runs `layer` over `input` into `output`.
        pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
            let (geometry, lanes) = (&layer.geometry, &layer.lanes);
            let positions = geometry.positions();
            let steps = geometry.offsets.len() * lanes.words;
            assert!(layer.reach() <= input.len() && layer.written() <= output.len());
            let input = bytes(&input[..layer.reach()], scratch);
            assert!(layer.reach() <= input.len());
            let parts = lanes.stock.parts();
            for group in &lanes.groups {
                assert!(group.blocks == 1 && group.block < parts.bias.len());
                assert!(group.first + group.outputs <= layer.outputs && group.outputs <= LANES);
                let pass = Pass {
                    layer,
                    bias: &parts.bias[group.block].0,
                    scale: parts.scale(group.block),
                    group,
                    lines: &parts.weights[group.line..][..steps],
                    input,
                    output: output.as_mut_ptr(),
                };
                // SAFETY: the family is only chosen where its instructions were detected. The assertions say that every
                // patch lies in the input, every result in the output, and that there are weights for all steps.
                unsafe {
                    if positions >= $tile {
                        pass.run::<$tile>(positions);
                    } else {
                        for position in 0..positions {
                            pass.single(position);
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
            lines: &'a [Line],
            input: &'a [u8],
            output: *mut u8,
        }

        impl Pass<'_> {
            /// All positions, `M` at a time, the last tile moved back to end with the last.
            ///
            /// # Safety
            /// As stated in [`linear`]; `M <= positions`.
            #[target_feature(enable = $feature)]
            unsafe fn run<const M: usize>(&self, positions: usize) {
                let geometry = &self.layer.geometry;
                let constants = Constants::of(self.scale);
                let mut done = 0;
                while done < positions {
                    let first = done.min(positions - M);
                    let mut x = first % geometry.size[1];
                    let mut at = patch_at(geometry, first);
                    let mut bases = [self.input.as_ptr(); M];
                    for base in &mut bases {
                        // SAFETY: the patch of a position lies in the input.
                        *base = unsafe { self.input.as_ptr().add(at) };
                        x += 1;
                        at += geometry.column_step;
                        if x == geometry.size[1] {
                            x = 0;
                            at = at + geometry.row_step - geometry.size[1] * geometry.column_step;
                        }
                    }
                    // SAFETY: passed on.
                    unsafe { self.tile::<M>(&constants, &bases, first) };
                    done = first + M;
                }
            }

            /// # Safety
            /// As [`Pass::run`]; `bases` point to the patches of positions `first` and following.
            #[inline]
            #[target_feature(enable = $feature)]
            unsafe fn tile<const M: usize>(&self, constants: &Constants, bases: &[*const u8; M], first: usize) {
                let lanes = &self.layer.lanes;
                // SAFETY: biases hold 16 numbers; a line for each word of each segment follows the first; each segment of
                // each patch, rounded up to whole words, lies in the input.
                unsafe {
                    let bias = start(self.bias);
                    let mut sums = [bias; M];
                    let mut line = self.lines.as_ptr().cast::<i8>();
                    for offset in &self.layer.geometry.offsets {
                        for at in (*offset..*offset + lanes.words * 4).step_by(4) {
                            for (base, sums) in bases.iter().zip(&mut sums) {
                                let x = quad(base.add(at));
                                for (n, sum) in sums.iter_mut().enumerate() {
                                    *sum = dot(*sum, x, weights(line.add(n * 64 / R)));
                                }
                            }
                            line = line.add(64);
                        }
                    }
                    // Emission names sums by reference, which would keep them in memory throughout: they go there
                    // once, here, each named by a constant.
                    let mut finished = [bias; M];
                    spell!(finished, sums, R, M * R, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
                    for (position, sums) in (first..).zip(&finished) {
                        self.emit(constants, sums, position);
                    }
                }
            }

            /// One patch.
            ///
            /// # Safety
            /// As stated in [`linear`].
            #[target_feature(enable = $feature)]
            unsafe fn single(&self, position: usize) {
                const SETS: usize = $sets;
                let (geometry, lanes) = (&self.layer.geometry, &self.layer.lanes);
                let constants = Constants::of(self.scale);
                let base = patch_at(geometry, position);
                // SAFETY: as in `tile`.
                unsafe {
                    let mut sums = [[splat(0); R]; SETS];
                    sums[0] = start(self.bias);
                    let mut line = self.lines.as_ptr().cast::<i8>();
                    for offset in &geometry.offsets {
                        let mut at = self.input.as_ptr().add(base + offset);
                        let mut words = lanes.words;
                        while words >= SETS {
                            for sums in &mut sums {
                                let x = quad(at);
                                for (n, sum) in sums.iter_mut().enumerate() {
                                    *sum = dot(*sum, x, weights(line.add(n * 64 / R)));
                                }
                                line = line.add(64);
                                at = at.add(4);
                            }
                            words -= SETS;
                        }
                        for _ in 0..words {
                            let x = quad(at);
                            for (n, sum) in sums[0].iter_mut().enumerate() {
                                *sum = dot(*sum, x, weights(line.add(n * 64 / R)));
                            }
                            line = line.add(64);
                            at = at.add(4);
                        }
                    }
                    let mut total = sums[0];
                    for sums in &sums[1..] {
                        for (total, sum) in total.iter_mut().zip(sums) {
                            *total = add(*total, *sum);
                        }
                    }
                    self.emit(&constants, &total, position);
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

pub(super) use words;
