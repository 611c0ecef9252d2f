//! Layers of signs with AVX-512 and its population count; see [`super::bits`] for what lies where.
//!
//! Signs of 64 bytes are one comparison. A tile is 8 patches and a block of 8 outputs: per word of a patch a XOR, a count
//! and a sum for each patch. Eight sums go back to bytes in 64-bit lanes, or to the next layer's signs by one comparison.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::x86_64::*;

use super::bits::{BLOCK, Signs};
use super::spell::each;

/// Runs `layer` over `input` into `output`, `bits` being room for its image; false if the processor does not count ones.
pub fn run(layer: &Signs, input: &[u8], output: &mut [u8], bits: &mut [u64]) -> bool {
    debug_assert!(super::Isa::available().contains(&super::Isa::Vnni));
    if !std::is_x86_feature_detected!("avx512vpopcntdq") {
        return false;
    }
    let p = &layer.patches;
    assert!(input.len() >= p.input[0] * p.input[1] * layer.pixel() && bits.len() >= p.image_words());
    let last = (p.output[0] - 1) * p.stride[0] * p.pitch() + (p.output[1] - 1) * p.stride[1] * p.words();
    let furthest = layer.offsets.iter().max().copied().unwrap_or(0);
    assert!(last + furthest + p.words() <= bits.len() && output.len() >= layer.results());
    assert!(layer.weights.len() == layer.outputs.div_ceil(BLOCK) * layer.offsets.len() * p.words());
    // SAFETY: the count was detected just now, all else by `Isa::Vnni`. The assertions say that all pixels lie in the
    // input and the image, all words of all patches in the image, all results in the output.
    unsafe {
        if layer.from_signs {
            super::bits::copy(layer, input, bits);
        } else {
            pack(layer, input, bits);
        }
        for block in 0..layer.outputs.div_ceil(BLOCK) {
            products(layer, bits, output, block);
        }
    }
    true
}

/// The signs of an image of bytes.
///
/// # Safety
/// The processor has the instructions; `input` holds all pixels, `bits` the padded image.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn pack(layer: &Signs, input: &[u8], bits: &mut [u64]) {
    let p = &layer.patches;
    let words = p.words();
    if p.padded() != p.input {
        bits.fill(0);
    }
    let zero = _mm512_set1_epi8(layer.zero as i8);
    let mut from = input.as_ptr();
    for y in 0..p.input[0] {
        let start = (y + p.before[0]) * p.pitch() + p.before[1] * words;
        for pixel in bits[start..start + p.input[1] * words].chunks_exact_mut(words) {
            let mut left = p.channels;
            for word in pixel {
                let mask = u64::MAX >> (64 - left.min(64));
                // SAFETY: as many bytes of the pixel are left as the mask has ones.
                unsafe {
                    let bytes = _mm512_maskz_loadu_epi8(mask, from.cast());
                    *word = _mm512_mask_cmplt_epu8_mask(mask, bytes, zero);
                    from = from.add(left.min(64));
                }
                left -= left.min(64);
            }
        }
    }
}

/// All results of one block of outputs.
///
/// # Safety
/// As stated in [`run`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vpopcntdq")]
unsafe fn products(layer: &Signs, bits: &[u64], output: &mut [u8], block: usize) {
    let p = &layer.patches;
    let (pitch, step) = (p.stride[0] * p.pitch(), p.stride[1] * p.words());
    let positions = p.output[0] * p.output[1];
    let (mut x, mut row) = (0, 0);
    let mut next = || {
        let at = row + x * step;
        x += 1;
        if x == p.output[1] {
            x = 0;
            row += pitch;
        }
        at
    };
    let mut first = 0;
    // SAFETY: passed on.
    unsafe {
        while first + 8 <= positions {
            let starts: [usize; 8] = std::array::from_fn(|_| next());
            tile::<8>(layer, bits, starts, output, [first, block]);
            first += 8;
        }
        while first < positions {
            tile::<1>(layer, bits, [next()], output, [first, block]);
            first += 1;
        }
    }
}

