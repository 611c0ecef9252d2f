//! The score of a window: how badly the network gives its features back.
//!
//! `score = sum(weight * (in - out)^2) / features`, in int8 steps. A weight is one over the feature's mean squared
//! error on healthy windows, so a healthy window scores about 1 whatever the machine, and a feature that is always
//! predicted well counts as soon as it is not.

use siltstone_store::error::{Error, Result};

use super::recipe::Recipe;
use crate::engine::Engine;
use crate::kernel::Isa;
use crate::model::{Image, Model};
use crate::normalize::Normalizer;

/// Most feature vectors that are scored at once, and bytes that their activations may take.
const MOST_AT_ONCE: usize = 24;
const MOST_BYTES: usize = 192 << 10;

/// A network ready to score feature vectors. No allocation after [`Scorer::new`].
#[derive(Debug)]
pub struct Scorer {
    engine: Engine,
    features: Vec<Normalizer>,
    weights: Vec<f32>,
    /// As many feature vectors as the engine computes at once, `held` of them waiting for [`Scorer::flush`].
    input: Vec<i8>,
    output: Vec<i8>,
    held: usize,
}

impl Scorer {
    /// A scorer for `model`, which takes and gives as many numbers as `recipe` has features.
    ///
    /// # Errors
    /// `InvalidArgument` if it does not.
    pub fn new(model: &Model, recipe: &Recipe) -> Result<Self> {
        Scorer::with(Engine::new(model)?, recipe)
    }

    /// A scorer for the model file `image` and the recipe among its words, for many feature vectors, given by
    /// [`Scorer::push`] and scored by [`Scorer::flush`]. Weights packed for this processor are used where they lie.
    ///
    /// # Errors
    /// What opening the file gives; `InvalidArgument` as [`Scorer::new`].
    pub fn open(image: &Image) -> Result<(Self, Recipe)> {
        let isa = Isa::best();
        let engine = Engine::open(image, isa)?;
        let recipe = Recipe::from_metadata(engine.metadata())?;
        let copies = (MOST_BYTES / engine.arena_bytes().max(1)).clamp(1, MOST_AT_ONCE);
        let scorer = Scorer::with(Engine::open_with_batch(image, isa, copies)?, &recipe)?;
        Ok((scorer, recipe))
    }

    fn with(engine: Engine, recipe: &Recipe) -> Result<Self> {
        let width = recipe.width();
        if [engine.input_count(), engine.output_count()] != [width, width] {
            return Err(Error::invalid(format!(
                "an autoencoder over {width} features takes and gives {width} numbers; this model does not"
            )));
        }
        Ok(Scorer {
            input: vec![0; width * engine.copies()],
            output: vec![0; width * engine.copies()],
            engine,
            features: recipe.features.clone(),
            weights: recipe.weights.clone(),
            held: 0,
        })
    }

    /// Whether [`Scorer::push`] wants a [`Scorer::flush`] first.
    pub fn is_full(&self) -> bool {
        self.held == self.engine.copies()
    }

    /// Keeps a feature vector to be scored.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no room left.
    pub fn push(&mut self, features: &[f32]) -> Result<()> {
        if self.is_full() {
            return Err(Error::invalid(
                "the feature vectors pushed before are to be scored first",
            ));
        }
        self.quantize(self.held, features);
        self.held += 1;
        Ok(())
    }

    /// The scores of what was pushed, in order; nothing is held afterwards.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn flush(&mut self, scores: &mut Vec<f64>) -> Result<()> {
        let (held, width) = (std::mem::take(&mut self.held), self.weights.len());
        let (input, output) = (&self.input[..held * width], &mut self.output[..held * width]);
        self.engine.run_batch(input, output, held)?;
        scores.clear();
        scores.extend((0..held).map(|number| self.score_of(number)));
        Ok(())
    }

    /// The score of a feature vector.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn score(&mut self, features: &[f32]) -> Result<f64> {
        self.run(features)?;
        Ok(self.score_of(0))
    }

    /// The score of the feature vector at place `number`.
    fn score_of(&self, number: usize) -> f64 {
        let sum: f64 = self
            .differences(number)
            .zip(&self.weights)
            .map(|(e, &w)| f64::from(e * e) * f64::from(w))
            .sum();
        sum / self.weights.len() as f64
    }

    /// Puts a feature vector at place `number`.
    fn quantize(&mut self, number: usize, features: &[f32]) {
        debug_assert_eq!(features.len(), self.features.len());
        let places = self.input[number * self.features.len()..].iter_mut();
        for ((place, &value), normalizer) in places.zip(features).zip(&self.features) {
            *place = normalizer.quantize(f64::from(value));
        }
    }

    /// Runs the network on a feature vector.
    pub(crate) fn run(&mut self, features: &[f32]) -> Result<()> {
        self.quantize(0, features);
        let width = self.features.len();
        self.engine.run(&self.input[..width], &mut self.output[..width])
    }

    /// Differences between input and output of the last run, in int8 steps.
    pub(crate) fn errors(&self) -> impl Iterator<Item = i32> + '_ {
        self.differences(0)
    }

    fn differences(&self, number: usize) -> impl Iterator<Item = i32> + '_ {
        let width = self.features.len();
        let part = number * width..(number + 1) * width;
        self.input[part.clone()]
            .iter()
            .zip(&self.output[part])
            .map(|(&a, &b)| i32::from(a) - i32::from(b))
    }
}
