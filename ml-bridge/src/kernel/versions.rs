//! Plain loops compiled once per family of instructions: the compiler turns the same source into wider vector code, and
//! integer arithmetic gives the same bits from all of them.
#![allow(unsafe_code)]

/// In front of a function: compiles it for each family, in a module of its name. With a family and a call: calls the
/// function that was compiled for that family, which the processor has.
macro_rules! versions {
    (fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        mod $name {
            #![allow(unsafe_code)]
            use super::*;

            #[inline(always)]
            pub(super) fn plain($($argument: $type),*) $body

            /// # Safety
            /// The processor has AVX2 and a population count.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,popcnt")]
            pub(super) unsafe fn avx2($($argument: $type),*) {
                plain($($argument),*)
            }

            /// # Safety
            /// The processor has these.
            #[cfg(avx512)]
            #[allow(clippy::incompatible_msrv, reason = "left out for older compilers by the build script")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
            pub(super) unsafe fn avx512($($argument: $type),*) {
                plain($($argument),*)
            }
        }
    };
    ($isa:expr, $name:ident($($argument:expr),* $(,)?)) => {{
        debug_assert!($crate::kernel::Isa::available().contains(&$isa));
        match $isa {
            // SAFETY: an engine for these is only made where AVX2 and the count were detected.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            $crate::kernel::Isa::Avx2 | $crate::kernel::Isa::AvxVnni => unsafe { $name::avx2($($argument),*) },
            // SAFETY: an engine for `Isa::Vnni` is only made where these instructions were detected.
            #[cfg(avx512)]
            #[allow(unsafe_code)]
            $crate::kernel::Isa::Vnni => unsafe { $name::avx512($($argument),*) },
            _ => $name::plain($($argument),*),
        }
    }};
}

pub(super) use versions;
