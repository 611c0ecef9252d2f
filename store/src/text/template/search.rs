//! Substrings of rows: a needle is laid against the templates wherever its delimiters fit.
//!
//! Tokens hold no delimiters, so a needle that has any splits in one way only: the end of a token, a run, whole tokens
//! and runs, and the start of a token. Where the runs of a template fit, constants decide at once, and each variable
//! leaves one test: equals, starts with, or ends with. A needle without delimiters lies inside one token.

use std::cmp::Reverse;
use std::ops::Range;

use super::filter::{Fit, Plan, Test};
use super::lookup::{Glance, NONE, known_ids};
use super::read::Model;
use super::tokens::parts;
use crate::error::Result;
use crate::rows::Mask;

mod order;

pub use order::Order;

/// Rows up to which further tests are made row by row.
const FEW_ROWS: usize = 256;
/// Rows up to which values are read to test them.
const FEW_VALUES: usize = 64;
/// Rows of a template that is passed over in the time in which a test is planned.
const SMALL: u64 = 512;

/// What is looked for in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needle<'n> {
    /// The bytes.
    pub bytes: &'n [u8],
    /// Whether the row starts with them.
    pub left: bool,
    /// Whether the row ends with them.
    pub right: bool,
    /// Whether ASCII letters are compared without case.
    pub ignore_case: bool,
}

/// A way to lay the needle on a template that its constants and runs allow: columns and the tests they have to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alignment {
    template: usize,
    /// Place of the first token.
    first: usize,
    /// Column and number of its test.
    tests: Vec<(u32, usize)>,
}

/// Where a needle ends in a template.
#[derive(Debug)]
pub struct End<'s> {
    /// Place of the token.
    pub token: usize,
    /// What the token has of the needle.
    pub piece: &'s [u8],
    /// Whether it starts with that.
    pub starts: bool,
    /// Rows of the template, the first of those asked as bit 0.
    pub rows: Mask,
}

/// Where a needle may be.
#[derive(Debug)]
pub struct Search<'m> {
    model: &'m Model,
    tests: Vec<Test>,
    /// By template.
    alignments: Vec<Alignment>,
    /// The run that the needle ends with, if it ends with one, and whether that may start inside a run.
    last_run: Option<(Vec<u8>, bool)>,
}

/// Rows of one template.
#[derive(Debug, PartialEq, Eq)]
pub enum Rows {
    /// All of them.
    All,
    /// These, increasing.
    Some(Vec<u64>),
}

