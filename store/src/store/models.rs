//! Models: files beside the segments, each version written once.

use super::open::{MODELS, model_file};
use super::read::check_model;
use super::{Store, locked};
use crate::error::{Error, Result};
use crate::keep::budget::in_blocks;
use crate::log::manifest::ModelEntry;
use crate::storage::is_not_found;

/// A version of a model kept in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name.
    pub name: String,
    /// Version, counted from 1 for each name.
    pub version: u32,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Whether this version is the one that is used when none is named.
    pub serving: bool,
}

impl Store {
    /// Keeps a model under the next version of its name, and makes it the serving one.
    ///
    /// # Errors
    /// `InvalidArgument` if the name has other characters than ASCII letters, digits, `-` and `_`; `Io`.
    pub fn put_model(&self, name: &str, bytes: &[u8]) -> Result<u32> {
        self.put_version(name, None, bytes)
    }

    /// Keeps a model under a version that it had elsewhere.
    pub(super) fn restore_model(&self, name: &str, version: u32, bytes: &[u8]) -> Result<u32> {
        self.put_version(name, Some(version), bytes)
    }

    fn put_version(&self, name: &str, version: Option<u32>, bytes: &[u8]) -> Result<u32> {
        let writer = self.writer()?;
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 200 || !name.chars().all(good) {
            return Err(Error::invalid(format!(
                "{name:?} is no name for a model: ASCII letters, digits, - and _ are, up to 200 of them"
            )));
        }
        let _turn = locked(&writer.turn);
        let known = self
            .state()
            .manifest
            .models
            .iter()
            .find(|model| model.name == name)
            .cloned();
        let version = version.unwrap_or_else(|| known.map_or(1, |model| model.next_version));
        if let Some(shares) = self.shares() {
            let needed = in_blocks(bytes.len() as u64);
            self.free(writer, needed, shares.for_adding())?;
        }
        let file = model_file(name, version);
        let written = self.write_model(&file, bytes).and_then(|()| {
            self.publish(writer, |manifest| {
                let known = manifest.models.iter().position(|model| model.name == name);
                let index = known.unwrap_or_else(|| {
                    manifest.models.push(ModelEntry {
                        name: name.to_owned(),
                        next_version: 1,
                        serving: 0,
                        versions: Vec::new(),
                    });
                    manifest.models.len() - 1
                });
                let model = &mut manifest.models[index];
                model
                    .versions
                    .push((version, bytes.len() as u64, crc32fast::hash(bytes)));
                model.next_version = version.saturating_add(1);
                model.serving = version;
            })
        });
        match written {
            Ok(()) => Ok(version),
            Err(error) => {
                self.discard(&file, &error);
                Err(error)
            }
        }
    }

    fn write_model(&self, file: &str, bytes: &[u8]) -> Result<()> {
        self.storage.create_directory(MODELS)?;
        let out = self.storage.create(file)?;
        out.append(bytes)?;
        out.sync()?;
        self.storage.sync_directory(MODELS)
    }

    /// Bytes of a model: a version, or the serving one.
    ///
    /// # Errors
    /// `InvalidArgument` if there is none; `Corrupt` if its checksum does not fit; `Io`.
    pub fn model(&self, name: &str, version: Option<u32>) -> Result<(u32, Vec<u8>)> {
        self.refresh()?;
        let (version, bytes, crc) = {
            let state = self.state();
            let model = state.manifest.models.iter().find(|model| model.name == name);
            let model = model.ok_or_else(|| Error::invalid(format!("there is no model {name:?}")))?;
            let wanted = version.unwrap_or(model.serving);
            let found = model
                .versions
                .iter()
                .find(|(version, ..)| *version == wanted)
                .copied();
            found.ok_or_else(|| Error::invalid(format!("model {name:?} has no version {wanted}")))?
        };
        let file = model_file(name, version);
        let found = match self.storage.read(&file, 0..bytes.saturating_add(1)) {
            Err(error) if is_not_found(&error) => {
                return Err(Error::corrupt(file, "file", 0, "the file is missing"));
            }
            found => found?,
        };
        check_model(&file, &found, bytes, crc)?;
        Ok((version, found))
    }

    /// All versions of all models, by name and version.
    pub fn models(&self) -> Vec<ModelInfo> {
        let _ = self.refresh();
        let state = self.state();
        let versions = state.manifest.models.iter().flat_map(|model| {
            model.versions.iter().map(|&(version, bytes, _)| ModelInfo {
                name: model.name.clone(),
                version,
                bytes,
                serving: version == model.serving,
            })
        });
        let mut out: Vec<ModelInfo> = versions.collect();
        out.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        out
    }

    /// Makes `version` of a model the serving one.
    ///
    /// # Errors
    /// `InvalidArgument` if there is none; `Io`.
    pub fn serve_model(&self, name: &str, version: u32) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        let index = self.model_index(name, version)?;
        self.publish(writer, |manifest| manifest.models[index].serving = version)
    }

    /// Deletes a version of a model. If it was the serving one, the newest that is left serves.
    ///
    /// # Errors
    /// `InvalidArgument` if there is none; `Io`.
    pub fn remove_model(&self, name: &str, version: u32) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        let index = self.model_index(name, version)?;
        self.publish(writer, |manifest| {
            let model = &mut manifest.models[index];
            model.versions.retain(|(kept, ..)| *kept != version);
            if model.serving == version {
                model.serving = model.versions.iter().map(|(kept, ..)| *kept).max().unwrap_or(0);
            }
        })?;
        self.storage.remove(&model_file(name, version))
    }

    fn model_index(&self, name: &str, version: u32) -> Result<usize> {
        let state = self.state();
        let mut models = state.manifest.models.iter();
        let index =
            models.position(|m| m.name == name && m.versions.iter().any(|(kept, ..)| *kept == version));
        index.ok_or_else(|| Error::invalid(format!("there is no version {version} of a model {name:?}")))
    }
}
