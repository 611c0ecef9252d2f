//! Bit packing that the parts of a block share: fixed-width numbers and Elias-gamma codes, lowest bit first.

/// Bytes that follow each packed stream, so that eight bytes can be read from any bit.
pub const PADDING: usize = 8;

/// Little-endian u64 at byte `at`.
#[inline(always)]
pub fn load(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

/// At least 57 bits from bit `at` on.
#[inline(always)]
pub fn window(bytes: &[u8], at: u64) -> Option<u64> {
    Some(load(bytes, usize::try_from(at / 8).ok()?)? >> (at % 8))
}

/// Number of `width` (at most 57) bits at place `index`.
#[inline]
pub fn packed(bytes: &[u8], index: u64, width: u32) -> Option<u64> {
    Some(window(bytes, index.checked_mul(u64::from(width))?)? & !(u64::MAX << width))
}

/// Bits needed for numbers below `end`.
pub fn width_below(end: u64) -> u32 {
    64 - end.saturating_sub(1).leading_zeros()
}

/// Writes bits, lowest first.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    used: u32,
}

impl BitWriter {
    /// Adds the low `width` (at most 32) bits of `value`.
    pub fn push(&mut self, value: u64, width: u32) {
        debug_assert!(width <= 32 && value >> width == 0, "the value fits its width");
        self.pending |= value << self.used;
        self.used += width;
        while self.used >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.used -= 8;
        }
    }

    /// Adds `value` (1 to 2^29 - 1) as zeros, a one, and the bits below the highest.
    pub fn gamma(&mut self, value: u64) {
        debug_assert!(value > 0 && value < 1 << 29, "gamma codes start at 1");
        let zeros = 63 - value.leading_zeros();
        self.push(0, zeros);
        self.push(1, 1);
        self.push(value & !(u64::MAX << zeros), zeros);
    }

    /// Bits written.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64 * 8 + u64::from(self.used)
    }

    /// The bytes, the last one filled with zeros.
    pub fn into_bytes(mut self) -> Vec<u8> {
        if self.used > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }

    /// The bytes, followed by [`PADDING`].
    pub fn into_padded(self) -> Vec<u8> {
        let mut bytes = self.into_bytes();
        bytes.resize(bytes.len() + PADDING, 0);
        bytes
    }
}

/// Value of the gamma code at the low end of `window`, and its length in bits.
#[inline]
pub fn read_gamma(window: u64) -> Option<(u64, u64)> {
    let zeros = u64::from(window.trailing_zeros());
    (zeros <= 28).then(|| {
        (
            1 << zeros | (window >> (zeros + 1)) & !(u64::MAX << zeros),
            2 * zeros + 1,
        )
    })
}