/// The results of `M` patches, which start at `starts`, `first` and following, for one block.
///
/// # Safety
/// As stated in [`run`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vpopcntdq")]
unsafe fn tile<const M: usize>(
    layer: &Signs,
    bits: &[u64],
    starts: [usize; M],
    output: &mut [u8],
    [first, block]: [usize; 2],
) {
    let words = layer.patches.words();
    let mut ones = [_mm512_setzero_si512(); M];
    // SAFETY: every word of every patch lies in the image, and as many weights in the block; a block is 64 bytes.
    unsafe {
        let mut weights = layer.weights.as_ptr().add(block * layer.offsets.len() * words);
        for offset in &layer.offsets {
            let image = bits.as_ptr().add(*offset);
            for word in 0..words {
                let w = _mm512_loadu_si512(weights.cast());
                each!(PATCH < M, 0 1 2 3 4 5 6 7, {
                    let x = _mm512_set1_epi64(*image.add(starts[PATCH] + word) as i64);
                    let count = _mm512_popcnt_epi64(_mm512_xor_si512(x, w));
                    ones[PATCH] = _mm512_add_epi64(ones[PATCH], count);
                });
                weights = weights.add(1);
            }
        }
    }
    let pitch = layer.pitch();
    if let Some(limits) = &layer.limits {
        // SAFETY: a block of limits is 64 bytes.
        let limits = unsafe { _mm512_loadu_si512(limits[block].as_ptr().cast()) };
        each!(PATCH < M, 0 1 2 3 4 5 6 7, {
            output[(first + PATCH) * pitch + block] = _mm512_cmpge_epu64_mask(ones[PATCH], limits);
        });
        return;
    }
    let Some(back) = layer.back.as_ref().map(|back| &back[block]) else {
        for (number, ones) in ones.iter().enumerate() {
            let mut counts = [0u64; BLOCK];
            // SAFETY: `counts` holds 64 bytes.
            unsafe { _mm512_storeu_si512(counts.as_mut_ptr().cast(), *ones) };
            layer.slowly(&counts, output, [first + number, block]);
        }
        return;
    };
    // SAFETY: each part is 64 bytes.
    let load = |from: &[i64; BLOCK]| unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
    let (sums, multiplier) = (load(&back.sums), load(&back.multiplier));
    let (add, shift) = (load(&back.add), load(&back.shift));
    let bounds = layer.end.bounds;
    let [zero_point, low, high] = [
        layer.end.zero_point,
        i32::from(bounds.low),
        i32::from(bounds.high),
    ]
    .map(|number| _mm512_set1_epi64(i64::from(number)));
    let count = (layer.outputs - block * BLOCK).min(BLOCK);
    each!(PATCH < M, 0 1 2 3 4 5 6 7, {
        let sum = _mm512_sub_epi64(sums, _mm512_slli_epi64::<9>(ones[PATCH]));
        let below = _mm512_cmplt_epi64_mask(sum, _mm512_setzero_si512());
        let product = _mm512_add_epi64(_mm512_mul_epi32(sum, multiplier), add);
        let product = _mm512_mask_sub_epi64(product, below, product, _mm512_set1_epi64(1 << 31));
        let result = _mm512_add_epi64(_mm512_srav_epi64(product, shift), zero_point);
        let bytes = _mm512_cvtepi64_epi8(_mm512_min_epi64(_mm512_max_epi64(result, low), high));
        let mut all = [0u8; 16];
        // SAFETY: `all` holds 16 bytes.
        unsafe { _mm_storeu_si128(all.as_mut_ptr().cast(), bytes) };
        let to = (first + PATCH) * pitch + block * BLOCK;
        match count {
            BLOCK => output[to..to + BLOCK].copy_from_slice(&all[..BLOCK]),
            _ => output[to..to + count].copy_from_slice(&all[..count]),
        }
    });
}
