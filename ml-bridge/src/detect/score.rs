//! The score of a window: how badly the network gives its features back.
//!
//! `score = sum(weight * (in - out)^2) / features`, in int8 steps. A weight is one over the feature's mean squared
//! error on healthy windows, so a healthy window scores about 1 whatever the machine, and a feature that is always
//! predicted well counts as soon as it is not.

use siltstone_store::error::{Error, Result};

use super::recipe::Recipe;
use crate::engine::Engine;
use crate::model::Model;
use crate::normalize::Normalizer;

/// A network ready to score feature vectors. No allocation after [`Scorer::new`].
#[derive(Debug)]
pub struct Scorer {
    engine: Engine,
    features: Vec<Normalizer>,
    weights: Vec<f32>,
    input: Vec<i8>,
    output: Vec<i8>,
}

impl Scorer {
    /// A scorer for `model`, which takes and gives as many numbers as `recipe` has features.
    ///
    /// # Errors
    /// `InvalidArgument` if it does not.
    pub fn new(model: &Model, recipe: &Recipe) -> Result<Self> {
        let width = recipe.width();
        let sizes: Result<Vec<usize>> = model
            .inputs
            .iter()
            .chain(&model.outputs)
            .map(|&t| Ok(model.tensor(t)?.count()))
            .collect();
        if sizes? != [width, width] {
            return Err(Error::invalid(format!(
                "an autoencoder over {width} features takes and gives {width} numbers; this model does not"
            )));
        }
        Ok(Scorer {
            engine: Engine::new(model)?,
            features: recipe.features.clone(),
            weights: recipe.weights.clone(),
            input: vec![0; width],
            output: vec![0; width],
        })
    }

    /// The score of a feature vector.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn score(&mut self, features: &[f32]) -> Result<f64> {
        self.run(features)?;
        let sum: f64 = self
            .errors()
            .zip(&self.weights)
            .map(|(e, &w)| f64::from(e * e) * f64::from(w))
            .sum();
        Ok(sum / self.weights.len() as f64)
    }

    /// Runs the network on a feature vector.
    pub(crate) fn run(&mut self, features: &[f32]) -> Result<()> {
        debug_assert_eq!(features.len(), self.input.len());
        for ((place, &value), normalizer) in self.input.iter_mut().zip(features).zip(&self.features) {
            *place = normalizer.quantize(f64::from(value));
        }
        self.engine.run(&self.input, &mut self.output)
    }

    /// Differences between input and output of the last run, in int8 steps.
    pub(crate) fn errors(&self) -> impl Iterator<Item = i32> + '_ {
        self.input
            .iter()
            .zip(&self.output)
            .map(|(&a, &b)| i32::from(a) - i32::from(b))
    }
}
