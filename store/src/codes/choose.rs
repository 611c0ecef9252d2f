//! Which code layout a column gets: what its stream wishes, unless another one is better at that too.
//!
//! | wish | for | gets |
//! |---|---|---|
//! | `rank` | any order statistic and count without decoding | wavelet matrix |
//! | `scan` | decoding and filtering at the speed of memory | packed blocks |
//! | `small` | rows that are seldom read | mini-blocks, or the wavelet matrix where that is no larger |
//! | `fm` | counting substrings of texts | as `rank`; it is about texts |
//!
//! One code, however often, is a constant under any wish. A wish is a request to the encoder and is kept in the
//! manifest; a file says what it holds, so readers need no wish.

pub use super::layout::{Dial, FmParts, Layout, MiniBlock};
use super::{CodesKind, small, wavelet};

/// Codes in a piece of a sample, and such pieces; fewer codes than that are tried whole.
const PIECE: usize = 256;
const PIECES: usize = 16;
/// Pieces of the sample that a wavelet matrix is made of, and the share of the codes that each of them is.
const LONG_PIECES: usize = 4;
const LONG_SHARE: usize = 64;

/// The layout that `codes` get under a wish.
///
/// # Complexity
/// Linear in the number of equal codes at the start; a sample of the codes where layouts are compared.
pub fn choose(codes: &[u64], wish: Layout) -> CodesKind {
    let Some(first) = codes.first() else {
        return CodesKind::Constant;
    };
    if codes.iter().all(|code| code == first) {
        return CodesKind::Constant;
    }
    match wish {
        Layout::Small(rows) if wavelet_is_no_larger(codes, rows) => CodesKind::Wavelet,
        _ => wish.kind(),
    }
}

/// Encodes `codes` as `wish` asks: the layout they got, and its bytes.
pub fn encode(codes: &[u64], wish: Layout) -> (CodesKind, Vec<u8>) {
    let kind = choose(codes, wish);
    let bytes = match (kind, wish) {
        (CodesKind::Wavelet, Layout::Rank(Dial::Smaller)) => {
            wavelet::encode_with(codes, wavelet::Price::SMALL)
        }
        (CodesKind::Small, Layout::Small(rows)) => small::encode_with(codes, small_options(rows)),
        _ => super::encode(kind, codes),
    };
    (kind, bytes)
}

fn small_options(block_rows: MiniBlock) -> small::Options {
    small::Options {
        block_rows,
        ..small::Options::default()
    }
}

/// Whether mini-blocks would save nothing: where codes rarely change, or where few of them come back in no order.
fn wavelet_is_no_larger(codes: &[u64], rows: MiniBlock) -> bool {
    let options = small_options(rows);
    if codes.len() <= PIECE * PIECES {
        return wavelet::encode(codes).len() <= small::encode_with(codes, options).len();
    }
    let small_bits = small::estimate_bits(&pieces(codes, PIECE, PIECES), options);
    // Longer pieces, since their joints are changes that the column does not have.
    let sample = pieces(codes, (codes.len() / LONG_SHARE).max(PIECE), LONG_PIECES).concat();
    let wavelet_bits = wavelet::encode(&sample).len() as f64 * 8.0 / sample.len() as f64;
    wavelet_bits <= small_bits
}

/// Stretches of `piece` consecutive codes, `count` of them, evenly spread.
fn pieces(codes: &[u64], piece: usize, count: usize) -> Vec<&[u64]> {
    let room = codes.len().saturating_sub(piece);
    (0..count)
        .map(|i| i * room / (count - 1).max(1))
        .filter_map(|start| codes.get(start..start + piece))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_wish_is_followed_where_it_makes_sense() {
        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 52
        };
        let codes: Vec<u64> = (0..50_000).map(|_| noise()).collect();
        for wish in Layout::ALL {
            assert_eq!(choose(&codes, wish), wish.kind());
        }
        // One change in a long column: whatever is chosen is no larger than the wish.
        for len in [100, 3_000, 50_000] {
            let codes: Vec<u64> = (0..len).map(|i| u64::from(i > len / 3)).collect();
            for wish in [Layout::default(), Layout::Scan, Layout::Small(MiniBlock::Rows256)] {
                let (kind, bytes) = encode(&codes, wish);
                assert!(
                    bytes.len() <= super::super::encode(wish.kind(), &codes).len(),
                    "{wish}: {kind:?}"
                );
            }
        }
    }

    #[test]
    fn pieces_are_spread_evenly() {
        let codes: Vec<u64> = (0..10_000).collect();
        let found = pieces(&codes, 256, 16);
        assert_eq!(found.len(), 16);
        assert_eq!((found[0][0], found[15][255]), (0, 9_999));
    }

    #[test]
    fn one_code_is_a_constant_under_any_wish() {
        for wish in Layout::ALL {
            assert_eq!(choose(&[7; 100], wish), CodesKind::Constant);
            assert_eq!(choose(&[], wish), CodesKind::Constant);
        }
    }
}
