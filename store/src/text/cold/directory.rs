//! Writing the directory; [`super::read`] reads it.

use std::ops::Range;

use super::book::{
    self, Column, Expected, MOST_BACK, Models, NONE, Root, Shape, bins_of, hit_context, number_of, place_of,
    tree_of, zero_of,
};
use super::fields::{FieldPlan, Look, Shared, TRIED, held_kind};
use super::walk::before_of;
use super::{bins, tree};
use crate::text::template::coder::Encoder;
use crate::text::template::plan;

/// The directory as it is written.
pub struct Directory<'s> {
    /// The stream.
    pub coder: Encoder,
    /// Its models.
    pub models: Models,
    /// What is expected by what was written.
    pub expected: Expected,
    /// Words of the dictionary.
    pub words: u32,
    /// Templates and columns.
    pub shape: &'s Shape,
    /// What rows say.
    pub look: Look,
    /// How fields are said.
    pub fields: Vec<FieldPlan>,
    /// Bins of fields.
    pub bins: Vec<Shared>,
}

impl Directory<'_> {
    fn number(&mut self, context: usize, value: u64) {
        self.models.numbers.write(&mut self.coder, context, value);
    }

    /// Writes the columns of a template.
    pub fn template(&mut self, template: &book::Template, rows: &plan::Template) {
        let mut before = 0;
        let columns = &self.shape.columns[template.columns.clone()];
        for (index, column) in columns.iter().enumerate() {
            let kind = match column.root {
                Root::Local(..) => 0,
                Root::Global(_) => 1,
                Root::Number(..) => 2,
                Root::Alias(_) => 3,
                Root::Function(..) => 4,
                Root::Checksum => 5,
            };
            self.models.kinds.write(&mut self.coder, before, kind);
            before = kind;
            match &column.root {
                Root::Local(list, number) => {
                    let list = self.shape.lists[list.clone()].to_vec();
                    self.local(&list, *number, &columns[..index], rows);
                }
                Root::Global(number) => {
                    self.write_field(*number, bins_of::WORD, 0, place_of(index as u32, 0));
                }
                Root::Number(form, first) => {
                    self.models.flags.write(&mut self.coder, 0, form.radix as usize);
                    for (field, &digits) in (0u32..).zip(&form.digits) {
                        self.number(number_of::DIGITS, u64::from(digits));
                        let place = place_of(index as u32, field);
                        self.write_field(first + field, bins_of::NUMBER, zero_of(form.radix), place);
                    }
                }
                Root::Alias(from) => {
                    self.number(number_of::ALIAS, (index - *from as usize - 1) as u64);
                }
                Root::Function(from, table) => {
                    let back = index - *from as usize;
                    self.number(number_of::FUNCTION, back as u64 - 1);
                    let Root::Local(list, _) = &columns[*from as usize].root else {
                        debug_assert!(false, "a function is of a local column");
                        continue;
                    };
                    self.table(list.clone(), table.clone(), back as u32);
                }
                Root::Checksum => {}
            }
            if kind > 1 {
                let has = column.exceptions != NONE;
                self.models.flags.write(&mut self.coder, kind, usize::from(has));
                if has {
                    let flags = std::mem::take(&mut self.look.exceptions[column.exceptions as usize]);
                    let plan = bins::Plan::of(flags);
                    plan.write(&mut self.coder, &mut self.models.bins, bins_of::EXCEPTION, 0);
                }
            }
        }
    }

    fn local(&mut self, list: &[u32], number: u32, left: &[Column], rows: &plan::Template) {
        self.number(number_of::DISTINCT, list.len() as u64);
        let mut last = NONE;
        for &value in list {
            if let Some(&next) = self.expected.next.get(&last) {
                self.models
                    .hits
                    .write(&mut self.coder, 0, usize::from(next == value));
                if next == value {
                    last = value;
                    continue;
                }
            }
            if last == NONE {
                self.number(number_of::FIRST, u64::from(value));
            } else {
                self.number(number_of::STEP, u64::from(value - last - 1));
            }
            self.expected.next.insert(last, value);
            last = value;
        }
        let seen = std::mem::take(&mut self.look.locals[number as usize]);
        let slot: u32 = left.iter().map(slots_of).sum();
        let own = seen.iter().map(|&(own, code)| (before_of(0, &[], 0, own), code));
        let mut best = (tree::Plan::of(own, 2), 0);
        let others = left.iter().zip(&rows.columns).rev();
        let others = others.filter(|(column, _)| u64::from(slot - column.slot) < MOST_BACK);
        for (column, other) in others
            .filter(|(column, _)| matches!(column.root, Root::Local(..)))
            .take(TRIED)
        {
            let plan::Root::Local { codes, .. } = &other.root else {
                continue;
            };
            let pairs = seen.iter().zip(codes);
            let beside =
                pairs.map(|(&(own, code), &other)| (before_of(1, &[u64::from(other)], 1, own), code));
            let plan = tree::Plan::of(beside, 2);
            if plan.bits + 4.0 < best.0.bits {
                best = (plan, slot - column.slot);
            }
        }
        self.number(number_of::LEFT, u64::from(best.1));
        best.0.write(
            &mut self.coder,
            &mut self.models.trees,
            tree_of::LOCAL,
            list.len() as u32,
        );
    }

    fn table(&mut self, list: Range<usize>, table: Range<usize>, back: u32) {
        let width = 32 - (self.words - 1).leading_zeros();
        let mut last = NONE;
        for (at, entry) in list.zip(table) {
            let (from, found) = (self.shape.lists[at], self.shape.lists[entry]);
            let context = self.expected.guess_context(from, back, last);
            let mut hit = false;
            for (index, guess) in self.expected.guesses(from, back, last).into_iter().enumerate() {
                hit = guess == found;
                let context = hit_context(context, index);
                self.models.hits.write(&mut self.coder, context, usize::from(hit));
                if hit {
                    break;
                }
            }
            if !hit {
                self.coder.plain(u64::from(found), width);
            }
            self.expected.told(from, back, last, found);
            last = found;
        }
    }

    fn write_field(&mut self, number: u32, kind: usize, zero: u64, place: u32) {
        let plan = std::mem::take(&mut self.fields[number as usize]);
        let context = usize::from(kind == bins_of::WORD);
        self.models.bases.write(&mut self.coder, context, plan.how);
        if plan.how > 4 {
            self.number(number_of::FIELD, u64::from(plan.back) - 1);
        }
        self.write_bins(plan.values, kind, zero, place);
        if plan.how > 0 {
            self.write_bins(plan.held, held_kind(plan.how), 0, place);
        }
    }

    fn write_bins(&mut self, number: usize, kind: usize, zero: u64, place: u32) {
        let known = self.expected.bins(kind, place);
        let same = known.iter().position(|known| *known == Some(number as u32));
        self.models
            .same
            .write(&mut self.coder, kind, same.map_or(0, |same| same + 1));
        if same.is_none() {
            let zero = known[0].map_or(zero, |known| self.bins[known as usize].plan.base());
            let plan = &self.bins[number].plan;
            plan.write(&mut self.coder, &mut self.models.bins, kind, zero);
        }
        self.expected.named(kind, place, number as u32);
    }
}

fn slots_of(column: &Column) -> u32 {
    match &column.root {
        Root::Local(..) | Root::Global(_) => 1,
        Root::Number(form, _) => form.digits.len() as u32,
        Root::Alias(_) | Root::Function(..) | Root::Checksum => 0,
    }
}
