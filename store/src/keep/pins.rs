//! Rows that go last: what lies near a detection or a label, of one key or of all.
//!
//! A pin is a stretch of time, and values that key columns have; a key column that it does not name may have any. Pins
//! of the same values are one set of times. A set without values speaks for all rows.

use std::ops::Range;

use super::stretches::Stretches;
use crate::batch::BatchColumn;
use crate::error::{Error, Result};
use crate::predicate::Predicate;
use crate::schema::{ColumnId, ColumnSpec, Schema};
use crate::value::Value;
use crate::wire::{Reader, Writer};

/// Most stretches of one stream, over all keys; beyond it, those of a key with the least time between them become one.
pub(crate) const MAX_PINS: usize = 256;

/// Rows that go last.
#[derive(Debug, Clone, PartialEq)]
pub struct Pin {
    /// When they were, in the unit of the stream's clock; the end is not in it.
    pub times: Range<i64>,
    /// Names of key columns, and the value that each has in these rows. Other key columns have any value.
    pub keys: Vec<(String, Value)>,
}

impl From<Range<i64>> for Pin {
    /// All rows of a stretch of time.
    fn from(times: Range<i64>) -> Pin {
        Pin {
            times,
            keys: Vec::new(),
        }
    }
}

/// Values of key columns by ascending id: bytes of text as they are, else the eight bytes of the value's key; `None` for
/// null.
type Cells = Vec<(ColumnId, Option<Vec<u8>>)>;

/// The pins of a stream: sets of times by what the rows' keys are, in the order of these, none empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pins {
    sets: Vec<(Cells, Stretches)>,
}

impl Pins {
    /// The pins, those of all rows first.
    pub fn list(&self, schema: &Schema) -> Vec<Pin> {
        let pins = self.sets.iter().flat_map(|(cells, times)| {
            let keys: Vec<(String, Value)> = named(cells, schema);
            times.all().iter().map(move |times| Pin {
                times: times.clone(),
                keys: keys.clone(),
            })
        });
        pins.collect()
    }

    /// One more pin.
    ///
    /// # Errors
    /// `InvalidArgument` if it names no key column, or a value that is none of its type.
    pub fn add(&mut self, pin: &Pin, schema: &Schema) -> Result<()> {
        check(&pin.times)?;
        self.insert(cells(pin, schema)?, pin.times.clone());
        Ok(())
    }

    /// Lets go pins of rows that all are rows of `pin`.
    ///
    /// # Errors
    /// See [`Pins::add`].
    pub fn remove(&mut self, pin: &Pin, schema: &Schema) -> Result<()> {
        check(&pin.times)?;
        let wanted = cells(pin, schema)?;
        for (cells, times) in &mut self.sets {
            if wanted.iter().all(|cell| cells.contains(cell)) {
                times.remove(&pin.times);
            }
        }
        self.tidy();
        Ok(())
    }

    /// Keeps to [`MAX_PINS`]: stretches for which `holds_rows` says no go, then the least gaps are pinned too.
    pub fn bound(&mut self, holds_rows: impl Fn(&Range<i64>) -> bool) {
        if self.count() > MAX_PINS {
            self.sets
                .iter_mut()
                .for_each(|(_, times)| times.retain(&holds_rows));
        }
        while self.count() > MAX_PINS {
            let gaps = self.sets.iter().enumerate();
            let gaps =
                gaps.filter_map(|(set, (_, times))| times.shortest_gap().map(|(gap, at)| (gap, set, at)));
            match gaps.min() {
                Some((_, set, at)) => self.sets[set].1.close_gap(at),
                None => self.join_keys(),
            }
        }
        self.tidy();
    }

