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
