//! The store as a catalog: schema `public` lists the streams as they are now, schema `silt` the system tables.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::{Result, exec_err};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::Store;

use crate::error::external;
use crate::system;
use crate::table::StreamTable;

/// Name of the catalog.
pub(crate) const CATALOG: &str = "siltstone";
/// Name of the schema of streams.
pub(crate) const STREAMS: &str = "public";
/// Name of the schema of system tables.
pub(crate) const SYSTEM: &str = "silt";

/// Name of the schema of the same streams, with the column `_precision`. It is not listed.
pub(crate) const PRECISE: &str = "public with precision";

/// The catalog of one store.
pub(crate) struct StoreCatalog {
    streams: Arc<StreamSchema>,
    precise: Arc<PreciseSchema>,
    system: Arc<SystemSchema>,
}

impl StoreCatalog {
    /// The catalog of `store`.
    pub fn new(store: &Arc<Store>) -> Self {
        let streams = Arc::new(StreamSchema {
            store: Arc::clone(store),
            views: RwLock::default(),
        });
        StoreCatalog {
            precise: Arc::new(PreciseSchema(Arc::clone(&streams))),
            streams,
            system: Arc::new(SystemSchema {
                store: Arc::clone(store),
            }),
        }
    }
}

impl std::fmt::Debug for StoreCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreCatalog")
    }
}

impl CatalogProvider for StoreCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![STREAMS.to_owned(), SYSTEM.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            STREAMS => Some(Arc::clone(&self.streams) as Arc<dyn SchemaProvider>),
            PRECISE => Some(Arc::clone(&self.precise) as Arc<dyn SchemaProvider>),
            SYSTEM => Some(Arc::clone(&self.system) as Arc<dyn SchemaProvider>),
            _ => None,
        }
    }
}

/// The catalog of snapshots that never change.
pub(crate) struct FixedCatalog {
    streams: Arc<MemorySchemaProvider>,
    precise: Arc<MemorySchemaProvider>,
}

impl FixedCatalog {
    /// The catalog of some snapshots.
    ///
    /// # Errors
    /// If two have the same name.
    pub fn new(snapshots: impl IntoIterator<Item = (String, Snapshot)>) -> Result<Self> {
        let (streams, precise) = (MemorySchemaProvider::new(), MemorySchemaProvider::new());
        for (name, snapshot) in snapshots {
            let exact = StreamTable::fixed(snapshot.clone(), &name).with_precision();
            precise.register_table(name.clone(), Arc::new(exact))?;
            let table = StreamTable::fixed(snapshot, &name);
            streams.register_table(name, Arc::new(table))?;
        }
        Ok(FixedCatalog {
            streams: Arc::new(streams),
            precise: Arc::new(precise),
        })
    }
}

impl std::fmt::Debug for FixedCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FixedCatalog")
    }
}

impl CatalogProvider for FixedCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![STREAMS.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            STREAMS => Some(Arc::clone(&self.streams) as Arc<dyn SchemaProvider>),
            PRECISE => Some(Arc::clone(&self.precise) as Arc<dyn SchemaProvider>),
            _ => None,
        }
    }
}

/// The streams with the column `_precision`, and views as they are.
#[derive(Debug)]
struct PreciseSchema(Arc<StreamSchema>);

#[async_trait]
impl SchemaProvider for PreciseSchema {
    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.0.is_stream(name) {
            let table = StreamTable::open(&self.0.store, name).map_err(external)?;
            return Ok(Some(Arc::new(table.with_precision())));
        }
        self.0.table(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }
}

/// The streams, live, and the views and temporary tables of this session.
struct StreamSchema {
    store: Arc<Store>,
    views: RwLock<BTreeMap<String, Arc<dyn TableProvider>>>,
}

impl std::fmt::Debug for StreamSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamSchema")
    }
}

impl StreamSchema {
    fn is_stream(&self, name: &str) -> bool {
        self.store.schema(name).is_ok()
    }
}

#[async_trait]
impl SchemaProvider for StreamSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.store.streams();
        names.extend(
            self.views
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .keys()
                .cloned(),
        );
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.is_stream(name) {
            return Ok(Some(Arc::new(
                StreamTable::open(&self.store, name).map_err(external)?,
            )));
        }
        Ok(self
            .views
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned())
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.is_stream(&name) {
            return exec_err!("there is a stream {name:?} already; take another name");
        }
        Ok(self
            .views
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, table))
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.is_stream(name) {
            return exec_err!("{name:?} is a stream; SQL does not delete streams");
        }
        Ok(self
            .views
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.is_stream(name)
            || self
                .views
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(name)
    }
}

/// The system tables, filled when a query names them.
struct SystemSchema {
    store: Arc<Store>,
}

impl std::fmt::Debug for SystemSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SystemSchema")
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        system::TABLES.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        system::table(&self.store, name)
    }

    fn table_exist(&self, name: &str) -> bool {
        system::TABLES.contains(&name)
    }
}