    /// Where every key has one stretch: the two that are nearest to each other become one of all keys.
    fn join_keys(&mut self) {
        let with_keys = self.sets.iter().filter(|(cells, _)| !cells.is_empty());
        let mut stretches: Vec<Range<i64>> = with_keys.flat_map(|(_, times)| times.all().to_vec()).collect();
        stretches.sort_unstable_by_key(|stretch| (stretch.start, stretch.end));
        let gap = |pair: &&[Range<i64>]| i128::from(pair[1].start) - i128::from(pair[0].end);
        let Some(pair) = stretches.windows(2).min_by_key(gap) else {
            return;
        };
        let joined = pair[0].start..pair[0].end.max(pair[1].end);
        for (_, times) in self.sets.iter_mut().filter(|(cells, _)| !cells.is_empty()) {
            times.retain(|stretch| stretch.start < joined.start || joined.end < stretch.end);
        }
        self.insert(Cells::new(), joined);
    }

    fn insert(&mut self, cells: Cells, times: Range<i64>) {
        let at = match self.sets.binary_search_by(|(known, _)| known.cmp(&cells)) {
            Ok(at) => at,
            Err(at) => {
                self.sets.insert(at, (cells, Stretches::default()));
                at
            }
        };
        self.sets[at].1.add(times);
    }

    fn tidy(&mut self) {
        self.sets.retain(|(_, times)| !times.all().is_empty());
    }

    fn count(&self) -> usize {
        self.sets.iter().map(|(_, times)| times.all().len()).sum()
    }

    /// Whether rows from `first` to `last` may be pinned: those of some key are.
    pub fn touch(&self, range: (i64, i64)) -> bool {
        self.sets.iter().any(|(_, times)| times.touch(range))
    }

    /// Whether all rows from `first` to `last` are pinned, whatever their keys.
    pub fn cover(&self, range: (i64, i64)) -> bool {
        let all = self.sets.first().filter(|(cells, _)| cells.is_empty());
        all.is_some_and(|(_, times)| times.cover(range))
    }

    /// The pinned ones among the rows from `first` to `last`.
    pub fn rows(&self, (first, last): (i64, i64), schema: &Schema) -> Predicate {
        let time = schema.time_name();
        let mut any = Vec::new();
        for (cells, times) in &self.sets {
            let stretches = times.all().iter();
            for stretch in stretches.filter(|stretch| stretch.start <= last && first < stretch.end) {
                let mut all = vec![
                    Predicate::ge(time, Value::Timestamp(stretch.start)),
                    Predicate::lt(time, Value::Timestamp(stretch.end)),
                ];
                all.extend(named(cells, schema).into_iter().map(|(name, value)| match value {
                    Value::Null => Predicate::is_null(name),
                    value => Predicate::eq(name, value),
                }));
                any.push(Predicate::And(all));
            }
        }
        Predicate::Or(any)
    }

    pub fn write(&self, out: &mut Writer) {
        out.list(&self.sets, |(cells, times), out| {
            out.list(cells, |(column, cell), out| {
                out.u32(column.0);
                out.u8(u8::from(cell.is_some()));
                out.bytes(cell.as_deref().unwrap_or_default());
            });
            times.write(out);
        });
    }

    pub fn read(input: &mut Reader<'_>, schema: &Schema) -> Result<Pins> {
        let sets = input.list(8, |input| {
            let cells: Cells = input.list(9, |input| read_cell(input, schema))?;
            if !cells.windows(2).all(|pair| pair[0].0 < pair[1].0) {
                return Err(input.corrupt("a pin that names a key column twice or out of order"));
            }
            let times = Stretches::read(input)?;
            Ok((cells, times))
        })?;
        let ordered = sets.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && sets.iter().all(|(_, times)| !times.all().is_empty());
        let pins = Pins { sets };
        if !ordered || pins.count() > MAX_PINS {
            return Err(input.corrupt("pins that are empty, too many or out of order"));
        }
        Ok(pins)
    }
}

/// # Errors
/// `InvalidArgument` if nothing lies in `stretch`.
fn check(stretch: &Range<i64>) -> Result<()> {
    if stretch.start < stretch.end {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "nothing lies from {} up to {}: the end comes after the start",
        stretch.start, stretch.end
    )))
}

