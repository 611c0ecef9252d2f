//! How each field is said: what its values are held against, and which fields share bins. What needs the fewest bits is taken.

use super::bins;
use super::book::{Column, Expected, NONE, Root, Shape, bins_of, place_of};
use super::walk::{Around, Side};
use crate::text::template::plan::{self, Plan};

/// Values of a field that ways of saying it are compared on.
const COMPARED: usize = 4096;
/// Columns to the left that are tried.
pub const TRIED: usize = 6;

/// What a field said, and what it could have been held against.
#[derive(Debug, Clone, Copy)]
struct Seen {
    value: u64,
    before: Option<u64>,
    above: Option<u64>,
}

/// The side of the walk that looks.
#[derive(Debug)]
pub struct Look {
    /// Codes of local columns, and the two before.
    pub locals: Vec<Vec<([u32; 2], u32)>>,
    fields: Vec<Vec<Seen>>,
    /// Whether rows are exceptions.
    pub exceptions: Vec<Vec<u64>>,
    /// Words of exceptions.
    pub odd_words: Vec<u64>,
}

impl Look {
    /// Nothing seen yet.
    pub fn new(shape: &Shape) -> Look {
        Look {
            locals: vec![Vec::new(); shape.counts[0] as usize],
            fields: vec![Vec::new(); shape.counts[1] as usize],
            exceptions: vec![Vec::new(); shape.counts[2] as usize],
            odd_words: Vec::new(),
        }
    }
}

impl Side for Look {
    fn local(&mut self, number: u32, slots: &[u64], slot: usize, own: [u32; 2]) -> Option<u64> {
        let code = *slots.get(slot)?;
        self.locals.get_mut(number as usize)?.push((own, code as u32));
        Some(code)
    }

    fn field(&mut self, number: u32, slots: &[u64], around: Around) -> Option<u64> {
        let value = *slots.get(around.slot)?;
        self.fields.get_mut(number as usize)?.push(Seen {
            value,
            before: around.before,
            above: around.above,
        });
        Some(value)
    }

    fn exception(&mut self, number: u32, word: u32) -> Option<u32> {
        self.exceptions
            .get_mut(number as usize)?
            .push(u64::from(word != NONE));
        if word != NONE {
            self.odd_words.push(u64::from(word));
        }
        Some(word)
    }
}

/// How a field is said.
#[derive(Debug, Default)]
pub struct FieldPlan {
    /// Its number in the directory.
    pub how: usize,
    /// Slots to the left.
    pub back: u32,
    /// Number of the bins of its values as they are.
    pub values: usize,
    /// Number of the bins of its values held against others.
    pub held: usize,
}

/// What a field says in some way.
#[derive(Debug, Default)]
struct Said {
    values: Vec<u64>,
    held: Vec<u64>,
}

/// Bins, and the values of all fields that share them.
#[derive(Debug)]
pub struct Shared {
    values: Vec<u64>,
    /// The bins.
    pub plan: bins::Plan,
}

/// Kind of the bins of values held against others.
pub fn held_kind(how: usize) -> usize {
    if how % 2 == 1 {
        bins_of::STEP
    } else {
        bins_of::SAME
    }
}

/// Chooses how each field is said, and which fields share bins.
pub fn choose_fields(plan: &Plan, shape: &Shape, look: &mut Look) -> (Vec<FieldPlan>, Vec<Shared>) {
    let mut fields = Vec::new();
    let mut shared = Vec::new();
    let mut expected = Expected::default();
    for (template, rows) in shape.templates.iter().zip(&plan.templates) {
        let columns = &shape.columns[template.columns.clone()];
        for (index, column) in columns.iter().enumerate() {
            let (kind, first, count) = match &column.root {
                Root::Global(number) => (bins_of::WORD, *number, 1),
                Root::Number(form, first) => (bins_of::NUMBER, *first, form.digits.len() as u32),
                _ => continue,
            };
            for field in 0..count {
                let seen = std::mem::take(&mut look.fields[(first + field) as usize]);
                let left = if kind == bins_of::NUMBER {
                    left_of(columns, rows, index, field as usize)
                } else {
                    Vec::new()
                };
                let (how, back, said) = choose_field(&seen, &left);
                let place = place_of(index as u32, field);
                let values = share(&mut shared, &mut expected, said.values, kind, place);
                let held = if how > 0 {
                    share(&mut shared, &mut expected, said.held, held_kind(how), place)
                } else {
                    0
                };
                fields.push(FieldPlan {
                    how,
                    back,
                    values,
                    held,
                });
            }
        }
    }
    (fields, shared)
}

