//! What the processor at hand does better, found out once at run time; every path gives the same bits.
//!
//! | path | what it needs | what it does |
//! |---|---|---|
//! | portable | nothing | everything |
//! | `bmi` | x86-64 with POPCNT, BMI1, BMI2, LZCNT | ranks and selects of descents |
//! | `shuffle` | x86-64 with SSSE3 and POPCNT, or NEON | merges of 8, 16 and 32-bit elements, by a table of shuffles |
//! | `avx512` | AVX-512 F, BW, VL, VBMI2 | merges of all widths by expansion, planes by masked adds |

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(all(target_arch = "x86_64", avx512))]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod bmi;
#[cfg(all(target_arch = "x86_64", avx512))]
mod crowded;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "x86_64")]
pub(crate) mod shuffle;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tables;

/// Calls the expression with the best select there is, compiled for the processor that has it.
///
/// What the expression calls is compiled with it only where it is marked `#[inline(always)]`.
macro_rules! fast {
    ($select:ident => $call:expr) => {{
        #[cfg(target_arch = "x86_64")]
        let found = match $crate::codes::simd::bmi::Bmi::detect() {
            Some($select) => $select.run(
                #[inline(always)]
                || $call,
            ),
            None => {
                let $select = $crate::bits::words::Portable;
                $call
            }
        };
        #[cfg(not(target_arch = "x86_64"))]
        let found = {
            let $select = $crate::bits::words::Portable;
            $call
        };
        found
    }};
}
pub(crate) use fast;

/// Which instructions loops are compiled for that the compiler turns into vector work by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Bmi(bmi::Bmi),
    #[cfg(all(target_arch = "x86_64", avx512))]
    Avx512(avx512::Avx512),
}

impl Isa {
    /// Those that this processor has, slowest first.
    pub(crate) fn all() -> Vec<Isa> {
        #[allow(unused_mut, reason = "nothing to add on other processors")]
        let mut found = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        found.extend(bmi::Bmi::detect().map(Isa::Bmi));
        #[cfg(all(target_arch = "x86_64", avx512))]
        found.extend(avx512::Avx512::detect().map(Isa::Avx512));
        found
    }

    /// The best of them.
    pub(crate) fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::all().pop().unwrap_or(Isa::Portable))
    }

    /// Calls `work`, compiled for these instructions where it is marked `#[inline(always)]`.
    #[inline(always)]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            Isa::Portable => work(),
            #[cfg(target_arch = "x86_64")]
            Isa::Bmi(bmi) => bmi.run(work),
            #[cfg(all(target_arch = "x86_64", avx512))]
            Isa::Avx512(avx512) => avx512.run(work),
        }
    }
}

/// Which of [`Path::all`] is taken; the last one if there are fewer.
static FORCED: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Names of the paths that this processor can take, slowest first.
pub(crate) fn names() -> Vec<&'static str> {
    Path::all().into_iter().map(Path::name).collect()
}

/// From now on takes path number `index` of [`names`], for benches; the best one if there are fewer.
pub(crate) fn force(index: usize) {
    FORCED.store(index, Ordering::Relaxed);
}

/// How levels are merged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Shuffle(shuffle::Shuffle),
    #[cfg(all(target_arch = "x86_64", avx512))]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
}

impl Path {
    /// The paths that this processor can take, slowest first.
    pub(crate) fn all() -> Vec<Path> {
        #[allow(unused_mut, reason = "nothing to add on other processors")]
        let mut paths = vec![Path::Portable];
        #[cfg(target_arch = "x86_64")]
        paths.extend(shuffle::Shuffle::detect().map(Path::Shuffle));
        #[cfg(all(target_arch = "x86_64", avx512))]
        paths.extend(avx512::Avx512::detect().map(Path::Avx512));
        #[cfg(target_arch = "aarch64")]
        paths.extend(neon::Neon::detect().map(Path::Neon));
        paths
    }

    /// The best of them, or the one that [`force`] has chosen.
    pub(crate) fn best() -> Path {
        static ALL: OnceLock<Vec<Path>> = OnceLock::new();
        let all = ALL.get_or_init(Path::all);
        let at = FORCED.load(Ordering::Relaxed).min(all.len() - 1);
        all.get(at).copied().unwrap_or(Path::Portable)
    }

    /// Its name in the table above.
    fn name(self) -> &'static str {
        match self {
            Path::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Path::Shuffle(_) => "shuffle",
            #[cfg(all(target_arch = "x86_64", avx512))]
            Path::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Path::Neon(_) => "neon",
        }
    }
}