fn cells(pin: &Pin, schema: &Schema) -> Result<Cells> {
    let mut cells = Cells::new();
    for (name, value) in &pin.keys {
        let spec = schema.keys().iter().find(|spec| spec.name == *name);
        let spec = spec.ok_or_else(|| {
            Error::invalid(format!(
                "rows are pinned by time and key, and {name:?} is no key column"
            ))
        })?;
        let mut column = BatchColumn::new(spec.ty);
        column.push_value(spec.ty, value)?;
        let bytes = column.bytes(0).map(<[u8]>::to_vec);
        let key = || column.key(0).map(|key| key.to_le_bytes().to_vec());
        cells.push((spec.id, bytes.or_else(key)));
    }
    cells.sort_unstable();
    if cells.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::invalid("a pin names each key column once"));
    }
    Ok(cells)
}

fn named(cells: &Cells, schema: &Schema) -> Vec<(String, Value)> {
    let value = |spec: &ColumnSpec, bytes: &[u8]| {
        let mut column = BatchColumn::new(spec.ty);
        match <[u8; 8]>::try_from(bytes) {
            Ok(key) if !spec.ty.is_binary() => column.push_key(u64::from_le_bytes(key)),
            _ => column.push_bytes(bytes),
        }
        column.value(spec.ty, 0)
    };
    let known = cells.iter().filter_map(|(id, cell)| {
        let spec = schema.keys().iter().find(|spec| spec.id == *id)?;
        let value = cell.as_deref().map_or(Value::Null, |cell| value(spec, cell));
        Some((spec.name.clone(), value))
    });
    known.collect()
}

