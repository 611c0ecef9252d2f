//! Other engines on the same column, one file an engine. The plain slice is always there, the rest behind features.

use crate::subject::{Form, Maker};

#[cfg(feature = "compare")]
pub mod fts5;
#[cfg(feature = "compare-parquet")]
pub mod parquet;
#[cfg(feature = "compare")]
pub mod pcodec;
pub mod plain;
#[cfg(feature = "compare")]
pub mod succinct;
#[cfg(feature = "compare")]
pub mod zstandard;

/// All rivals that were built in, for this form.
pub fn makers(form: Form) -> Vec<Box<dyn Maker>> {
    #[cfg_attr(not(feature = "compare"), expect(unused_mut, reason = "rivals follow"))]
    let mut makers: Vec<Box<dyn Maker>> = vec![Box::new(plain::Plain)];
    #[cfg(feature = "compare")]
    {
        makers.push(Box::new(pcodec::Pco { rows: 1 << 18 }));
        makers.push(Box::new(pcodec::Pco { rows: 1 << 12 }));
        makers.push(Box::new(zstandard::Zstd));
        if form == Form::Codes {
            makers.push(Box::new(succinct::Matrix));
            makers.push(Box::new(succinct::Compact));
            makers.push(Box::new(succinct::PrefixSums));
        }
    }
    #[cfg(feature = "compare-parquet")]
    makers.extend(parquet::makers());
    let _ = form;
    makers
}
