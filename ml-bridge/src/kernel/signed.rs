//! Bytes of a file as the int8 numbers that they are.
#![allow(unsafe_code)]

/// `bytes` as int8.
pub fn signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: both have one byte an element, and every byte is an int8; the result lives as long as `bytes`.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}
