//! Odds of a bit from what was seen in several contexts, each weighed by how right it has been.
//!
//! ```text
//! slot      of a context and the bits of the symbol so far: odds (16 bits), how often it was asked (6), check (10)
//! weights   one for each context, in two sets: of the kind of symbol and the place in it, and of the column
//! ```
//!
//! Slots lie in a table by hash; a slot that another one took starts again. All arithmetic is on integers, so that
//! every machine finds the same odds.
//!
//! After Mahoney, "Adaptive weighing of context models for lossless data compression" (2005).

use super::coder::Coder;

/// Contexts of a symbol at most.
pub const MAX_CONTEXTS: usize = 10;
/// Kinds of symbols.
pub const KINDS: usize = 32;
/// Places in a symbol that have weights of their own.
const PLACES: usize = 16;
/// Weights of columns; columns share them in turn.
pub const COLUMNS: usize = 1 << 11;
const FIRST_WEIGHT: i32 = 20_480;
/// How fast weights follow.
const RATE: i32 = 10;
/// Times a slot is asked after which its odds follow no slower.
const LIMIT: u32 = 60;

/// What a block may say at most. Certain decisions take next to no bytes, so that a few bytes might say what takes hours
/// or does not fit into memory; both limits are beyond any block that is written.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Decisions: eight for each byte of the longest row that there may be, and as many again.
    pub decisions: u64,
    /// Bytes of all words: twice those of the longest row.
    pub word_bytes: usize,
}

impl Limits {
    /// Those of the format.
    pub const FORMAT: Limits = Limits {
        decisions: 1 << 30,
        word_bytes: 128 << 20,
    };
}

const UNKNOWN: u32 = 0x8000_0000;
const CHECK: u32 = 0x3ff;

/// Which weights a symbol has.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    /// Its kind, below [`KINDS`].
    pub kind: usize,
    /// The column that it is of, or another number.
    pub column: usize,
}

/// A stream of decisions, and what is known of them.
#[derive(Debug)]
pub struct Mixer<C> {
    coder: C,
    tables: Tables,
    slots: Vec<u32>,
    by_kind: Vec<i32>,
    by_column: Vec<i32>,
    decisions: u64,
    limits: Limits,
}

