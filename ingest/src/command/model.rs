//! `silt model`: the models kept in a store, their versions, and going back to an earlier one.

use std::path::PathBuf;

use siltstone_ml_bridge::model::file;
use siltstone_store::store::{ModelInfo, Options, Store};

use super::common;
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

/// Does it.
///
/// # Errors
/// When the store cannot be used, or there is no such model.
pub fn run(args: &Args) -> Outcome {
    match &args.action {
        Action::List { store } => list(&common::open_read(store)?)?,
        Action::Show {
            store,
            model,
            version,
        } => show(&common::open_read(store)?, model, *version)?,
        Action::Rollback { store, model, to } => {
            common::open_read(store)?;
            let store = Store::open(store, Options::default())?;
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
            Store::open(store, Options::default())?.remove_model(model, *version)?;
            eprintln!("silt: version {version} of {model} is gone");
        }
    }
    Ok(Answer::Done)
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
    for operator in &model.operators {
        let shape = |tensors: &[usize]| -> Outcome<String> {
            let shapes = tensors
                .iter()
                .map(|&t| Ok(format!("{:?}", model.tensor(t)?.shape)));
            Ok(shapes.collect::<Outcome<Vec<_>>>()?.join(" "))
        };
        let inputs: Vec<usize> = operator.inputs.first().copied().flatten().into_iter().collect();
        text.push_str(&format!(
            "{:<20} {} -> {}\n",
            operator.kind.name(),
            shape(&inputs)?,
            shape(&operator.outputs)?
        ));
    }
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
