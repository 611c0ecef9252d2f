//! AVX-512 VNNI kernels: `vpdpbusd` adds four products of an unsigned and a signed byte to each 32-bit lane, exactly.
//!
//! Tile: 6 patches x 4 blocks, 8 x 3, 10 x 2 or 10 x 1 (a block is 16 outputs); a patch's next 4 bytes are broadcast,
//! and the group's weights read once per tile. The last tile is moved back to end with the last patch, so that there
//! is no remainder. A single patch (dense layer) takes up to 8 blocks at once. See [`super::lanes`] for packing.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::x86_64::*;

use super::lanes::{Group, Lanes, Scale};
use super::linear::{LANES, Linear, Packed};
use super::portable::place;

/// Runs `layer` over `input` into `output` (positions x outputs).
pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8]) {
    debug_assert!(super::Isa::available().contains(&super::Isa::Vnni));
    let Packed::Lanes(lanes) = &layer.packed else {
        debug_assert!(false, "weights packed for another kernel");
        return;
    };
    let geometry = &layer.geometry;
    assert!(geometry.reach() <= input.len() && output.len() == geometry.positions() * layer.outputs);
    let steps = geometry.offsets.len() * lanes.words;
    for group in &lanes.groups {
        assert!(group.line + steps * group.blocks <= lanes.weights.len());
        assert!(
            group.block + group.blocks <= lanes.bias.len() && group.first + group.outputs <= layer.outputs
        );
        let pass = Pass {
            layer,
            lanes,
            group,
            input,
            output: output.as_mut_ptr(),
        };
        // SAFETY: `Isa::Vnni` is only made where these instructions were detected. The assertions above say that every
        // patch lies in the input, every result in the output, and every line of the group in the weights.
        unsafe {
            match (geometry.positions(), group.blocks) {
                (1, 1) => pass.single::<1, 8>(),
                (1, 2) => pass.single::<2, 4>(),
                (1, 3) => pass.single::<3, 3>(),
                (1, 4) => pass.single::<4, 2>(),
                (1, 5) => pass.single::<5, 2>(),
                (1, 6) => pass.single::<6, 2>(),
                (1, 7) => pass.single::<7, 1>(),
                (1, _) => pass.single::<8, 1>(),
                (_, 1) => pass.tiles::<10, 1>(),
                (_, 2) => pass.tiles::<10, 2>(),
                (_, 3) => pass.tiles::<8, 3>(),
                _ => pass.tiles::<6, 4>(),
            }
        }
    }
}

/// One group of a layer on its way over all positions.
struct Pass<'a> {
    layer: &'a Linear,
    lanes: &'a Lanes,
    group: &'a Group,
    input: &'a [u8],
    output: *mut u8,
}

impl Pass<'_> {
    /// All positions, `M` at a time; fewer at once if there are not so many.
    ///
    /// # Safety
    /// As stated in [`linear`]; the group has `N` blocks.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn tiles<const M: usize, const N: usize>(&self) {
        let positions = self.layer.geometry.positions();
        // SAFETY: passed on.
        unsafe {
            if positions >= M {
                self.run::<M, N>(positions);
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
        let geometry = &self.layer.geometry;
        let width = geometry.size[1];
        let mut done = 0;
        while done < positions {
            let first = done.min(positions - M);
            let (mut x, mut at) = (first % width, place(geometry, first));
            let mut bases = [self.input.as_ptr(); M];
            for base in &mut bases {
                // SAFETY: the patch of a position lies in the input.
                *base = unsafe { self.input.as_ptr().add(at) };
                x += 1;
                at += geometry.column_step;
                if x == width {
                    x = 0;
                    at = at + geometry.row_step - width * geometry.column_step;
                }
            }
            // SAFETY: passed on.
            unsafe { self.tile::<M, N>(&bases, first) };
            done = first + M;
        }
    }

    /// The patches at `bases`, which are positions `first` and following.
    ///
    /// # Safety
    /// As [`Pass::tiles`]; `bases` point to the patches.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn tile<const M: usize, const N: usize>(&self, bases: &[*const u8; M], first: usize) {
        let mut sums = [[_mm512_setzero_si512(); N]; M];
        // SAFETY: `N` lines follow `line` for each word of each segment (asserted by `linear`), and each segment of
        // each patch, rounded up to whole words, lies in the input (`reach`).
        unsafe {
            let mut line = self.lanes.weights.as_ptr().add(self.group.line);
            for (n, bias) in self.lanes.bias[self.group.block..][..N].iter().enumerate() {
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
                    line = line.add(N);
                    at += 4;
                }
            }
            for (position, sums) in (first..).zip(sums) {
                self.emit::<N>(sums, position);
            }
        }
    }

    /// One patch; words are spread over `U` sets of sums, which hides the latency of few blocks.
    ///
    /// # Safety
    /// As stated in [`linear`]; the group has `N` blocks, and there is one position.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn single<const N: usize, const U: usize>(&self) {
        let mut sums = [[_mm512_setzero_si512(); N]; U];
        // SAFETY: as in `tile`.
        unsafe {
            let mut line = self.lanes.weights.as_ptr().add(self.group.line);
            for (sum, bias) in sums[0].iter_mut().zip(&self.lanes.bias[self.group.block..][..N]) {
                *sum = _mm512_load_si512(bias.0.as_ptr().cast());
            }
            for offset in &self.layer.geometry.offsets {
                let mut at = self.input.as_ptr().add(*offset);
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
            self.emit::<N>(total, 0);
        }
    }

    /// Takes the sums of `position` back to bytes and stores them.
    ///
    /// # Safety
    /// As [`Pass::tiles`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn emit<const N: usize>(&self, sums: [__m512i; N], position: usize) {
        if !self.lanes.exact {
            // SAFETY: passed on.
            unsafe { self.emit_slowly::<N>(sums, position) };
            return;
        }
        let bounds = self.layer.end.bounds;
        // SAFETY: `position` and the group's outputs lie in the output; the masks leave out bytes beyond them.
        unsafe {
            let to = self.output.add(position * self.layer.outputs + self.group.first);
            let mut block = 0;
            while block + 4 <= N {
                let scales = [0, 1, 2, 3].map(|n| self.lanes.scale(self.group.block + block + n));
                let bytes = pack(
                    back(sums[block], scales[0]),
                    back(sums[block + 1], scales[1]),
                    back(sums[block + 2], scales[2]),
                    back(sums[block + 3], scales[3]),
                );
                let bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(bounds.low as i8));
                let bytes = _mm512_min_epu8(bytes, _mm512_set1_epi8(bounds.high as i8));
                let count = self.group.outputs - block * LANES;
                let to = to.add(block * LANES);
                if count >= 64 {
                    _mm512_storeu_si512(to.cast(), bytes);
                } else {
                    _mm512_mask_storeu_epi8(to.cast(), u64::MAX >> (64 - count), bytes);
                }
                block += 4;
            }
            while block < N {
                let count = self.group.outputs - block * LANES;
                let values = back(sums[block], self.lanes.scale(self.group.block + block));
                store(
                    narrow(values, bounds.low, bounds.high),
                    to.add(block * LANES),
                    count,
                );
                block += 1;
            }
        }
    }

    /// Takes the sums of `position` back one by one, for layers whose sums or factors are out of the usual range.
    ///
    /// # Safety
    /// As [`Pass::tiles`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn emit_slowly<const N: usize>(&self, sums: [__m512i; N], position: usize) {
        // Copied by value, so that the tile's sums may stay in registers.
        let mut values = [[0i32; LANES]; N];
        for (values, sums) in values.iter_mut().zip(sums) {
            // SAFETY: `values` holds 64 bytes.
            unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), sums) };
        }
        self.emit_values(&values, position);
    }

    #[cold]
    #[inline(never)]
    fn emit_values(&self, sums: &[[i32; LANES]], position: usize) {
        for (block, values) in sums.iter().enumerate() {
            for (lane, value) in values.iter().enumerate() {
                let output = super::lanes::output_of(sums.len(), block, lane);
                if output < self.group.outputs {
                    let channel = self.group.first + output;
                    let byte = self.layer.end.scale(channel, value.wrapping_add(i32::MIN));
                    // SAFETY: as in `emit`: the channel is one of the group's outputs.
                    unsafe { *self.output.add(position * self.layer.outputs + channel) = byte };
                }
            }
        }
    }
}

