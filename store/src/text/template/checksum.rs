//! Checksums at the end of instruments' lines, as in NMEA 0183: `*` and two hexadecimal digits, the exclusive or of all
//! bytes between `$` or `!` and `*`.
//!
//! A column of them says nothing but its exceptions: what a row has is computed from the bytes before it.

use super::filter::{Fit, Test};

/// Bytes of a checksum.
pub const LENGTH: usize = 2;

/// The checksum behind the bytes `front` of a row; `None` if they do not end with `*`. It counts from the last `$` or `!`
/// on, or from the row's start.
pub fn of(front: &[u8]) -> Option<[u8; LENGTH]> {
    let body = front.strip_suffix(b"*")?;
    let start = memchr::memrchr2(b'$', b'!', body).map_or(0, |at| at + 1);
    let sum = body.get(start..)?.iter().fold(0, |sum, byte| sum ^ byte);
    let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
    Some([digit(sum >> 4), digit(sum & 15)])
}

/// Whether a byte may stand in one.
pub fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)
}

/// Whether a checksum may pass a test.
pub(super) fn may_pass(test: &Test) -> bool {
    let fits = match test.fit {
        Fit::Equals => test.bytes.len() == LENGTH,
        Fit::Starts | Fit::Ends | Fit::Contains => test.bytes.len() <= LENGTH,
    };
    let upper = |byte: &u8| {
        if test.ignore_case {
            byte.to_ascii_uppercase()
        } else {
            *byte
        }
    };
    fits && test.bytes.iter().map(upper).all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_receivers() {
        let sum = |front: &str| of(front.as_bytes()).map(|sum| String::from_utf8_lossy(&sum).into_owned());
        let fix = "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*";
        assert_eq!(sum(fix).as_deref(), Some("47"));
        assert_eq!(sum(&format!("12:35:19 {fix}")).as_deref(), Some("47"));
        assert_eq!(
            sum("!AIVDM,1,1,,A,14eG;o@034o8sd<L9i:a;WF>062D,0*").as_deref(),
            Some("7D")
        );
        assert_eq!(sum("*").as_deref(), Some("00"));
        assert_eq!(sum("a*b"), None);
        assert_eq!(sum(""), None);
    }
}
