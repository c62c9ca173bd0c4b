//! Keys that all data sets of a kind share.

use super::pipeline::transform::Transform;
use crate::config::rule;

crate::config! {
    /// Keys of every set of files.
    pub struct Files {
        /// The folder that holds the files; empty: `$EBM_DATA/<name>`, then `datasets/<name>`.
        [may_change] path: String = String::new();
    }
}

crate::config! {
    /// Keys of every set of images.
    pub struct Pixels {
        /// What the model sees of a pixel z in [0, 1]: "none" (the raw value), "unit" (z), "scaled" (2z - 1) or "logit"
        /// (log z/(1-z)).
        transform: Transform = Transform::Scaled;
        /// Add uniform noise of one grey level, fresh for every batch; without it densities (bits/dim) mean nothing.
        dequantise: bool = true;
        /// The logit is taken of α + (1-2α)z; 0 is the plain logit.
        logit_alpha: f64 = 1e-6, |v: &f64| (!(0.0..0.5).contains(v)).then(|| format!("must be in [0, 0.5), got {v}"));
        /// Standard deviation of Gaussian noise added after the transform, in every split: the noisy images are the
        /// data.
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
        /// In which proportions each of `classes` is kept, in every split: as many items as the scarcest allows. None
        /// given leaves the proportions as they are.
        class_weights: Vec<f64> = Vec::new(), positive_weights;
    }
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn positive_weights(v: &Vec<f64>) -> rule::Complaint {
    (!v.iter().all(|w| *w > 0.0 && w.is_finite())).then(|| format!("must be numbers above 0, got {v:?}"))
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
