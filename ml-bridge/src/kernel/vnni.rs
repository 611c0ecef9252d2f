//! AVX-512 VNNI kernels: `vpdpbusd` adds four products of an unsigned and a signed byte to each 32-bit lane, exactly.
//!
//! Tile: 6 or 5 patches x 4 blocks, 8 or 4 x 3, 10 or 8 x 2, 12 or 8 x 1 (a block is 16 outputs), whichever comes out
//! more evenly; a patch's next 4 bytes are broadcast, and the group's weights read once per tile. The last tile is moved
//! back to end with the last patch, so that there is no remainder. A single patch (dense layer) takes up to 8 blocks at once. Four blocks whose bytes follow each
//! other, of one patch or of several, are stored at once. See [`super::lanes`] for packing.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::x86_64::*;
use std::ops::Range;

use super::geometry::LANES;
use super::lanes::{Group, Lanes};
use super::linear::{Linear, patch_at};
use super::lines::Parts;
use super::spell::{each, spell};
use super::vnni_back::{Constants, back_unsigned, back_with, load, narrow, pack, store, store_parts};

/// Words of a patch that are not worth several sets of sums.
const FEW: usize = 4;
/// Most blocks of a tile.
const MOST: usize = 4;

/// Runs `layer` over `input` into `output`.
pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8]) {
    assert!(layer.reach() <= input.len() && layer.written() <= output.len());
    // SAFETY: just asserted.
    unsafe { groups(layer, input.as_ptr(), output.as_mut_ptr(), output.len()) }
}

/// As [`linear`], from one part of `arena` to another: small layers are over before two slices are made.
#[inline]
pub fn within(layer: &Linear, arena: &mut [u8], input: &Range<usize>, output: &Range<usize>) {
    let room = |part: &Range<usize>| part.end.checked_sub(part.start);
    assert!(input.end.max(output.end) <= arena.len());
    assert!(room(input) >= Some(layer.reach()) && room(output) >= Some(layer.written()));
    let all = arena.as_mut_ptr();
    // SAFETY: both parts lie in the arena and are long enough, just asserted.
    unsafe {
        groups(
            layer,
            all.add(input.start),
            all.add(output.start),
            output.end - output.start,
        )
    }
}

/// Runs `layer` from `input` to `output`.
///
/// # Safety
/// `input` can be read as far as the layer reaches, and the `length` bytes from `output` on, which hold all that it writes,
/// be written.
#[inline]
unsafe fn groups(layer: &Linear, input: *const u8, output: *mut u8, length: usize) {
    debug_assert!(super::Isa::available().contains(&super::Isa::Vnni));
    let place = Ends {
        input,
        output,
        // Blocks of a single patch may be stored whole where nobody looks.
        room: if layer.free_end {
            length - layer.place.start
        } else {
            0
        },
    };
    // SAFETY: `Isa::Vnni` is only made where these instructions were detected; the caller's word.
    unsafe {
        if layer.geometry.positions() == 1 {
            singles(layer, place);
        } else {
            many(layer, place);
        }
    }
}

/// The groups of a layer of one patch.
///
/// # Safety
/// The processor has the instructions; as [`groups`].
unsafe fn singles(layer: &Linear, ends: Ends) {
    let steps = layer.geometry.offsets.len() * layer.lanes.words;
    let parts = layer.lanes.stock.parts();
    for group in &layer.lanes.groups {
        let pass = Pass::new(layer, parts, *group, group.blocks, steps, ends);
        // SAFETY: as in `many`.
        unsafe {
            match group.blocks {
                1 if steps <= FEW => pass.single::<1, 1>(),
                2 if steps <= FEW => pass.single::<2, 1>(),
                1 => pass.single::<1, 8>(),
                2 => pass.single::<2, 4>(),
                3 => pass.single::<3, 3>(),
                4 => pass.single::<4, 2>(),
                5 => pass.single::<5, 2>(),
                6 => pass.single::<6, 2>(),
                7 => pass.single::<7, 1>(),
                _ => pass.single::<8, 1>(),
            }
        }
    }
}

/// The groups of a layer of several patches.
///
/// # Safety
/// As [`singles`].
unsafe fn many(layer: &Linear, ends: Ends) {
    let steps = layer.geometry.offsets.len() * layer.lanes.words;
    let parts = layer.lanes.stock.parts();
    for whole in &layer.lanes.groups {
        // Groups of a batch of single patches may be too wide.
        let mut first = 0;
        while first < whole.blocks {
            let pass = Pass::new(layer, parts, whole.part(first, MOST), whole.blocks, steps, ends);
            // SAFETY: the caller's word is that every patch lies in the input and every result in the output; `Pass::new`
            // sees to the group's lines and outputs.
            unsafe {
                match pass.group.blocks {
                    1 => pass.tiles::<12, 8, 1>(),
                    2 => pass.tiles::<10, 8, 2>(),
                    3 => pass.tiles::<8, 4, 3>(),
                    _ => pass.tiles::<6, 5, 4>(),
                }
            }
            first += MOST;
        }
    }
}

