//! Copies an array of registers element by element, each named by a constant: a loop, or an array passed by reference,
//! would keep it in memory all through the loop that fills it.

/// Copies the first `$count` blocks of `$from`, rows of `$row` blocks, to `$to`.
macro_rules! spell {
    ($to:ident, $from:ident, $row:expr, $count:expr, $($block:literal)*) => {$(
        if $block < $count {
            $to[$block / $row][$block % $row] = $from[$block / $row][$block % $row];
        }
    )*};
}

pub(super) use spell;

/// Writes `$body` out once for each of the numbers given that lies below `$count`, with `$index` being that number: as a
/// loop, it would keep the arrays that it indexes in memory.
#[cfg(avx512)]
macro_rules! each {
    ($index:ident < $count:expr, $($number:literal)*, $body:block) => {$(
        if $number < $count {
            #[allow(unused)]
            const $index: usize = $number;
            $body
        }
    )*};
}

#[cfg(avx512)]
pub(super) use each;
