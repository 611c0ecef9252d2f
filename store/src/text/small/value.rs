//! Values of columns under what stands around them: the values before in the column and to the left in the row, and
//! what two tables expect. One remembers what followed a value anywhere, the other what stood at this place lately.

use super::coder::Coder;
use super::mix::{Mixer, Set, bits_of, hash};

/// First of the weights that columns share; those before are for other symbols.
const FIRST_COLUMN: usize = 64;
/// Kind of symbols of a known width, and of lengths of numbers; one more is what follows a length.
const SYMBOL: usize = 10;
const LENGTH: usize = 12;

/// What stands around a value.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    /// Number of the column's field among all fields.
    pub field: usize,
    /// The last two values of the field.
    pub before: [u64; 2],
    /// The values to the left in the row.
    pub left: [u64; 2],
    /// What followed the value to the left when it last stood anywhere, and how often in turn (at most 7).
    pub followed: Option<(u64, u32)>,
    /// What stood at this place lately, in any template.
    pub above: Option<u64>,
}

/// Bits of a value, and what is expected of them.
struct Bits {
    width: u32,
    /// Tells these bits from others of the same field.
    part: u64,
    followed: Option<u64>,
    above: Option<u64>,
    value: u64,
}

impl Around {
    /// A value of `width` bits.
    pub fn symbol<C: Coder>(&self, mixer: &mut Mixer<C>, width: u32, value: u64) -> u64 {
        let fits = |expected: &u64| bits_of(*expected) <= width;
        let bits = Bits {
            width,
            part: 0,
            followed: self.followed.map(|(value, _)| value).filter(fits),
            above: self.above.filter(fits),
            value,
        };
        self.bits(mixer, SYMBOL, &bits)
    }

    /// A value of up to 64 bits.
    pub fn number<C: Coder>(&self, mixer: &mut Mixer<C>, value: u64) -> u64 {
        let followed = self.followed.map(|(value, _)| value);
        let length = |value: u64| u64::from(bits_of(value));
        let bits = Bits {
            width: 7,
            part: 1,
            followed: followed.map(length),
            above: self.above.map(length),
            value: length(value),
        };
        let found = self.bits(mixer, LENGTH, &bits).min(64);
        if found <= 1 {
            return found;
        }
        let width = found as u32 - 1;
        let low = |value: u64| value & !(1 << width);
        let as_long = |value: &u64| bits_of(*value) == width + 1;
        let bits = Bits {
            width,
            part: found + 2,
            followed: followed.filter(as_long).map(low),
            above: self.above.filter(as_long).map(low),
            value: low(value),
        };
        self.bits(mixer, LENGTH + 1, &bits) | 1 << width
    }

    fn bits<C: Coder>(&self, mixer: &mut Mixer<C>, kind: usize, bits: &Bits) -> u64 {
        let field = hash(self.field as u64, 50);
        let [before, before2] = self.before;
        let [left, left2] = self.left;
        let seen = [
            hash(field, 1),
            hash(hash(field, 2), before),
            hash(hash(hash(field, 3), before), before2),
            hash(hash(field, 4), left),
            hash(hash(hash(field, 5), left), left2),
            hash(hash(hash(field, 6), left), before),
        ];
        let trust = self.followed.map_or(0, |(_, trust)| u64::from(trust));
        let set = Set {
            kind,
            column: FIRST_COLUMN + self.field,
        };
        let top = 1 << bits.width;
        let mut node = 1u64;
        for place in 0..bits.width {
            let left = bits.width - 1 - place;
            // The next bit of what is expected, as long as that agrees: 0 for none, else 1 + the bit.
            let next = |expected: Option<u64>| match expected {
                Some(value) if (value | top) >> (left + 1) == node => 1 + (value >> left & 1),
                _ => 0,
            };
            let (followed, above) = (next(bits.followed), next(bits.above));
            let place = u64::from(place.min(15));
            let node_here = hash(node, bits.part);
            let mut contexts = [0; 10];
            for (context, seen) in contexts.iter_mut().zip(seen) {
                *context = hash(seen, node_here);
            }
            contexts[6] = hash(hash(60 + followed, trust), place * 4 + bits.part.min(3));
            contexts[7] = hash(hash(70 + followed, trust), field);
            contexts[8] = hash(80 + above, field);
            contexts[9] = hash(90 + followed * 3 + above, trust * 16 + place);
            let bit = mixer.bit(&contexts, set, place as usize, bits.value >> left & 1 == 1);
            node = node << 1 | u64::from(bit);
        }
        node ^ top
    }
}

/// What followed values when they last stood anywhere.
#[derive(Debug)]
pub struct Followers(Vec<(u32, u64)>);

impl Followers {
    /// A table of 2^`table_bits`.
    pub fn new(table_bits: u32) -> Self {
        Followers(vec![(0, 0); 1 << table_bits])
    }

    fn place(&self, key: u64) -> usize {
        hash(key, 0) as usize & (self.0.len() - 1)
    }

    /// What followed last, and how often in turn.
    pub fn get(&self, key: u64) -> Option<(u64, u32)> {
        let &(trust, value) = self.0.get(self.place(key))?;
        (trust > 0).then_some((value, trust))
    }

    /// Notes what follows.
    pub fn note(&mut self, key: u64, value: u64) {
        let place = self.place(key);
        let known = &mut self.0[place];
        *known = if *known == (known.0.max(1), value) {
            ((known.0 + 1).min(7), value)
        } else {
            (1, value)
        };
    }
}
