//! Rows that hold several needles one behind the other: LIKE patterns of literals and `%`.
//!
//! Each needle is laid on the templates by itself. Only a template that all of them can be laid on is looked at, and of its
//! rows only those that hold all. Of two alignments that share no token the places say which comes first; where one ends
//! in the token in which the next one starts, that token is read. So hardly any row is put together.

use std::ops::Range;

use super::{Alignment, Needle, Rows, Search};
use crate::error::Result;
use crate::rows::Mask;
use crate::text::TextPattern;
use crate::text::like::{LikePattern, LikeToken};
use crate::text::template::filter::Fit;
use crate::text::template::read::{Model, Token};

/// Needles one behind the other, laid on all templates.
#[derive(Debug)]
pub struct Order<'m, 'p> {
    model: &'m Model,
    like: &'p LikePattern,
    /// In the order of the pattern.
    searches: Vec<Search<'m>>,
}

/// Rows in which the needles so far end in one token.
struct State<'s> {
    /// Place of the token.
    end: usize,
    /// What it has to hold, in order.
    pieces: Vec<&'s [u8]>,
    /// Whether it starts with the first piece.
    anchored: bool,
    rows: Mask,
}

impl<'m, 'p> Order<'m, 'p> {
    /// Lays the literals of a pattern on all templates; `None` if it has others than literals and `%`, or no literal.
    pub fn new(model: &'m Model, like: &'p LikePattern) -> Result<Option<Order<'m, 'p>>> {
        let tokens = like.tokens();
        if tokens.contains(&LikeToken::One) {
            return Ok(None);
        }
        let mut needles = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            if let LikeToken::Literal(bytes) = token {
                needles.push(Needle {
                    bytes,
                    left: index == 0,
                    right: index + 1 == tokens.len(),
                    ignore_case: false,
                });
            }
        }
        if needles.is_empty() {
            return Ok(None);
        }
        // A long needle is likelier to be nowhere, which says all.
        let mut longest: Vec<usize> = (0..needles.len()).collect();
        longest.sort_by_key(|&index| std::cmp::Reverse(needles[index].bytes.len()));
        let mut searches: Vec<Option<Search<'m>>> = needles.iter().map(|_| None).collect();
        for index in longest {
            let search = Search::new(model, &needles[index])?;
            if search.alignments.is_empty() {
                searches.clear();
                break;
            }
            searches[index] = Some(search);
        }
        Ok(Some(Order {
            model,
            like,
            searches: searches.into_iter().flatten().collect(),
        }))
    }

    /// Calls `visit` with the rows of each template; `window` gives the rows of a template that are asked.
    pub fn rows(
        &self,
        mut window: impl FnMut(usize) -> Result<Range<u64>>,
        mut visit: impl FnMut(usize, Range<u64>, Rows) -> Result<()>,
    ) -> Result<()> {
        let Some((first, others)) = self.searches.split_first() else {
            return Ok(());
        };
        first.each(|template, alignments| {
            let mut laid = vec![alignments];
            for search in others {
                let start = search
                    .alignments
                    .partition_point(|other| other.template < template);
                let from = search.alignments.get(start..).unwrap_or_default();
                let count = from.partition_point(|other| other.template == template);
                laid.extend(from.get(..count).filter(|alignments| !alignments.is_empty()));
            }
            if laid.len() < self.searches.len() {
                return Ok(());
            }
            let rows = window(template)?;
            let found = self.template(template, &laid, &rows)?;
            let found = found.iter_ones().map(|place| rows.start + place as u64);
            let found = Rows::Some(found.collect());
            visit(template, rows, found)
        })
    }

    /// The rows of a template, the first of `rows` as bit 0.
    fn template(&self, template: usize, laid: &[&[Alignment]], rows: &Range<u64>) -> Result<Mask> {
        let places = usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(0);
        let none = Mask::repeat(false, places);
        // Rows with all needles, those with the fewest tests first.
        let tests = |alignments: &[Alignment]| alignments.iter().map(|one| one.tests.len()).sum::<usize>();
        let mut cheapest: Vec<usize> = (0..laid.len()).collect();
        cheapest.sort_by_key(|&index| tests(laid[index]));
        let mut masks: Vec<Vec<Mask>> = vec![Vec::new(); laid.len()];
        let mut left = Mask::repeat(true, places);
        for index in cheapest {
            let mut any = none.clone();
            for alignment in laid[index] {
                let mask = self.searches[index].alignment_rows(alignment, rows)?;
                any |= &mask;
                masks[index].push(mask);
            }
            left &= any;
            if left.not_any() {
                return Ok(none);
            }
        }
        let mut states: Vec<State<'_>> = Vec::new();
        let mut unsure = none.clone();
        for (index, (search, alignments)) in self.searches.iter().zip(laid).enumerate() {
            let mut next = Vec::new();
            for (alignment, mask) in alignments.iter().zip(&masks[index]) {
                let mut mask = mask.clone();
                mask &= &left;
                if mask.not_any() {
                    continue;
                }
                let last = alignment.first + search.tests.len() - 1;
                let (Some(first_test), Some(last_test)) = (search.tests.first(), search.tests.last()) else {
                    continue;
                };
                let spans = last > alignment.first;
                let mut behind = if index == 0 { mask.clone() } else { none.clone() };
                for state in &states {
                    if state.end < alignment.first {
                        behind |= &state.rows;
                        continue;
                    }
                    let mut both = mask.clone();
                    both &= &state.rows;
                    if both.not_any() {
                        continue;
                    }
                    let piece = first_test.bytes.as_slice();
                    if state.end == alignment.first {
                        let mut pieces = state.pieces.clone();
                        pieces.push(piece);
                        let closed = spans || matches!(first_test.fit, Fit::Ends | Fit::Equals);
                        self.keep_tokens(state, &pieces, closed, rows.start, &mut both)?;
                        if spans {
                            behind |= both;
                        } else {
                            next.push(State {
                                end: last,
                                pieces,
                                anchored: state.anchored,
                                rows: both,
                            });
                        }
                    } else if state.end == alignment.first + 1 && spans && piece.is_empty() {
                        // Both may have their part of the run before the state's token.
                        if state.pieces.iter().all(|piece| piece.is_empty()) {
                            unsure |= both;
                        }
                    }
                }
                behind &= &mask;
                next.push(State {
                    end: last,
                    pieces: vec![last_test.bytes.as_slice()],
                    anchored: spans || matches!(last_test.fit, Fit::Starts | Fit::Equals),
                    rows: behind,
                });
            }
            next.retain(|state| state.rows.any());
            states = next;
        }
        let mut found = none;
        for state in states {
            found |= state.rows;
        }
        let pattern = TextPattern::Like(self.like.clone());
        let mut bytes = Vec::new();
        let open: Vec<usize> = unsure.iter_ones().filter(|&place| !found[place]).collect();
        for place in open {
            bytes.clear();
            let code = template as u64 + 1;
            self.model
                .extract_place(None, code, rows.start + place as u64, &mut bytes)?;
            found.set(place, pattern.matches(&bytes));
        }
        Ok(found)
    }

    /// Drops the rows of `mask` in which the state's token does not hold `pieces` one behind the other; `closed` if it has
    /// to end with the last one.
    fn keep_tokens(
        &self,
        state: &State<'_>,
        pieces: &[&[u8]],
        closed: bool,
        base: u64,
        mask: &mut Mask,
    ) -> Result<()> {
        let mut tokens = Vec::with_capacity(pieces.len() * 2 + 1);
        if !state.anchored {
            tokens.push(LikeToken::Many);
        }
        for (index, &piece) in pieces.iter().enumerate() {
            if index > 0 {
                tokens.push(LikeToken::Many);
            }
            tokens.push(LikeToken::Literal(piece.to_vec()));
        }
        if !closed {
            tokens.push(LikeToken::Many);
        }
        let pattern = LikePattern::of(tokens);
        match self.model.tokens.get(state.end) {
            Some(Token::Variable(column)) => {
                let bits = self.model.bits()?;
                let mut token = Vec::new();
                let places: Vec<usize> = mask.iter_ones().collect();
                for place in places {
                    token.clear();
                    self.model
                        .value(None, bits, *column, base + place as u64, &mut token)?;
                    mask.set(place, pattern.matches(&token));
                }
            }
            Some(Token::Constant(start, end)) if pattern.matches(self.model.slice(*start, *end)) => {}
            _ => mask.fill(false),
        }
        Ok(())
    }
}
