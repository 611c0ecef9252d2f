//! Small pictures in text: a row of bars over the days of the simulation.

/// Columns of a picture per day.
pub const PER_DAY: usize = 4;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The largest or mean value of each column.
#[derive(Debug, Clone)]
pub struct Buckets {
    start_us: i64,
    sums: Vec<f64>,
    counts: Vec<u64>,
    peaks: Vec<f64>,
}

impl Buckets {
    /// Empty columns for `days` days from `start_us` on.
    pub fn new(start_us: i64, days: usize) -> Self {
        let columns = days * PER_DAY;
        Buckets {
            start_us,
            sums: vec![0.0; columns],
            counts: vec![0; columns],
            peaks: vec![f64::NEG_INFINITY; columns],
        }
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// The column of a time.
    pub fn column(&self, time_us: i64) -> usize {
        let width_us = 86_400_000_000 / PER_DAY as i64;
        let column = (time_us - self.start_us).max(0) / width_us;
        usize::try_from(column)
            .unwrap_or(0)
            .min(self.len().saturating_sub(1))
    }

    /// Adds a value.
    pub fn add(&mut self, time_us: i64, value: f64) {
        let column = self.column(time_us);
        self.sums[column] += value;
        self.counts[column] += 1;
        self.peaks[column] = self.peaks[column].max(value);
    }

    /// Mean of each column; NaN where there is none.
    pub fn means(&self) -> Vec<f64> {
        self.sums
            .iter()
            .zip(&self.counts)
            .map(|(sum, &count)| sum / count as f64)
            .collect()
    }

    /// Largest value of each column.
    pub fn peaks(&self) -> &[f64] {
        &self.peaks
    }
}

/// One bar for each value, from `low` (lowest bar) to `high` (full bar); a space for what is not a number.
pub fn bars(values: &[f64], low: f64, high: f64) -> String {
    let top = (BARS.len() - 1) as f64;
    let bar = |&value: &f64| {
        if !value.is_finite() {
            return ' ';
        }
        #[expect(clippy::cast_possible_truncation, reason = "clamped to 0..=7 before the cast")]
        #[expect(clippy::cast_sign_loss, reason = "clamped to 0..=7 before the cast")]
        let level = ((value - low) / (high - low).max(1e-12) * top)
            .round()
            .clamp(0.0, top) as usize;
        BARS[level]
    };
    values.iter().map(bar).collect()
}

/// Day numbers under a row of bars.
pub fn days(count: usize) -> String {
    (1..=count).map(|day| format!("{day:<PER_DAY$}")).collect()
}

/// Letters under a row of bars; where two share a column, the later one moves right.
pub fn marks(width: usize, marks: &[(usize, char)]) -> String {
    let mut line = vec![' '; width];
    for &(column, mark) in marks {
        let free = (column..width).find(|&place| line[place] == ' ');
        if let Some(place) = free {
            line[place] = mark;
        }
    }
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_the_values() {
        assert_eq!(bars(&[0.0, 0.5, 1.0, 9.0, -9.0, f64::NAN], 0.0, 1.0), "▁▅██▁ ");
        assert_eq!(marks(5, &[(1, 'a'), (1, 'b'), (4, 'c')]), " ab c");
        assert_eq!(days(3), "1   2   3   ");
        let mut buckets = Buckets::new(1000, 2);
        buckets.add(1000, 2.0);
        buckets.add(1001, 4.0);
        buckets.add(i64::MAX, 1.0);
        assert_eq!(
            (buckets.means()[0], buckets.peaks()[0], buckets.peaks()[7]),
            (3.0, 4.0, 1.0)
        );
        assert_eq!(buckets.column(1000 + 86_400_000_000), 4);
    }
}