/// Joins two numbers to one that looks random.
#[inline]
pub fn hash(a: u64, b: u64) -> u64 {
    let x = (a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

#[derive(Debug)]
struct Tables {
    /// Odds of 4,096 for x from -2,048 to 2,047, in steps of 1/256 of the logarithm of odds against.
    squash: Vec<i32>,
    /// The least x with at least these odds.
    stretch: Vec<i32>,
    /// 16,384 / (times asked + 1.6).
    rates: [u32; 64],
}

impl Tables {
    fn new() -> Tables {
        // The logistic curve at multiples of 128; between them it is straight.
        const CURVE: [i32; 33] = [
            1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348,
            3607, 3785, 3901, 3975, 4024, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
        ];
        let squash: Vec<i32> = (0..4096usize)
            .map(|x| {
                let (from, part) = (x >> 7, (x & 127) as i32);
                (CURVE[from] * (128 - part) + CURVE[from + 1] * part + 64) >> 7
            })
            .collect();
        let stretch = (0..4096)
            .map(|odds| squash.partition_point(|&found| found < odds) as i32 - 2048)
            .map(|x| x.clamp(-2047, 2047))
            .collect();
        let mut rates = [0; 64];
        for (asked, rate) in (0u32..).zip(&mut rates) {
            *rate = 163_840 / (asked * 10 + 16);
        }
        Tables {
            squash,
            stretch,
            rates,
        }
    }

    #[inline]
    fn squash(&self, x: i32) -> i32 {
        self.squash[(x.clamp(-2047, 2047) + 2048) as usize]
    }
}

impl<C: Coder> Mixer<C> {
    /// A stream with 2^`table_bits` slots.
    pub fn new(coder: C, table_bits: u32) -> Self {
        Mixer {
            coder,
            tables: Tables::new(),
            slots: vec![UNKNOWN; 1 << table_bits],
            by_kind: vec![FIRST_WEIGHT; KINDS * PLACES * MAX_CONTEXTS],
            by_column: vec![FIRST_WEIGHT; COLUMNS * MAX_CONTEXTS],
            decisions: 0,
            limits: Limits::FORMAT,
        }
    }

    /// The same stream under other limits.
    #[cfg(test)]
    pub fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What the stream may say at most.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether more was read than there is, or than may be.
    pub fn overrun(&self) -> bool {
        self.coder.overrun() || self.decisions > self.limits.decisions
    }

    /// Number of decisions so far.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// The coder.
    pub fn into_coder(self) -> C {
        self.coder
    }

    /// Writes `bit`, or reads one; it is at `place` of its symbol.
    #[inline]
    pub fn bit(&mut self, contexts: &[u64], set: Set, place: usize, bit: bool) -> bool {
        let count = contexts.len().min(MAX_CONTEXTS);
        let mut places = [0; MAX_CONTEXTS];
        let mut inputs = [0; MAX_CONTEXTS];
        let last = self.slots.len() - 1;
        for ((&context, place), input) in contexts.iter().zip(&mut places).zip(&mut inputs) {
            let hash = hash(context, 0);
            let check = (hash >> 40) as u32 & CHECK;
            *place = hash as usize & last;
            let slot = &mut self.slots[*place];
            if *slot & CHECK != check {
                *slot = UNKNOWN | check;
            }
            *input = self.tables.stretch[(*slot >> 20) as usize];
        }
        let kind = ((set.kind % KINDS) * PLACES + place.min(PLACES - 1)) * MAX_CONTEXTS;
        let column = set.column % COLUMNS * MAX_CONTEXTS;
        let by_kind = &mut self.by_kind[kind..kind + count];
        let by_column = &mut self.by_column[column..column + count];
        let sum = |weights: &[i32]| -> i32 {
            let sum: i64 = weights
                .iter()
                .zip(&inputs)
                .map(|(&weight, &input)| i64::from(weight) * i64::from(input))
                .sum();
            (sum >> 16).clamp(-2047, 2047) as i32
        };
        let (x, y) = (sum(by_kind), sum(by_column));
        let odds = self.tables.squash((x + y) >> 1) as u32;
        self.decisions += 1;
        let bit = self.coder.bit((odds << 4 | 8).clamp(32, 65_504), bit);
        let right = if bit { 4095 } else { 0 };
        for (weights, x) in [(by_kind, x), (by_column, y)] {
            let error = (right - self.tables.squash(x)) * RATE;
            for (weight, &input) in weights.iter_mut().zip(&inputs) {
                *weight = weight.wrapping_add((input * error + 0x8000) >> 16);
            }
        }
        for &place in places.iter().take(count) {
            let slot = &mut self.slots[place];
            let (odds, asked) = (*slot >> 16, *slot >> 10 & 63);
            let rate = self.tables.rates[asked as usize];
            let odds = if bit {
                odds + (((0xffff - odds) * rate) >> 14)
            } else {
                odds - ((odds * rate) >> 14)
            };
            *slot = odds << 16 | (asked + u32::from(asked < LIMIT)) << 10 | *slot & CHECK;
        }
        bit
    }

    /// A symbol of `width` bits, highest first.
    pub fn symbol(&mut self, contexts: &[u64], width: u32, set: Set, value: u64) -> u64 {
        let mut mixed = [0; MAX_CONTEXTS];
        let count = contexts.len().min(MAX_CONTEXTS);
        let mut node = 1u64;
        for place in 0..width {
            for (mixed, &context) in mixed.iter_mut().zip(contexts) {
                *mixed = hash(context, node);
            }
            let bit = value >> (width - 1 - place) & 1 == 1;
            let bit = self.bit(&mixed[..count], set, place as usize, bit);
            node = node << 1 | u64::from(bit);
        }
        node ^ 1 << width
    }

    /// A number: its length in bits, then the bits below the highest, in kinds `set.kind` and the one after.
    pub fn number(&mut self, contexts: &[u64], set: Set, value: u64) -> u64 {
        let length = self.symbol(contexts, 7, set, u64::from(bits_of(value))).min(64) as u32;
        if length <= 1 {
            return u64::from(length);
        }
        let mut mixed = [0; MAX_CONTEXTS];
        for (mixed, &context) in mixed.iter_mut().zip(contexts) {
            *mixed = hash(context, 1000 + u64::from(length));
        }
        let below = set_after(set);
        let high = 1 << (length - 1);
        let count = contexts.len().min(MAX_CONTEXTS);
        high | self.symbol(&mixed[..count], length - 1, below, value & !high)
    }
}

/// Bits that a number has, 0 for 0.
#[inline]
pub fn bits_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// The weights of what follows a length.
pub fn set_after(set: Set) -> Set {
    Set {
        kind: set.kind + 1,
        ..set
    }
}

#[cfg(test)]
mod tests {
    use super::super::coder::{Decoder, Encoder};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn numbers_come_back(values in proptest::collection::vec((0u64..3, prop_oneof![0u64..5, any::<u64>()]), 0..300)) {
            let set = Set { kind: 3, column: 7 };
            let mut out = Mixer::new(Encoder::new(), 10);
            for &(context, value) in &values {
                let contexts = [context, hash(context, 1), 7];
                prop_assert_eq!(out.number(&contexts, set, value), value);
                prop_assert_eq!(out.symbol(&contexts, 2, set, context), context);
            }
            let bytes = out.into_coder().finish();
            let mut back = Mixer::new(Decoder::new(&bytes), 10);
            for &(context, value) in &values {
                let contexts = [context, hash(context, 1), 7];
                prop_assert_eq!(back.number(&contexts, set, 0), value);
                prop_assert_eq!(back.symbol(&contexts, 2, set, 0), context);
            }
            prop_assert!(!back.overrun());
        }
    }
}
