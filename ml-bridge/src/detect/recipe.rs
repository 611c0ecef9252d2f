//! Everything that detection must repeat exactly as training did it, kept as words in the model file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use siltstone_store::error::{Error, Result};

use crate::normalize::Normalizer;
use crate::window::{FrontEnd, Layout, NullPolicy, WindowSpec};

/// What the model is, first of its words.
pub const KIND: &str = "autoencoder/1";

/// From rows to a score, and where it was learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Stream that the model was trained on.
    pub stream: String,
    /// Which of its rows, as the user wrote it; empty for all.
    pub rows: String,
    /// First and last time among them, in the stream's unit.
    pub time_range: (i64, i64),
    /// Number of rows and windows learned from.
    pub row_count: u64,
    /// Windows trained on, stopped by, and scored for the threshold.
    pub window_counts: [u64; 3],
    /// How windows are cut.
    pub spec: WindowSpec,
    /// One per channel.
    pub normalizers: Vec<Normalizer>,
    /// What is computed from a window.
    pub front_end: FrontEnd,
    /// One per feature.
    pub features: Vec<Normalizer>,
    /// How much the squared error of each feature counts.
    pub weights: Vec<f32>,
    /// Scores above it are out of the ordinary.
    pub threshold: f64,
    /// Which quantile of the healthy held-out scores it is.
    pub threshold_quantile: f64,
    /// An alarm needs `debounce.0` of the last `debounce.1` windows above the threshold.
    pub debounce: (usize, usize),
    /// Seed of all random choices.
    pub seed: u64,
}

impl Recipe {
    /// Numbers that go into the network.
    pub fn width(&self) -> usize {
        self.spec.channels.len() * self.front_end.outputs(self.spec.length)
    }

    /// As words for the model file.
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let mut words = BTreeMap::new();
        let mut put = |name: &str, value: String| {
            words.insert(name.to_owned(), value);
        };
        put("kind", KIND.to_owned());
        put("trained.stream", self.stream.clone());
        put("trained.rows", self.rows.clone());
        put("trained.time_first", self.time_range.0.to_string());
        put("trained.time_last", self.time_range.1.to_string());
        put("trained.row_count", self.row_count.to_string());
        put("trained.windows", list(self.window_counts));
        put("trained.seed", self.seed.to_string());
        put("window.length", self.spec.length.to_string());
        put("window.hop", self.spec.hop.to_string());
        put(
            "window.max_gap",
            self.spec.max_gap.map_or("none".to_owned(), |gap| gap.to_string()),
        );
        put("window.nulls", self.spec.nulls.name().to_owned());
        put("window.channels", self.spec.channels.len().to_string());
        for (index, (name, normalizer)) in self.spec.channels.iter().zip(&self.normalizers).enumerate() {
            put(
                &format!("channel.{index}"),
                format!("{} {} {name}", normalizer.center, normalizer.scale),
            );
        }
        put("front_end", self.front_end.to_string());
        put("feature.centers", list(self.features.iter().map(|f| f.center)));
        put("feature.scales", list(self.features.iter().map(|f| f.scale)));
        put("score.weights", list(&self.weights));
        put("score.threshold", self.threshold.to_string());
        put("score.quantile", self.threshold_quantile.to_string());
        put("score.debounce", list([self.debounce.0, self.debounce.1]));
        words
    }

    /// From the words of a model file.
    ///
    /// # Errors
    /// `InvalidArgument` if the model is of another kind, or a word is missing or makes no sense.
    pub fn from_metadata(words: &BTreeMap<String, String>) -> Result<Self> {
        let words = Words(words);
        if words.text("kind")? != KIND {
            return Err(Error::invalid(format!(
                "this model is no {KIND}, so its windows cannot be scored by reconstruction"
            )));
        }
        let count: usize = words.number("window.channels")?;
        if count > words.0.len() {
            return Err(words.wrong("window.channels"));
        }
        let mut channels = Vec::with_capacity(count);
        let mut normalizers = Vec::with_capacity(count);
        for index in 0..count {
            let name = format!("channel.{index}");
            let mut parts = words.text(&name)?.splitn(3, ' ');
            let mut number = || parts.next().and_then(|p| p.parse::<f64>().ok());
            let (center, scale) = (number(), number());
            let (Some(center), Some(scale), Some(channel)) = (center, scale, parts.next()) else {
                return Err(words.wrong(&name));
            };
            channels.push(channel.to_owned());
            normalizers.push(Normalizer { center, scale });
        }
        let (centers, scales) = (
            words.numbers::<f64>("feature.centers")?,
            words.numbers::<f64>("feature.scales")?,
        );
        let pair = |name: &str| -> Result<[usize; 2]> {
            words.numbers(name)?.try_into().map_err(|_| words.wrong(name))
        };
        let recipe = Recipe {
            stream: words.text("trained.stream")?.to_owned(),
            rows: words.text("trained.rows")?.to_owned(),
            time_range: (
                words.number("trained.time_first")?,
                words.number("trained.time_last")?,
            ),
            row_count: words.number("trained.row_count")?,
            window_counts: words
                .numbers("trained.windows")?
                .try_into()
                .map_err(|_| words.wrong("trained.windows"))?,
            spec: WindowSpec {
                channels,
                length: words.number("window.length")?,
                hop: words.number("window.hop")?,
                max_gap: match words.text("window.max_gap")? {
                    "none" => None,
                    _ => Some(words.number("window.max_gap")?),
                },
                nulls: NullPolicy::from_name(words.text("window.nulls")?)
                    .ok_or_else(|| words.wrong("window.nulls"))?,
                layout: Layout::ChannelMajor,
            },
            normalizers,
            front_end: words.text("front_end")?.parse()?,
            features: (centers.iter().zip(&scales))
                .map(|(&center, &scale)| Normalizer { center, scale })
                .collect(),
            weights: words.numbers("score.weights")?,
            threshold: words.number("score.threshold")?,
            threshold_quantile: words.number("score.quantile")?,
            debounce: pair("score.debounce")?.into(),
            seed: words.number("trained.seed")?,
        };
        recipe.check(centers.len() == scales.len())?;
        Ok(recipe)
    }

    fn check(&self, lists_match: bool) -> Result<()> {
        self.front_end.check(self.spec.length)?;
        let usable = |n: &Normalizer| n.center.is_finite() && n.scale.is_finite() && n.scale > 0.0;
        let fits = lists_match
            && !self.spec.channels.is_empty()
            && self.spec.hop > 0
            && self.features.len() == self.width()
            && self.weights.len() == self.width()
            && self.normalizers.iter().chain(&self.features).all(usable)
            && self.debounce.0 >= 1
            && self.debounce.0 <= self.debounce.1
            && self.debounce.1 <= 64;
        if !fits {
            return Err(Error::invalid(
                "the words of this model contradict each other; train it again",
            ));
        }
        Ok(())
    }
}

