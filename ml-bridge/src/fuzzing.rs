//! Harnesses for fuzzing: bytes in, no panic and bounded memory, whatever they are.

use crate::engine::Engine;
use crate::model::float::{Calibrator, is_float};
use crate::model::{Model, file, tflite};

/// Activations beyond this are not run, so that an input costs little.
const MAX_ARENA_BYTES: usize = 1 << 24;
/// Float models with more numbers are not calibrated.
const MAX_FLOATS: usize = 1 << 14;

fn run(model: &Model) {
    // Small enough to be run: a hostile model may state shapes of any size that its constants do not pay for.
    let size: usize = model
        .tensors
        .iter()
        .fold(0, |sum, t| sum.saturating_add(t.count()));
    if size > MAX_ARENA_BYTES {
        return;
    }
    if is_float(model).unwrap_or(false) {
        if size < MAX_FLOATS {
            calibrate(model);
        }
        return;
    }
    let Ok(mut engine) = Engine::new(model) else {
        return;
    };
    let input = vec![7; engine.input_count()];
    let mut output = vec![0; engine.output_count()];
    let macs: u64 = engine.steps().iter().fold(0, |sum, s| sum.saturating_add(s.macs));
    if macs < 1 << 24 && engine.arena_bytes() <= 4 * MAX_ARENA_BYTES {
        let _ = engine.run(&input, &mut output);
    }
}

/// Quantizes a float model on one window.
fn calibrate(model: &Model) {
    let Ok(mut calibrator) = Calibrator::new(model) else {
        return;
    };
    let window = vec![0.5; calibrator.input_count()];
    if calibrator.observe(&window).is_ok() {
        if let Ok(quantized) = calibrator.finish(0.0) {
            run(&quantized);
        }
    }
}

/// A `.tflite` file.
pub fn tflite(bytes: &[u8]) {
    if let Ok(model) = tflite::from_bytes(bytes) {
        run(&model);
    }
}

/// A model file of our own, its checksum made right first.
pub fn model(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 64 {
        let crc = crc32fast::hash(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    if let Ok(model) = file::from_bytes(&bytes) {
        run(&model);
    }
}

/// Either of the two, whichever the bytes look like.
pub fn any(bytes: &[u8]) {
    if bytes.get(4..8) == Some(b"TFL3") {
        tflite(bytes)
    } else {
        model(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    #[test]
    fn models_that_a_fuzzer_found() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/model");
        let mut run = 0;
        for entry in std::fs::read_dir(seeds).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            super::any(&std::fs::read(path).unwrap());
            run += 1;
        }
        assert!(run > 0, "{seeds} is empty");
    }
}
