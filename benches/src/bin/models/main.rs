//! Runs `.tflite` models layer by layer against golden files, and times them.
//!
//! `models --models DIR [--time | --profile | --open] [--isa NAME] [FILTER]`: `DIR` holds `NAME.tflite`, and `DIR/golden`
//! holds `NAME.in.npy`, `NAME.ref.npy` and `layers.json` (CRC-32 of every operator's result under reference kernels).
//!
//! `models --labels X.npy Y.npy --models DIR FILTER`: how many rows of int8 inputs in `X` a classifier gives the label in
//! `Y` (int64 or int8). `models --dispatch`: what an operator costs that computes next to nothing. `models --made
//! [FILTER]`: layers of signs and layers with memories. `models --models DIR --memory [FILTER]`: by how much a process
//! grows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use siltstone_ml_bridge::engine::{Engine, bench, to_bytes_packed};
use siltstone_ml_bridge::kernel::Isa;
use siltstone_ml_bridge::model::{Element, Kind, Model, file, tflite};
use siltstone_store::storage::Storage;
use siltstone_store::storage::file::FileStorage;

mod made;
mod memory;

type Failure = Box<dyn std::error::Error>;

/// The numbers of a `.npy` file: their kind ("|i1", "<f4") and bytes.
fn npy(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let bytes = std::fs::read(path)?;
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..10 + length]).into_owned();
    let kind = header
        .split("'descr': '")
        .nth(1)
        .and_then(|s| s.split('\'').next())
        .unwrap_or("")
        .to_string();
    Ok((kind, bytes[10 + length..].to_vec()))
}

/// `crc32[sample][operator]` of `name` in `layers.json`.
fn layers(text: &str, name: &str) -> Vec<Vec<u32>> {
    let Some(part) = text.split(&format!("\"{name}\":")).nth(1) else {
        return Vec::new();
    };
    let Some(part) = part
        .split("\"crc32\": [[")
        .nth(1)
        .and_then(|p| p.split("]]").next())
    else {
        return Vec::new();
    };
    part.split("], [")
        .map(|row| row.split(", ").filter_map(|n| n.parse().ok()).collect())
        .collect()
}