/// Stores the first `count` of 16 bytes (all, if there are more). A masked store costs far more than a plain one.
///
/// # Safety
/// As many bytes can be written at `to`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn store(bytes: __m128i, to: *mut u8, count: usize) {
    // SAFETY: the caller's word.
    unsafe {
        if count >= LANES {
            _mm_storeu_si128(to.cast(), bytes);
        } else if count == 8 {
            _mm_storel_epi64(to.cast(), bytes);
        } else {
            _mm_mask_storeu_epi8(to.cast(), u16::MAX >> (16 - count), bytes);
        }
    }
}

/// A block's constants in registers: even, odd, what is added to each, shifts; and its signs.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(scale: &Scale) -> ([__m512i; 5], __mmask16) {
    // SAFETY: each part holds 64 bytes.
    let constants = unsafe {
        [
            _mm512_loadu_si512(scale.even.as_ptr().cast()),
            _mm512_loadu_si512(scale.odd.as_ptr().cast()),
            _mm512_loadu_si512(scale.even_add.as_ptr().cast()),
            _mm512_loadu_si512(scale.odd_add.as_ptr().cast()),
            _mm512_loadu_si512(scale.shift.as_ptr().cast()),
        ]
    };
    (constants, scale.signs)
}

/// As [`back_with`], the constants read.
#[inline]
#[target_feature(enable = "avx512f")]
fn back(sums: __m512i, scale: &Scale) -> __m512i {
    let (constants, signs) = load(scale);
    back_with(sums, constants, signs)
}

/// 16 sums plus 2^31 as results before they are held between bounds; see [`super::lanes`].
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn back_with(
    sums: __m512i,
    [even, odd, even_add, odd_add, shift]: [__m512i; 5],
    signs: __mmask16,
) -> __m512i {
    let low = _mm512_add_epi64(_mm512_mul_epu32(sums, even), even_add);
    let high = _mm512_add_epi64(_mm512_mul_epu32(_mm512_srli_epi64::<32>(sums), odd), odd_add);
    let both = _mm512_mask_shuffle_epi32::<0xF5>(high, 0x5555, low);
    let sign = _mm512_srai_epi32::<31>(sums);
    _mm512_srav_epi32(_mm512_mask_sub_epi32(both, signs, both, sign), shift)
}

/// Four blocks dealt as a quad to 64 bytes in order, saturating.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> __m512i {
    _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d))
}

/// 16 results to bytes between `low` and `high`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn narrow(values: __m512i, low: u8, high: u8) -> __m128i {
    let held = _mm512_max_epi32(values, _mm512_set1_epi32(i32::from(low)));
    _mm512_cvtepi32_epi8(_mm512_min_epi32(held, _mm512_set1_epi32(i32::from(high))))
}
