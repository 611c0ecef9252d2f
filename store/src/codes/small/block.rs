//! Decoding of one block: two streams at once, a predictor, and a place for the codes.

use super::chunk::{Coded, Form};
use super::predict::{Centre, Delta, Delta2, History, Predictor, State};
use super::table::{Back, BackWide, Front, FrontWide, Reader, Table};

/// A block's bytes, and where its bits are in them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    /// From at least 8 bytes before the block to at least 8 behind it.
    pub(super) bytes: &'a [u8],
    /// First bit.
    pub(super) start: usize,
    /// Bit behind the last.
    pub(super) end: usize,
    /// The first code, or its quotient; unused without anchors.
    pub(super) anchor: u64,
}

impl Coded {
    /// Decodes the first `rows` codes of a block, of which `out` gets as many as fit, and gives the last.
    #[inline(always)]
    pub(super) fn decode_block(&self, block: &Block<'_>, rows: usize, out: &mut [u64]) -> u64 {
        if let Form::Runs = self.form {
            return match &self.predictor {
                Predictor::Centre(centre) => self.decode_runs(block, Centre(*centre), rows, out),
                _ => self.decode_runs(block, Delta(block.anchor), rows, out),
            };
        }
        self.dispatch(block, rows, out)
    }

    #[inline(always)]
    fn dispatch(&self, block: &Block<'_>, rows: usize, out: &mut [u64]) -> u64 {
        match &self.predictor {
            Predictor::Centre(centre) => self.widths(block, Centre(*centre), rows, out),
            Predictor::Delta => self.widths(block, Delta(block.anchor), rows, out),
            Predictor::Delta2 => self.widths(block, Delta2::new(block.anchor), rows, out),
            Predictor::Linear(linear) if linear.order == 4 => {
                self.widths(block, History::<4>::new(linear, block.anchor), rows, out)
            }
            Predictor::Linear(linear) => {
                self.widths(block, History::<8>::new(linear, block.anchor), rows, out)
            }
        }
    }

    #[inline(always)]
    fn decode_runs<S: State>(&self, block: &Block<'_>, state: S, rows: usize, out: &mut [u64]) -> u64 {
        let tables = (&self.tables.front, &self.tables.back);
        let has_anchor = self.predictor.has_anchor();
        if self.tables.each_refill == 0 {
            let front = FrontWide {
                bytes: block.bytes,
                at: block.start,
            };
            let back = BackWide {
                bytes: block.bytes,
                at: block.end,
            };
            return runs(front, back, tables, state, rows, has_anchor, out);
        }
        let front = Front::new(block.bytes, block.start);
        let back = Back::new(block.bytes, block.end);
        runs(front, back, tables, state, rows, has_anchor, out)
    }

    #[inline(always)]
    fn widths<S: State>(&self, block: &Block<'_>, state: S, rows: usize, out: &mut [u64]) -> u64 {
        let front = || Front::new(block.bytes, block.start);
        let back = || Back::new(block.bytes, block.end);
        match self.tables.each_refill {
            0 => {
                let front = FrontWide {
                    bytes: block.bytes,
                    at: block.start,
                };
                let back = BackWide {
                    bytes: block.bytes,
                    at: block.end,
                };
                self.forms::<1, S>(front, back, block.anchor, state, rows, out)
            }
            1 => self.forms::<1, S>(front(), back(), block.anchor, state, rows, out),
            2 => self.forms::<2, S>(front(), back(), block.anchor, state, rows, out),
            _ => self.forms::<4, S>(front(), back(), block.anchor, state, rows, out),
        }
    }

    #[inline(always)]
    fn forms<const EACH: usize, S: State>(
        &self,
        front: impl Reader,
        back: impl Reader,
        anchor: u64,
        state: S,
        rows: usize,
        out: &mut [u64],
    ) -> u64 {
        let tables = (&self.tables.front, &self.tables.back);
        let has_anchor = self.predictor.has_anchor();
        match self.form {
            Form::Plain => {
                let anchor = has_anchor.then_some(anchor);
                plain::<EACH, S>(front, back, tables, anchor, state, rows, out)
            }
            Form::Split { base, least } => {
                let anchor = has_anchor.then_some(anchor);
                let join =
                    |high: u64, low: u64| high.wrapping_mul(base).wrapping_add(low).wrapping_add(least);
                split::<EACH, S>(front, back, tables, anchor, state, join, rows, out)
            }
            // Decoded elsewhere.
            Form::Runs => 0,
        }
    }
}

