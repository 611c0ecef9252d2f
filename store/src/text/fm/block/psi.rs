//! A block laid out for reading many rows: for each suffix, the place of the one a byte shorter (the function called
//! psi in compressed suffix arrays).

use super::View;

impl View<'_> {
    /// The block laid out for reading many rows; takes four times the memory of its text, six while it is made.
    pub fn unpack(&self) -> Option<Psi> {
        let words = self.bits.decode()?;
        let mut cursors: Vec<u32> = Vec::new();
        for symbol in 0..=self.tables.bytes.len() {
            cursors.push(u32::try_from(self.tables.shape.first(symbol)?).ok()?);
        }
        // The bytes of a position's bucket tell the byte before; whole pages mostly lie in one bucket.
        let mut first_symbols = Vec::new();
        let mut symbol = 0usize;
        for page in 0..=self.len() >> PAGE_BITS {
            while cursors
                .get(symbol + 1)
                .is_some_and(|&first| u64::from(first) <= page << PAGE_BITS)
            {
                symbol += 1;
            }
            first_symbols.push(symbol as u16);
        }
        let starts = cursors.clone();
        let mut next: Vec<u32> = Vec::with_capacity(usize::try_from(self.len()).ok()?);
        for symbol in self.tables.shape.decode(&words)? {
            let cursor = cursors.get_mut(usize::from(symbol))?;
            next.push(*cursor);
            *cursor += 1;
        }
        Some(Psi {
            next,
            first_symbols,
            starts,
            bytes: self.tables.bytes.clone(),
        })
    }
}

/// Positions whose first symbol is looked up together, as a power of two.
const PAGE_BITS: u32 = 10;

/// A block laid out for reading many rows.
#[derive(Debug)]
pub struct Psi {
    /// Position of the suffix one byte longer.
    next: Vec<u32>,
    /// First symbol of the suffix that each page starts with.
    first_symbols: Vec<u16>,
    /// First position of each symbol.
    starts: Vec<u32>,
    bytes: Vec<u8>,
}

impl Psi {
    /// Byte that the suffix at `position` starts with; `None` inside for the separator.
    #[inline]
    fn first_byte(&self, position: u32) -> Option<Option<u8>> {
        let mut symbol = usize::from(*self.first_symbols.get((position >> PAGE_BITS) as usize)?);
        while self
            .starts
            .get(symbol + 1)
            .is_some_and(|&first| first <= position)
        {
            symbol += 1;
        }
        if symbol == 0 {
            Some(None)
        } else {
            Some(Some(*self.bytes.get(symbol - 1)?))
        }
    }

    /// Adds the places of the suffixes that start in `row`, the last byte's first. `left` is the number that they may be.
    pub fn places(&self, row: u32, out: &mut Vec<u32>, left: &mut u64) -> Option<()> {
        let separators = *self.starts.get(1).unwrap_or(&u32::MAX);
        let mut position = row;
        loop {
            position = *self.next.get(position as usize)?;
            if position < separators {
                return Some(());
            }
            *left = left.checked_sub(1)?;
            out.push(position);
        }
    }

    /// Replaces `out` by the bytes of rows `first..`, one a place of `out`, all at the same time so that the memory's
    /// delays overlap. `left` is the number of bytes that they may have together.
    pub fn extract(&self, first: u64, out: &mut [Vec<u8>], left: &mut u64) -> Option<()> {
        let mut active: Vec<(usize, u32)> = Vec::with_capacity(out.len());
        for (place, bytes) in out.iter_mut().enumerate() {
            bytes.clear();
            active.push((place, u32::try_from(first).ok()?.checked_add(place as u32)?));
        }
        while !active.is_empty() {
            *left = left.checked_sub(active.len() as u64)?;
            let mut index = 0;
            while let Some((place, position)) = active.get_mut(index) {
                let next = *self.next.get(*position as usize)?;
                match self.first_byte(next)? {
                    Some(byte) => {
                        out.get_mut(*place)?.push(byte);
                        *position = next;
                        index += 1;
                    }
                    None => {
                        active.swap_remove(index);
                    }
                }
            }
        }
        out.iter_mut().for_each(|bytes| bytes.reverse());
        Some(())
    }
}
