//! Rows in which a number at some place lies between two bounds, from the codes of the column that holds it.
//!
//! The words before the number are laid over each template. Where they fall on its constants alone, the first place
//! that a number follows is the same in all its rows, and the number is a field of one column, or two with a
//! point between them: rows are told by the codes. Rows that are exceptions to a column are read; where variables may hold
//! some of the words, the tokens behind the words are ([`tokens`]).

use std::ops::Range;

use super::answer::name_rows;
use super::number::{Radix, ZERO};
use super::read::{Column, Model, Root, Token};
use super::tokens::is_delimiter;
use crate::codes::Interval;
use crate::error::Result;
use crate::rows::Mask;
use crate::text::TextPattern;
use crate::text::number::NumberPattern;

mod tokens;

use tokens::Held;

/// A part of a template's row.
#[derive(Debug)]
enum Piece {
    /// The same in all rows.
    Text(Vec<u8>),
    /// A token, or a part of one.
    Any,
    /// Digits, with or without a sign: column and field.
    Field(u32, usize),
}

/// What a template says of a number.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// No row has one.
    Nowhere,
    /// It is a field of a column.
    Whole(u32, usize),
    /// It is that field, a point, and the next field.
    Point(u32, usize),
    /// Only the rows tell.
    Unknown,
}

/// Sets the bits of the rows of templates in `range` that match.
pub fn select(model: &Model, range: &Range<u64>, pattern: &NumberPattern, mask: &mut Mask) -> Result<()> {
    let mut held = None;
    for index in 0..model.templates.len() {
        let code = index as u64 + 1;
        let rows = model.window(code, range)?;
        if rows.is_empty() {
            continue;
        }
        let pieces = pieces(model, index)?;
        let known = match place(&pieces, pattern) {
            Place::Nowhere if !has_exceptions(model, index)? => continue,
            Place::Whole(column, field) => Some((column, field, false)),
            Place::Point(column, field) => Some((column, field, true)),
            Place::Nowhere | Place::Unknown => None,
        };
        let found = match (known, &mut held) {
            (Some((column, field, has_point)), _) => {
                let mut found = Mask::repeat(false, (rows.end - rows.start) as usize);
                let column = model.column(column)?;
                fields(model, column, field, has_point, pattern, &rows, &mut found)?;
                exceptions(model, index, pattern, &rows, &mut found)?;
                found
            }
            (None, Some(held)) => Held::rows(held, index, &rows)?,
            (None, none) => none.insert(Held::new(model, pattern)?).rows(index, &rows)?,
        };
        let found: Vec<u64> = found.iter_ones().map(|place| rows.start + place as u64).collect();
        name_rows(model, code, &rows, &found, range, mask)?;
    }
    Ok(())
}

fn columns(model: &Model, template: usize) -> Result<Vec<&Column>> {
    let tokens = model
        .templates
        .get(template)
        .map(|template| template.tokens.clone());
    let tokens = tokens
        .and_then(|tokens| model.tokens.get(tokens))
        .unwrap_or_default();
    let numbers = tokens.iter().filter_map(|token| match token {
        Token::Variable(column) => Some(*column),
        Token::Constant(..) => None,
    });
    numbers.map(|column| model.column(column)).collect()
}

fn has_exceptions(model: &Model, template: usize) -> Result<bool> {
    Ok(columns(model, template)?
        .iter()
        .any(|column| column.exceptions.is_some()))
}

/// The parts of a template's rows; texts next to each other are one.
fn pieces(model: &Model, template: usize) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let add = |pieces: &mut Vec<Piece>, text: &[u8]| match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(last)) => last.extend_from_slice(text),
        _ => pieces.push(Piece::Text(text.to_vec())),
    };
    let tokens = model
        .templates
        .get(template)
        .map_or(0..0, |template| template.tokens.clone());
    for at in tokens.clone() {
        match model.tokens.get(at) {
            Some(Token::Constant(start, end)) => add(&mut pieces, model.slice(*start, *end)),
            Some(Token::Variable(number)) => match &model.column(*number)?.root {
                Root::Number(form, _) if form.radix == Radix::Decimal => {
                    for (index, literal) in form.literals.iter().enumerate() {
                        if index > 0 {
                            pieces.push(Piece::Field(*number, index - 1));
                        }
                        add(&mut pieces, literal);
                    }
                }
                _ => pieces.push(Piece::Any),
            },
            None => {}
        }
        if at + 1 < tokens.end {
            if let Some(&(start, end)) = model.runs.get(at) {
                add(&mut pieces, model.slice(start, end));
            }
        }
    }
    Ok(pieces)
}

