//! The keys of `images`.

use serde::{Deserialize, Serialize};

use super::picture::{Colour, Filter, Fit, Shaping};
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

/// Which axes an array of pictures has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axes {
    /// As its shape says, if it leaves no doubt.
    #[default]
    Auto,
    /// Pictures, height, width.
    Nhw,
    /// Pictures, height, width, channels.
    Nhwc,
    /// Pictures, channels, height, width.
    Nchw,
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn two_ends(v: &Vec<f64>) -> rule::Complaint {
    let sound = match v.as_slice() {
        [] => true,
        [black, white] => black.is_finite() && white.is_finite() && black != white,
        _ => false,
    };
    (!sound).then(|| format!("must be the number for black and the one for white, got {v:?}"))
}

crate::config! {
    /// Keys of `images`.
    pub struct ImagesConfig {
        /// A folder of PNG, JPEG, WebP, BMP, GIF or TIFF files; folders `train`, `validation` and `test` at its top are
        /// the parts of the set. Or an array, in an IDX, `.npy` or `.npz` file (IDX and `.npy` may be gzipped) or in a
        /// folder of such, whose names say the part: `x_train`, `test_images`, `t10k-images-idx3-ubyte`. Or a Parquet
        /// file, or a folder of its shards (`train-00000-of-00002.parquet`).
        [may_change] path: String = String::new();
        /// Where labels come from. Empty: sub-folders are classes; of arrays the one of a dimension for the same part;
        /// of Parquet the column `label`. "none": there are none. Otherwise a table with the names of the pictures in
        /// one column and labels in another; the name of an array, or a file with one label a picture; the name of a
        /// column.
        labels: String = String::new();
        /// The column of labels in the table, if it has several.
        label_column: String = String::new();
        /// The array, or the column of a Parquet file, that holds the pictures; empty: the only one that can.
        array: String = String::new();
        /// The axes of an array: nhw (pictures, height, width), nhwc or nchw (c: channels, 1, 3 or 4); auto where the
        /// shape leaves no doubt.
        axes: Axes = Axes::Auto;
        /// The numbers of an array that are black and white, such as [-1, 1]. Empty: truth values are black and white;
        /// integers are grey levels, all from 0 to 255; fractions are from 0 to 1, or whole and from 0 to 255.
        range: Vec<f64> = Vec::new(), two_ends;
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
        /// Each picture is two, A beside B: flips and shifts keep either in its half.
        pairs: bool = false;
        /// What is behind transparent pixels and around padded pictures: 0 is black, 1 white.
        background: f64 = 0.0, |v: &f64| (!(0.0..=1.0).contains(v)).then(|| format!("must be from 0 to 1, got {v}"));
        /// A set with files that cannot be read as pictures: refuse, or skip them with a warning.
        wrong: Wrong = Wrong::Refuse;
        /// Pictures held out for testing where the set has no folder for them: a share below 1, a count from 1 on. A
        /// hash of a picture's name decides, here and for `validation`, so that pictures that are added later move no
        /// other.
        test: f64 = 0.1, rule::non_negative;
        /// Keep the decoded pictures of a folder or of Parquet files under `$EBM_CACHE` (or the system's folder for
        /// caches) for the next start; they are decoded anew when a file of the folder or a key has changed.
        [may_change] cache: bool = true;
    }
}

impl ImagesConfig {
    /// Height and width that pictures of this size, or of several, are brought to.
    pub fn size_of(&self, own: [usize; 2]) -> [usize; 2] {
        match (self.size, self.centre) {
            (0, 0) => own,
            (0, side) => [side, side],
            (height, _) => [height, if self.width == 0 { height } else { self.width }],
        }
    }

    /// How pictures come to these channels and this size.
    pub fn shaping(&self, colour: Colour, size: [usize; 2]) -> Shaping {
        Shaping {
            colour,
            size,
            centre: self.centre,
            fit: self.fit,
            filter: self.filter,
            background: (255.0 * self.background).round() as u8,
        }
    }
}