struct Words<'a>(&'a BTreeMap<String, String>);

impl Words<'_> {
    fn text(&self, name: &str) -> Result<&str> {
        let missing = || Error::invalid(format!("the model does not say its {name:?}; train it again"));
        self.0.get(name).map(String::as_str).ok_or_else(missing)
    }

    fn wrong(&self, name: &str) -> Error {
        let text = self.0.get(name).map_or("", String::as_str);
        Error::invalid(format!(
            "the model says {name} = {text:?}, which makes no sense; train it again"
        ))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        self.text(name)?.parse().map_err(|_| self.wrong(name))
    }

    fn numbers<T: std::str::FromStr>(&self, name: &str) -> Result<Vec<T>> {
        let words = self.text(name)?.split_ascii_whitespace();
        words
            .map(|word| word.parse().map_err(|_| self.wrong(name)))
            .collect()
    }
}

fn list<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push(' ');
        }
        // Writing to a string cannot fail.
        let _ = write!(out, "{value}");
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            stream: "pump".into(),
            rows: "broken = 0".into(),
            time_range: (-5, 1 << 60),
            row_count: 77,
            window_counts: [60, 10, 7],
            spec: WindowSpec {
                max_gap: Some(1000),
                nulls: NullPolicy::HoldLast,
                ..WindowSpec::new(&["a", "name with space"], 64, 32)
            },
            normalizers: vec![
                Normalizer {
                    center: 0.1,
                    scale: 2.5e-7,
                },
                Normalizer::IDENTITY,
            ],
            front_end: FrontEnd::spectrum(64, 4).unwrap(),
            features: (1..=12u8)
                .map(|i| Normalizer {
                    center: f64::from(i) / 3.0,
                    scale: 1.0 / f64::from(i),
                })
                .collect(),
            weights: (1..=12u8).map(|i| 1.0 / f32::from(i)).collect(),
            threshold: 1.0 / 3.0,
            threshold_quantile: 0.99,
            debounce: (3, 5),
            seed: u64::MAX,
        }
    }

    #[test]
    fn words_bring_everything_back() {
        let recipe = recipe();
        assert_eq!(Recipe::from_metadata(&recipe.to_metadata()).unwrap(), recipe);
        let mut raw = Recipe {
            front_end: FrontEnd::Raw,
            ..recipe
        };
        raw.spec.max_gap = None;
        raw.features = vec![Normalizer::IDENTITY; 128];
        raw.weights = vec![1.0; 128];
        assert_eq!(Recipe::from_metadata(&raw.to_metadata()).unwrap(), raw);
    }

    #[test]
    fn wrong_words_are_refused() {
        let words = recipe().to_metadata();
        for name in words.keys() {
            for value in ["", "-1", "nonsense", "18446744073709551616"] {
                let mut changed = words.clone();
                changed.insert(name.clone(), value.to_owned());
                let _ = Recipe::from_metadata(&changed);
            }
            let mut without = words.clone();
            without.remove(name);
            assert!(Recipe::from_metadata(&without).is_err(), "{name}");
        }
    }
}