/// Lays `words` over the pieces from byte `from` of piece `at` on; `None` if a variable may hold some of them, else the
/// piece and byte behind them if they are there. Of a variable at least `least` of them are.
fn lay(
    pieces: &[Piece],
    at: usize,
    from: usize,
    least: usize,
    words: &[u8],
) -> Option<Option<(usize, usize)>> {
    match pieces.get(at) {
        None => Some(None),
        Some(Piece::Text(text)) => {
            let text = text.get(from..).unwrap_or_default();
            let both = text.len().min(words.len());
            if text.get(..both) != words.get(..both) {
                return Some(None);
            }
            match words.get(both..) {
                Some(rest) if !rest.is_empty() => lay(pieces, at + 1, 0, 0, rest),
                _ => Some(Some((at, from + both))),
            }
        }
        Some(piece) => {
            // Any number of the next words may be the variable's, none of them too.
            let may_be = |byte: &u8| match piece {
                Piece::Field(..) => byte.is_ascii_digit() || *byte == b'-',
                _ => !is_delimiter(*byte),
            };
            let most = words.iter().take_while(|byte| may_be(byte)).count();
            let fits = (least..=most).any(|held| {
                let rest = words.get(held..).unwrap_or_default();
                rest.is_empty() || !matches!(lay(pieces, at + 1, 0, 0, rest), Some(None))
            });
            if fits { None } else { Some(None) }
        }
    }
}

/// Where the number is in rows of these pieces that are no exceptions.
fn place(pieces: &[Piece], pattern: &NumberPattern) -> Place {
    let words = pattern.place().before();
    let mut found = Place::Nowhere;
    for (at, piece) in pieces.iter().enumerate() {
        let starts = match piece {
            Piece::Text(text) => text.len(),
            _ => 1,
        };
        for from in 0..starts {
            match lay(pieces, at, from, 1, words) {
                None => return Place::Unknown,
                Some(None) => {}
                // The words may yet be in a variable that comes before; then the first place is not known.
                Some(Some((piece, byte))) if found == Place::Nowhere => {
                    found = number_at(pieces, piece, byte, pattern.place().after());
                }
                Some(Some(_)) => {}
            }
        }
    }
    found
}

/// The number that starts at a byte of a piece of text, or behind it.
fn number_at(pieces: &[Piece], at: usize, byte: usize, after: &[u8]) -> Place {
    let next = match pieces.get(at) {
        Some(Piece::Text(text)) => text.get(byte),
        _ => None,
    };
    if let Some(next) = next {
        let may_start = next.is_ascii_digit() || *next == b'-';
        return if may_start { Place::Unknown } else { Place::Nowhere };
    }
    let (column, field) = match pieces.get(at + 1) {
        None => return Place::Nowhere,
        Some(Piece::Field(column, field)) => (*column, *field),
        Some(_) => return Place::Unknown,
    };
    let follows = |text: &[u8], found: Place| {
        if text.starts_with(after) {
            found
        } else if after.starts_with(text) {
            Place::Unknown
        } else {
            Place::Nowhere
        }
    };
    match (pieces.get(at + 2), pieces.get(at + 3), pieces.get(at + 4)) {
        (None, ..) if after.is_empty() => Place::Whole(column, field),
        (None, ..) => Place::Nowhere,
        (Some(Piece::Text(text)), ..) if text.first() != Some(&b'.') => {
            follows(text, Place::Whole(column, field))
        }
        (Some(Piece::Text(point)), Some(Piece::Field(same, _)), behind)
            if point.as_slice() == b"." && *same == column && after.first() != Some(&b'.') =>
        {
            match behind {
                None if after.is_empty() => Place::Point(column, field),
                Some(Piece::Text(text)) => follows(text, Place::Point(column, field)),
                _ => Place::Unknown,
            }
        }
        _ => Place::Unknown,
    }
}

