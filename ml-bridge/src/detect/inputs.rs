//! What the network is fed: windows, through the front end, as int8.

use siltstone_store::error::Result;
use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::Value;

use crate::normalize::{Normalizer, STEPS_PER_UNIT};
use crate::window::{Extractor, FrontEnd, Span, WindowSpec, Windows};

/// Feature vectors of a snapshot's windows, one after the other.
///
/// Raw windows go from the store's codes to int8 and are features as they are; all others go through `f32`.
#[derive(Debug)]
pub struct Inputs {
    way: Way,
    features: Vec<f32>,
}

#[derive(Debug)]
enum Way {
    Codes {
        windows: Box<Windows<i8>>,
        window: Vec<i8>,
    },
    Floats {
        windows: Box<Windows<f32>>,
        window: Vec<f32>,
        extractor: Box<Extractor>,
    },
}

impl Inputs {
    /// Feature vectors of the rows that meet `predicate`.
    ///
    /// # Errors
    /// `InvalidArgument` if windows and front end do not fit each other or the stream.
    pub fn new(
        snapshot: &Snapshot,
        spec: &WindowSpec,
        normalizers: &[Normalizer],
        front_end: FrontEnd,
        predicate: &Predicate,
    ) -> Result<Self> {
        front_end.check(spec.length)?;
        let width = spec.channels.len() * front_end.outputs(spec.length);
        let way = match front_end {
            FrontEnd::Raw => Way::Codes {
                windows: Box::new(Windows::quantized(snapshot, spec, normalizers, predicate)?),
                window: vec![0; spec.size()],
            },
            FrontEnd::Spectrum { .. } => Way::Floats {
                windows: Box::new(Windows::normalized(snapshot, spec, normalizers, predicate)?),
                window: vec![0.0; spec.size()],
                extractor: Box::new(Extractor::new(front_end, spec.length)?),
            },
        };
        Ok(Inputs {
            way,
            features: vec![0.0; width],
        })
    }

    /// Computes the next feature vector; `None` after the last window.
    ///
    /// # Errors
    /// What the store reports.
    pub fn next_features(&mut self) -> Result<Option<Span>> {
        match &mut self.way {
            Way::Codes { windows, window } => {
                let span = windows.next_into(window)?;
                for (feature, &code) in self.features.iter_mut().zip(&*window) {
                    *feature = f32::from(code) / STEPS_PER_UNIT;
                }
                Ok(span)
            }
            Way::Floats {
                windows,
                window,
                extractor,
            } => {
                let span = windows.next_into(window)?;
                if span.is_some() {
                    extractor.extract(window, &mut self.features);
                }
                Ok(span)
            }
        }
    }

    /// The features that came last.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// Key of the window that came last.
    pub fn key(&self) -> &[Value] {
        match &self.way {
            Way::Codes { windows, .. } => windows.key(),
            Way::Floats { windows, .. } => windows.key(),
        }
    }

    /// Rows read so far.
    pub fn rows_read(&self) -> u64 {
        match &self.way {
            Way::Codes { windows, .. } => windows.rows_read(),
            Way::Floats { windows, .. } => windows.rows_read(),
        }
    }
}
