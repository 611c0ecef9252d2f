//! Decoding of one block: two streams at once, a predictor, and a place for the codes.

use super::chunk::{Coded, Form, MOST_PAIRED_BASE, Width};
use super::predict::{Centre, Delta, Delta2, History, Predictor, State};
use super::table::{Back, BackWide, Extract, Front, FrontWide, Places, Reader};
use crate::codes::simd::fast;

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

/// The two streams of a block on their way, and what they are decoded with.
struct Streams<'a, E, F, B> {
    with: E,
    front: F,
    back: B,
    front_places: Places<'a>,
    back_places: Places<'a>,
}

impl<E: Extract, F: Reader, B: Reader> Streams<'_, E, F, B> {
    #[inline(always)]
    fn refill(&mut self) {
        self.front.refill();
        self.back.refill();
    }

    #[inline(always)]
    fn front(&mut self) -> u64 {
        self.front.next(self.with, self.front_places)
    }

    #[inline(always)]
    fn back(&mut self) -> u64 {
        self.back.next(self.with, self.back_places)
    }
}

/// Calls the expression with the streams of a block and how many residuals a refill is good for.
macro_rules! with_streams {
    ($coded:expr, $with:expr, $block:expr, |$streams:ident, $each:ident| $call:expr) => {{
        macro_rules! wide {
            ($full:literal) => {{
                const $each: usize = 1;
                let $streams = Streams {
                    with: $with,
                    front: FrontWide::<$full> {
                        bytes: $block.bytes,
                        at: $block.start,
                    },
                    back: BackWide::<$full> {
                        bytes: $block.bytes,
                        at: $block.end,
                    },
                    front_places: $coded.tables.front.places(),
                    back_places: $coded.tables.back.places(),
                };
                $call
            }};
        }
        macro_rules! buffered {
            ($count:literal) => {{
                const $each: usize = $count;
                let $streams = Streams {
                    with: $with,
                    front: Front::new($block.bytes, $block.start),
                    back: Back::new($block.bytes, $block.end),
                    front_places: $coded.tables.front.places(),
                    back_places: $coded.tables.back.places(),
                };
                $call
            }};
        }
        match $coded.tables.width {
            _ if !E::HAS_WIDTHS => wide!(true),
            Width::Full => wide!(true),
            Width::Direct => wide!(false),
            Width::One => buffered!(1),
            Width::Two => buffered!(2),
            Width::Four => buffered!(4),
        }
    }};
}

impl Coded {
    /// Decodes the first `rows` codes of a block, into `out` unless that is empty, and gives the last.
    ///
    /// `out` has `rows` places or none.
    ///
    /// Compiled once for a processor: it is some ninety decoders, and more than any other code here.
    #[inline(never)]
    pub(super) fn decode_block(&self, block: &Block<'_>, rows: usize, out: &mut [u64]) -> u64 {
        fast!(with => self.decode_block_here(with, block, rows, out))
    }

    #[inline(always)]
    fn decode_block_here<E: Extract>(&self, with: E, block: &Block<'_>, rows: usize, out: &mut [u64]) -> u64 {
        match &self.predictor {
            Predictor::Centre(centre) => self.forms(with, block, Centre(*centre), rows, out),
            Predictor::Delta => self.forms(with, block, Delta(block.anchor), rows, out),
            Predictor::Delta2 => self.forms(with, block, Delta2::new(block.anchor), rows, out),
            Predictor::Linear(linear) if linear.order == 4 => {
                self.linear(with, block, History::<4>::new(linear, block.anchor), rows, out)
            }
            Predictor::Linear(linear) => {
                self.linear(with, block, History::<8>::new(linear, block.anchor), rows, out)
            }
        }
    }

    #[inline(always)]
    fn forms<E: Extract, S: State>(
        &self,
        with: E,
        block: &Block<'_>,
        state: S,
        rows: usize,
        out: &mut [u64],
    ) -> u64 {
        let anchor = self.predictor.has_anchor().then_some(block.anchor);
        match self.form {
            Form::Plain => with_streams!(self, with, block, |streams, EACH| {
                plain::<EACH, E, S>(streams, anchor, state, rows, out)
            }),
            Form::Runs => with_streams!(self, with, block, |streams, _EACH| {
                runs(streams, anchor, state, rows, out)
            }),
            Form::Split { .. } => self.split(with, block, state, rows, out),
        }
    }

    /// As `forms`, but there are no runs of linear predictions.
    #[inline(always)]
    fn linear<E: Extract, S: State>(
        &self,
        with: E,
        block: &Block<'_>,
        state: S,
        rows: usize,
        out: &mut [u64],
    ) -> u64 {
        match self.form {
            Form::Split { .. } => self.split(with, block, state, rows, out),
            _ => with_streams!(self, with, block, |streams, EACH| {
                plain::<EACH, E, S>(streams, Some(block.anchor), state, rows, out)
            }),
        }
    }

