//! Plain bits of a coded unit (see [`super::block`]): where its positions are, and, from changes, the runs between them.

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use super::block::{extract, header_bits, low_bits};
use super::words::{prefix_xor, transpose};

/// Where the parts of a coded unit of `2^LOG` bits begin.
pub(crate) struct Layout {
    /// How many positions are listed.
    pub(crate) m: u32,
    /// Low bits of a position.
    pub(crate) low: u32,
    /// Bits of the bucket string, without the last zero.
    pub(crate) upper_bits: u32,
    /// The first bit of the bucket string, and of the planes.
    pub(crate) upper: u32,
    pub(crate) planes: u32,
    /// Whether the positions are those of changes.
    pub(crate) runs: bool,
}

impl Layout {
    #[inline(always)]
    pub(crate) fn of<const LOG: u32, const W: usize>(unit: &[u64; W]) -> Layout {
        let m = (unit[0] as u32 >> 1) & 127;
        let low = low_bits(m, LOG);
        let upper = header_bits(LOG);
        let upper_bits = m + (1 << (LOG - low)) - 1;
        Layout {
            m,
            low,
            upper_bits,
            upper,
            planes: upper + upper_bits,
            runs: unit[0] & 1 == 0,
        }
    }
}

/// Bits from `at` on, as many as `count` says (64 if more).
#[cfg_attr(not(all(target_arch = "x86_64", avx512)), allow(dead_code))]
#[inline(always)]
pub(crate) fn bits_at<const W: usize>(unit: &[u64; W], at: u32, count: u32) -> u64 {
    extract(unit, at, count)
}

/// Whether vector instructions pay: many positions in buckets of 4, 8 or 16 bits.
#[cfg_attr(not(all(target_arch = "x86_64", avx512)), allow(dead_code))]
#[inline(always)]
pub(crate) fn is_crowded<const LOG: u32, const W: usize>(unit: &[u64; W]) -> bool {
    LOG < 12 && (unit[0] as u32 >> 1) & 127 > 1 << (LOG - 5)
}

/// The plain bits of a coded unit of `2^LOG` bits into `out`; `dense` says that a gap form lists zeros.
///
/// Damaged bytes give some bits.
#[inline(always)]
pub(crate) fn expand<const LOG: u32, const W: usize, const N: usize>(
    unit: &[u64; W],
    dense: bool,
    out: &mut [u64; N],
) {
    let layout = Layout::of::<LOG, W>(unit);
    let Layout { m, low, .. } = layout;
    // The low bits of each position as a byte: planes are columns of squares of bits.
    let mut lows = [[0u8; 8]; 16];
    for block in 0..m.div_ceil(64) {
        let mut planes = [0u64; 8];
        for (plane, bits) in (0..low).zip(planes.iter_mut()) {
            *bits = extract(unit, layout.planes + plane * m + block * 64, 64);
        }
        let groups = (m - block * 64).div_ceil(8);
        for (group, lows) in (0..groups.min(8)).zip(lows.iter_mut().skip(block as usize * 8)) {
            let mut square = 0;
            for (plane, bits) in planes.iter().enumerate() {
                square |= (bits >> (8 * group) & 0xff) << (8 * plane);
            }
            *lows = transpose(square).to_le_bytes();
        }
    }
    // Only the first eight positions can have a ninth bit.
    let ninth = if low > 8 {
        extract(unit, layout.planes + 8 * m, 8)
    } else {
        0
    };
    *out = [0; N];
    let (mut index, mut at) = (0u32, 0);
    while at < layout.upper_bits {
        let mut word = extract(unit, layout.upper + at, layout.upper_bits - at);
        while word != 0 {
            let bucket = at + word.trailing_zeros() - index;
            word &= word - 1;
            let mut position = bucket << low | u32::from(lows.as_flattened()[index as usize & 127]);
            if LOG > 11 {
                position |= ((ninth >> (index & 63)) as u32 & 1) << 8;
            }
            out[(position as usize / 64) & (N - 1)] |= 1 << (position % 64);
            index += 1;
        }
        at += 64;
    }
    if layout.runs {
        *out = out.map(prefix_xor);
        let mut flip = 0;
        for word in out {
            *word ^= flip;
            flip = 0u64.wrapping_sub(*word >> 63);
        }
    } else if dense {
        *out = out.map(|word| !word);
    }
}

#[cfg(test)]
mod tests {
    use super::super::block;
    use super::*;
    #[cfg(all(target_arch = "x86_64", avx512))]
    use crate::codes::Path;
    use proptest::prelude::*;

    fn check<const LOG: u32, const W: usize, const N: usize>(plain: [u64; N]) -> Result<(), TestCaseError> {
        for (set, list) in [
            (block::changes(&plain), block::List::Changes),
            (plain, block::List::Ones),
            (plain.map(|word| !word), block::List::Zeros),
        ] {
            let m = block::ones(&set);
            if (1..=block::MAX_POSITIONS).contains(&m) {
                let mut unit = [0; W];
                unit.copy_from_slice(&block::encode(&set, m, list, LOG)[..W]);
                let mut out = [1; N];
                expand::<LOG, W, N>(&unit, list == block::List::Zeros, &mut out);
                prop_assert!(out == plain, "{m} positions as {list:?}");
                #[cfg(all(target_arch = "x86_64", avx512))]
                if let (Path::Avx512(avx512), true) = (Path::best(), is_crowded::<LOG, W>(&unit)) {
                    let mut out = [1; N];
                    avx512.expand::<LOG, W, N>(&unit, list == block::List::Zeros, &mut out);
                    prop_assert!(out == plain, "{m} positions as {list:?}, by vectors");
                }
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn listed_positions_come_back(
            positions in proptest::collection::vec(0usize..4096, 1..130),
            scale in 0u32..4,
            flip: bool,
        ) {
            let mut bits = [0; 64];
            for position in positions {
                let position = position >> scale;
                bits[position / 64] |= 1 << (position % 64);
            }
            let mut runs = bits;
            let mut open = false;
            for word in &mut runs {
                *word = prefix_xor(*word) ^ if open { u64::MAX } else { 0 };
                open = *word >> 63 == 1;
            }
            for bits in [bits, runs] {
                let bits = bits.map(|word| if flip { !word } else { word });
                check::<12, 16, 64>(bits)?;
                check::<10, 16, 16>(std::array::from_fn(|i| bits[i]))?;
                check::<9, 8, 8>(std::array::from_fn(|i| bits[i]))?;
            }
        }

        #[test]
        fn any_bytes_give_some_bits(unit: [u64; 16], dense: bool) {
            let half: [u64; 8] = std::array::from_fn(|i| unit[i]);
            expand::<12, 16, 64>(&unit, dense, &mut [0; 64]);
            expand::<10, 16, 16>(&unit, dense, &mut [0; 16]);
            expand::<9, 8, 8>(&half, dense, &mut [0; 8]);
            #[cfg(all(target_arch = "x86_64", avx512))]
            if let Path::Avx512(avx512) = Path::best() {
                avx512.expand::<10, 16, 16>(&unit, dense, &mut [0; 16]);
                avx512.expand::<9, 8, 8>(&half, dense, &mut [0; 8]);
            }
        }
    }
}
