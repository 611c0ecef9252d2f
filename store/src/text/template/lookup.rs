//! Where the constants and runs of the templates are: made when an index is first searched.

use std::collections::HashMap;

use super::filter::{Fit, Test};
use super::read::{Model, Root, Token};

/// Stands for no run or no constant.
pub const NONE: u32 = u32::MAX;

/// Distinct byte strings, in byte order, and the places of each.
#[derive(Debug, Default)]
pub struct Places {
    /// Start and end in the templates' text.
    pub strings: Vec<(u32, u32)>,
    starts: Vec<u32>,
    places: Vec<u32>,
}

impl Places {
    fn new(model: &Model, spans: &[Option<(u32, u32)>], numbers: &mut Vec<u32>) -> Places {
        let bytes = |span: &(u32, u32)| model.slice(span.0, span.1);
        let mut strings: Vec<(u32, u32)> = spans.iter().flatten().copied().collect();
        strings.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        strings.dedup_by(|a, b| bytes(a) == bytes(b));
        let mut starts = vec![0u32; strings.len() + 1];
        for span in spans {
            let number = match span {
                Some(span) => strings
                    .binary_search_by(|other| bytes(other).cmp(bytes(span)))
                    .map_or(NONE, |number| number as u32),
                None => NONE,
            };
            if let Some(start) = starts.get_mut(number as usize) {
                *start += 1;
            }
            numbers.push(number);
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut places = vec![0; sum as usize];
        for (place, &number) in numbers.iter().enumerate().rev() {
            if let Some(start) = starts.get_mut(number as usize) {
                *start -= 1;
                places[*start as usize] = place as u32;
            }
        }
        Places {
            strings,
            starts,
            places,
        }
    }

    /// Places of string `number`, increasing.
    pub fn of(&self, number: u32) -> &[u32] {
        let number = number as usize;
        match (self.starts.get(number), self.starts.get(number + 1)) {
            (Some(&start), Some(&end)) => self.places.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Whether a string passes a test that is true of a stretch of them in byte order, which starts at `first`.
    pub fn any_from(&self, model: &Model, first: &[u8], test: impl Fn(&[u8]) -> bool) -> bool {
        let at = self
            .strings
            .partition_point(|&(start, end)| model.slice(start, end) < first);
        self.strings
            .get(at)
            .is_some_and(|&(start, end)| test(model.slice(start, end)))
    }

    /// Number of a string.
    pub fn find(&self, model: &Model, bytes: &[u8]) -> Option<u32> {
        self.strings
            .binary_search_by(|&(start, end)| model.slice(start, end).cmp(bytes))
            .ok()
            .map(|number| number as u32)
    }

    /// Numbers of the strings that pass a test.
    pub fn matching(&self, model: &Model, test: impl Fn(&[u8]) -> bool) -> Vec<u32> {
        (0u32..)
            .zip(&self.strings)
            .filter(|(_, (start, end))| test(model.slice(*start, *end)))
            .map(|(number, _)| number)
            .collect()
    }
}

/// Constants and runs by their bytes, places being those of [`Model::tokens`].
#[derive(Debug)]
pub struct Lookup {
    /// Constants.
    pub constants: Places,
    /// Number of the constant at each place, or [`NONE`].
    pub constant_of: Vec<u32>,
    /// Runs.
    pub runs: Places,
    /// Number of the run after each place, or [`NONE`] at a template's last token.
    pub run_of: Vec<u32>,
    /// Bytes that the token of a number column may hold.
    digits: [bool; 256],
    /// Class of each column: columns of a class may pass the same tests, at a glance.
    classes: Vec<u32>,
    /// A column of each class.
    members: Vec<u32>,
}

impl Lookup {
    /// Sorts what the templates hold.
    pub fn new(model: &Model) -> Lookup {
        let constants: Vec<Option<(u32, u32)>> = model
            .tokens
            .iter()
            .map(|token| match token {
                Token::Constant(start, end) => Some((*start, *end)),
                Token::Variable(_) => None,
            })
            .collect();
        let mut runs: Vec<Option<(u32, u32)>> = model.runs.iter().copied().map(Some).collect();
        for template in &model.templates {
            if let Some(last) = runs.get_mut(template.tokens.end.wrapping_sub(1)) {
                *last = None;
            }
        }
        let mut digits = [false; 256];
        for column in &model.columns {
            if let Root::Number(form, _) = &column.root {
                for (byte, known) in (0u8..=255).zip(&mut digits) {
                    *known |= form.may_have(byte);
                }
            }
        }
        let (classes, members) = classes(model);
        let (mut constant_of, mut run_of) = (Vec::new(), Vec::new());
        Lookup {
            constants: Places::new(model, &constants, &mut constant_of),
            constant_of,
            runs: Places::new(model, &runs, &mut run_of),
            run_of,
            digits,
            classes,
            members,
        }
    }

    /// For each class, whether its columns may have a token that passes `test`; `unknown` tells that the dictionary has
    /// none.
    pub fn possible(&self, model: &Model, test: &Test, unknown: bool) -> Vec<bool> {
        let member = |&column: &u32| {
            let column = model.columns.get(column as usize);
            column.is_some_and(|column| test.is_possible(model, column, unknown))
        };
        self.members.iter().map(member).collect()
    }

    /// Class of a column.
    #[inline]
    pub fn class_of(&self, column: u32) -> usize {
        self.classes
            .get(column as usize)
            .map_or(usize::MAX, |&class| class as usize)
    }

    /// Whether a token that passes `test` may be anywhere, at a glance; `unknown` tells that the dictionary has none.
    pub fn is_possible(&self, model: &Model, test: &Test, unknown: bool) -> bool {
        let number = |byte: &u8| self.digits.get(usize::from(*byte)).is_some_and(|&known| known);
        if !unknown || test.ignore_case || test.bytes.iter().all(number) {
            return true;
        }
        match test.fit {
            Fit::Equals | Fit::Starts => self
                .constants
                .any_from(model, &test.bytes, |bytes| test.passes(bytes)),
            Fit::Ends | Fit::Contains => {
                let mut strings = self.constants.strings.iter();
                strings.any(|&(start, end)| test.passes(model.slice(start, end)))
            }
        }
    }
}

/// What decides whether a column may pass a test: whether it has values of the dictionary, and bytes of its numbers.
fn classes(model: &Model) -> (Vec<u32>, Vec<u32>) {
    let (mut classes, mut members) = (Vec::new(), Vec::new());
    let mut known: HashMap<(bool, Vec<u8>), u32> = HashMap::new();
    for (number, column) in (0u32..).zip(&model.columns) {
        let mut words = column.exceptions.is_some();
        let mut root = &column.root;
        if let Root::Alias(parent) = root {
            if let Some(parent) = model.columns.get(*parent as usize) {
                words |= parent.exceptions.is_some();
                root = &parent.root;
            }
        }
        let mut bytes = Vec::new();
        match root {
            Root::Number(form, _) => bytes.extend((0u8..=255).filter(|&byte| form.may_have(byte))),
            _ => words = true,
        }
        let next = members.len() as u32;
        let class = *known.entry((words, bytes)).or_insert_with(|| {
            members.push(number);
            next
        });
        classes.push(class);
    }
    (classes, members)
}