    #[inline(always)]
    fn split<E: Extract, S: State>(
        &self,
        with: E,
        block: &Block<'_>,
        state: S,
        rows: usize,
        out: &mut [u64],
    ) -> u64 {
        let Form::Split { base, least } = self.form else {
            return 0;
        };
        let anchor = self.predictor.has_anchor().then_some(block.anchor);
        let join = |high: u64, low: u64| high.wrapping_mul(base).wrapping_add(low).wrapping_add(least);
        if base <= MOST_PAIRED_BASE {
            return with_streams!(self, with, block, |streams, EACH| {
                split_pairs::<EACH, E, S>(streams, anchor, state, join, rows, out)
            });
        }
        with_streams!(self, with, block, |streams, EACH| {
            split::<EACH, E, S>(streams, anchor, state, join, rows, out)
        })
    }
}

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
fn plain<const EACH: usize, E: Extract, S: State>(
    mut streams: Streams<'_, E, impl Reader, impl Reader>,
    anchor: Option<u64>,
    mut state: S,
    rows: usize,
    out: &mut [u64],
) -> u64 {
    let mut last = anchor.unwrap_or(0);
    let is_wanted = !out.is_empty();
    let (mut left, mut out) = (rows, out);
    if let (Some(anchor), true) = (anchor, rows > 0) {
        left -= 1;
        out = put_first(out, anchor);
    }
    let groups = left / (2 * EACH);
    let mut places = out.chunks_exact_mut(2 * EACH);
    if is_wanted {
        for places in places.by_ref() {
            streams.refill();
            for pair in places.chunks_exact_mut(2) {
                if let [first, second] = pair {
                    *first = state.step(streams.front());
                    *second = state.step(streams.back());
                }
            }
        }
    } else {
        for _ in 0..groups {
            streams.refill();
            for _ in 0..EACH {
                state.step(streams.front());
                last = state.step(streams.back());
            }
        }
    }
    let mut places = places.into_remainder().iter_mut();
    for row in 0..left - groups * 2 * EACH {
        streams.refill();
        last = state.step(if row % 2 == 0 {
            streams.front()
        } else {
            streams.back()
        });
        if let Some(place) = places.next() {
            *place = last;
        }
    }
    last
}

/// Quotients from the front stream, remainders from the back stream.
#[inline(always)]
fn split<const EACH: usize, E: Extract, S: State>(
    mut streams: Streams<'_, E, impl Reader, impl Reader>,
    anchor: Option<u64>,
    mut state: S,
    join: impl Fn(u64, u64) -> u64,
    rows: usize,
    out: &mut [u64],
) -> u64 {
    let mut last = 0;
    let is_wanted = !out.is_empty();
    let (mut left, mut out) = (rows, out);
    if let (Some(anchor), true) = (anchor, rows > 0) {
        streams.refill();
        last = join(anchor, streams.back());
        left -= 1;
        out = put_first(out, last);
    }
    let groups = left / EACH;
    let mut places = out.chunks_exact_mut(EACH);
    if is_wanted {
        for places in places.by_ref() {
            streams.refill();
            for place in places {
                *place = join(state.step(streams.front()), streams.back());
            }
        }
    } else {
        for _ in 0..groups {
            streams.refill();
            for _ in 0..EACH {
                last = join(state.step(streams.front()), streams.back());
            }
        }
    }
    let mut places = places.into_remainder().iter_mut();
    for _ in 0..left - groups * EACH {
        streams.refill();
        last = join(state.step(streams.front()), streams.back());
        if let Some(place) = places.next() {
            *place = last;
        }
    }
    last
}

/// As `split`, but the back stream has the remainders of two rows in one.
#[inline(always)]
fn split_pairs<const EACH: usize, E: Extract, S: State>(
    mut streams: Streams<'_, E, impl Reader, impl Reader>,
    mut anchor: Option<u64>,
    mut state: S,
    join: impl Fn(u64, u64) -> u64,
    rows: usize,
    out: &mut [u64],
) -> u64 {
    let mut last = 0;
    let is_wanted = !out.is_empty();
    let mut places = out.chunks_exact_mut(2);
    let mut left = rows;
    if let (Some(_), true) = (anchor, rows >= 2) {
        let (first, second) = pair::<EACH, E, S>(&mut streams, &mut state, anchor.take(), &join);
        last = second;
        left -= 2;
        if let Some([one, two]) = places.next() {
            (*one, *two) = (first, second);
        }
    }
    if is_wanted {
        for places in places.by_ref() {
            if let [one, two] = places {
                (*one, *two) = pair::<EACH, E, S>(&mut streams, &mut state, None, &join);
            }
        }
    } else {
        for _ in 0..left / 2 {
            last = pair::<EACH, E, S>(&mut streams, &mut state, None, &join).1;
        }
    }
    if left % 2 == 1 {
        // Only the first of two: what the second reads does not matter.
        last = pair::<EACH, E, S>(&mut streams, &mut state, anchor, &join).0;
        if let Some(place) = places.into_remainder().first_mut() {
            *place = last;
        }
    }
    last
}

/// Two codes, of which the first quotient may be known.
#[inline(always)]
fn pair<const EACH: usize, E: Extract, S: State>(
    streams: &mut Streams<'_, E, impl Reader, impl Reader>,
    state: &mut S,
    first: Option<u64>,
    join: &impl Fn(u64, u64) -> u64,
) -> (u64, u64) {
    streams.refill();
    let remainders = streams.back();
    let first = match first {
        Some(first) => first,
        None => state.step(streams.front()),
    };
    if EACH == 1 {
        streams.front.refill();
    }
    let second = state.step(streams.front());
    (join(first, remainders & 15), join(second, remainders >> 4))
}

/// Lengths of runs of zero residuals from the front stream, other residuals from the back stream.
#[inline(always)]
fn runs<E: Extract, S: State>(
    mut streams: Streams<'_, E, impl Reader, impl Reader>,
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
    while left > 0 {
        streams.refill();
        let run = usize::try_from(streams.front()).unwrap_or(usize::MAX).min(left);
        left -= run;
        if run > 0 {
            match std::mem::take(&mut out).split_at_mut_checked(run) {
                Some((here, rest)) => {
                    last = state.repeat(here);
                    out = rest;
                }
                None => last = state.skip(run),
            }
        }
        if left > 0 {
            last = state.step(streams.back());
            left -= 1;
            out = put_first(std::mem::take(&mut out), last);
        }
    }
    last
}
