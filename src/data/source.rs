//! Raw items, before splitting and transforming: images, vectors, or a distribution that points are drawn from.

use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::math::{Numeral, largest};
use crate::store::checkpoint::sha256;

/// Raw items, before splitting and transforming.
pub enum Source {
    /// Images in memory.
    Images(Images),
    /// Vectors in memory.
    Records(Records),
    /// Points drawn when they are asked for; there is no end to them.
    Points(Box<dyn PointGenerator>),
}

/// Which items of a set are for testing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum TestItems {
    /// Those of the set's own test files: this item and all that follow it.
    From(usize),
    /// Those of the set's own parts: training items come first, then those for validation, then those for testing.
    Parts {
        /// The first item for validation.
        validation_from: usize,
        /// The first item for testing.
        test_from: usize,
    },
    /// Some that are drawn with the seed of the division: a share of all items below 1, a count from 1 on.
    Drawn(f64),
}

/// The names of classes, in the order of their numbers, if they say more than 0, 1, … do; else none.
pub(crate) fn class_names(names: Vec<String>) -> Vec<String> {
    let counts = names.iter().enumerate().all(|(i, name)| Numeral::parse(name) == Numeral::parse(&i.to_string()));
    if counts { Vec::new() } else { names }
}

/// Labelled 8-bit images, held as they are in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// A pixel is an integer in 0..levels: 256 for bytes, 17 for the 8×8 digits.
    pub levels: u32,
    /// Labels are integers in 0..classes.
    pub classes: usize,
    /// What the files call the classes, in this order; empty where they count from 0.
    pub class_names: Vec<String>,
    /// Item after item, channel after channel, row after row.
    pub pixels: Vec<u8>,
    /// One label an item.
    pub labels: Vec<u16>,
    /// Which of them are for testing.
    pub test: TestItems,
    /// Of the content of the files, uncompressed; lower-case hexadecimal.
    pub sha256: String,
    /// Whether each is two pictures of half the width, side by side.
    pub pairs: bool,
}

impl Images {
    /// No images of this shape.
    pub fn empty(shape: [usize; 3], levels: u32, classes: usize) -> Self {
        let (class_names, pixels, labels) = (Vec::new(), Vec::new(), Vec::new());
        let (test, sha256) = (TestItems::Drawn(0.0), String::new());
        Images { shape, levels, classes, class_names, pixels, labels, test, sha256, pairs: false }
    }

    /// How many items, test file included.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The numbers of one item.
    pub fn dim(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Real vectors, with labels or without.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// Numbers in a row.
    pub dim: usize,
    /// Row after row, as exact as the file; a model sees them in f32 once they are transformed.
    pub values: Vec<f64>,
    /// Of the columns; empty if the file does not name them.
    pub names: Vec<String>,
    /// What was subtracted from each column and what it was divided by; empty where columns are as in the file.
    pub scales: Vec<[f64; 2]>,
    /// Which of the columns stand for the words of a categorical one.
    pub categories: Vec<Category>,
    /// One label a row, if there are any.
    pub labels: Option<Vec<u32>>,
    /// Labels are integers in 0..classes; 0 without labels.
    pub classes: usize,
    /// What the file calls the classes, in this order; empty where it counts from 0.
    pub class_names: Vec<String>,
    /// Which of them are for testing.
    pub test: TestItems,
    /// Of the content of the files, uncompressed; lower-case hexadecimal.
    pub sha256: String,
}

impl Records {
    /// No rows of so many numbers.
    pub fn empty(dim: usize, classes: usize) -> Self {
        let test = TestItems::Drawn(0.0);
        Records {
            dim,
            values: vec![],
            names: vec![],
            scales: vec![],
            categories: vec![],
            labels: None,
            classes,
            class_names: vec![],
            test,
            sha256: String::new(),
        }
    }

