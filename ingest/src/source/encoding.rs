//! Text that is not UTF-8, made UTF-8 while it is read.
//!
//! UTF-16 is known by its byte-order mark, which programs on Windows write. One byte for each letter cannot be told from
//! damage, so it has to be asked for; it is read as Windows-1252, which says the same as ISO 8859-1 (Latin 1) for all
//! letters, and gives the bytes 0x80 to 0x9f signs such as the euro's.

/// How the bytes of an input stand for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Encoding {
    /// UTF-8, or UTF-16 after a byte-order mark
    #[default]
    #[value(name = "utf-8")]
    Utf8,
    /// Western European, a byte a letter: ISO 8859-1, Windows-1252
    #[value(name = "latin1", alias = "windows-1252", alias = "iso-8859-1")]
    Latin1,
}

/// Windows-1252 from 0x80 to 0x9f; five of these stand for no letter and stay control characters.
const SIGNS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

#[derive(Debug, Clone, Copy)]
enum State {
    Start,
    AsIs,
    Letters,
    Utf16 { big_endian: bool },
}

/// Turns the chunks of an input into UTF-8.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Bytes that mean nothing without those to come; at most three.
    pending: Vec<u8>,
}

impl Decoder {
    pub fn new(encoding: Encoding) -> Decoder {
        Decoder {
            state: match encoding {
                Encoding::Utf8 => State::Start,
                Encoding::Latin1 => State::Letters,
            },
            pending: Vec::new(),
        }
    }

    /// The next chunk as UTF-8. Without a mark, UTF-8 passes as it is, damage included.
    pub fn decode(&mut self, mut chunk: Vec<u8>) -> Vec<u8> {
        if !self.pending.is_empty() {
            self.pending.append(&mut chunk);
            chunk = std::mem::take(&mut self.pending);
        }
        if let State::Start = self.state {
            match *chunk.as_slice() {
                [0xff | 0xfe] => {
                    self.pending = chunk;
                    return Vec::new();
                }
                [0xff, 0xfe, ..] => self.state = State::Utf16 { big_endian: false },
                [0xfe, 0xff, ..] => self.state = State::Utf16 { big_endian: true },
                [] => return chunk,
                _ => self.state = State::AsIs,
            }
            if let State::Utf16 { .. } = self.state {
                chunk.drain(..2);
            }
        }
        match self.state {
            State::Start | State::AsIs => chunk,
            State::Letters => chunk
                .iter()
                .map(|&byte| letter(byte))
                .collect::<String>()
                .into_bytes(),
            State::Utf16 { big_endian } => self.decode_pairs(&chunk, big_endian),
        }
    }

    fn decode_pairs(&mut self, chunk: &[u8], big_endian: bool) -> Vec<u8> {
        let unit = |pair: &[u8]| match (pair, big_endian) {
            ([high, low], true) | ([low, high], false) => u16::from(*high) << 8 | u16::from(*low),
            _ => 0,
        };
        let mut whole = chunk.len() / 2 * 2;
        // The first half of a letter of two units waits for the other.
        let last = chunk.get(whole.wrapping_sub(2)..whole).map(unit);
        if last.is_some_and(|last| (0xd800..0xdc00).contains(&last)) {
            whole -= 2;
        }
        let (whole, rest) = chunk.split_at(whole);
        self.pending.extend_from_slice(rest);
        char::decode_utf16(whole.chunks_exact(2).map(unit))
            .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
            .into_bytes()
    }
}

fn letter(byte: u8) -> char {
    let sign = byte.checked_sub(0x80).and_then(|at| SIGNS.get(usize::from(at)));
    sign.copied().unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn decode(encoding: Encoding, bytes: &[u8], step: usize) -> Vec<u8> {
        let mut decoder = Decoder::new(encoding);
        bytes
            .chunks(step.max(1))
            .flat_map(|chunk| decoder.decode(chunk.to_vec()))
            .collect()
    }

    #[test]
    fn letters_of_one_byte() {
        let text = decode(Encoding::Latin1, b"Gr\xfc\xdfe 5 \x80 \x9f", 3);
        assert_eq!(String::from_utf8(text).unwrap(), "Grüße 5 € Ÿ");
        assert_eq!(decode(Encoding::Utf8, b"Gr\xfc", 1), b"Gr\xfc");
    }

    proptest! {
        #[test]
        fn marked_utf16_is_read_in_pieces_of_any_size(text in "\\PC{0,40}", step in 1usize..9) {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            let little: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = little.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
            for bytes in [&little, &big] {
                prop_assert_eq!(decode(Encoding::Utf8, bytes, step), text.as_bytes());
            }
        }

        #[test]
        fn any_bytes_become_utf8_or_pass(bytes in proptest::collection::vec(any::<u8>(), 0..60), step in 1usize..9) {
            prop_assert!(String::from_utf8(decode(Encoding::Latin1, &bytes, step)).is_ok());
            let read = decode(Encoding::Utf8, &bytes, step);
            if !bytes.starts_with(&[0xff]) && !bytes.starts_with(&[0xfe]) {
                prop_assert_eq!(read, bytes);
            }
        }
    }
}
