//! SQL over Siltstone stores, through Apache DataFusion.
//!
//! [`context`] gives a session in which each stream of a store is a table: the time column first, then key columns
//! and channels. Times are UTC; a literal without an offset means UTC. Names are taken as they are written, in upper
//! or lower case.
//!
//! What happens inside the store, on compressed codes, before DataFusion sees a row: projection, limit, and every
//! filter that one of the store's predicates says exactly (comparisons and IN on any column, also under casts that
//! keep order; LIKE and its relatives; IS NULL; AND, OR, NOT). `EXPLAIN` shows it as `SiltScan: ..., predicate=...`.
//! Aggregates without GROUP BY (`count, sum, min, max, avg, median, var_pop, stddev` and their like) are answered without a
//! scan: `SiltAggregate`; [`execute`] finds most of them before anything is planned.
//!
//! Rows that were downsampled are one row a bucket of time to a scan, and as many as they stand for to aggregates; those
//! that cannot be weighed are refused. [`sql`] understands `_precision` (how exact a row is), a column that `*` does not
//! stand for. `count_bounds(*)`, `sum_bounds(x)`, `avg_bounds(x)`, `quantile_bounds(x, q)` give a struct (low, value, high)
//! that the truth lies in, in groups of keys at most.
//!
//! `silt.segments`, `silt.columns`, `silt.models` and `silt.losses` are system tables; INSERT INTO appends to a stream.

#![deny(unsafe_code)]

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::Store;

mod aggregate;
mod asked;
mod bounds;
mod call;
mod catalog;
mod display;
pub mod error;
pub mod export;
mod layout;
mod number;
mod precision;
mod predicate;
mod question;
mod scan;
mod short;
mod sink;
mod statistics;
mod system;
mod table;
mod threshold;
mod types;
mod weigh;

pub use error::{Error, Result};
pub use precision::sql;
pub use short::execute;

/// How queries run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Partitions that a query is divided into; 0 means as many as there are cores.
    pub partitions: usize,
    /// Bytes of memory for sorts, joins and groups, above which they spill to temporary files; 0 means no bound.
    pub memory_limit: usize,
    /// Rows of a batch; 0 means as many as the engine likes.
    pub batch_rows: usize,
}

/// A session in which each stream of `store` is a table, with the defaults of [`Settings`].
pub fn context(store: &Arc<Store>) -> SessionContext {
    // The defaults bound nothing, so that nothing is there to be refused.
    context_with(store, Settings::default()).unwrap_or_default()
}

/// A session in which each stream of `store` is a table.
///
/// # Errors
/// `Query` if there is no place for temporary files.
pub fn context_with(store: &Arc<Store>, settings: Settings) -> Result<SessionContext> {
    let context = session(settings, catalog::CATALOG, catalog::STREAMS)?;
    context.register_catalog(catalog::CATALOG, Arc::new(catalog::StoreCatalog::new(store)));
    Ok(context)
}

/// A session in which each of some named snapshots is a table that never changes.
///
/// # Errors
/// `Query` if two have the same name, or there is no place for temporary files.
pub fn context_of(
    snapshots: impl IntoIterator<Item = (String, Snapshot)>,
    settings: Settings,
) -> Result<SessionContext> {
    let catalog = catalog::FixedCatalog::new(snapshots)?;
    let context = session(settings, catalog::CATALOG, catalog::STREAMS)?;
    context.register_catalog(catalog::CATALOG, Arc::new(catalog));
    Ok(context)
}

fn session(settings: Settings, catalog: &str, schema: &str) -> Result<SessionContext> {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(catalog, schema)
        // Columns are named by the files they came from: PM25 means PM25, quoted or not.
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    if settings.partitions > 0 {
        config = config.with_target_partitions(settings.partitions);
    }
    if settings.batch_rows > 0 {
        config = config.with_batch_size(settings.batch_rows);
    }
    let mut runtime = RuntimeEnvBuilder::new();
    if settings.memory_limit > 0 {
        runtime = runtime.with_memory_limit(settings.memory_limit, 1.0);
    }
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime.build_arc()?)
        .with_default_features()
        .build();
    let context = SessionContext::new_with_state(aggregate::install(state));
    bounds::functions().for_each(|function| context.register_udaf(function.as_ref().clone()));
    context.register_udf(number::function());
    Ok(context)
}
