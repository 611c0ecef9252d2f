//! How the columns of a stream should be stored: the wish that a user gives, by column name.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{Store, locked};
use crate::codes::choose::Layout;
use crate::error::{Error, Result};
use crate::log::manifest::{Manifest, Wishes};
use crate::schema::Schema;

/// How the columns of a stream should be stored: one layout for all, and others for some by name.
///
/// As text: `small`, or `rank,message=small,pressure=scan`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layouts {
    /// Layout of the columns that are not named.
    pub all: Layout,
    /// Layouts by column name.
    pub columns: BTreeMap<String, Layout>,
}

impl From<Layout> for Layouts {
    fn from(all: Layout) -> Layouts {
        Layouts {
            all,
            columns: BTreeMap::new(),
        }
    }
}

impl FromStr for Layouts {
    type Err = Error;

    fn from_str(text: &str) -> Result<Layouts> {
        let (mut all, mut columns) = (None, BTreeMap::new());
        for item in text.split(',') {
            let replaced = match item.split_once('=') {
                Some((name, layout)) => columns.insert(name.to_owned(), layout.parse()?).is_some(),
                None => all.replace(item.parse()?).is_some(),
            };
            if replaced {
                return Err(Error::invalid(format!(
                    "{item:?} is a second layout for the same"
                )));
            }
        }
        Ok(Layouts {
            all: all.unwrap_or_default(),
            columns,
        })
    }
}

impl fmt::Display for Layouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.all)?;
        let mut columns = self.columns.iter();
        columns.try_for_each(|(name, layout)| write!(f, ",{name}={layout}"))
    }
}

impl Layouts {
    /// The wishes by column id.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is no channel of `schema`, or one of numbers that is wished as an index of texts.
    pub(super) fn resolve(&self, schema: &Schema) -> Result<Wishes> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (name, &layout) in &self.columns {
            let channel = schema.channels().iter().find(|channel| channel.name == *name);
            let channel = channel.ok_or_else(|| {
                Error::invalid(if schema.column(name).is_some() || name == schema.time_name() {
                    format!("{name:?} has no layout to choose: times and keys are stored in one way")
                } else {
                    format!("the stream has no column {name:?}")
                })
            })?;
            if matches!(layout, Layout::Fm(_)) && !channel.ty.is_binary() {
                return Err(Error::invalid(format!(
                    "{name:?} holds numbers, and {layout} is an index of texts: use rank, scan or small for it"
                )));
            }
            if layout != self.all {
                columns.push((channel.id, layout));
            }
        }
        columns.sort_unstable();
        Ok(Wishes {
            all: self.all,
            columns,
        })
    }

    pub(super) fn of(wishes: &Wishes, schema: &Schema) -> Layouts {
        let channels = schema.channels().iter();
        let named = channels.filter_map(|channel| {
            let layout = wishes.of(channel.id);
            (layout != wishes.all).then(|| (channel.name.clone(), layout))
        });
        Layouts {
            all: wishes.all,
            columns: named.collect(),
        }
    }
}

impl Store {
    pub(super) fn wished_layouts(&self, stream: &str) -> Result<Layouts> {
        self.refresh()?;
        let state = self.state();
        let entry = &state.manifest.streams[state.stream(stream)?];
        Ok(Layouts::of(&entry.wishes, &entry.schema))
    }

    pub(super) fn wish_layouts(&self, stream: &str, layouts: &Layouts) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        let (index, wishes, before) = {
            let state = self.state();
            let index = state.stream(stream)?;
            let entry = &state.manifest.streams[index];
            (index, layouts.resolve(&entry.schema)?, entry.wishes.clone())
        };
        if wishes == before {
            return Ok(());
        }
        self.publish(writer, |manifest: &mut Manifest| {
            manifest.streams[index].wishes = wishes;
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::schema::{ColumnType, TimeUnit};

    #[test]
    fn layouts_are_written_and_read_as_text() {
        for text in [
            "rank",
            "small:512",
            "scan,a=small,b=rank:smaller",
            "fm:count,a=fm:32",
        ] {
            assert_eq!(text.parse::<Layouts>().unwrap().to_string(), text);
        }
        assert_eq!("a=small".parse::<Layouts>().unwrap().to_string(), "rank,a=small");
        for text in ["", "tiny", "rank,scan", "a=rank,a=small", "a="] {
            assert!(text.parse::<Layouts>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_channels_have_a_layout() {
        let schema = Schema::new("time", TimeUnit::Second)
            .with_key("device", ColumnType::Text)
            .and_then(|schema| schema.with_channel("a", ColumnType::F64, ""))
            .unwrap();
        let resolve = |text: &str| text.parse::<Layouts>().unwrap().resolve(&schema);
        let layouts: Layouts = "scan,a=small".parse().unwrap();
        assert_eq!(Layouts::of(&layouts.resolve(&schema).unwrap(), &schema), layouts);
        assert!(resolve("small,a=small").unwrap().columns.is_empty());
        assert!(resolve("fm").unwrap().columns.is_empty(), "numbers as rank");
        for text in ["time=scan", "device=scan", "b=scan", "a=fm"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
