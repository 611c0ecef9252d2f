//! Which words of a dictionary are ids drawn at random, by their letters.

use std::collections::BTreeMap;

use super::{MAX_PLACES, Shape};
use crate::batch::ByteColumn;

/// Letters of a word of a pool at least.
const LEAST_LETTERS: usize = 10;
/// Words of a pool at least.
const LEAST_WORDS: usize = 64;
/// Lengths, from the longest down, that one pool holds.
const LENGTHS: usize = 4;
/// Words by which the bits are told that a model of their letters needs.
const SAMPLE: usize = 2048;
/// A pool may take this many hundredths of the bits that the model needs, as its words are quicker to read.
const HUNDREDTHS: f64 = 105.0;
/// Places of the tables of the model.
const TABLE: usize = 1 << 17;

/// Letters that words share: decimal digits are in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alphabet {
    HexLower,
    HexUpper,
    Lower,
    Upper,
    Letters,
    Marks,
}

/// The pools of a dictionary in byte order, each as the increasing numbers of its words.
pub fn choose(dictionary: &ByteColumn) -> Vec<Vec<u32>> {
    let mut kinds: BTreeMap<Alphabet, Vec<Vec<u32>>> = BTreeMap::new();
    for number in 0..dictionary.len() {
        let word = dictionary.get(number);
        if let Some(alphabet) = alphabet(word) {
            let lengths = kinds
                .entry(alphabet)
                .or_insert_with(|| vec![Vec::new(); MAX_PLACES + 1]);
            lengths[word.len()].push(number as u32);
        }
    }
    let mut pools = Vec::new();
    for lengths in kinds.values() {
        let mut longest = MAX_PLACES;
        while longest >= LEAST_LETTERS {
            if lengths[longest].len() < LEAST_WORDS {
                longest -= 1;
                continue;
            }
            let shortest = (longest + 1 - LENGTHS).max(LEAST_LETTERS);
            let mut words = lengths[shortest..=longest].concat();
            words.sort_unstable();
            if is_random(dictionary, &words) {
                pools.push(words);
            }
            longest = shortest - 1;
        }
    }
    pools
}

/// The letters of a word that may be drawn at random: its letters change from digits to lower to upper case more often
/// than those of words and numbers do.
fn alphabet(word: &[u8]) -> Option<Alphabet> {
    if !(LEAST_LETTERS..=MAX_PLACES).contains(&word.len()) {
        return None;
    }
    let (mut lower, mut upper, mut hex, mut marks, mut changes) = (false, false, true, 0, 0);
    let mut before = None;
    for &byte in word {
        let kind = match byte {
            b'0'..=b'9' => 0,
            b'a'..=b'z' => 1,
            b'A'..=b'Z' => 2,
            b'-' | b'_' | b'+' | b'/' => 3,
            _ => return None,
        };
        lower |= kind == 1;
        upper |= kind == 2;
        hex &= byte.is_ascii_hexdigit();
        marks += usize::from(kind == 3);
        changes += usize::from(before.is_some_and(|before| before != kind));
        before = Some(kind);
    }
    if changes * 5 < word.len() || marks * 4 > word.len() {
        return None;
    }
    Some(match (marks > 0, lower && upper, hex, lower) {
        (true, ..) => Alphabet::Marks,
        (_, true, ..) => Alphabet::Letters,
        (_, _, true, true) => Alphabet::HexLower,
        (_, _, true, false) => Alphabet::HexUpper,
        (_, _, false, true) => Alphabet::Lower,
        (_, _, false, false) => Alphabet::Upper,
    })
}

/// Whether packed letters take no more bits, or hardly more, than a model of these sorted words.
fn is_random(dictionary: &ByteColumn, words: &[u32]) -> bool {
    let all: Vec<&[u8]> = words.iter().map(|&word| dictionary.get(word as usize)).collect();
    let Some(shape) = Shape::of(&all) else {
        return false;
    };
    let sample: Vec<&[u8]> = all.iter().copied().step_by(all.len().div_ceil(SAMPLE)).collect();
    // What sorted words share with the one before, neither form keeps.
    let packed = shape.bits() as f64 - (sample.len() as f64).log2() + 2.0;
    packed * sample.len() as f64 * 100.0 <= modelled_bits(&sample) * HUNDREDTHS
}

/// Bits of sorted words, but for what each shares with the one before, under the odds of each letter after the one and
/// the three before it.
fn modelled_bits(words: &[&[u8]]) -> f64 {
    // How often a letter came after some letters, and how often any did.
    let mut pairs = vec![0u16; TABLE];
    let mut seen = vec![0u16; TABLE];
    let place = |key: u32| (key.wrapping_mul(0x9e37_79b1) >> 15) as usize % TABLE;
    let mut bits = 0.0;
    let mut before: &[u8] = &[];
    for &word in words {
        let shared = word.iter().zip(before).take_while(|(a, b)| a == b).count();
        let mut context = 0u32;
        for (index, byte) in word.iter().copied().chain([0]).enumerate() {
            let mut odds = 1.0 / 64.0;
            for (order, mask, weight) in [(1u32, 0, 4.0), (2, 0xff, 2.0), (3, 0x00ff_ffff, 1.0)] {
                let key = (context & mask).wrapping_mul(0x01b5_6c4f) ^ order << 27;
                let (all, one) = (place(key), place(key ^ ((u32::from(byte) + 1) * 0x0003_4a65)));
                odds = (f64::from(pairs[one]) + weight * odds) / (f64::from(seen[all]) + weight);
                if pairs[one] < u16::MAX && seen[all] < u16::MAX {
                    pairs[one] += 1;
                    seen[all] += 1;
                }
            }
            if index >= shared {
                bits -= odds.min(1.0).log2();
            }
            context = context << 8 | u32::from(byte);
        }
        before = word;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(words: impl Iterator<Item = String>) -> Vec<usize> {
        let words: std::collections::BTreeSet<String> = words.collect();
        let mut dictionary = ByteColumn::default();
        words.iter().for_each(|word| dictionary.push(word.as_bytes()));
        choose(&dictionary).iter().map(Vec::len).collect()
    }

    fn random(letters: &[u8], length: usize, seed: u64) -> String {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(letters[(state >> 20) as usize % letters.len()])
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn ids_are_pools_and_words_are_not() {
        let all = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let ids = |letters: &'static [u8], length: usize| {
            pools((0..800).map(move |seed| random(letters, length, seed)))
                .iter()
                .sum::<usize>()
        };
        assert!(ids(all, 18) > 760);
        assert!(ids(&all[..16], 32) > 760);
        assert!(ids(&all[..32], 26) > 700);
        assert_eq!(ids(&all[..36], 26), 0, "36 letters take the bits of 64");
        assert_eq!(ids(&all[10..36], 16), 0, "words of small letters");
        let prefixed = (0..300).map(|seed| format!("req_{}", random(all, 20, seed)));
        assert!(pools(prefixed).iter().sum::<usize>() > 280);
        let parts = [
            "Get", "Put", "List", "Scan", "Of", "V2", "Bucket", "User", "Role", "Tag", "Id4",
        ];
        let names =
            (0..1_331).map(|n| format!("{}{}{}Request", parts[n % 11], parts[n / 11 % 11], parts[n / 121]));
        assert_eq!(pools(names), [0; 0]);
        let few = (0..40).map(|seed| random(all, 18, seed));
        assert_eq!(pools(few), [0; 0]);
    }
}
