//! Huffman code lengths of at most [`LONGEST`] bits (package-merge), canonical codes.
//!
//! Larmore, Hirschberg, "A fast algorithm for optimal length-limited Huffman codes" (1990).

/// Longest code in bits; a decoding table has 2 to that many places.
pub(super) const LONGEST: u32 = 10;

/// Lengths of an optimal prefix code for symbols with these counts, 0 if there is one symbol only.
///
/// At most 256 symbols.
pub(super) fn lengths(counts: &[u32]) -> Vec<u8> {
    let mut lengths = vec![0u8; counts.len()];
    if counts.len() < 2 {
        return lengths;
    }
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&symbol| counts.get(symbol));
    let single: Vec<u64> = order
        .iter()
        .filter_map(|&symbol| counts.get(symbol).map(|&count| u64::from(count)))
        .collect();
    // Each round packages the cheapest two items of the round before and merges them with the symbols; an item is kept
    // as its weight and whether it is a symbol, which is all that the way back needs.
    let mut rounds: Vec<Vec<(u64, bool)>> = Vec::new();
    let mut last: Vec<(u64, bool)> = single.iter().map(|&weight| (weight, true)).collect();
    for _ in 1..LONGEST {
        let packages = last
            .chunks_exact(2)
            .map(|pair| pair.iter().map(|item| item.0).sum());
        let mut merged: Vec<(u64, bool)> = packages.map(|weight| (weight, false)).collect();
        merged.extend(single.iter().map(|&weight| (weight, true)));
        merged.sort_by_key(|&(weight, is_symbol)| (weight, !is_symbol));
        rounds.push(std::mem::replace(&mut last, merged));
    }
    rounds.push(last);
    let mut wanted = 2 * counts.len() - 2;
    for round in rounds.iter().rev() {
        let symbols = round.iter().take(wanted).filter(|item| item.1).count();
        for &symbol in order.iter().take(symbols) {
            if let Some(length) = lengths.get_mut(symbol) {
                *length += 1;
            }
        }
        wanted = 2 * (wanted - symbols);
    }
    lengths
}

/// Whether the lengths are those of a prefix code that leaves no bit string without meaning.
pub(super) fn is_complete(lengths: &[u8]) -> bool {
    match lengths {
        [] => false,
        [only] => *only == 0,
        _ => {
            let valid = lengths
                .iter()
                .all(|&length| (1..=LONGEST as u8).contains(&length));
            valid
                && lengths
                    .iter()
                    .map(|&length| 1u64 << (LONGEST as u8 - length))
                    .sum::<u64>()
                    == 1 << LONGEST
        }
    }
}

/// Canonical codes: shorter ones first, then by symbol; the first bit is the highest of a code's `length` bits.
pub(super) fn codes(lengths: &[u8]) -> Vec<u16> {
    let mut codes = vec![0; lengths.len()];
    let mut next = 0u32;
    for length in 1..=LONGEST as u8 {
        for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, l)| **l == length) {
            *code = (next >> (LONGEST as u8 - length)) as u16;
            next += 1 << (LONGEST as u8 - length);
        }
    }
    codes
}

/// `code` of `length` bits with its first bit lowest.
pub(super) fn reversed(code: u16, length: u8) -> u16 {
    if length == 0 {
        0
    } else {
        code.reverse_bits() >> (16 - length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn codes_are_complete_and_no_prefix_of_each_other(counts in proptest::collection::vec(1u32..60_000, 1..256)) {
            let lengths = lengths(&counts);
            prop_assert!(is_complete(&lengths));
            let codes = codes(&lengths);
            let aligned = |i: usize| u32::from(codes[i]) << (LONGEST - u32::from(lengths[i]));
            let mut order: Vec<usize> = (0..counts.len()).collect();
            order.sort_by_key(|&i| aligned(i));
            for pair in order.windows(2) {
                prop_assert!(aligned(pair[1]) - aligned(pair[0]) >= 1 << (LONGEST - u32::from(lengths[pair[0]])));
            }
            for i in 0..counts.len() {
                for j in 0..counts.len() {
                    prop_assert!(counts[i] <= counts[j] || lengths[i] <= lengths[j]);
                }
            }
        }
    }
}