    /// How many rows, test file included.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// A categorical column of a table's file, as the columns of 0 and 1 that a model sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Category {
    /// Its name in the file; its place if it has none.
    pub name: String,
    /// The first of its columns, from 0.
    pub first: usize,
    /// The words, one a column.
    pub words: Vec<String>,
}

/// The box [low, high] of each coordinate that holds all of the data that a picture or a grid needs.
pub type Bounds = Vec<[f64; 2]>;

/// The modes of a mixture of Gaussians that differ in their means alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Modes {
    /// Means, of an item's length each.
    pub centres: Vec<Vec<f64>>,
    /// How likely each is; they sum to 1.
    pub weights: Vec<f64>,
    /// Standard deviation around its mean of the widest coordinate, the same for all modes.
    pub std: f64,
    /// Standard deviation of each coordinate in units of that: all 1 where modes are round.
    pub scales: Vec<f64>,
}

impl Modes {
    /// Modes of these means and weights, with one standard deviation a coordinate.
    pub fn new(centres: Vec<Vec<f64>>, weights: Vec<f64>, stds: &[f64]) -> Self {
        let std = stds.iter().copied().fold(0.0, f64::max);
        Modes { centres, weights, std, scales: stds.iter().map(|one| one / std).collect() }
    }

    /// The standard deviation of each coordinate around its mean.
    pub fn stds(&self) -> impl Iterator<Item = f64> {
        self.scales.iter().map(|scale| self.std * scale)
    }

    /// The mode whose mean is nearest to x in standard deviations, and the square of that distance.
    pub fn nearest(&self, x: &[f64]) -> (usize, f64) {
        let square =
            |c: &Vec<f64>| x.iter().zip(c).zip(self.stds()).map(|((x, c), std)| ((x - c) / std).powi(2)).sum::<f64>();
        let (k, near) = largest(&self.centres.iter().map(|c| -square(c)).collect::<Vec<_>>());
        (k, -near)
    }

    /// The weight of the points that each mode is nearest to.
    pub fn shares(&self, points: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
        let mut shares = vec![0.0; self.centres.len()];
        for (x, weight) in points.iter().zip(weights) {
            shares.get_mut(self.nearest(x).0).into_iter().for_each(|share| *share += weight);
        }
        shares
    }

    /// The mode in whose core x lies, √(2D) σ around its mean (2σ in the plane): a chain that flickers on the border
    /// between two modes is in neither.
    pub fn core(&self, x: &[f64]) -> Option<usize> {
        let (k, square) = self.nearest(x);
        (square <= 2.0 * x.len() as f64).then_some(k)
    }
}

/// A distribution that points are drawn from.
pub trait PointGenerator: Send + Sync {
    /// Coordinates of a point.
    fn dim(&self) -> usize;

    /// Draws one point into `point`, which has [`PointGenerator::dim`] places.
    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]);

    /// Draws as many points as `points` has places for, one after another; a recipe that is faster on many points at
    /// once has its own way.
    fn fill(&self, rng: &mut ChaCha8Rng, points: &mut [f64]) {
        points.chunks_exact_mut(self.dim()).for_each(|point| self.draw(rng, point));
    }

    /// The hash of the file that says where points are; none where the configuration says all.
    fn content(&self) -> Option<&str> {
        None
    }

    /// Where the mass is: at most about one draw in a million lies outside.
    fn bounds(&self) -> Bounds;

    /// log p(x) in nats where it is known in closed form.
    fn log_density(&self, _point: &[f64]) -> Option<f64> {
        None
    }

    /// B with independent Bx, `[D, D]`, where the points are a linear mixture of independent sources.
    fn unmixing(&self) -> Option<&DMatrix<f64>> {
        None
    }

    /// Means, weights and widths of the components, where the points are a mixture of Gaussians that differ in their
    /// means alone.
    fn modes(&self) -> Option<Modes> {
        None
    }

    /// The distribution of the points under noise N(0, σ²I), where that has a density in closed form.
    fn blurred(&self, _sigma: f64) -> Option<Box<dyn PointGenerator>> {
        None
    }

    /// ∇x log p(x) where it is known in closed form.
    fn score(&self, _point: &[f64]) -> Option<Vec<f64>> {
        None
    }
}

/// The hash that stands for a generator: of its resolved section, and of the version of the recipes.
pub(crate) fn describe(table: &toml::Table) -> String {
    sha256(format!("ebm generator 1\n{table}").as_bytes())
}
