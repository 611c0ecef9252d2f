//! The store as a catalog: schema `public` lists the streams as they are now, schema `silt` the system tables.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{Result, exec_err};
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

/// The catalog of one store.
pub(crate) struct StoreCatalog {
    streams: Arc<StreamSchema>,
    system: Arc<SystemSchema>,
}

impl StoreCatalog {
    /// The catalog of `store`.
    pub fn new(store: &Arc<Store>) -> Self {
        StoreCatalog {
            streams: Arc::new(StreamSchema {
                store: Arc::clone(store),
                views: RwLock::default(),
            }),
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
            SYSTEM => Some(Arc::clone(&self.system) as Arc<dyn SchemaProvider>),
            _ => None,
        }
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
