//! Predictors: what a code is expected to be, from the codes before it in its block.
//!
//! A block starts from its anchor, the first code: before it, everything is taken to have been equal to it. All arithmetic
//! wraps, so that a residual always gives its code back.

use super::bits::{BitReader, BitWriter, unzigzag, zigzag};

/// Most coefficients of a linear prediction.
pub(super) const MOST_ORDER: usize = 8;

/// How the codes of a chunk are predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Predictor {
    /// Always this code; blocks have no anchor.
    Centre(u64),
    /// The code before.
    Delta,
    /// The code before, and its difference from the one before it again.
    Delta2,
    /// A weighted sum of the codes before.
    Linear(Linear),
}

/// `(bias + sum of coefficients * (code - base)) >> shift`, plus `base`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Linear {
    /// 4 or 8.
    pub(super) order: usize,
    pub(super) shift: u32,
    pub(super) bias: i64,
    /// The latest code's first; zero from `order` on.
    pub(super) weights: [i64; MOST_ORDER],
    pub(super) base: u64,
}

impl Predictor {
    /// Whether blocks start from an anchor.
    pub(super) fn has_anchor(&self) -> bool {
        !matches!(self, Predictor::Centre(_))
    }

    /// Name for people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Predictor::Centre(_) => "order 0",
            Predictor::Delta => "order 1",
            Predictor::Delta2 => "order 2",
            Predictor::Linear(linear) if linear.order == 4 => "linear 4",
            Predictor::Linear(_) => "linear 8",
        }
    }

    /// Appends the residuals of one block: of all codes, or of those behind the anchor.
    pub(super) fn residuals(&self, codes: &[u64], out: &mut Vec<i64>) {
        let Some((&first, rest)) = codes.split_first() else {
            return;
        };
        match self {
            Predictor::Centre(centre) => push(Centre(*centre), codes, out),
            Predictor::Delta => push(Delta(first), rest, out),
            Predictor::Delta2 => push(Delta2::new(first), rest, out),
            Predictor::Linear(linear) if linear.order == 4 => {
                push(History::<4>::new(linear, first), rest, out)
            }
            Predictor::Linear(linear) => push(History::<8>::new(linear, first), rest, out),
        }
    }

    /// Writes the predictor: its order (4 bits), then the centre or the linear prediction's numbers.
    pub(super) fn write(&self, out: &mut BitWriter) {
        match self {
            Predictor::Centre(centre) => {
                out.put(0, 4);
                out.number(*centre);
            }
            Predictor::Delta => out.put(1, 4),
            Predictor::Delta2 => out.put(2, 4),
            Predictor::Linear(linear) => {
                out.put(linear.order as u64, 4);
                out.put(u64::from(linear.shift), 5);
                out.number(zigzag(linear.bias as u64));
                for &weight in linear.weights.iter().take(linear.order) {
                    out.number(zigzag(weight as u64));
                }
            }
        }
    }

    /// What [`Predictor::write`] wrote; `base` is that of a linear prediction.
    pub(super) fn read(input: &mut BitReader<'_>, base: u64) -> Option<Predictor> {
        Some(match input.take(4)? as usize {
            0 => Predictor::Centre(input.number()?),
            1 => Predictor::Delta,
            2 => Predictor::Delta2,
            order @ (4 | 8) => {
                let shift = input.take(5)? as u32;
                let bias = unzigzag(input.number()?) as i64;
                let mut weights = [0; MOST_ORDER];
                for weight in weights.iter_mut().take(order) {
                    *weight = unzigzag(input.number()?) as i64;
                }
                Predictor::Linear(Linear {
                    order,
                    shift,
                    bias,
                    weights,
                    base,
                })
            }
            _ => return None,
        })
    }
}

fn push(mut state: impl State, codes: &[u64], out: &mut Vec<i64>) {
    out.extend(codes.iter().map(|&code| {
        let residual = code.wrapping_sub(state.expected());
        state.step(residual);
        residual as i64
    }));
}

/// A predictor on its way through a block.
pub(super) trait State {
    /// The code that is expected next.
    fn expected(&self) -> u64;
    /// The next code.
    fn step(&mut self, residual: u64) -> u64;

