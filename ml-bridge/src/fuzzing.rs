//! Harnesses for fuzzing: bytes in, no panic and bounded memory, whatever they are.

use crate::engine::Engine;
use crate::model::{Model, file, tflite};

/// Activations beyond this are not run, so that an input costs little.
const MAX_ARENA_BYTES: usize = 1 << 24;

fn run(model: &Model) {
    // Small enough to be run: a hostile model may state shapes of any size that its constants do not pay for.
    let size: usize = model
        .tensors
        .iter()
        .fold(0, |sum, t| sum.saturating_add(t.count()));
    if size > MAX_ARENA_BYTES {
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
