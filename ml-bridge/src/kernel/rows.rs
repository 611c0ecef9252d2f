//! Layers of dot products for NEON: eight neighbouring bytes of a patch, widened to 16 bits, against eight
//! weights of one output, products added to four lanes; the lanes of an output are added up at the end.
//!
//! Nothing is broadcast, and a tile of two patches and four outputs reads six registers for eight products, which
//! leaves 128-bit multipliers as the bound. Patches are gathered and widened once for all outputs, as many as
//! [`GATHERED`] words hold, the weights of 16 outputs once for all these patches; a few patches take the weights as
//! bytes. See [`super::lanes::Order::Rows`] for packing.

use super::geometry::Geometry;
use super::linear::patch_at;

/// Words of gathered patches that are worked on together.
const GATHERED: usize = 1 << 13;
/// Patches from which on it pays to widen weights ahead.
pub(super) const MANY: usize = 4;

/// How many patches of `words` words are gathered together.
pub(super) fn at_once(words: usize, positions: usize) -> usize {
    (GATHERED / words.max(1)).max(MANY).min(positions)
}

/// 16-bit numbers that gathering the patches of `geometry` takes, padded to `words` words each.
pub(super) fn room(words: usize, positions: usize) -> usize {
    at_once(words, positions) * words + 8
}

/// Copies `count` patches from position `first` on, one behind the other, each padded with anything to `words` words.
pub(super) fn gather(
    geometry: &Geometry,
    words: usize,
    (first, count): (usize, usize),
    input: &[u8],
    patches: &mut [i16],
) {
    let segment = geometry.segment;
    if let (&[offset], true) = (geometry.offsets.as_slice(), geometry.size[0] == 1) {
        if geometry.column_step == segment && segment == words {
            widen(&input[first * words + offset..][..count * words], patches);
            return;
        }
    }
    let padded = segment.next_multiple_of(8);
    let (mut x, mut at) = (first % geometry.size[1], patch_at(geometry, first));
    for patch in 0..count {
        let mut to = patch * words;
        // What is written past a segment is overwritten by the next one, or by the next patch.
        for offset in &geometry.offsets {
            widen(&input[at + offset..][..padded], &mut patches[to..]);
            to += segment;
        }
        x += 1;
        at += geometry.column_step;
        if x == geometry.size[1] {
            x = 0;
            at = at + geometry.row_step - geometry.size[1] * geometry.column_step;
        }
    }
}

/// Bytes as 16-bit numbers, eight at a time.
#[inline]
fn widen(from: &[u8], to: &mut [i16]) {
    for (to, from) in to.chunks_exact_mut(8).zip(from.chunks_exact(8)) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = i16::from(*from);
        }
    }
}

