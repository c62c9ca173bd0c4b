//! What a row of the registry builds, and the keys that all rows of a kind share.

use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;

use super::{Records, Transform};
use crate::math::largest;
use crate::{Result, config::rule};

/// Builds a data set's raw items from its resolved section; reads and verifies files.
pub type BuildSource = fn(&toml::Table) -> Result<Source>;

/// Raw items, before splitting and transforming.
pub enum Source {
    /// Images in memory.
    Images(Images),
    /// Vectors in memory.
    Records(Records),
    /// Points drawn when they are asked for; there is no end to them.
    Points(Box<dyn Generator>),
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
    /// Item after item, channel after channel, row after row.
    pub pixels: Vec<u8>,
    /// One label an item.
    pub labels: Vec<u16>,
    /// The first item of the set's own test file, if it has one.
    pub test_from: Option<usize>,
    /// Of the content of the files, uncompressed; lower-case hexadecimal.
    pub sha256: String,
}

impl Images {
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

/// The box [low, high] of each coordinate that holds all of the data that a picture or a grid needs.
pub type Bounds = Vec<[f64; 2]>;

/// The modes of a mixture of isotropic Gaussians.
#[derive(Clone, Debug, PartialEq)]
pub struct Modes {
    /// Means, of an item's length each.
    pub centres: Vec<Vec<f64>>,
    /// How likely each is; they sum to 1.
    pub weights: Vec<f64>,
    /// Standard deviation of each coordinate around its mean.
    pub std: f64,
}

impl Modes {
    /// The mode whose mean is nearest to x, and the squared distance.
    pub fn nearest(&self, x: &[f64]) -> (usize, f64) {
        let square = |c: &Vec<f64>| x.iter().zip(c).map(|(x, c)| (x - c).powi(2)).sum::<f64>();
        let (k, near) = largest(&self.centres.iter().map(|c| -square(c)).collect::<Vec<_>>());
        (k, -near)
    }

    /// The mode in whose core x lies, √(2D) σ around its mean (2σ in the plane): a chain that flickers on the border between
    /// two modes is in neither.
    pub fn core(&self, x: &[f64]) -> Option<usize> {
        let (k, square) = self.nearest(x);
        (square <= 2.0 * x.len() as f64 * self.std * self.std).then_some(k)
    }
}

/// A distribution that points are drawn from.
pub trait Generator: Send + Sync {
    /// Coordinates of a point.
    fn dim(&self) -> usize;

    /// Draws one point into `point`, which has [`Generator::dim`] places.
    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]);

    /// Draws as many points as `points` has places for, one after another; a recipe that is faster on many points at once
    /// has its own way.
    fn fill(&self, rng: &mut ChaCha8Rng, points: &mut [f64]) {
        points.chunks_exact_mut(self.dim()).for_each(|point| self.draw(rng, point));
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

    /// Means, weights and width of the components, where the points are a mixture of isotropic Gaussians.
    fn modes(&self) -> Option<Modes> {
        None
    }

    /// ∇x log p(x) where it is known in closed form.
    fn score(&self, _point: &[f64]) -> Option<Vec<f64>> {
        None
    }
}

crate::config! {
    /// Keys of every set of images.
    pub struct Pixels {
        /// What the model sees of a pixel z in [0, 1]: "none" (the raw value), "unit" (z), "scaled" (2z - 1) or "logit" (log z/(1-z)).
        transform: Transform = Transform::Scaled;
        /// Add uniform noise of one grey level, fresh for every batch; without it densities (bits/dim) mean nothing.
        dequantise: bool = true;
        /// The logit is taken of α + (1-2α)z; 0 is the plain logit.
        logit_alpha: f64 = 1e-6, |v: &f64| (!(0.0..0.5).contains(v)).then(|| format!("must be in [0, 0.5), got {v}"));
        /// Standard deviation of Gaussian noise added after the transform, in every split: the noisy images are the data.
        noise: f64 = 0.0, rule::non_negative;
        /// One vector of D numbers an item instead of C × H × W.
        flatten: bool = false;
        /// Exchange left and right of each training image with probability 1/2, anew for every batch.
        flip: bool = false;
        /// Shift each training image by up to this many pixels each way, anew for every batch (a random crop of the
        /// image padded by its reflection); 0 leaves it where it is.
        crop_pad: usize = 0;
        /// Items held out of the training file for validation: a share below 1, a count from 1 on.
        validation: f64 = 0.1, rule::non_negative;
        /// Which items are held out; apart from the run's seed, so that all runs hold out the same.
        split_seed: u64 = 0;
        /// Use only this many training items, for quick runs; 0 uses all.
        limit: usize = 0;
        /// Keep only the items of these classes, labels as they are; none given keeps all.
        classes: Vec<u32> = Vec::new();
        /// In which proportions each of `classes` is kept, in every split: as many items as the scarcest allows. None given
        /// leaves the proportions as they are.
        class_weights: Vec<f64> = Vec::new(), |v: &Vec<f64>| v.iter().any(|w| !(*w > 0.0 && w.is_finite())).then(|| format!("must be numbers above 0, got {v:?}"));
    }
}

crate::config! {
    /// Keys of every table of numbers.
    pub struct Columns {
        /// Subtract each column's mean and divide by its standard deviation, both of the training items; a column that
        /// never changes becomes 0.
        standardise: bool = true;
        /// Drop each column whose smallest value occurs more than 5 times among the training items, as the tabular
        /// benchmarks of density estimation do: no density is defined where values repeat.
        drop_repeats: bool = false;
        /// Standard deviation of Gaussian noise added to every number, in every split.
        noise: f64 = 0.0, rule::non_negative;
        /// Items held out of the training file for validation: a share below 1, a count from 1 on.
        validation: f64 = 0.1, rule::non_negative;
        /// Which items are held out; apart from the run's seed, so that all runs hold out the same.
        split_seed: u64 = 0;
        /// Use only this many training items, for quick runs; 0 uses all.
        limit: usize = 0;
    }
}

crate::config! {
    /// Keys of every generated set of points.
    pub struct Points {
        /// Standard deviation of Gaussian noise added to every point.
        noise: f64 = 0.0, rule::non_negative;
        /// Train on a fixed pool of this many points instead of fresh draws, to study overfitting; 0 draws afresh.
        limit: usize = 0;
    }
}

/// The hash that stands for a generator: of its resolved section, and of the version of the recipes.
pub(super) fn describe(table: &toml::Table) -> String {
    super::locate::hex(format!("ebm generator 1\n{table}").as_bytes())
}
