//! Copies and literals, entropy-coded: for text that is read once and whole.
//!
//! Good at near-equal pieces, which templates of one source are: a copy that goes on at the same distance after a
//! change costs about a byte.
//!
//! ```text
//! per step    a bit: copy or literal, by what the last two steps were
//! literal     a byte, by the byte before
//! copy        a bit: the distance of the last copy, or a new one as a number; the length less 2 (less 4 if new)
//! ```

use super::coder::{Decoder, EVEN, Encoder, Numbers, Odds, Symbols};

/// Shortest copy at a new distance.
const SHORTEST: usize = 4;
/// Shortest copy at the last distance.
const SHORTEST_AGAIN: usize = 2;
const HASH_BITS: u32 = 16;
/// Earlier places tried for a copy.
const TRIES: usize = 32;

struct Model {
    copy: [Odds; 4],
    again: [Odds; 4],
    literals: Symbols,
    lengths: Numbers,
    distances: Numbers,
}

impl Model {
    fn new() -> Self {
        Model {
            copy: [EVEN; 4],
            again: [EVEN; 4],
            literals: Symbols::new(8, 256),
            lengths: Numbers::new(2),
            distances: Numbers::new(3),
        }
    }
}

fn distance_context(length: usize) -> usize {
    match length {
        0..=7 => 0,
        8..=31 => 1,
        _ => 2,
    }
}

/// Places with equal next bytes, chained from the latest back.
struct Chains {
    heads: Vec<u32>,
    links: Vec<u32>,
}

impl Chains {
    fn new(len: usize) -> Self {
        Chains {
            heads: vec![0; 1 << HASH_BITS],
            links: vec![0; len],
        }
    }

    fn place(bytes: &[u8], at: usize) -> Option<usize> {
        let word = u32::from_le_bytes(bytes.get(at..at + SHORTEST)?.try_into().ok()?);
        Some((word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize)
    }

    fn add(&mut self, bytes: &[u8], at: usize) {
        if let Some(place) = Chains::place(bytes, at) {
            self.links[at] = self.heads[place];
            self.heads[place] = at as u32 + 1;
        }
    }

    /// The longest copy for `at` as `(distance, length)`; of equal ones the nearest.
    fn find(&self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let mut best = None;
        let mut most = SHORTEST - 1;
        let mut next = self.heads[Chains::place(bytes, at)?];
        for _ in 0..TRIES {
            if next == 0 {
                break;
            }
            let from = next as usize - 1;
            let length = agreement(bytes, from, at);
            if length > most {
                most = length;
                best = Some((at - from, length));
            }
            next = self.links[from];
        }
        best
    }
}

fn agreement(bytes: &[u8], from: usize, at: usize) -> usize {
    bytes[from..]
        .iter()
        .zip(&bytes[at..])
        .take_while(|(a, b)| a == b)
        .count()
}

/// Packs `bytes` (fewer than 2^32).
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut coder = Encoder::new();
    let mut model = Model::new();
    let mut chains = Chains::new(bytes.len());
    let (mut at, mut last, mut state) = (0, 0, 0usize);
    while at < bytes.len() {
        let again = if last > 0 {
            agreement(bytes, at - last, at)
        } else {
            0
        };
        let mut found = chains.find(bytes, at);
        if again >= SHORTEST_AGAIN && found.is_none_or(|(_, length)| length < again + 5) {
            found = Some((last, again));
        }
        if let Some((distance, length)) = found {
            // A literal first, if that leads to a longer copy.
            let next = chains.find(bytes, at + 1);
            if distance != last && next.is_some_and(|(_, other)| other > length + 1) {
                found = None;
            }
        }
        coder.bit(&mut model.copy[state], found.is_some());
        let step = match found {
            None => {
                let before = at.checked_sub(1).map_or(0, |before| bytes[before]);
                model
                    .literals
                    .write(&mut coder, usize::from(before), usize::from(bytes[at]));
                1
            }
            Some((distance, length)) => {
                let same = distance == last;
                coder.bit(&mut model.again[state], same);
                let shortest = if same { SHORTEST_AGAIN } else { SHORTEST };
                model
                    .lengths
                    .write(&mut coder, usize::from(same), (length - shortest) as u64);
                if !same {
                    model
                        .distances
                        .write(&mut coder, distance_context(length), distance as u64);
                    last = distance;
                }
                length
            }
        };
        for place in at..at + step {
            chains.add(bytes, place);
        }
        at += step;
        state = state << 1 & 3 | usize::from(found.is_some());
    }
    coder.finish()
}

/// Unpacks exactly `len` bytes; `None` if the bytes make no sense.
pub fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut coder = Decoder::new(packed);
    let mut model = Model::new();
    let mut out: Vec<u8> = Vec::with_capacity(len.min(1 << 20));
    let (mut last, mut state) = (0usize, 0usize);
    while out.len() < len {
        if coder.overrun() {
            return None;
        }
        let copy = coder.bit(model.copy.get_mut(state)?);
        if copy {
            let same = coder.bit(model.again.get_mut(state)?);
            let shortest = if same { SHORTEST_AGAIN } else { SHORTEST };
            let length = usize::try_from(model.lengths.read(&mut coder, usize::from(same))).ok()?;
            let length = length.checked_add(shortest)?;
            if !same {
                let distance = model.distances.read(&mut coder, distance_context(length));
                last = usize::try_from(distance).ok()?;
            }
            let from = out.len().checked_sub(last)?;
            if last == 0 || length > len - out.len() {
                return None;
            }
            for place in from..from + length {
                out.push(*out.get(place)?);
            }
        } else {
            let before = out.last().copied().unwrap_or(0);
            out.push(model.literals.read(&mut coder, usize::from(before)) as u8);
        }
        state = state << 1 & 3 | usize::from(copy);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bytes_come_back(pieces in proptest::collection::vec(("[abc]{0,9}", 1usize..4), 0..60), at in any::<usize>(), with in 1u8..255) {
            let bytes: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times).into_bytes()).collect();
            let mut packed = pack(&bytes);
            prop_assert_eq!(unpack(&packed, bytes.len()), Some(bytes.clone()));
            if !packed.is_empty() {
                let place = at % packed.len();
                packed[place] ^= with;
                let found = unpack(&packed, bytes.len());
                prop_assert!(found.is_none_or(|found| found.len() == bytes.len()));
            }
        }
    }
}
