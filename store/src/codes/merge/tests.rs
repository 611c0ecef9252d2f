//! Merged levels give back the elements that were split into them.

use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_paths_give_the_same_codes(
        count in 1usize..700,
        planes in prop_oneof![0u32..20, 0u32..=60],
        levels in prop_oneof![Just(8u32), 0u32..60],
        words in proptest::collection::vec(any::<u64>(), 60 * 11),
        plain in proptest::collection::vec(any::<u64>(), 830),
    ) {
        let levels = levels.min(64 - planes);
        let level = |level: u32| {
            let at = level as usize * 11;
            let mut bits = words[at..at + count.div_ceil(64)].to_vec();
            match level % 5 {
                3 => bits.iter_mut().step_by(2).for_each(|word| *word = 0),
                4 => bits.iter_mut().for_each(|word| *word = u64::MAX),
                _ => {}
            }
            if let (Some(last), true) = (bits.last_mut(), count % 64 != 0) {
                *last &= low_mask((count % 64) as u32);
            }
            bits
        };
        // The naive merge.
        let mut want: Vec<u64> = plain[..count].iter().map(|&code| code & low_mask(planes)).collect();
        for at in 0..levels {
            let bits = level(at);
            let set = |i: usize| bits[i / 64] >> (i % 64) & 1 == 1;
            let mut one = (0..count).filter(|&i| !set(i)).count();
            let mut zero = 0;
            let before = want.clone();
            for (i, code) in want.iter_mut().enumerate() {
                let next = if set(i) { &mut one } else { &mut zero };
                *code = before[*next] | u64::from(set(i)) << (planes + at);
                *next += 1;
            }
        }
        let (low, high) = (want[0].min(want[count - 1]), want[0].max(want[count - 1]));
        for path in Path::all() {
            let mut merger = Merger::new(path);
            for _ in 0..2 {
                match merger.start(count, planes, levels) {
                    Unfilled::Bytes(out) => fill(&plain, planes, out, |code| code as u8),
                    Unfilled::Shorts(out) => fill(&plain, planes, out, |code| code as u16),
                    Unfilled::Words(out) => fill(&plain, planes, out, |code| code as u32),
                    Unfilled::Longs(out) => fill(&plain, planes, out, |code| code),
                }
                for at in 0..levels {
                    merger.level(planes + at, &level(at));
                }
            }
            let mut out = vec![0; count];
            merger.finish(77, &mut out);
            prop_assert!(out.iter().zip(&want).all(|(out, want)| *out == want.wrapping_add(77)), "{path:?} differs");
            let mut found = vec![u64::MAX; count.div_ceil(64)];
            merger.within(low, high, &mut found);
            for i in 0..found.len() * 64 {
                let inside = want.get(i).is_some_and(|code| (low..=high).contains(code));
                prop_assert_eq!(found[i / 64] >> (i % 64) & 1 == 1, inside);
            }
        }
    }
}

fn fill<T>(plain: &[u64], planes: u32, out: &mut [T], narrow: impl Fn(u64) -> T) {
    for (out, &code) in out.iter_mut().zip(plain) {
        *out = narrow(code & low_mask(planes));
    }
}