/// The bins for some values: those named last at this place or anywhere, or ones of their own.
fn share(
    shared: &mut Vec<Shared>,
    expected: &mut Expected,
    values: Vec<u64>,
    kind: usize,
    place: u32,
) -> usize {
    let own = bins::Plan::of(values.clone());
    let mut best = (own.bits, None, None);
    for known in expected.bins(kind, place).into_iter().flatten() {
        let other = &shared[known as usize];
        if values.is_empty() || other.values.is_empty() {
            continue;
        }
        let (bits, plan) = if other.values.len() <= 4 * values.len() + 256 {
            let plan = bins::Plan::of([values.as_slice(), &other.values].concat());
            (plan.bits - other.plan.bits, Some(plan))
        } else {
            (other.plan.bits_for(&values).unwrap_or(f64::INFINITY), None)
        };
        if bits < best.0 {
            best = (bits, Some(known as usize), plan);
        }
    }
    let number = match best {
        (_, Some(known), plan) => {
            let other = &mut shared[known];
            other.values.extend(values);
            if let Some(plan) = plan {
                other.plan = plan;
            }
            known
        }
        _ => {
            shared.push(Shared { values, plan: own });
            shared.len() - 1
        }
    };
    expected.named(kind, place, number as u32);
    number
}

/// The way of saying a field that takes the fewest bits; `left` are fields to the left by their distance in slots.
fn choose_field(seen: &[Seen], left: &[(u32, &[u64])]) -> (usize, u32, Said) {
    let some = &seen[..seen.len().min(COMPARED)];
    let mut best = (f64::INFINITY, 0, 0);
    let mut better = |bits: f64, how: usize, back: u32| {
        if bits < best.0 {
            best = (bits, how, back);
        }
    };
    for how in 0..5 {
        let base = base_of(how);
        better(say(some, how, |_, seen| base(seen)).bits() + 1.0, how, 0);
    }
    for &(back, values) in left {
        for how in 5..7 {
            let bits = say(some, how, |row, _| values.get(row).copied()).bits();
            better(bits + 6.0, how, back);
        }
    }
    let (_, how, back) = best;
    let found = left.iter().find(|left| left.0 == back);
    let said = match found.filter(|_| how > 4) {
        Some((_, values)) => say(seen, how, |row, _| values.get(row).copied()),
        None => {
            let base = base_of(how);
            say(seen, how, |_, seen| base(seen))
        }
    };
    (how, back, said)
}

fn base_of(how: usize) -> impl Fn(&Seen) -> Option<u64> {
    move |seen| match how {
        1 | 2 => seen.before,
        3 | 4 => seen.above,
        _ => None,
    }
}

/// What a field takes if it is said as `how`, against `base`.
fn say(seen: &[Seen], how: usize, base: impl Fn(usize, &Seen) -> Option<u64>) -> Said {
    let (mut values, mut held) = (Vec::new(), Vec::new());
    for (row, seen) in seen.iter().enumerate() {
        match base(row, seen) {
            Some(base) if how % 2 == 1 => held.push(bins::zigzag(seen.value.wrapping_sub(base))),
            Some(base) => {
                held.push(u64::from(seen.value == base));
                if seen.value != base {
                    values.push(seen.value);
                }
            }
            None => values.push(seen.value),
        }
    }
    Said { values, held }
}

impl Said {
    fn bits(self) -> f64 {
        bins::Plan::of(self.values).bits + bins::Plan::of(self.held).bits
    }
}

/// Fields to the left of a column's field in all rows, and how many slots they are to the left.
fn left_of<'r>(
    columns: &[Column],
    rows: &'r plan::Template,
    index: usize,
    field: usize,
) -> Vec<(u32, &'r [u64])> {
    let mut found = Vec::new();
    let slot = columns[index].slot + field as u32;
    if columns[index].exceptions != NONE {
        return found;
    }
    for (column, other) in columns[..=index].iter().zip(&rows.columns).rev() {
        let plan::Root::Number { fields, .. } = &other.root else {
            continue;
        };
        if column.exceptions != NONE {
            continue;
        }
        for (place, values) in fields.iter().enumerate().rev() {
            let place = column.slot + place as u32;
            if place < slot && found.len() < TRIED {
                found.push((slot - place, values.as_slice()));
            }
        }
    }
    found
}