/// int8 samples of the engine's input, from golden numbers of `kind`.
fn quantized(engine: &Engine, kind: &str, bytes: &[u8]) -> Vec<i8> {
    if kind == "<f4" {
        let affine = engine.input_quantization();
        bytes
            .chunks_exact(4)
            .map(|b| affine.quantize(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            .collect()
    } else {
        bytes.iter().map(|b| *b as i8).collect()
    }
}

fn check(model: &Model, name: &str, golden: &Path, text: &str, isa: Isa) -> Result<bool, Failure> {
    let mut engine = Engine::with_isa(model, isa)?;
    let (kind, inputs) = npy(&golden.join(format!("{name}.in.npy")))?;
    let (_, want) = npy(&golden.join(format!("{name}.ref.npy")))?;
    let inputs = quantized(&engine, &kind, &inputs);
    let crcs = layers(text, name);
    let (size_in, size_out) = (engine.input_count(), engine.output_count());
    let mut output = vec![0i8; size_out];
    let (mut layers_equal, mut layers_seen, mut wrong) = (0, 0, None);
    let mut bytes = Vec::new();
    let affine = engine.output_quantization();
    for (sample, input) in inputs.chunks_exact(size_in).enumerate() {
        engine.run_traced(input, &mut output, |operator, result| {
            let plain: Vec<u8> = result.iter().map(|v| *v as u8).collect();
            layers_seen += 1;
            if crcs.get(sample).and_then(|c| c.get(operator)) == Some(&crc32fast::hash(&plain)) {
                layers_equal += 1;
            } else if wrong.is_none() {
                wrong = Some((sample, operator));
            }
        })?;
        if model.tensors[model.outputs[0]].element == Element::F32 {
            bytes.extend(output.iter().flat_map(|v| affine.dequantize(*v).to_le_bytes()));
        } else {
            bytes.extend(output.iter().map(|v| *v as u8));
        }
    }
    let same = bytes == want && layers_equal == layers_seen;
    println!(
        "{name:32} {:8} output {} layers {layers_equal}/{layers_seen}{}",
        isa.name(),
        if bytes == want { "equal" } else { "DIFFERS" },
        wrong.map_or(String::new(), |(s, o)| format!(
            ", first at sample {s} operator {o} {}",
            model.operators[o].kind.name()
        )),
    );
    Ok(same)
}

fn time(model: &Model, name: &str, isa: Isa) -> Result<(), Failure> {
    let b = bench(&file::to_bytes(model), isa, Duration::from_millis(250))?;
    println!(
        "{name:32} {:12} median {:8.2} p90 {:8.2} p99 {:8.2} us, in a batch {:8.2} us, spin-up {:7.1} us, arena {} weights {} bytes",
        isa.name(),
        b.median_ns / 1e3,
        b.p90_ns / 1e3,
        b.p99_ns / 1e3,
        b.batch_ns / 1e3,
        b.spin_up_ns / 1e3,
        b.arena_bytes,
        b.weight_bytes,
    );
    Ok(())
}

fn profile(model: &Model, name: &str, isa: Isa) -> Result<(), Failure> {
    let mut engine = Engine::with_isa(model, isa)?;
    let input = vec![3i8; engine.input_count()];
    let times = engine.profile(&input, 1000)?;
    println!("{name} {}", isa.name());
    for (step, time) in engine.steps().iter().zip(times) {
        let rate = step.macs as f64 / time;
        println!(
            "  {:3} {:20} {:?} {:8.0} ns {:6.1} MAC/ns",
            step.operator, step.name, step.shape, time, rate
        );
    }
    Ok(())
}

/// Times opening a mapped file, and its first result: with weights packed at load, and packed in the file.
fn spin(model: &Model, name: &str, isa: Isa) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    for (what, bytes) in [
        ("plain", file::to_bytes(model)),
        ("packed", to_bytes_packed(model, isa)?),
    ] {
        std::fs::write(directory.path().join(what), &bytes)?;
        let storage = FileStorage::new(directory.path());
        let mut times: [Vec<f64>; 3] = Default::default();
        for _ in 0..500 {
            let start = std::time::Instant::now();
            let mut engine = Engine::open(&storage.map(what)?, isa)?;
            times[0].push(start.elapsed().as_secs_f64() * 1e6);
            let (input, mut output) = (vec![3i8; engine.input_count()], vec![0; engine.output_count()]);
            engine.run(&input, &mut output)?;
            times[1].push(start.elapsed().as_secs_f64() * 1e6);
            let again = std::time::Instant::now();
            engine.run(&input, &mut output)?;
            times[2].push(again.elapsed().as_secs_f64() * 1e6);
        }
        for times in &mut times {
            times.sort_by(f64::total_cmp);
        }
        let median = times.map(|t| t[t.len() / 2]);
        println!(
            "{name:32} {:12} {what:6} {:7} bytes: opened {:6.1} first result {:6.1} next {:6.1} us (medians)",
            isa.name(),
            bytes.len(),
            median[0],
            median[1],
            median[2]
        );
    }
    Ok(())
}

/// The share of labelled inputs that a classifier gives their label.
fn accuracy(model: &Model, name: &str, isa: Isa, labels: &(PathBuf, PathBuf)) -> Result<(), Failure> {
    let mut engine = Engine::with_isa(model, isa)?;
    let (_, inputs) = npy(&labels.0)?;
    let (kind, wanted) = npy(&labels.1)?;
    let wide = if kind.ends_with("i8") && kind != "|i8" {
        8
    } else {
        kind[2..].parse()?
    };
    let mut output = vec![0i8; engine.output_count()];
    let (mut right, mut all) = (0, 0);
    for (input, label) in inputs
        .chunks_exact(engine.input_count())
        .zip(wanted.chunks_exact(wide))
    {
        let input: Vec<i8> = input.iter().map(|b| *b as i8).collect();
        engine.run(&input, &mut output)?;
        let best = (0..output.len()).rev().max_by_key(|i| output[*i]);
        right += usize::from(best == Some(usize::from(label[0])));
        all += 1;
    }
    println!(
        "{name:32} {:12} {right} of {all} right, {:.1} %",
        isa.name(),
        100.0 * right as f64 / f64::from(all)
    );
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut labels = None;
    let (mut dispatching, mut making, mut weighing, mut weighed) = (false, false, false, None);
    let mut directory = PathBuf::new();
    let mut opening = false;
    let (mut timing, mut profiling, mut filter, mut isas) = (false, false, String::new(), Isa::available());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--models" => directory = arguments.next().unwrap_or_default().into(),
            "--labels" => {
                let mut path = || PathBuf::from(arguments.next().unwrap_or_default());
                labels = Some((path(), path()));
            }
            "--dispatch" => dispatching = true,
            "--made" => making = true,
            "--memory" => weighing = true,
            "--memory-of" => weighed = arguments.next(),
            "--time" => timing = true,
            "--profile" => profiling = true,
            "--open" => opening = true,
            "--isa" => {
                let name = arguments.next().unwrap_or_default();
                isas.retain(|i| i.name() == name);
            }
            other => filter = other.to_string(),
        }
    }
    if dispatching {
        return isas.into_iter().try_for_each(made::dispatch);
    }
    if making {
        return isas.into_iter().try_for_each(|isa| made::layers(isa, &filter));
    }
    if let Some(name) = weighed {
        return isas.into_iter().try_for_each(|isa| memory::one(&name, isa));
    }
    let golden = directory.join("golden");
    let text = std::fs::read_to_string(golden.join("layers.json"))?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&directory)?
        .filter_map(|e| Some(e.ok()?.path()))
        .collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "tflite"));
    paths.sort();
    let mut all_same = true;
    for path in paths {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.contains(&filter) {
            continue;
        }
        let model = match tflite::from_bytes(&std::fs::read(&path)?) {
            Ok(model) => model,
            Err(e) => {
                println!("{name:32} {e}");
                continue;
            }
        };
        let float = model.operators.iter().all(|o| o.kind != Kind::Quantize)
            && model.tensors[model.inputs[0]].element == Element::F32;
        if float {
            println!("{name:32} is a float model: {} operators", model.operators.len());
            continue;
        }
        for isa in &isas {
            if let Some(labels) = &labels {
                accuracy(&model, &name, *isa, labels)?;
            } else if weighing {
                memory::all(&model, &name, *isa)?;
            } else if opening {
                spin(&model, &name, *isa)?;
            } else if profiling {
                profile(&model, &name, *isa)?;
            } else if timing {
                time(&model, &name, *isa)?;
            } else {
                all_same &= check(&model, &name, &golden, &text, *isa)?;
            }
        }
    }
    if all_same {
        Ok(())
    } else {
        Err("some results differ".into())
    }
}
