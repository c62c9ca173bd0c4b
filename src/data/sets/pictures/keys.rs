//! The keys of `images`.

use serde::{Deserialize, Serialize};

use super::picture::{Colour, Filter, Fit};
use crate::config::rule;

/// Which channels the pictures of a set have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// One if every picture is stored in grey, else three.
    #[default]
    Auto,
    /// One, the luminance.
    Grey,
    /// Red, green and blue.
    Rgb,
}

impl Channels {
    /// The channels of pictures of which some are stored in colour, or none.
    pub fn of(self, coloured: bool) -> Colour {
        match self {
            Channels::Grey => Colour::Grey,
            Channels::Auto if !coloured => Colour::Grey,
            Channels::Auto | Channels::Rgb => Colour::Rgb,
        }
    }
}

/// What happens to a set with pictures that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// It is refused, and all of them are counted.
    #[default]
    Refuse,
    /// They are left out, with a warning.
    Skip,
}

crate::config! {
    /// Keys of `images`.
    pub struct ImagesConfig {
        /// The folder of the pictures: PNG, JPEG, WebP, BMP, GIF or TIFF files. Folders `train`, `validation` and
        /// `test` at its top are the parts of the set.
        [may_change] path: String = String::new();
        /// Where labels come from. Empty: sub-folders are classes. Otherwise a table with the names of the pictures in
        /// one column and labels in another, or "none".
        labels: String = String::new();
        /// The column of labels in the table, if it has several.
        label_column: String = String::new();
        /// Height of the pictures as the model sees them; 0 leaves all as they are, of one size.
        size: usize = 0, |v: &usize| (*v > 4096).then(|| format!("must be at most 4096, got {v}"));
        /// Width of the pictures as the model sees them; 0 is the height.
        width: usize = 0, |v: &usize| (*v > 4096).then(|| format!("must be at most 4096, got {v}"));
        /// How pictures of another size come to this one: crop (scaled to cover it, cut around the centre), pad
        /// (scaled to lie within it, the background around) or resize (stretched).
        fit: Fit = Fit::Crop;
        /// How pixels between pixels are computed: nearest, triangle, catmull_rom, gaussian or lanczos3.
        filter: Filter = Filter::Triangle;
        /// Side of the square around the centre that is kept of each picture before it is scaled; 0 keeps all.
        centre: usize = 0;
        /// auto (grey if every picture is), grey (the luminance of ITU-R BT.709) or rgb. 16 bits become 8.
        channels: Channels = Channels::Auto;
        /// What is behind transparent pixels and around padded pictures: 0 is black, 1 white.
        background: f64 = 0.0, |v: &f64| (!(0.0..=1.0).contains(v)).then(|| format!("must be from 0 to 1, got {v}"));
        /// A set with files that cannot be read as pictures: refuse, or skip them with a warning.
        wrong: Wrong = Wrong::Refuse;
        /// Pictures held out for testing where the set has no folder for them: a share below 1, a count from 1 on. A
        /// hash of a picture's name decides, here and for `validation`, so that pictures that are added later move no
        /// other.
        test: f64 = 0.1, rule::non_negative;
        /// Keep the decoded pictures of a folder under `$EBM_CACHE` (or the system's folder for caches) for the next
        /// start; they are decoded anew when a file of the folder or a key has changed.
        [may_change] cache: bool = true;
    }
}
