//! Numbers of up to 64 bits in a packed stream.

pub use crate::text::fm::packed::load;
use crate::text::fm::packed::window;
pub use crate::text::fm::packed::{BitWriter, width_below};

/// Adds the low `width` (at most 64) bits of `value`.
pub fn push(out: &mut BitWriter, value: u64, width: u32) {
    if width > 32 {
        out.push(value & 0xffff_ffff, 32);
        out.push(value >> 32, width - 32);
    } else {
        out.push(value, width);
    }
}

/// The `width` (at most 64) bits from bit `at` on.
#[inline(always)]
pub fn read(bytes: &[u8], at: u64, width: u32) -> Option<u64> {
    if width > 56 {
        let low = window(bytes, at)? & 0xffff_ffff;
        let high = window(bytes, at.checked_add(32)?)? & !(u64::MAX << (width - 32));
        return Some(high << 32 | low);
    }
    Some(window(bytes, at)? & !(u64::MAX << width))
}
