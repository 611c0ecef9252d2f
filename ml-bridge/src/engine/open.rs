//! From a model file to an engine, and model files that open without packing.

use super::{Engine, compile};
use crate::Result;
use crate::kernel::Isa;
use crate::kernel::lanes::Prepared;
use crate::model::{Image, Model, file};

use super::step::Step;

impl Engine {
    /// The engine of the model file `image` for the kernels of `isa`. Weights that the file holds packed for these
    /// kernels are used where they lie, if that is on a multiple of 64 bytes, and those that they stand for are neither
    /// read nor checked; other files are packed now.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), and as [`Engine::with_isa`].
    pub fn open(image: &Image, isa: Isa) -> Result<Self> {
        Engine::open_with_batch(image, isa, 1)
    }

    /// As [`Engine::open`], to compute `copies` inputs at once as [`Engine::with_batch`] does.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with_batch(image: &Image, isa: Isa, copies: usize) -> Result<Self> {
        let (model, layers) = file::read(image, Some(isa.order()))?;
        Engine::available(isa)?;
        let mut engine = compile::compile(&model, isa, &layers, copies)?;
        engine.metadata = model.metadata;
        Ok(engine)
    }
}

/// The file of `model` with weights packed for the kernels of `isa` beside its own, so that it opens faster there.
///
/// # Errors
/// As [`Engine::with_isa`].
pub fn to_bytes_packed(model: &Model, isa: Isa) -> Result<Vec<u8>> {
    let engine = Engine::with_isa(model, isa)?;
    let mut layers: Vec<(usize, Prepared)> = Vec::new();
    for report in &engine.reports {
        let prepared = match engine.steps.get(report.step) {
            Some(Step::Linear { layer, .. }) => layer.prepared(),
            Some(Step::Depthwise { layer, .. }) => layer.prepared(),
            _ => continue,
        };
        layers.push((report.operator, prepared));
    }
    layers.sort_by_key(|(operator, _)| *operator);
    Ok(file::to_bytes_packed(model, isa.order(), &layers))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Activation, Affine, dense};

    fn sample() -> Model {
        let layer = |inputs: usize, outputs: usize| dense::DenseLayer {
            inputs,
            outputs,
            weights: (0..inputs * outputs).map(|i| (i * 37 % 255) as i8).collect(),
            weight_scales: (1..=outputs).map(|i| i as f32 / 512.0).collect(),
            bias: (0..outputs as i32).map(|i| i * 11 - 20).collect(),
            activation: Activation::Relu,
            output: Affine {
                scale: 0.25,
                zero_point: -7,
            },
        };
        let input = Affine {
            scale: 0.5,
            zero_point: 3,
        };
        dense::build(&[layer(6, 3), layer(3, 37), layer(37, 5)], input).unwrap()
    }

    fn answer(engine: &mut Engine) -> Vec<i8> {
        let mut output = vec![0; engine.output_count()];
        let input: Vec<i8> = (0..engine.input_count()).map(|i| (i * 29) as i8).collect();
        engine.run(&input, &mut output).unwrap();
        output
    }

    #[test]
    fn packed_equals_packing() {
        let model = sample();
        let want = answer(&mut Engine::new(&model).unwrap());
        for isa in Isa::available() {
            let bytes = to_bytes_packed(&model, isa).unwrap();
            assert_eq!(file::from_bytes(&bytes).unwrap(), model);
            for image in [
                file::aligned(&bytes),
                Arc::new([&[0], bytes.as_slice()].concat()[1..].to_vec()),
            ] {
                // Also by kernels that want another order.
                for reader in Isa::available() {
                    assert_eq!(answer(&mut Engine::open(&image, reader).unwrap()), want);
                    let mut together = Engine::open_with_batch(&image, reader, 3).unwrap();
                    assert_eq!(answer(&mut together), want);
                }
            }
        }
        let plain: Image = Arc::new(file::to_bytes(&model));
        assert_eq!(answer(&mut Engine::open(&plain, Isa::best()).unwrap()), want);
    }

    #[test]
    fn batches_equal_single_runs() {
        let model = sample();
        let inputs: Vec<i8> = (0..6 * 23).map(|i| (i * 53) as i8).collect();
        let mut want = vec![0; 5 * 23];
        let mut one = Engine::new(&model).unwrap();
        for (input, output) in inputs.chunks(6).zip(want.chunks_mut(5)) {
            one.run(input, output).unwrap();
        }
        for isa in Isa::available() {
            for copies in [0, 1, 2, 7, 24] {
                let mut engine = Engine::with_isa_and_batch(&model, isa, copies).unwrap();
                let mut got = vec![0; want.len()];
                engine.run_batch(&inputs, &mut got, 23).unwrap();
                assert_eq!(got, want, "{} {copies}", isa.name());
                engine.run(&inputs[..6], &mut got[..5]).unwrap();
                assert_eq!(got[..5], want[..5]);
            }
        }
    }

    /// A byte changed without its checksum is corruption, unless it belongs to the part that is not read; with it, an
    /// error or some engine that runs.
    #[test]
    fn every_flip_is_survived() {
        let bytes = to_bytes_packed(&sample(), Isa::best()).unwrap();
        let place = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        let (spare, packed) = (place(32), place(40));
        for at in 0..bytes.len() {
            for bit in [0, 5, 7] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let open = |bytes: &[u8]| Engine::open(&file::aligned(bytes), Isa::best());
                let minor = at == 10 || at == 11;
                // Another order or edition: packed anew.
                let stale = (packed..packed + 4).contains(&at);
                let unread = minor || stale || (spare..packed).contains(&at);
                assert!(open(&damaged).is_err() || unread, "byte {at}");
                assert!(
                    minor || at >= packed || file::from_bytes(&damaged).is_err(),
                    "byte {at}"
                );
                for (field, start, end) in [(48, spare, packed), (52, packed, bytes.len()), (12, 16, spare)] {
                    let crc = crc32fast::hash(&damaged[start..end]);
                    damaged[field..field + 4].copy_from_slice(&crc.to_le_bytes());
                }
                if let Ok(mut engine) = open(&damaged) {
                    answer(&mut engine);
                }
            }
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = to_bytes_packed(&sample(), Isa::Plain).unwrap();
        assert_eq!(bytes[..8], file::MAGIC);
        assert_eq!((bytes.len(), crc32fast::hash(&bytes)), (5056, 1_901_186_779));
    }
}