fn read_cell(input: &mut Reader<'_>, schema: &Schema) -> Result<(ColumnId, Option<Vec<u8>>)> {
    let (id, mark) = (ColumnId(input.u32()?), input.u8()?);
    let Some(spec) = schema.keys().iter().find(|spec| spec.id == id) else {
        return Err(input.corrupt(format!("a pin of column {}, which is no key", id.0)));
    };
    let bytes = input.bytes()?;
    let (low, high) = spec.ty.key_range();
    let is_sound = match (mark, spec.ty.is_binary()) {
        (0, _) => bytes.is_empty(),
        (1, false) => {
            <[u8; 8]>::try_from(bytes).is_ok_and(|key| (low..=high).contains(&u64::from_le_bytes(key)))
        }
        (1, true) => spec.ty != crate::schema::ColumnType::Text || std::str::from_utf8(bytes).is_ok(),
        _ => false,
    };
    if !is_sound {
        return Err(input.corrupt(format!("a pin with no value of {}", spec.ty)));
    }
    Ok((id, (mark == 1).then(|| bytes.to_vec())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{ColumnType, TimeUnit};

    fn schema() -> Schema {
        let schema = Schema::new("time", TimeUnit::Second);
        let schema = schema.with_key("device", ColumnType::Text).unwrap();
        let schema = schema.with_key("axis", ColumnType::U8).unwrap();
        schema.with_channel("x", ColumnType::F64, "").unwrap()
    }

    /// A pin of one of two devices or any, of one of two axes or any.
    fn pin(device: usize, axis: u64, times: Range<i64>) -> Pin {
        let mut keys = Vec::new();
        match device {
            0 => {}
            1 => keys.push(("device".to_owned(), Value::Null)),
            _ => keys.push(("device".to_owned(), Value::from("a"))),
        }
        if axis > 0 {
            keys.push(("axis".to_owned(), Value::U64(axis)));
        }
        Pin { times, keys }
    }

    proptest! {
        #[test]
        fn pins_are_sets_of_times_by_key(
            steps in proptest::collection::vec((any::<bool>(), 0usize..3, 0u64..3, 0i64..60, 1i64..12), 1..40),
        ) {
            let schema = schema();
            let (mut pins, mut sets) = (Pins::default(), vec![[false; 80]; 9]);
            for (adds, device, axis, start, len) in steps {
                let change = pin(device, axis, start..start + len);
                if adds { pins.add(&change, &schema) } else { pins.remove(&change, &schema) }.unwrap();
                for (set, times) in sets.iter_mut().enumerate() {
                    let own = (set / 3, (set % 3) as u64);
                    let within = (device == 0 || own.0 == device) && (axis == 0 || own.1 == axis);
                    if own == (device, axis) || (!adds && within) {
                        change.times.clone().for_each(|time| times[usize::try_from(time).unwrap()] = adds);
                    }
                }
                let mut out = Writer::new();
                pins.write(&mut out);
                let bytes = out.into_bytes();
                prop_assert_eq!(&Pins::read(&mut Reader::new(&bytes, "test", "pins"), &schema).unwrap(), &pins);
            }
            let mut listed = vec![[false; 80]; 9];
            for found in pins.list(&schema) {
                let same = |set: &usize| pin(set / 3, (set % 3) as u64, found.times.clone()).keys == found.keys;
                let set = (0..9).find(same).unwrap();
                found.times.for_each(|time| listed[set][usize::try_from(time).unwrap()] = true);
            }
            prop_assert_eq!(&listed, &sets);
            for first in 0..70usize {
                for last in first..70 {
                    let range = (first as i64, last as i64);
                    prop_assert_eq!(pins.touch(range), sets.iter().any(|set| set[first..=last].contains(&true)));
                    prop_assert_eq!(pins.cover(range), !sets[0][first..=last].contains(&false));
                }
            }
        }
    }

    #[test]
    fn there_are_never_many() {
        let schema = schema();
        let mut pins = Pins::default();
        for start in 0..1000 {
            pins.add(&(start * 10..start * 10 + 1).into(), &schema).unwrap();
            pins.bound(|stretch| stretch.start >= 500);
            assert!(pins.count() <= MAX_PINS);
        }
        assert!(pins.cover((9990, 9990)) && !pins.touch((0, 490)));
        // One stretch of each of many keys: what was pinned stays so, of all keys where need be.
        let mut pins = Pins::default();
        for start in 0..1000 {
            let keys = vec![("device".to_owned(), Value::Text(start.to_string()))];
            let times = start * start..start * start + 1;
            pins.add(&Pin { times, keys }, &schema).unwrap();
            pins.bound(|_| true);
            assert!(pins.count() <= MAX_PINS);
        }
        assert!((0..1000).all(|start| pins.touch((start * start, start * start))));
        assert!(pins.cover((0, 1)) && !pins.cover((999 * 999, 999 * 999)));
    }

    #[test]
    fn a_pin_names_keys_and_values_of_theirs() {
        let schema = schema();
        let mut pins = Pins::default();
        let wrong = |keys: &[(&str, Value)], times: Range<i64>| Pin {
            times,
            keys: keys
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        };
        for pin in [
            wrong(&[("x", Value::F64(1.0))], 0..1),
            wrong(&[("axis", Value::U64(256))], 0..1),
            wrong(&[("axis", Value::U64(1)), ("axis", Value::U64(2))], 0..1),
            wrong(&[], 1..1),
        ] {
            assert!(
                pins.add(&pin, &schema).is_err() && pins.remove(&pin, &schema).is_err(),
                "{pin:?}"
            );
        }
        pins.add(&pin(2, 1, 0..5), &schema).unwrap();
        let mut out = Writer::new();
        pins.write(&mut out);
        let bytes = out.into_bytes();
        for at in 0..bytes.len() {
            for flip in 1..=255u8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                if let Ok(read) = Pins::read(&mut Reader::new(&bytes, "test", "pins"), &schema) {
                    read.rows((0, 5), &schema);
                    read.list(&schema);
                }
            }
            assert!(Pins::read(&mut Reader::new(&bytes[..at], "test", "pins"), &schema).is_err());
        }
    }
}
