//! One window above the threshold is chance; `k` of the last `n` are an alarm.

/// Counts how many of the last `n` windows were above the threshold.
#[derive(Debug, Clone)]
pub struct Debounce {
    needed: u32,
    mask: u64,
    last: u64,
}

impl Debounce {
    /// An alarm needs `needed` of the last `of` windows; both are brought into `1..=64`.
    pub fn new(needed: usize, of: usize) -> Self {
        let of = of.clamp(1, 64);
        let needed = needed.clamp(1, of);
        Debounce {
            needed: u32::try_from(needed).unwrap_or(1),
            mask: u64::MAX >> (64 - of),
            last: 0,
        }
    }

    /// Forgets all windows.
    pub fn reset(&mut self) {
        self.last = 0;
    }

    /// Takes in the next window, and says whether there is an alarm.
    pub fn push(&mut self, above: bool) -> bool {
        self.last = (self.last << 1 | u64::from(above)) & self.mask;
        above && self.last.count_ones() >= self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_last_windows_only() {
        let mut two_of_three = Debounce::new(2, 3);
        let seen: Vec<bool> = [1, 0, 1, 0, 0, 1, 1, 1, 0]
            .iter()
            .map(|&bit| two_of_three.push(bit == 1))
            .collect();
        assert_eq!(seen, [false, false, true, false, false, false, true, true, false]);
        let mut every = Debounce::new(1, 1);
        assert!(every.push(true) && !every.push(false));
        let mut all = Debounce::new(64, 64);
        assert!((0..64).filter(|_| all.push(true)).count() == 1);
    }
}
