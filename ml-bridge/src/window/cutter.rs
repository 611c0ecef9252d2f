//! Cuts windows from rows that arrive block by block, without looking at where they come from.

use std::ops::Range;

use super::reader::Values;
use super::{Layout, NullPolicy, Span, WindowSpec};

/// Rows of one uninterrupted run that a coming window may need.
#[derive(Debug)]
pub(super) struct Cutter<T> {
    length: usize,
    hop: usize,
    nulls: NullPolicy,
    layout: Layout,
    times: Vec<i64>,
    /// One as long as `times` per channel.
    channels: Vec<Vec<T>>,
    /// Last value of each channel, for [`NullPolicy::HoldLast`].
    held: Vec<T>,
    /// Whether a row has a null, for [`NullPolicy::Skip`]; at most as long as `times`, false beyond.
    null_rows: Vec<bool>,
    /// Where the next window starts; may lie beyond the rows there are.
    next: usize,
}

impl<T: Copy + Default> Cutter<T> {
    pub(super) fn new(spec: &WindowSpec) -> Self {
        Cutter {
            length: spec.length,
            hop: spec.hop,
            nulls: spec.nulls,
            layout: spec.layout,
            times: Vec::new(),
            channels: vec![Vec::new(); spec.channels.len()],
            held: vec![T::default(); spec.channels.len()],
            null_rows: Vec::new(),
            next: 0,
        }
    }

    /// Forgets all rows: the next window starts with the next row.
    pub(super) fn restart(&mut self) {
        self.times.clear();
        for channel in &mut self.channels {
            channel.clear();
        }
        self.held.fill(T::default());
        self.null_rows.clear();
        self.next = 0;
    }

    /// Adds rows; [`Cutter::push_channel`] must follow for each channel.
    pub(super) fn push_times(&mut self, times: &[i64]) {
        self.drop_used();
        self.times.extend_from_slice(times);
    }

    /// Adds rows `rows` of a channel's values.
    pub(super) fn push_channel(&mut self, channel: usize, from: &Values<T>, rows: Range<usize>) {
        let values = &mut self.channels[channel];
        if from.nulls.is_empty() {
            values.extend_from_slice(&from.values[rows]);
        } else {
            let mut held = self.held[channel];
            for row in rows {
                let value = match (from.nulls[row], self.nulls) {
                    (false, _) => from.values[row],
                    (true, NullPolicy::HoldLast) => held,
                    (true, NullPolicy::Center) => T::default(),
                    (true, NullPolicy::Skip) => {
                        self.null_rows.resize(self.times.len(), false);
                        self.null_rows[values.len()] = true;
                        T::default()
                    }
                };
                held = value;
                values.push(value);
            }
        }
        if let Some(&last) = values.last() {
            self.held[channel] = last;
        }
        debug_assert_eq!(
            values.len(),
            self.times.len(),
            "a channel has a value for each time"
        );
    }

    /// The next window, if its rows are there.
    pub(super) fn pop(&mut self, out: &mut [T]) -> Option<Span> {
        loop {
            let rows = self.next..self.next + self.length;
            if rows.end > self.times.len() {
                return None;
            }
            self.next += self.hop;
            let known = self.null_rows.len();
            if self.null_rows[rows.start.min(known)..rows.end.min(known)].contains(&true) {
                continue;
            }
            match self.layout {
                Layout::ChannelMajor => {
                    for (place, channel) in out.chunks_exact_mut(self.length).zip(&self.channels) {
                        place.copy_from_slice(&channel[rows.clone()]);
                    }
                }
                Layout::RowMajor => {
                    let width = self.channels.len();
                    for (index, channel) in self.channels.iter().enumerate() {
                        for (place, &value) in out.chunks_exact_mut(width).zip(&channel[rows.clone()]) {
                            place[index] = value;
                        }
                    }
                }
            }
            return Some(Span {
                start: self.times[rows.start],
                end: self.times[rows.end - 1],
            });
        }
    }

    /// Makes room: rows before the next window are done with.
    fn drop_used(&mut self) {
        let used = self.next.min(self.times.len());
        self.next -= used;
        self.times.drain(..used);
        for channel in &mut self.channels {
            channel.drain(..used);
        }
        self.null_rows.drain(..used.min(self.null_rows.len()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::*;
    use proptest::prelude::*;

    fn column(values: &[Option<u8>]) -> Values<i8> {
        let nulls: Vec<bool> = values.iter().map(Option::is_none).collect();
        Values {
            values: values.iter().map(|v| v.unwrap_or(77) as i8).collect(),
            nulls: if nulls.contains(&true) { nulls } else { Vec::new() },
        }
    }

    fn naive(values: &[Option<u8>], length: usize, hop: usize, nulls: NullPolicy) -> Vec<(i64, Vec<i8>)> {
        let mut held = 0;
        let filled: Vec<Option<i8>> = values
            .iter()
            .map(|value| {
                let value = match (value, nulls) {
                    (Some(value), _) => Some(*value as i8),
                    (None, NullPolicy::Skip) => None,
                    (None, NullPolicy::HoldLast) => Some(held),
                    (None, NullPolicy::Center) => Some(0),
                };
                held = value.unwrap_or(0);
                value
            })
            .collect();
        let mut out = Vec::new();
        let mut start = 0;
        while start + length <= filled.len() {
            let window: Option<Vec<i8>> = filled[start..start + length].iter().copied().collect();
            out.extend(window.map(|w| (start as i64, w)));
            start += hop;
        }
        out
    }

    proptest! {
        #[test]
        fn cuts_what_the_definition_says(
            values in proptest::collection::vec(proptest::option::weighted(0.95, any::<u8>()), 0..200),
            length in 1usize..20,
            hop in 1usize..30,
            block in 1usize..50,
            policy in 0usize..3,
            rows_first in any::<bool>(),
        ) {
            let nulls = [NullPolicy::Skip, NullPolicy::HoldLast, NullPolicy::Center][policy];
            let mut spec = WindowSpec::new(&["a", "b"], length, hop);
            spec.nulls = nulls;
            if rows_first {
                spec.layout = Layout::RowMajor;
            }
            let mut cutter = Cutter::<i8>::new(&spec);
            let all = column(&values);
            let mut out = vec![0i8; length * 2];
            let mut got = Vec::new();
            for start in (0..values.len()).step_by(block) {
                let rows = start..(start + block).min(values.len());
                let times: Vec<i64> = rows.clone().map(|r| r as i64).collect();
                cutter.push_times(&times);
                for channel in 0..2 {
                    cutter.push_channel(channel, &all, rows.clone());
                }
                while let Some(span) = cutter.pop(&mut out) {
                    prop_assert_eq!(span.end - span.start + 1, length as i64);
                    let pick = |channel: usize| -> Vec<i8> {
                        (0..length).map(|r| if rows_first { out[r * 2 + channel] } else { out[channel * length + r] }).collect()
                    };
                    prop_assert_eq!(pick(0), pick(1));
                    got.push((span.start, pick(0)));
                }
            }
            prop_assert_eq!(got, naive(&values, length, hop, nulls));
        }
    }
}
