//! The dictionary: words in byte order, in groups that are read on their own.
//!
//! Each word says how many letters it shares with the one before (the first of a group nothing), then its other letters
//! and an end.

use super::book::Letters;
use super::coder::{Decoder, Encoder};
use super::tree::{self, Before, MOST_DEEP};
use crate::batch::ByteColumn;

/// Words of a group.
pub const GROUP: usize = 16;
/// Stands for what the word before the first of a group shared.
const FIRST: u32 = 255;
/// Letters that a word shares at most, as it is written.
const MOST_SHARED: usize = 254;
/// Letters of a word at most.
const LONGEST: usize = 1 << 16;
/// Ends a word.
const END: u32 = 0;

fn shared_before(last: u32) -> Before {
    let mut before = [0; MOST_DEEP];
    before[0] = last;
    before
}

fn letters_before(word: &[u8]) -> Before {
    let mut before = [0; MOST_DEEP];
    for (before, &letter) in before.iter_mut().zip(word.iter().rev()) {
        *before = u32::from(letter);
    }
    before
}

/// Calls `shared` and `letter` with each symbol of the words, and what stands before it.
fn symbols(words: &ByteColumn, range: std::ops::Range<usize>, mut visit: impl FnMut(bool, Before, u32)) {
    let mut last = FIRST;
    for index in range.clone() {
        let word = words.get(index);
        let mut shared = 0;
        if index > range.start {
            let pairs = words.get(index - 1).iter().zip(word);
            shared = pairs.take_while(|(a, b)| a == b).count().min(MOST_SHARED);
            visit(true, shared_before(last), shared as u32);
            last = shared as u32;
        }
        let mut before = letters_before(&word[..shared]);
        for &letter in &word[shared..] {
            visit(false, before, u32::from(letter));
            before = [u32::from(letter), before[0], before[1], before[2]];
        }
        visit(false, before, END);
    }
}

fn groups(words: &ByteColumn) -> impl Iterator<Item = std::ops::Range<usize>> {
    let len = words.len();
    (0..len)
        .step_by(GROUP)
        .map(move |start| start..len.min(start + GROUP))
}

/// Models of letters, and of shared letters.
pub fn plan(words: &ByteColumn) -> (tree::Plan, tree::Plan) {
    let (mut letters, mut shares) = (Vec::new(), Vec::new());
    for group in groups(words) {
        symbols(words, group, |is_shared, before, symbol| {
            if is_shared {
                shares.push((before, symbol));
            } else {
                letters.push((before, symbol));
            }
        });
    }
    (
        tree::Plan::of(letters.into_iter(), MOST_DEEP),
        tree::Plan::of(shares.into_iter(), 1),
    )
}

/// Writes the groups; gives where each starts.
pub fn write(words: &ByteColumn, models: &Letters) -> (Vec<u64>, Vec<u8>) {
    let (mut starts, mut out) = (Vec::new(), Vec::new());
    for group in groups(words) {
        let mut coder = Encoder::new();
        symbols(words, group, |is_shared, before, symbol| {
            let tree = if is_shared {
                &models.shared
            } else {
                &models.letters
            };
            tree.encode(&mut coder, &before, symbol);
        });
        starts.push(out.len() as u64);
        out.extend(coder.finish_some());
    }
    (starts, out)
}

/// Reads the first `count` words of a group, calls `visit` with each. `None` if they make no sense.
pub fn read(models: &Letters, bytes: &[u8], count: usize, mut visit: impl FnMut(usize, &[u8])) -> Option<()> {
    let mut coder = Decoder::new(bytes);
    let mut word: Vec<u8> = Vec::new();
    let mut last = FIRST;
    for index in 0..count {
        let mut shared = 0;
        if index > 0 {
            last = models.shared.decode(&mut coder, &shared_before(last))?;
            shared = last as usize;
        }
        if shared > word.len() {
            return None;
        }
        word.truncate(shared);
        let mut before = letters_before(&word);
        loop {
            let letter = models.letters.decode(&mut coder, &before)?;
            if letter == END {
                break;
            }
            before = [letter, before[0], before[1], before[2]];
            word.push(letter as u8);
            if word.len() > LONGEST || coder.overrun() {
                return None;
            }
        }
        visit(index, &word);
    }
    Some(())
}
