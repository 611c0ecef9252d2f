//! `silt model`: the models kept in a store, their versions, what they cost, and going back to an earlier one.

use std::path::{Path, PathBuf};

use siltstone_ml_bridge::dut::{Device, Input, Output};
use siltstone_ml_bridge::engine::{Engine, to_bytes_packed};
use siltstone_ml_bridge::kernel::Isa;
use siltstone_ml_bridge::model::float::is_float;
use siltstone_ml_bridge::model::{Model, file, tflite};
use siltstone_store::store::{ModelInfo, Store};

use super::{calibrate, common, measure};
use crate::failure::{Answer, Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::progress::grouped;

/// Arguments of `silt model`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with models.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Keep the model of a .tflite file as the next version of a name; a float model is quantized on windows of a stream
    Import {
        /// Directory of the store
        store: PathBuf,
        /// Name of the model
        model: String,
        /// The .tflite file
        file: PathBuf,
        /// What a float model is quantized on
        #[command(flatten)]
        calibrate: calibrate::Args,
        /// Keep the weights a second time, packed for a family of kernels, so that the model opens without packing: the
        /// best here, one by name, or none to keep the file small
        #[arg(long, default_value = "best", value_name = "FAMILY")]
        pack: String,
    },
    /// Write a model as a .tflite file
    Export {
        /// Directory of the store
        store: PathBuf,
        /// Name of the model
        model: String,
        /// The .tflite file to write
        file: PathBuf,
        /// Version; the serving one by default
        #[arg(long)]
        version: Option<u32>,
    },
    /// Time a model here on every family of kernels that the processor has, and see how often it is right
    Bench(measure::Args),
    /// Answer the commands of the MLPerf Tiny runner as a device with this model, over a serial port or stdin and stdout
    Dut {
        /// The model: a .tflite file, or one of a store's model files
        file: PathBuf,
        /// Serial port or pseudo-terminal, used as it is set up (stty -F PORT 115200 raw -echo); stdin and stdout if absent
        #[arg(long)]
        port: Option<PathBuf>,
        /// What the device calls the model
        #[arg(long, default_value = "kws01")]
        name: String,
        /// What the runner sends: int8 numbers, bytes that are 128 more (pixels), or 32-bit floats
        #[arg(long, value_enum, default_value_t = Sent::Int8)]
        input: Sent,
        /// Answer with the mean squared difference of output and input instead of the outputs
        #[arg(long)]
        difference: bool,
    },
    /// List all versions of all models
    List {
        /// Directory of the store
        store: PathBuf,
    },
    /// Show what a model is, and where it was learned
    Show {
        /// Directory of the store
        store: PathBuf,
        /// Name of the model
        model: String,
        /// Version; the serving one by default
        #[arg(long)]
        version: Option<u32>,
    },
    /// Go back to an earlier version: detection uses it from then on
    Rollback {
        /// Directory of the store
        store: PathBuf,
        /// Name of the model
        model: String,
        /// Version to serve; the one before the serving one by default
        #[arg(long)]
        to: Option<u32>,
    },
    /// Delete a version of a model
    Rm {
        /// Directory of the store
        store: PathBuf,
        /// Name of the model
        model: String,
        /// Version to delete
        version: u32,
    },
}

/// What the bytes are that a runner sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sent {
    /// The model's numbers
    Int8,
    /// The model's numbers plus 128
    Uint8,
    /// Real numbers
    Float32,
}