/// Defines `linear` for the instructions `$feature`.
macro_rules! rows {
    ($feature:literal) => {
        use super::Scratch;
        use super::lanes::Group;
        use super::line::Line;
        use super::linear::Linear;
        use super::rows;

        /// Patches in a tile.
        const TILE: usize = 2;

        /// Runs `layer` over `input` into `output`.
        pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
            let (geometry, lanes) = (&layer.geometry, &layer.lanes);
            let (positions, words) = (geometry.positions(), lanes.words * 4);
            assert!(layer.reach() <= input.len() && layer.written() <= output.len());
            assert!(rows::room(words, positions) <= scratch.words.len());
            let most = rows::at_once(words, positions);
            let parts = lanes.stock.parts();
            for first in (0..positions).step_by(most.max(1)) {
                let count = most.min(positions - first);
                rows::gather(geometry, words, (first, count), input, &mut scratch.words);
                for group in &lanes.groups {
                    assert!(group.blocks == 1 && group.block < parts.bias.len());
                    assert!(group.first + group.outputs <= layer.outputs && group.outputs <= LANES);
                    let lines = &parts.weights[group.line..][..lanes.words];
                    let pass = Pass {
                        layer,
                        bias: &parts.bias[group.block].0,
                        scale: parts.scale(group.block),
                        group,
                        patches: &scratch.words[..count * words],
                        first,
                        output: output.as_mut_ptr(),
                    };
                    // SAFETY: the family is only chosen where its instructions were detected. The assertions say that
                    // all patches were gathered, that every result lies in the output, and that there are weights for
                    // all words, widened or not.
                    unsafe {
                        if count >= rows::MANY {
                            let weights = &mut scratch.weights[..lanes.words * 2];
                            Pair::widen(lines, weights);
                            pass.run(weights);
                        } else {
                            for patch in 0..count {
                                pass.single(lines, patch);
                            }
                        }
                    }
                }
            }
        }

        /// One block of a layer on its way over gathered patches, the first of which is that of position `first`.
        struct Pass<'a> {
            layer: &'a Linear,
            bias: &'a [u32; LANES],
            scale: &'a Scale,
            group: &'a Group,
            patches: &'a [i16],
            first: usize,
            output: *mut u8,
        }

        impl Pass<'_> {
            /// All patches, two at a time, the last tile moved back to end with the last.
            ///
            /// # Safety
            /// As stated in [`linear`]; there are at least two patches.
            #[target_feature(enable = $feature)]
            unsafe fn run(&self, weights: &[Pair]) {
                let lanes = &self.layer.lanes;
                let constants = Constants::of(self.scale);
                let (place, outputs) = (&self.layer.place, self.layer.outputs);
                let words = lanes.words * 4;
                let count = self.patches.len() / words;
                let quads = self.group.outputs.div_ceil(4);
                let mut column = self.first % place.row;
                let mut to = place.at(self.first, outputs) + self.group.first;
                let mut done = 0;
                // SAFETY: `count` patches of `words` words were gathered; a quad's weights are four times as many.
                unsafe {
                    let bias = start(self.bias);
                    while done < count {
                        let at = done.min(count - TILE);
                        let x = self.patches.as_ptr().add(at * words);
                        let mut sums = [bias; TILE];
                        for quad in 0..quads {
                            let w = weights.as_ptr().cast::<i16>().add(quad * words * 4);
                            let got = tile([x, x.add(words)], w, lanes.words / 2);
                            sums[0][quad] = add(sums[0][quad], got[0]);
                            sums[1][quad] = add(sums[1][quad], got[1]);
                        }
                        for (n, sums) in sums.iter().enumerate() {
                            if at + n < done {
                                continue;
                            }
                            self.emit(&constants, sums, to);
                            column += 1;
                            to += outputs;
                            if column == place.row {
                                column = 0;
                                to = to + place.pitch - place.row * outputs;
                            }
                        }
                        done = at + TILE;
                    }
                }
            }

            /// One patch, weights widened on the way.
            ///
            /// # Safety
            /// As stated in [`linear`].
            #[target_feature(enable = $feature)]
            unsafe fn single(&self, lines: &[Line], patch: usize) {
                let lanes = &self.layer.lanes;
                let constants = Constants::of(self.scale);
                let words = lanes.words * 4;
                let quads = self.group.outputs.div_ceil(4);
                // SAFETY: the patch was gathered; a quad's weights are four times its words.
                unsafe {
                    let mut sums = start(self.bias);
                    let x = self.patches.as_ptr().add(patch * words);
                    for (quad, sum) in sums.iter_mut().enumerate().take(quads) {
                        let weights = lines.as_ptr().cast::<i8>().add(quad * words * 4);
                        let mut four = [splat(0); 4];
                        for chunk in 0..lanes.words / 2 {
                            let x = read(x.add(chunk * 8));
                            for (n, sum) in four.iter_mut().enumerate() {
                                *sum = dot(*sum, widen(weights.add(chunk * 32 + n * 8)), x);
                            }
                        }
                        *sum = add(*sum, across(four[0], four[1], four[2], four[3]));
                    }
                    let place = &self.layer.place;
                    let to = place.at(self.first + patch, self.layer.outputs) + self.group.first;
                    self.emit(&constants, &sums, to);
                }
            }

            /// Takes the sums of a patch back to bytes and stores them from byte `at` of the output on.
            ///
            /// # Safety
            /// As stated in [`linear`]; as many bytes as the group has outputs lie at `at`.
            #[inline]
            #[target_feature(enable = $feature)]
            unsafe fn emit(&self, constants: &Constants, sums: &[Vector; R], at: usize) {
                let (layer, group) = (self.layer, self.group);
                // SAFETY: the caller's word.
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

        /// Four sums for each of two patches.
        ///
        /// # Safety
        /// The processor has the instructions; `chunks` times 8 words lie at each of `x`, four times as many at
        /// `weights`, on a multiple of 16 bytes.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn tile(x: [*const i16; TILE], weights: *const i16, chunks: usize) -> [Vector; TILE] {
            // SAFETY: the caller's word.
            unsafe {
                let mut sums = [[splat(0); 4]; TILE];
                for chunk in 0..chunks {
                    let (left, right) = (read(x[0].add(chunk * 8)), read(x[1].add(chunk * 8)));
                    for n in 0..4 {
                        let w = aligned(weights.add(chunk * 32 + n * 8));
                        sums[0][n] = dot(sums[0][n], w, left);
                        sums[1][n] = dot(sums[1][n], w, right);
                    }
                }
                let [a, b] = sums;
                [
                    across(a[0], a[1], a[2], a[3]),
                    across(b[0], b[1], b[2], b[3]),
                ]
            }
        }
    };
}

pub(super) use rows;
