//! Tables for shuffles of 16 bytes: for each pattern of bits, from where each byte comes. A byte of 0x80 gives zero, with
//! SSSE3's shuffle as with NEON's table look-up.

/// For 8 elements of one byte, zeros' first in bytes 0 to 7, ones' in 8 to 15: the byte that each place takes.
pub(super) const BYTES: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut pattern = 0;
    while pattern < 256 {
        let (mut place, mut zero, mut one) = (0, 0, 8);
        while place < 8 {
            if pattern >> place & 1 == 1 {
                table[pattern][place] = one;
                one += 1;
            } else {
                table[pattern][place] = zero;
                zero += 1;
            }
            place += 1;
        }
        pattern += 1;
    }
    table
};

/// For places of `width` bytes: places whose bit is set take the next element of a register, others become zero.
const fn spread<const N: usize>(width: usize) -> [[u8; 16]; N] {
    let mut table = [[0x80; 16]; N];
    let mut pattern = 0;
    while pattern < N {
        let (mut place, mut next) = (0, 0);
        while place < 16 / width {
            if pattern >> place & 1 == 1 {
                let mut byte = 0;
                while byte < width {
                    table[pattern][place * width + byte] = next;
                    next += 1;
                    byte += 1;
                }
            }
            place += 1;
        }
        pattern += 1;
    }
    table
}

/// For each pattern of 8 bits: where the 16-bit places take their two bytes from.
pub(super) const SHORTS: [[u8; 16]; 256] = spread(2);
/// For each pattern of 4 bits: where the 32-bit places take their four bytes from.
pub(super) const WORDS: [[u8; 16]; 16] = spread(4);