impl<'m> Search<'m> {
    /// Lays the needle on all templates.
    pub fn new(model: &'m Model, needle: &Needle<'_>) -> Result<Search<'m>> {
        let pieces: Vec<&[u8]> = parts(needle.bytes).collect();
        let mut search = Search {
            model,
            tests: Vec::new(),
            alignments: Vec::new(),
            last_run: None,
        };
        if let [before @ .., run, []] = pieces.as_slice() {
            search.last_run = Some((run.to_vec(), matches!(before, [[]]) && !needle.left));
        }
        if pieces.len() == 1 {
            search.inside_a_token(needle)?;
        } else {
            search.across_tokens(needle, &pieces)?;
        }
        search.alignments.sort_by_key(|alignment| alignment.template);
        Ok(search)
    }

    fn template_of(&self, place: usize) -> Option<usize> {
        let index = self
            .model
            .templates
            .partition_point(|template| template.tokens.end <= place);
        (index < self.model.templates.len()).then_some(index)
    }

    fn inside_a_token(&mut self, needle: &Needle<'_>) -> Result<()> {
        let fit = match (needle.left, needle.right) {
            (false, false) => Fit::Contains,
            (true, false) => Fit::Starts,
            (false, true) => Fit::Ends,
            (true, true) => Fit::Equals,
        };
        let test = Test::new(fit, needle.bytes, needle.ignore_case);
        let model = self.model;
        let lookup = model.lookup();
        let mut glance = lookup.glance(model, &test, known_ids(model, &test)?);
        for place in lookup.places(model, &test, &mut glance) {
            let place = place as usize;
            let Some(template) = self.template_of(place) else {
                continue;
            };
            let tokens = self.tokens_of(template);
            if (needle.left && place != tokens.start) || (needle.right && place + 1 != tokens.end) {
                continue;
            }
            self.alignments.push(Alignment {
                template,
                first: place,
                tests: lookup
                    .column_at(place)
                    .map(|column| (column, 0))
                    .into_iter()
                    .collect(),
            });
        }
        self.tests.push(test);
        Ok(())
    }

    fn tokens_of(&self, template: usize) -> Range<usize> {
        let template = self.model.templates.get(template);
        template.map_or(0..0, |template| template.tokens.clone())
    }

    fn across_tokens(&mut self, needle: &Needle<'_>, pieces: &[&[u8]]) -> Result<()> {
        let model = self.model;
        let lookup = model.lookup();
        let last = pieces.len() / 2;
        for (index, piece) in pieces.iter().step_by(2).enumerate() {
            let fit = match (index == 0 && !needle.left, index == last && !needle.right) {
                (true, _) => Fit::Ends,
                (_, true) => Fit::Starts,
                _ => Fit::Equals,
            };
            self.tests.push(Test::new(fit, piece, needle.ignore_case));
        }
        // The strongest tests are asked first: a word that is nowhere ends the search.
        let mut order: Vec<usize> = (0..self.tests.len()).filter(|&index| !self.any(index)).collect();
        order.sort_by_key(|&index| Reverse(self.tests[index].strength()));
        let mut glances: Vec<(usize, Glance)> = Vec::with_capacity(order.len());
        for &index in &order {
            let test = &self.tests[index];
            let glance = lookup.glance(model, test, known_ids(model, test)?);
            if !lookup.is_anywhere(model, test, &glance) {
                return Ok(());
            }
            glances.push((index, glance));
        }
        let Some(fitting) = self.fitting_runs(needle, pieces) else {
            return Ok(());
        };
        // Places to start from: those of the run or of the token that has the fewest.
        let frequency = |runs: &[u32]| runs.iter().map(|&run| lookup.runs.of(run).len()).sum::<usize>();
        let rarest_run = fitting.iter().enumerate().min_by_key(|(_, runs)| frequency(runs));
        let Some((anchor, runs)) = rarest_run else {
            return Ok(());
        };
        let rarest_token = (0..glances.len()).min_by_key(|&at| lookup.cost(&glances[at].1));
        let (anchor, places) = match rarest_token {
            Some(at) if lookup.cost(&glances[at].1) < frequency(runs) => {
                let (index, mut glance) = glances.swap_remove(at);
                (index, lookup.places(model, &self.tests[index], &mut glance))
            }
            _ => {
                let places = runs.iter().flat_map(|&run| lookup.runs.of(run));
                (anchor, places.copied().collect())
            }
        };
        glances.sort_by_key(|(_, glance)| lookup.cost(glance));
        for place in places {
            let Some(first) = (place as usize).checked_sub(anchor) else {
                continue;
            };
            let tests = &self.tests;
            let tokens_fit = glances
                .iter_mut()
                .all(|(index, glance)| lookup.may_pass(model, first + *index, &tests[*index], glance));
            if !tokens_fit {
                continue;
            }
            let runs_fit = (first..).zip(&fitting).all(|(place, runs)| {
                let run = lookup.run_of.get(place).copied().unwrap_or(NONE);
                runs.contains(&run)
            });
            if !runs_fit {
                continue;
            }
            let Some(template) = self.template_of(first) else {
                continue;
            };
            let tokens = self.tokens_of(template);
            let whole = first + last < tokens.end
                && (!needle.left || first == tokens.start)
                && (!needle.right || first + last + 1 == tokens.end);
            if whole {
                let columns = order.iter().filter_map(|&index| {
                    let column = lookup.column_at(first + index)?;
                    Some((column, index))
                });
                self.alignments.push(Alignment {
                    template,
                    first,
                    tests: columns.collect(),
                });
            }
        }
        Ok(())
    }

    /// For each run of the needle the templates' runs that it fits; `None` if one fits none.
    fn fitting_runs(&self, needle: &Needle<'_>, pieces: &[&[u8]]) -> Option<Vec<Vec<u32>>> {
        let model = self.model;
        let lookup = model.lookup();
        let last = pieces.len() / 2;
        // Whether the needle's run may start or end inside a template's run.
        let open = |index: usize| {
            (
                index == 0 && !needle.left && pieces.first().is_some_and(|piece| piece.is_empty()),
                index + 1 == last && !needle.right && pieces.last().is_some_and(|piece| piece.is_empty()),
            )
        };
        let mut fitting: Vec<Vec<u32>> = Vec::with_capacity(last);
        for (index, run) in pieces.iter().skip(1).step_by(2).enumerate() {
            let runs: Vec<u32> = match open(index) {
                (false, false) => lookup.runs.find(model, run).into_iter().collect(),
                (true, false) => lookup.runs.matching(model, |other| other.ends_with(run)),
                (false, true) => lookup.runs.matching(model, |other| other.starts_with(run)),
                (true, true) => lookup
                    .runs
                    .matching(model, |other| memchr::memmem::find(other, run).is_some()),
            };
            if runs.is_empty() {
                return None;
            }
            fitting.push(runs);
        }
        Some(fitting)
    }

    /// Whether a test is passed by every token.
    fn any(&self, index: usize) -> bool {
        self.tests
            .get(index)
            .is_none_or(|test| test.bytes.is_empty() && test.fit != Fit::Equals)
    }

    /// Calls `visit` with each template that may have rows, from the first on, and its alignments.
    fn each(&self, mut visit: impl FnMut(usize, &[Alignment]) -> Result<()>) -> Result<()> {
        for group in self.alignments.chunk_by(|a, b| a.template == b.template) {
            if let Some(first) = group.first() {
                visit(first.template, group)?;
            }
        }
        Ok(())
    }

    /// Calls `visit` with the rows of each template; `window` gives the rows of a template that are asked.
    pub fn rows(
        &self,
        mut window: impl FnMut(usize) -> Result<Range<u64>>,
        mut visit: impl FnMut(usize, Range<u64>, Rows) -> Result<()>,
    ) -> Result<()> {
        self.each(|template, alignments| {
            if alignments.iter().any(|alignment| alignment.tests.is_empty()) {
                return visit(template, window(template)?, Rows::All);
            }
            let mut chains = self.chains(alignments)?;
            if chains.is_empty() {
                return Ok(());
            }
            let rows = window(template)?;
            let found = self.union(&mut chains, rows.clone())?;
            let found = found.iter_ones().map(|place| rows.start + place as u64);
            let found = found.collect();
            visit(template, rows, Rows::Some(found))
        })
    }

    /// How many rows there are, `window` giving the rows of a template that are asked.
    pub fn count(&self, mut window: impl FnMut(usize) -> Result<Range<u64>>) -> Result<u64> {
        let mut count = 0;
        self.each(|template, alignments| {
            if alignments.iter().any(|alignment| alignment.tests.is_empty()) {
                let rows = window(template)?;
                count += rows.end - rows.start;
                return Ok(());
            }
            let mut chains = self.chains(alignments)?;
            if chains.is_empty() {
                return Ok(());
            }
            let rows = window(template)?;
            if let [only] = chains.as_slice() {
                if let [Link { plan: Some(plan), .. }] = only.as_slice() {
                    if let Some(found) = plan.count(rows.clone())? {
                        count += found;
                        return Ok(());
                    }
                }
            }
            count += self.union(&mut chains, rows)?.count_ones() as u64;
            Ok(())
        })?;
        Ok(count)
    }

    /// Where the needle ends in a template, from the left; not where that is inside a run.
    pub fn ends(&self, template: usize, rows: &Range<u64>) -> Result<Vec<End<'_>>> {
        let start = self
            .alignments
            .partition_point(|alignment| alignment.template < template);
        let here = self.alignments.get(start..).unwrap_or_default();
        let mut here: Vec<&Alignment> = here
            .iter()
            .take_while(|alignment| alignment.template == template)
            .collect();
        here.sort_by_key(|alignment| alignment.first);
        let Some((last, others)) = self.tests.split_last() else {
            return Ok(Vec::new());
        };
        let mut ends = Vec::with_capacity(here.len());
        for alignment in here {
            if !self.ends_at_a_token(alignment.first + others.len()) {
                continue;
            }
            ends.push(End {
                token: alignment.first + others.len(),
                piece: last.bytes.as_slice(),
                starts: !others.is_empty() || matches!(last.fit, Fit::Starts | Fit::Equals),
                rows: self.alignment_rows(alignment, rows)?,
            });
        }
        Ok(ends)
    }

    /// Whether a needle that has nothing of the token `token` ends right before it.
    fn ends_at_a_token(&self, token: usize) -> bool {
        let Some((last, inside)) = &self.last_run else {
            return true;
        };
        let run = token.checked_sub(1).and_then(|place| self.model.runs.get(place));
        let run = run.map_or(&[][..], |&(start, end)| self.model.slice(start, end));
        run == last.as_slice() || *inside && run.ends_with(last)
    }

    /// The rows that one alignment has, the first of `rows` as bit 0.
    fn alignment_rows(&self, alignment: &Alignment, rows: &Range<u64>) -> Result<Mask> {
        if alignment.tests.is_empty() {
            let places = usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(0);
            return Ok(Mask::repeat(true, places));
        }
        let mut chains = self.chains(std::slice::from_ref(alignment))?;
        self.union(&mut chains, rows.clone())
    }

    /// The tests of the alignments that may have rows, the strongest first.
    fn chains(&self, alignments: &[Alignment]) -> Result<Vec<Chain<'m, '_>>> {
        let mut all = Vec::new();
        'alignments: for alignment in alignments {
            let rows = self.model.templates.get(alignment.template);
            let rows = rows.map_or(0, |template| template.rows);
            let mut links: Vec<Link<'m, '_>> = Vec::with_capacity(alignment.tests.len());
            for (index, &(column, test)) in alignment.tests.iter().enumerate() {
                let Some(test) = self.tests.get(test) else {
                    continue;
                };
                // What ends with a few bytes takes many steps to find and rules little out. Where few rows are to be
                // passed over, and few of them are left, their values are read sooner than another test is planned.
                let first = links.first().and_then(|first| first.plan.as_ref());
                let settled =
                    rows <= SMALL && first.is_some_and(|first| first.expected(rows) <= FEW_VALUES as u64);
                let plan = if index == 0 || (test.is_cheap() && !settled) {
                    let plan = Plan::new(self.model, column, test)?;
                    if plan.is_never() {
                        continue 'alignments;
                    }
                    Some(plan)
                } else {
                    None
                };
                links.push(Link { column, test, plan });
            }
            if links.len() > 1 {
                links.sort_by_cached_key(|link| {
                    link.plan.as_ref().map_or(u64::MAX, |plan| plan.expected(rows))
                });
            }
            all.push(links);
        }
        Ok(all)
    }

    /// The rows that pass all tests of one of the alignments, the first of `rows` as bit 0.
    fn union(&self, chains: &mut [Chain<'m, '_>], rows: Range<u64>) -> Result<Mask> {
        let places = usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(0);
        let mut all: Option<Mask> = None;
        for chain in chains {
            let mut mask: Option<Mask> = None;
            for link in chain {
                let few = mask.as_ref().map_or(usize::MAX, |mask| mask.count_ones());
                if few == 0 {
                    break;
                }
                let most = if link.plan.is_some() { FEW_ROWS } else { FEW_VALUES };
                if let Some(mask) = mask.as_mut().filter(|_| few <= most) {
                    let left: Vec<usize> = mask.iter_ones().collect();
                    for place in left {
                        if !link.passes(self.model, rows.start + place as u64)? {
                            mask.set(place, false);
                        }
                    }
                    continue;
                }
                let plan = match &mut link.plan {
                    Some(plan) => plan,
                    empty => empty.insert(Plan::new(self.model, link.column, link.test)?),
                };
                let mut other = Mask::repeat(false, places);
                plan.mark(rows.clone(), &mut other)?;
                match &mut mask {
                    Some(mask) => *mask &= other,
                    None => mask = Some(other),
                }
            }
            match (&mut all, mask) {
                (Some(all), Some(mask)) => *all |= mask,
                (None, Some(mask)) => all = Some(mask),
                (_, None) => {}
            }
        }
        Ok(all.unwrap_or_else(|| Mask::repeat(false, places)))
    }
}

/// The tests of one alignment.
type Chain<'m, 's> = Vec<Link<'m, 's>>;

/// A test of a column, planned if it is to be asked of many rows.
struct Link<'m, 's> {
    column: u32,
    test: &'s Test,
    plan: Option<Plan<'m>>,
}

impl Link<'_, '_> {
    fn passes(&self, model: &Model, row: u64) -> Result<bool> {
        if let Some(plan) = &self.plan {
            return plan.passes(row);
        }
        let mut token = Vec::new();
        model.value(None, model.bits()?, self.column, row, &mut token)?;
        Ok(self.test.passes(&token))
    }
}