/// Sets the bits of rows whose field, or that and the one behind the point, lies between the bounds.
fn fields(
    model: &Model,
    column: &Column,
    field: usize,
    has_point: bool,
    pattern: &NumberPattern,
    rows: &Range<u64>,
    found: &mut Mask,
) -> Result<()> {
    let bits = model.bits()?;
    let wrong = || model.corrupt("a column of numbers makes no sense");
    let Root::Number(form, sequences) = &column.root else {
        return Err(wrong());
    };
    let whole = sequences.get(field).ok_or_else(wrong)?;
    if !has_point {
        return match interval(pattern) {
            None => Ok(()),
            Some(interval) => whole
                .select(bits, rows.clone(), interval, found)?
                .ok_or_else(wrong),
        };
    }
    let part = sequences.get(field + 1).ok_or_else(wrong)?;
    let width = usize::from(form.digits.get(field + 1).copied().unwrap_or(0));
    let (mut wholes, mut parts) = (Vec::new(), Vec::new());
    whole.decode(bits, rows.clone(), &mut wholes)?.ok_or_else(wrong)?;
    part.decode(bits, rows.clone(), &mut parts)?.ok_or_else(wrong)?;
    let mut bytes = Vec::new();
    for (place, (&whole, &part)) in wholes.iter().zip(&parts).enumerate() {
        let holds = if part < ZERO {
            // The point is followed by a sign, so it is none of the number's; the whole row says what is.
            None
        } else {
            let (negative, whole, part) = (whole < ZERO, ((whole ^ ZERO) as i64).unsigned_abs(), part - ZERO);
            decimal(negative, whole, part, width).map(|number| pattern.holds(number))
        };
        let holds = match holds {
            Some(holds) => holds,
            None => row_matches(model, column, rows.start + place as u64, pattern, &mut bytes)?,
        };
        if holds {
            found.set(place, true);
        }
    }
    Ok(())
}

/// The number that is written `whole`, a point, and `part` with at least `width` digits.
fn decimal(negative: bool, whole: u64, part: u64, width: usize) -> Option<f64> {
    // A quotient of two numbers that are exact is the nearest to the decimal, as what is read from text is.
    const EXACT: u64 = 1 << 53;
    let digits = width.max(part.checked_ilog10().map_or(1, |digits| digits as usize + 1));
    let scale = u32::try_from(digits)
        .ok()
        .and_then(|digits| 10u64.checked_pow(digits));
    let exact = scale
        .filter(|&scale| scale < EXACT)
        .and_then(|scale| Some((whole.checked_mul(scale)?.checked_add(part)?, scale)))
        .filter(|&(number, _)| number < EXACT);
    let sign = if negative { -1.0 } else { 1.0 };
    match exact {
        Some((number, scale)) => Some(sign * (number as f64 / scale as f64)),
        None => {
            let number: f64 = format!("{whole}.{part:0width$}").parse().ok()?;
            Some(sign * number)
        }
    }
}

/// Reads a row of the template that `column` is of.
fn row_matches(
    model: &Model,
    column: &Column,
    place: u64,
    pattern: &NumberPattern,
    bytes: &mut Vec<u8>,
) -> Result<bool> {
    let number = model.columns.iter().position(|other| std::ptr::eq(other, column));
    let holds = |template: &super::read::Template| {
        let tokens = model.tokens.get(template.tokens.clone()).unwrap_or_default();
        tokens.iter().any(|token| match token {
            Token::Variable(column) => Some(*column as usize) == number,
            Token::Constant(..) => false,
        })
    };
    let template = model.templates.iter().position(holds).unwrap_or(0);
    bytes.clear();
    model.extract_place(None, template as u64 + 1, place, bytes)?;
    Ok(pattern.matches(bytes))
}

/// Codes of the whole numbers that lie between the bounds.
fn interval(pattern: &NumberPattern) -> Option<Interval> {
    let number = |code: u64| (code ^ ZERO) as i64 as f64;
    // The first code whose number is not below the lower bound, and the first above the upper one.
    let first = |is_behind: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0u128, 1u128 << 64);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_behind(number(middle as u64)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    };
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let (low, high) = pattern.bounds();
    let start = match low {
        Included(bound) => first(&|number| number >= bound),
        Excluded(bound) => first(&|number| number > bound),
        Unbounded => 0,
    };
    let end = match high {
        Included(bound) => first(&|number| number > bound),
        Excluded(bound) => first(&|number| number >= bound),
        Unbounded => 1 << 64,
    };
    (start < end).then(|| Interval {
        low: start as u64,
        high: (end - 1) as u64,
    })
}

/// Reads the rows that are exceptions to a column of the template, and sets or clears their bits.
fn exceptions(
    model: &Model,
    template: usize,
    pattern: &NumberPattern,
    rows: &Range<u64>,
    found: &mut Mask,
) -> Result<()> {
    let bits = model.bits()?;
    let mut places = Vec::new();
    for column in columns(model, template)? {
        if let Some(exceptions) = &column.exceptions {
            exceptions
                .rows
                .each(bits, |place| places.push(place))
                .ok_or_else(|| model.corrupt("exceptions make no sense"))?;
        }
    }
    places.sort_unstable();
    places.dedup();
    let pattern = TextPattern::Number(pattern.clone());
    let mut bytes = Vec::new();
    for place in places.into_iter().filter(|place| rows.contains(place)) {
        bytes.clear();
        model.extract_place(None, template as u64 + 1, place, &mut bytes)?;
        found.set((place - rows.start) as usize, pattern.matches(&bytes));
    }
    Ok(())
}
