#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
use super::super::RankBits;
use crate::section::Section;
use proptest::prelude::*;

fn words(bits: &[bool]) -> Vec<u64> {
    let mut out = vec![0; bits.len().div_ceil(64)];
    for (i, &bit) in bits.iter().enumerate() {
        out[i / 64] |= u64::from(bit) << (i % 64);
    }
    out
}

/// Stretches of differently behaved bits: `(length, chance of a change, chance of a one)` in 1/256.
fn bits() -> impl Strategy<Value = Vec<bool>> {
    let stretch = (
        1usize..6000,
        prop_oneof![Just(0u8), Just(1), 0u8..20, any::<u8>()],
        any::<bool>(),
        any::<u64>(),
    );
    proptest::collection::vec(stretch, 0..4).prop_map(|stretches| {
        let mut out = Vec::new();
        for (length, chance, by_change, seed) in stretches {
            let mut state = seed | 1;
            let mut bit = seed >> 63 == 1;
            for _ in 0..length {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let hit = (state >> 24) as u8 <= chance && chance > 0;
                if by_change {
                    bit ^= hit;
                    out.push(bit);
                } else {
                    out.push(hit ^ (seed >> 62 & 1 == 1));
                }
            }
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn rank_select_and_expand_equal_bools(bits in bits(), cuts in any::<[prop::sample::Index; 4]>()) {
        let vector = RankBits::open(Section::from_vec(RankBits::encode(&words(&bits), bits.len() as u64))).unwrap();
        let mut rank = 0;
        for (i, &bit) in bits.iter().enumerate() {
            prop_assert_eq!(vector.get(i as u64).unwrap(), (bit, rank), "bit {}", i);
            prop_assert_eq!(vector.rank1(i as u64).unwrap(), rank);
            if bit && i % 7 == 0 {
                prop_assert_eq!(vector.select1(rank).unwrap(), i as u64);
            }
            rank += u64::from(bit);
        }
        prop_assert_eq!(vector.ones(), rank);
        prop_assert_eq!(vector.rank1(bits.len() as u64).unwrap(), rank);
        for pair in cuts.chunks(2) {
            let (a, b) = (pair[0].index(bits.len() + 1), pair[1].index(bits.len() + 1));
            let range = a.min(b)..a.max(b);
            prop_assert_eq!(vector.expand(range.start as u64..range.end as u64).unwrap(), words(&bits[range]));
        }
    }

    #[test]
    fn flipped_bytes_never_panic(bits in bits(), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut bytes = RankBits::encode(&words(&bits), bits.len() as u64);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(vector) = RankBits::open(Section::from_vec(bytes)) {
            let len = vector.len();
            for at in (0..len.min(20_000)).step_by(97) {
                let _ = vector.get(at);
                let _ = vector.select1(at);
            }
            let _ = vector.expand(0..len.min(100_000));
        }
    }
}