/// Does it.
///
/// # Errors
/// When the store cannot be used, or there is no such model.
pub fn run(args: &Args) -> Outcome {
    match &args.action {
        Action::Import {
            store,
            model,
            file,
            calibrate,
            pack,
        } => import(store, model, file, calibrate, pack)?,
        Action::Export {
            store,
            model,
            file,
            version,
        } => {
            let (_, bytes) = common::open_read(store)?.model(model, *version)?;
            let written = tflite::to_bytes(&file::from_bytes(&bytes)?)?;
            std::fs::write(file, written).map_err(|e| Failure::io("write", file, &e))?;
        }
        Action::Bench(args) => measure::run(args)?,
        Action::Dut {
            file,
            port,
            name,
            input,
            difference,
        } => device(file, port.as_deref(), name, *input, *difference)?,
        Action::List { store } => list(&common::open_read(store)?)?,
        Action::Show {
            store,
            model,
            version,
        } => show(&common::open_read(store)?, model, *version)?,
        Action::Rollback { store, model, to } => {
            common::open_read(store)?;
            let store = Store::open(store, crate::ram::options())?;
            let version = match to {
                Some(version) => *version,
                None => before_serving(&store.models(), model)?,
            };
            store.serve_model(model, version)?;
            eprintln!("silt: {model} is served as version {version}");
        }
        Action::Rm {
            store,
            model,
            version,
        } => {
            common::open_read(store)?;
            Store::open(store, crate::ram::options())?.remove_model(model, *version)?;
            eprintln!("silt: version {version} of {model} is gone");
        }
    }
    Ok(Answer::Done)
}

/// Keeps the model of a `.tflite` file, once it has been compiled here: what cannot be run is refused now.
fn import(store: &Path, name: &str, path: &Path, args: &calibrate::Args, pack: &str) -> Outcome<()> {
    let family = family(pack)?;
    let reading = common::open_read(store)?;
    let bytes = std::fs::read(path).map_err(|e| Failure::io("read", path, &e))?;
    let mut model = tflite::from_bytes(&bytes)?;
    if is_float(&model)? {
        model = calibrate::quantize(&reading, &model, args)?;
    }
    Engine::new(&model)?;
    let source = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    model.metadata.insert("imported.file".to_owned(), source);
    let kept = match family {
        Some(isa) => to_bytes_packed(&model, isa)?,
        None => file::to_bytes(&model),
    };
    let version = Store::open(store, crate::ram::options())?.put_model(name, &kept)?;
    eprintln!("silt: {name} is served as version {version}");
    Ok(())
}

/// The family of kernels that weights are packed for, if any.
fn family(name: &str) -> Outcome<Option<Isa>> {
    match name {
        "best" => Ok(Some(Isa::best())),
        "none" => Ok(None),
        _ => {
            let known = Isa::available();
            let names: Vec<&str> = known.iter().map(|isa| isa.name()).collect();
            let found = known.iter().copied().find(|isa| isa.name() == name);
            found.map(Some).ok_or_else(|| {
                Failure::usage(format!(
                    "there are no kernels {name:?} here; there are best, none, {}",
                    names.join(", ")
                ))
            })
        }
    }
}

/// Obeys a runner until it hangs up.
fn device(path: &Path, port: Option<&Path>, name: &str, sent: Sent, difference: bool) -> Outcome<()> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io("read", path, &e))?;
    let model = if bytes.starts_with(&file::MAGIC) {
        file::from_bytes(&bytes)?
    } else {
        tflite::from_bytes(&bytes)?
    };
    let input = match sent {
        Sent::Int8 => Input::Signed,
        Sent::Uint8 => Input::Unsigned,
        Sent::Float32 => Input::Float,
    };
    let output = if difference { Output::Error } else { Output::Vector };
    let mut device = Device::new(&model, name, input, output)?;
    match port {
        None => device
            .serve(&mut std::io::stdin().lock(), &mut std::io::stdout().lock())
            .map_err(|e| Failure::io("use", Path::new("stdin or stdout"), &e)),
        Some(port) => {
            let open = std::fs::OpenOptions::new().read(true).write(true).open(port);
            let mut from = open.map_err(|e| Failure::io("open", port, &e))?;
            let mut to = from.try_clone().map_err(|e| Failure::io("open", port, &e))?;
            device
                .serve(&mut from, &mut to)
                .map_err(|e| Failure::io("use", port, &e))
        }
    }
}

