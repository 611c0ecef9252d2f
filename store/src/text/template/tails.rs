//! The last bytes of words, side by side: words that end with something are found in a pass over these.

/// Bytes of each word.
pub const TAIL_BYTES: usize = 4;
/// Tails that are compared together.
const TOGETHER: usize = 32;

/// The last bytes of each word, the last one lowest.
#[derive(Debug, Default)]
pub struct Tails(Vec<u32>);

fn packed(bytes: &[u8]) -> u32 {
    let start = bytes.len().saturating_sub(TAIL_BYTES);
    let tail = bytes.get(start..).unwrap_or_default();
    tail.iter().fold(0, |tail, &byte| tail << 8 | u32::from(byte))
}

impl Tails {
    /// Adds a word, of which the last [`TAIL_BYTES`] bytes are enough.
    pub fn push(&mut self, word: &[u8]) {
        self.0.push(packed(word));
    }

    /// Numbers of the words whose last bytes are the last ones of `bytes`, increasing. No word holds a byte 0, so shorter
    /// words are told from longer ones.
    pub fn find(&self, bytes: &[u8], ignore_case: bool) -> Vec<u64> {
        if bytes.contains(&0) {
            return Vec::new();
        }
        let wanted = packed(bytes);
        let length = bytes.len().min(TAIL_BYTES);
        let mask = match length {
            TAIL_BYTES => u32::MAX,
            length => !(u32::MAX << (8 * length)),
        };
        let fits = |tail: u32| {
            if !ignore_case {
                return tail & mask == wanted;
            }
            let (tail, wanted) = ((tail & mask).to_le_bytes(), wanted.to_le_bytes());
            tail.eq_ignore_ascii_case(&wanted)
        };
        let mut found = Vec::new();
        for (first, tails) in (0u64..).step_by(TOGETHER).zip(self.0.chunks(TOGETHER)) {
            // Most stretches have none, which is told without a branch for each.
            let any = |any: bool, &tail: &u32| any | (tail & mask == wanted);
            if !ignore_case && !tails.iter().fold(false, any) {
                continue;
            }
            let here = (first..).zip(tails).filter(|(_, tail)| fits(**tail));
            found.extend(here.map(|(id, _)| id));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_tell_ends() {
        let words: [&[u8]; 6] = [b"abcdefg", b"efg", b"DEFG", b"g", b"xdefg", b""];
        let mut tails = Tails::default();
        words.iter().for_each(|word| tails.push(word));
        assert_eq!(tails.find(b"g", false), [0, 1, 3, 4]);
        assert_eq!(tails.find(b"efg", false), [0, 1, 4]);
        assert_eq!(tails.find(b"efg", true), [0, 1, 2, 4]);
        assert_eq!(tails.find(b"zzdefg", false), [0, 4]);
        assert_eq!(tails.find(b"\0g", false), [0; 0]);
    }
}