/// Where a layer's input and output start.
#[derive(Clone, Copy)]
struct Ends {
    input: *const u8,
    output: *mut u8,
    /// Bytes of the output from the first result on, if those behind the last result may be overwritten.
    room: usize,
}

/// One group of a layer on its way over all positions.
struct Pass<'a> {
    layer: &'a Linear,
    lanes: &'a Lanes,
    parts: Parts<'a>,
    group: Group,
    /// Lines from a word's weights to the next word's.
    step: usize,
    ends: Ends,
}

impl<'a> Pass<'a> {
    /// One group, whose words lie `step` lines apart and are `steps`; all of its lines and outputs are there.
    #[inline(always)]
    fn new(layer: &'a Linear, parts: Parts<'a>, group: Group, step: usize, steps: usize, ends: Ends) -> Self {
        assert!(
            group.blocks <= step && group.line + steps * step <= parts.weights.len() + step - group.blocks
        );
        assert!(group.block + group.blocks <= parts.bias.len());
        assert!(group.first + group.outputs <= layer.outputs);
        Pass {
            layer,
            lanes: &layer.lanes,
            parts,
            group,
            step,
            ends,
        }
    }
    /// All positions, `M` at a time, or `L` where these come out more evenly; fewer if there are not so many.
    ///
    /// # Safety
    /// As stated in [`linear`]; the group has `N` blocks.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn tiles<const M: usize, const L: usize, const N: usize>(&self) {
        let positions = self.layer.geometry.positions();
        // SAFETY: passed on.
        unsafe {
            // Products and reads of a word of the patch, for all tiles.
            let cost = |size: usize| positions.div_ceil(size) * (size * N + N);
            if positions >= M && cost(M) <= cost(L).min(cost(4)) {
                self.run::<M, N>(positions);
            } else if positions >= L && cost(L) <= cost(4) {
                self.run::<L, N>(positions);
            } else if positions >= 4 {
                self.run::<4, N>(positions);
            } else {
                self.run::<1, N>(positions);
            }
        }
    }

    /// All positions, `M` at a time, `M <= positions`.
    ///
    /// # Safety
    /// As [`Pass::tiles`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn run<const M: usize, const N: usize>(&self, positions: usize) {
        let (geometry, place, outputs) = (&self.layer.geometry, &self.layer.place, self.layer.outputs);
        let width = geometry.size[1];
        let start = |first: usize| {
            (
                [first % width, first % place.row],
                [
                    patch_at(geometry, first),
                    place.at(first, outputs) + self.group.first,
                ],
            )
        };
        let ([mut x, mut column], [mut at, mut to]) = start(0);
        // Spread out once for all tiles.
        let mut constants = [load(self.parts.scale(self.group.block)); N];
        for (block, constants) in (self.group.block..).zip(&mut constants).skip(1) {
            *constants = load(self.parts.scale(block));
        }
        let mut done = 0;
        while done < positions {
            if done + M > positions {
                done = positions - M;
                ([x, column], [at, to]) = start(done);
            }
            let mut bases = [self.ends.input; M];
            let mut results = [self.ends.output; M];
            for (base, result) in bases.iter_mut().zip(&mut results) {
                // SAFETY: the patch of a position lies in the input, its results in the output.
                unsafe {
                    *base = self.ends.input.add(at);
                    *result = self.ends.output.add(to);
                }
                x += 1;
                at += geometry.column_step;
                if x == width {
                    x = 0;
                    at = at + geometry.row_step - width * geometry.column_step;
                }
                column += 1;
                to += outputs;
                if column == place.row {
                    column = 0;
                    to = to + place.pitch - place.row * outputs;
                }
            }
            // SAFETY: passed on.
            unsafe { self.tile::<M, N>(&constants, &bases, &results) };
            done += M;
        }
    }

    /// The patches at `bases`, into `results`.
    ///
    /// # Safety
    /// As [`Pass::tiles`]; `bases` point to the patches, `results` to where their results go.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn tile<const M: usize, const N: usize>(
        &self,
        constants: &[Constants; N],
        bases: &[*const u8; M],
        results: &[*mut u8; M],
    ) {
        let mut sums = [[_mm512_setzero_si512(); N]; M];
        // SAFETY: `N` lines follow `line` for each word of each segment (asserted by `linear`), and each segment of
        // each patch, rounded up to whole words, lies in the input (`reach`).
        unsafe {
            let mut line = self.parts.weights.as_ptr().add(self.group.line);
            for (n, bias) in self.parts.bias[self.group.block..][..N].iter().enumerate() {
                let bias = _mm512_load_si512(bias.0.as_ptr().cast());
                for sum in &mut sums {
                    sum[n] = bias;
                }
            }
            for offset in &self.layer.geometry.offsets {
                let mut at = *offset;
                let end = at + self.lanes.words * 4;
                while at < end {
                    let mut weights = [_mm512_setzero_si512(); N];
                    for (n, w) in weights.iter_mut().enumerate() {
                        *w = _mm512_load_si512(line.add(n).cast());
                    }
                    for (base, sums) in bases.iter().zip(&mut sums) {
                        let x = _mm512_set1_epi32(base.add(at).cast::<i32>().read_unaligned());
                        for (sum, w) in sums.iter_mut().zip(weights) {
                            *sum = _mm512_dpbusd_epi32(*sum, x, w);
                        }
                    }
                    line = line.add(self.step);
                    at += 4;
                }
            }
        }
        if !self.lanes.exact {
            let mut finished = [[_mm512_setzero_si512(); N]; M];
            spell!(finished, sums, N, M * N, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
            for (sums, to) in finished.iter().zip(results) {
                // SAFETY: passed on.
                unsafe { self.emit_slowly::<N>(sums, *to) };
            }
            return;
        }
        // From here to the stores, sums stay in registers: each is named by constants. A block's constants are read once.
        each!(BLOCK < N, 0 1 2 3, {
            let (constants, signs) = constants[BLOCK];
            if signs == 0 {
                each!(PATCH < M, 0 1 2 3 4 5 6 7 8 9 10 11, {
                    sums[PATCH][BLOCK] = back_unsigned(sums[PATCH][BLOCK], constants);
                });
            } else {
                each!(PATCH < M, 0 1 2 3 4 5 6 7 8 9 10 11, {
                    sums[PATCH][BLOCK] = back_with(sums[PATCH][BLOCK], constants, signs);
                });
            }
        });
        let whole = N < 4 && self.group.outputs == N * LANES && self.layer.outputs == N * LANES;
        let packed = self.layer.place.is_packed(self.layer.outputs);
        if M * N % 4 == 0 && whole && (N < 3 || packed) {
            each!(QUAD < M * N / 4, 0 1 2 3 4 5, {
                let four = [
                    sums[QUAD * 4 / N][QUAD * 4 % N],
                    sums[(QUAD * 4 + 1) / N][(QUAD * 4 + 1) % N],
                    sums[(QUAD * 4 + 2) / N][(QUAD * 4 + 2) % N],
                    sums[(QUAD * 4 + 3) / N][(QUAD * 4 + 3) % N],
                ];
                let bytes = self.held(four);
                // SAFETY: the quad's blocks are results of these patches, which follow each other if packed.
                unsafe {
                    if packed {
                        _mm512_storeu_si512(results[0].add(QUAD * 4 * LANES).cast(), bytes);
                    } else if N == 1 {
                        store_parts(bytes, [0, 1, 2, 3].map(|part| results[(QUAD * 4 + part) % M]));
                    } else {
                        _mm256_storeu_si256(results[QUAD * 2 % M].cast(), _mm512_extracti64x4_epi64::<0>(bytes));
                        _mm256_storeu_si256(results[(QUAD * 2 + 1) % M].cast(), _mm512_extracti64x4_epi64::<1>(bytes));
                    }
                }
            });
            return;
        }
        if N == 4 && self.group.outputs == N * LANES {
            each!(PATCH < M, 0 1 2 3 4 5 6 7 8 9 10 11, {
                let four = [sums[PATCH][0], sums[PATCH][1 % N], sums[PATCH][2 % N], sums[PATCH][3 % N]];
                // SAFETY: the group's 64 results can be written.
                unsafe { _mm512_storeu_si512(results[PATCH].cast(), self.held(four)) };
            });
            return;
        }
        each!(PATCH < M, 0 1 2 3 4 5 6 7 8 9 10 11, {
            let row = sums[PATCH];
            // SAFETY: passed on.
            unsafe { self.emit::<N>(&row, results[PATCH], 0) };
        });
    }

    /// Takes sums back, block by block, so that constants are read once; unless that is not exact.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn back_all<const N: usize>(&self, sums: &mut [__m512i; N]) {
        if !self.lanes.exact {
            return;
        }
        for (n, sum) in sums.iter_mut().enumerate() {
            let (constants, signs) = load(self.parts.scale(self.group.block + n));
            *sum = back_with(*sum, constants, signs);
        }
    }

    /// Four blocks of results as 64 bytes between the bounds.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn held(&self, values: [__m512i; 4]) -> __m512i {
        let bounds = self.layer.end.bounds;
        let bytes = _mm512_max_epu8(pack(values), _mm512_set1_epi8(bounds.low as i8));
        _mm512_min_epu8(bytes, _mm512_set1_epi8(bounds.high as i8))
    }

    /// One patch; words are spread over `U` sets of sums, which hides the latency of few blocks.
    ///
    /// # Safety
    /// As stated in [`linear`]; the group has `N` blocks, and there is one position.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn single<const N: usize, const U: usize>(&self) {
        let mut sums = [[_mm512_setzero_si512(); N]; U];
        // SAFETY: as in `tile`.
        unsafe {
            let mut line = self.parts.weights.as_ptr().add(self.group.line);
            for (sum, bias) in sums[0].iter_mut().zip(&self.parts.bias[self.group.block..][..N]) {
                *sum = _mm512_load_si512(bias.0.as_ptr().cast());
            }
            for offset in &self.layer.geometry.offsets {
                let mut at = self.ends.input.add(*offset);
                let mut words = self.lanes.words;
                while words >= U {
                    for sums in &mut sums {
                        let x = _mm512_set1_epi32(at.cast::<i32>().read_unaligned());
                        for (n, sum) in sums.iter_mut().enumerate() {
                            *sum = _mm512_dpbusd_epi32(*sum, x, _mm512_load_si512(line.add(n).cast()));
                        }
                        line = line.add(N);
                        at = at.add(4);
                    }
                    words -= U;
                }
                for _ in 0..words {
                    let x = _mm512_set1_epi32(at.cast::<i32>().read_unaligned());
                    for (n, sum) in sums[0].iter_mut().enumerate() {
                        *sum = _mm512_dpbusd_epi32(*sum, x, _mm512_load_si512(line.add(n).cast()));
                    }
                    line = line.add(N);
                    at = at.add(4);
                }
            }
            let mut total = sums[0];
            for sums in &sums[1..] {
                for (total, sum) in total.iter_mut().zip(sums) {
                    *total = _mm512_add_epi32(*total, *sum);
                }
            }
            let to = self.ends.output.add(self.layer.place.start + self.group.first);
            self.back_all(&mut total);
            self.emit::<N>(&total, to, self.ends.room.saturating_sub(self.group.first));
        }
    }

    /// Stores the results of one patch at `to`, taken back already if that is exact; blocks are stored whole where they end
    /// within `room` bytes.
    ///
    /// # Safety
    /// As [`Pass::tile`]; the group's outputs, and `room` bytes, can be written at `to`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn emit<const N: usize>(&self, sums: &[__m512i; N], to: *mut u8, room: usize) {
        if !self.lanes.exact {
            // SAFETY: passed on.
            unsafe { self.emit_slowly::<N>(sums, to) };
            return;
        }
        let bounds = self.layer.end.bounds;
        // SAFETY: the group's outputs can be written; the masks leave out bytes beyond them.
        unsafe {
            let mut block = 0;
            while block + 4 <= N {
                let bytes = self.held([sums[block], sums[block + 1], sums[block + 2], sums[block + 3]]);
                let count = self.group.outputs - block * LANES;
                let to = to.add(block * LANES);
                if count >= 64 || room >= (block + 4) * LANES {
                    _mm512_storeu_si512(to.cast(), bytes);
                } else {
                    _mm512_mask_storeu_epi8(to.cast(), u64::MAX >> (64 - count), bytes);
                }
                block += 4;
            }
            while block < N {
                let count = if room >= (block + 1) * LANES {
                    LANES
                } else {
                    self.group.outputs - block * LANES
                };
                store(
                    narrow(sums[block], bounds.low, bounds.high),
                    to.add(block * LANES),
                    count,
                );
                block += 1;
            }
        }
    }

    /// Takes the sums of one patch back one by one, for layers whose sums or factors are out of the usual range.
    ///
    /// # Safety
    /// As [`Pass::emit`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn emit_slowly<const N: usize>(&self, sums: &[__m512i; N], to: *mut u8) {
        // SAFETY: a register is 16 numbers; the caller's word for `to`.
        let (sums, to) = unsafe {
            (
                std::slice::from_raw_parts(sums.as_ptr().cast::<i32>(), N * LANES),
                std::slice::from_raw_parts_mut(to, self.group.outputs),
            )
        };
        self.emit_values(sums, to);
    }

    #[cold]
    #[inline(never)]
    fn emit_values(&self, sums: &[i32], to: &mut [u8]) {
        for ((channel, to), sum) in (self.group.first..).zip(to).zip(sums) {
            *to = self.layer.end.scale(channel, sum.wrapping_add(i32::MIN));
        }
    }
}