    /// Fills `out` with codes of residual zero and gives the last.
    #[inline(always)]
    fn repeat(&mut self, out: &mut [u64]) -> u64 {
        let code = self.expected();
        out.fill(code);
        code
    }

    /// The last of `count` codes (one or more) of residual zero.
    #[inline(always)]
    fn skip(&mut self, _count: usize) -> u64 {
        self.expected()
    }
}

/// State of [`Predictor::Centre`].
pub(super) struct Centre(pub(super) u64);

impl State for Centre {
    #[inline(always)]
    fn expected(&self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn step(&mut self, residual: u64) -> u64 {
        self.0.wrapping_add(residual)
    }
}

/// State of [`Predictor::Delta`].
pub(super) struct Delta(pub(super) u64);

impl State for Delta {
    #[inline(always)]
    fn expected(&self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn step(&mut self, residual: u64) -> u64 {
        self.0 = self.0.wrapping_add(residual);
        self.0
    }
}

/// State of [`Predictor::Delta2`].
pub(super) struct Delta2 {
    last: u64,
    slope: u64,
}

impl Delta2 {
    pub(super) fn new(anchor: u64) -> Self {
        Delta2 {
            last: anchor,
            slope: 0,
        }
    }
}

impl State for Delta2 {
    #[inline(always)]
    fn expected(&self) -> u64 {
        self.last.wrapping_add(self.slope)
    }

    #[inline(always)]
    fn step(&mut self, residual: u64) -> u64 {
        self.slope = self.slope.wrapping_add(residual);
        self.last = self.last.wrapping_add(self.slope);
        self.last
    }

    #[inline(always)]
    fn repeat(&mut self, out: &mut [u64]) -> u64 {
        for place in out {
            self.last = self.last.wrapping_add(self.slope);
            *place = self.last;
        }
        self.last
    }

    #[inline(always)]
    fn skip(&mut self, count: usize) -> u64 {
        self.last = self.last.wrapping_add(self.slope.wrapping_mul(count as u64));
        self.last
    }
}

/// State of [`Predictor::Linear`]: what the codes so far add to the next `N` sums.
///
/// So only one product stands between a code and the next, and the others are off the chain.
pub(super) struct History<const N: usize> {
    weights: [i64; N],
    bias: i64,
    shift: u32,
    base: u64,
    sums: [i64; N],
}

#[expect(
    clippy::indexing_slicing,
    reason = "indexes below N; plain loops are unrolled into registers"
)]
impl<const N: usize> History<N> {
    #[inline(always)]
    pub(super) fn new(linear: &Linear, anchor: u64) -> Self {
        let first = anchor.wrapping_sub(linear.base) as i64;
        let (mut weights, mut sums) = ([0; N], [linear.bias; N]);
        weights.copy_from_slice(&linear.weights[..N]);
        // As if all codes before were the anchor.
        let mut i = N;
        while i > 0 {
            i -= 1;
            let after = if i + 1 < N { sums[i + 1] } else { linear.bias };
            sums[i] = after.wrapping_add(weights[i].wrapping_mul(first));
        }
        History {
            weights,
            bias: linear.bias,
            shift: linear.shift & 63,
            base: linear.base,
            sums,
        }
    }

    #[inline(always)]
    fn local(&self) -> u64 {
        (self.sums[0] >> self.shift) as u64
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "indexes below N; plain loops are unrolled into registers"
)]
impl<const N: usize> State for History<N> {
    #[inline(always)]
    fn expected(&self) -> u64 {
        self.local().wrapping_add(self.base)
    }

    #[inline(always)]
    fn step(&mut self, residual: u64) -> u64 {
        let code = self.local().wrapping_add(residual);
        for i in 0..N - 1 {
            self.sums[i] = self.sums[i + 1].wrapping_add(self.weights[i].wrapping_mul(code as i64));
        }
        self.sums[N - 1] = self
            .bias
            .wrapping_add(self.weights[N - 1].wrapping_mul(code as i64));
        code.wrapping_add(self.base)
    }
}