/// What every operator became on this processor, and how long it takes here.
fn operators(model: &Model) -> Outcome<String> {
    /// Inferences whose median is shown.
    const ROUNDS: usize = 101;
    let mut engine = Engine::new(model)?;
    let times = engine.profile(&vec![0; engine.input_count()], ROUNDS)?;
    let left = |name: &str| (name.to_owned(), Align::Left);
    let right = |name: &str| (name.to_owned(), Align::Right);
    let mut table = Table::new([
        right("#"),
        left("operator"),
        left("result"),
        left("kernel"),
        left("type"),
        right("MACs"),
        right("arena bytes"),
        right("weight bytes"),
        right("predicted us"),
        right("us here"),
    ]);
    for (step, nanoseconds) in engine.steps().iter().zip(times) {
        table.push(vec![
            step.operator.to_string(),
            step.name.to_owned(),
            format!("{:?}", step.shape),
            step.kernel.clone(),
            "int8".to_owned(),
            grouped(step.macs),
            grouped(step.arena_bytes as u64),
            grouped(step.weight_bytes as u64),
            format!("{:.2}", step.predicted_ns() / 1e3),
            format!("{:.2}", nanoseconds / 1e3),
        ]);
    }
    let mut text = Vec::new();
    table.write_to(&mut text)?;
    Ok(format!(
        "{}arena {} bytes\n",
        String::from_utf8_lossy(&text),
        grouped(engine.arena_bytes() as u64)
    ))
}

fn list(store: &Store) -> Outcome<()> {
    let left = |name: &str| (name.to_owned(), Align::Left);
    let right = |name: &str| (name.to_owned(), Align::Right);
    let mut table = Table::new([
        left("model"),
        right("version"),
        left("serving"),
        right("bytes"),
        left("learned from"),
        left("sees"),
        right("threshold"),
    ]);
    for info in store.models() {
        let (_, bytes) = store.model(&info.name, Some(info.version))?;
        let words = file::from_bytes(&bytes)?.metadata;
        let word = |name: &str| words.get(name).cloned().unwrap_or_default();
        let threshold = word("score.threshold")
            .parse::<f64>()
            .map_or(String::new(), |t| format!("{t:.3}"));
        table.push(vec![
            info.name,
            info.version.to_string(),
            if info.serving { "yes" } else { "" }.to_owned(),
            grouped(info.bytes),
            word("trained.stream"),
            word("front_end"),
            threshold,
        ]);
    }
    let mut text = Vec::new();
    table.write_to(&mut text)?;
    super::print(&String::from_utf8_lossy(&text))
}

fn show(store: &Store, name: &str, version: Option<u32>) -> Outcome<()> {
    let (version, bytes) = store.model(name, version)?;
    let model = file::from_bytes(&bytes)?;
    let mut text = format!(
        "{name} version {version}, {} bytes\n\n",
        grouped(bytes.len() as u64)
    );
    text.push_str(&operators(&model)?);
    text.push('\n');
    for (word, value) in &model.metadata {
        // Lists of a number per feature are for machines.
        let shown = if value.len() > 100 {
            format!("{} numbers", value.split(' ').count())
        } else {
            value.clone()
        };
        text.push_str(&format!("{word:<20} {shown}\n"));
    }
    super::print(&text)
}

fn before_serving(models: &[ModelInfo], name: &str) -> Outcome<u32> {
    let mut versions: Vec<&ModelInfo> = models.iter().filter(|info| info.name == name).collect();
    versions.sort_unstable_by_key(|info| info.version);
    let serving = versions.iter().position(|info| info.serving).ok_or_else(|| {
        Failure::usage(format!(
            "the store has no model {name:?}; silt model list shows them"
        ))
    })?;
    let before = serving.checked_sub(1).and_then(|index| versions.get(index));
    before.map(|info| info.version).ok_or_else(|| {
        Failure::usage(format!(
            "version {} of {name} is the first; name another with --to",
            versions[serving].version
        ))
    })
}
