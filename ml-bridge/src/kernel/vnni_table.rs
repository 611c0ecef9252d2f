//! Functions of single bytes with AVX-512 VBMI: the table's 256 bytes in four registers, of which two instructions pick by
//! seven bits of each byte, and a third by the eighth.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::x86_64::*;

use super::pointwise::Table;

/// Applies `table` to every byte of `input`, as far as `output` goes; false if the processor has no such instructions.
pub fn look_up(table: &Table, input: &[u8], output: &mut [u8]) -> bool {
    let count = input.len().min(output.len());
    if !std::is_x86_feature_detected!("avx512vbmi") {
        return false;
    }
    // SAFETY: detected just now, on top of those without which there is no `Isa::Vnni`.
    unsafe { pick(table, &input[..count], &mut output[..count]) };
    true
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn pick(table: &Table, input: &[u8], output: &mut [u8]) {
    // SAFETY: the table holds four times 64 bytes.
    let part = |n: usize| unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * n).cast()) };
    let parts = [part(0), part(1), part(2), part(3)];
    let picked = |bytes: __m512i| {
        let low = _mm512_permutex2var_epi8(parts[0], bytes, parts[1]);
        let high = _mm512_permutex2var_epi8(parts[2], bytes, parts[3]);
        _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high)
    };
    let mut at = 0;
    while at < input.len() {
        let left = input.len() - at;
        // SAFETY: 64 bytes, or those left, lie in both, which have the same length.
        unsafe {
            let (from, to) = (input.as_ptr().add(at), output.as_mut_ptr().add(at));
            if left >= 64 {
                _mm512_storeu_si512(to.cast(), picked(_mm512_loadu_si512(from.cast())));
            } else {
                let mask = u64::MAX >> (64 - left);
                let bytes = picked(_mm512_maskz_loadu_epi8(mask, from.cast()));
                _mm512_mask_storeu_epi8(to.cast(), mask, bytes);
            }
        }
        at += 64;
    }
}