/// The tables of the front and of the back stream.
type Tables<'a> = (&'a Table, &'a Table);

/// Puts a code into the first place, if there is one, and gives the others.
#[inline(always)]
fn put_first(out: &mut [u64], code: u64) -> &mut [u64] {
    match out {
        [first, rest @ ..] => {
            *first = code;
            rest
        }
        [] => out,
    }
}

/// Codes in turns from the front and the back stream.
#[inline(always)]
fn plain<const EACH: usize, S: State>(
    mut front: impl Reader,
    mut back: impl Reader,
    tables: Tables<'_>,
    anchor: Option<u64>,
    mut state: S,
    rows: usize,
    out: &mut [u64],
) -> u64 {
    let mut last = anchor.unwrap_or(0);
    let (mut left, mut out) = (rows, out);
    if let (Some(anchor), true) = (anchor, rows > 0) {
        left -= 1;
        out = put_first(out, anchor);
    }
    let mut places = out.chunks_exact_mut(2 * EACH);
    while left >= 2 * EACH {
        front.refill();
        back.refill();
        let mut none = [0; 8];
        let places = match places.next() {
            Some(places) => places,
            None => none.get_mut(..2 * EACH).unwrap_or_default(),
        };
        for pair in places.chunks_exact_mut(2) {
            let [first, second] = pair else { continue };
            *first = state.step(front.next(tables.0));
            *second = state.step(back.next(tables.1));
            last = *second;
        }
        left -= 2 * EACH;
    }
    let mut places = places.into_remainder().iter_mut();
    for row in 0..left {
        let residual = if row % 2 == 0 {
            front.refill();
            front.next(tables.0)
        } else {
            back.refill();
            back.next(tables.1)
        };
        last = state.step(residual);
        if let Some(place) = places.next() {
            *place = last;
        }
    }
    last
}

/// Quotients from the front stream, remainders from the back stream.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "what a block is made of")]
fn split<const EACH: usize, S: State>(
    mut front: impl Reader,
    mut back: impl Reader,
    tables: Tables<'_>,
    anchor: Option<u64>,
    mut state: S,
    join: impl Fn(u64, u64) -> u64,
    rows: usize,
    out: &mut [u64],
) -> u64 {
    let mut last = 0;
    let (mut left, mut out) = (rows, out);
    if let (Some(anchor), true) = (anchor, rows > 0) {
        back.refill();
        last = join(anchor, back.next(tables.1));
        left -= 1;
        out = put_first(out, last);
    }
    let mut places = out.chunks_exact_mut(EACH);
    while left >= EACH {
        front.refill();
        back.refill();
        let mut none = [0; 4];
        let places = match places.next() {
            Some(places) => places,
            None => none.get_mut(..EACH).unwrap_or_default(),
        };
        for place in places {
            last = join(state.step(front.next(tables.0)), back.next(tables.1));
            *place = last;
        }
        left -= EACH;
    }
    let mut places = places.into_remainder().iter_mut();
    for _ in 0..left {
        front.refill();
        back.refill();
        last = join(state.step(front.next(tables.0)), back.next(tables.1));
        if let Some(place) = places.next() {
            *place = last;
        }
    }
    last
}

/// Lengths of runs of zero residuals from the front stream, other residuals from the back stream.
#[inline(always)]
fn runs<S: State>(
    mut front: impl Reader,
    mut back: impl Reader,
    tables: Tables<'_>,
    mut state: S,
    rows: usize,
    has_anchor: bool,
    out: &mut [u64],
) -> u64 {
    let mut last = 0;
    let mut row = 0;
    let mut places = out.iter_mut();
    // The anchor is the first row of the first run.
    let mut extra = usize::from(has_anchor);
    while row < rows {
        front.refill();
        back.refill();
        let run = usize::try_from(front.next(tables.0))
            .unwrap_or(usize::MAX)
            .saturating_add(extra);
        extra = 0;
        let run = run.min(rows - row);
        for place in places.by_ref().take(run) {
            *place = state.expected();
        }
        if run > 0 {
            last = state.expected();
        }
        row += run;
        if row < rows {
            last = state.step(back.next(tables.1));
            if let Some(place) = places.next() {
                *place = last;
            }
            row += 1;
        }
    }
    last
}
