//! Numbers where variables may hold the words, or are no decimal fields: the words are searched for, and the token behind
//! them is read.
//!
//! A number has no delimiters, so it lies in one token. Of a word of the dictionary the outcome is remembered.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::Result;
use crate::rows::Mask;
use crate::text::number::NumberPattern;
use crate::text::template::read::{Model, Token};
use crate::text::template::search::{End, Needle, Search};

/// Words of the dictionary whose outcome is remembered at most.
const MAX_KNOWN: usize = 1 << 16;

/// The words before a number, laid on all templates.
#[derive(Debug)]
pub struct Held<'m, 'p> {
    model: &'m Model,
    pattern: &'p NumberPattern,
    search: Search<'m>,
}

impl<'m, 'p> Held<'m, 'p> {
    /// Lays the words before the number on all templates.
    pub fn new(model: &'m Model, pattern: &'p NumberPattern) -> Result<Held<'m, 'p>> {
        let needle = Needle {
            bytes: pattern.place().before(),
            left: false,
            right: false,
            ignore_case: false,
        };
        Ok(Held {
            model,
            pattern,
            search: Search::new(model, &needle)?,
        })
    }

    /// The rows of a template that match, the first of `rows` as bit 0.
    pub fn rows(&self, template: usize, rows: &Range<u64>) -> Result<Mask> {
        let places = usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(0);
        let mut found = Mask::repeat(false, places);
        // Rows whose number is not yet known: the first place of the words that a number follows counts.
        let mut open = Mask::repeat(true, places);
        let tokens_end = self
            .model
            .templates
            .get(template)
            .map_or(0, |template| template.tokens.end);
        let mut text = Vec::new();
        for mut end in self.search.ends(template, rows)? {
            end.rows &= &open;
            let mut known = HashMap::new();
            for place in end.rows.iter_ones() {
                let row = rows.start + place as u64;
                if let Some(holds) = self.outcome(&end, tokens_end, row, &mut known, &mut text)? {
                    open.set(place, false);
                    found.set(place, holds);
                }
            }
        }
        Ok(found)
    }

    /// Whether the number in a row lies between the bounds; `None` if there is none.
    fn outcome(
        &self,
        end: &End<'_>,
        tokens_end: usize,
        place: u64,
        known: &mut HashMap<u64, Option<bool>>,
        text: &mut Vec<u8>,
    ) -> Result<Option<bool>> {
        let model = self.model;
        let bits = model.bits()?;
        let after = self.pattern.place().after();
        let run = model.runs.get(end.token).filter(|_| end.token + 1 < tokens_end);
        let run = run.map_or(&[][..], |&(start, end)| model.slice(start, end));
        text.clear();
        let mut word = None;
        match model.tokens.get(end.token) {
            Some(Token::Constant(start, end)) => {
                text.extend_from_slice(model.slice(*start, *end));
                word = Some(u64::MAX).filter(|_| after.len() <= run.len());
                if let Some(outcome) = word.and_then(|word| known.get(&word)) {
                    return Ok(*outcome);
                }
            }
            Some(Token::Variable(column)) => {
                // What follows the token is the same in all rows as far as the run goes.
                if after.len() <= run.len() {
                    word = model.word_of(bits, *column, place)?;
                }
                if let Some(outcome) = word.and_then(|word| known.get(&word)) {
                    return Ok(*outcome);
                }
                model.value(None, bits, *column, place, text)?;
            }
            None => return Ok(None),
        }
        let length = text.len();
        let mut next = end.token;
        while text.len() - length < after.len() && next + 1 < tokens_end {
            if let Some(&(start, end)) = model.runs.get(next) {
                text.extend_from_slice(model.slice(start, end));
            }
            next += 1;
            match model.tokens.get(next) {
                Some(Token::Constant(start, end)) => text.extend_from_slice(model.slice(*start, *end)),
                Some(Token::Variable(column)) => model.value(None, bits, *column, place, text)?,
                None => {}
            }
        }
        let number = |at: usize| {
            let rest = text.get(at..).unwrap_or_default();
            self.pattern.place().number_at(rest)
        };
        let found = if end.starts {
            number(end.piece.len())
        } else {
            let token = text.get(..length).unwrap_or_default();
            let starts =
                (0..length).filter(|&at| token.get(at..).is_some_and(|rest| rest.starts_with(end.piece)));
            starts.map(|at| at + end.piece.len()).find_map(number)
        };
        let outcome = found.map(|number| self.pattern.holds(number));
        if let Some(word) = word.filter(|_| known.len() < MAX_KNOWN) {
            known.insert(word, outcome);
        }
        Ok(outcome)
    }
}
