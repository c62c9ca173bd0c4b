//! A density in the plane with the shape of a grey image: dark paper, bright ink.

use std::path::Path;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::data::keys::Points;
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Bounds, PointGenerator, Source};
use crate::store::checkpoint::sha256;
use crate::{
    Error, Result,
    config::{Schema, decode},
};

crate::config! {
    /// Keys of `image2d`.
    pub struct Image2d {
        /// A PNG file; colours are turned to grey. Empty: the built-in drawing.
        [may_change] path: String = String::new();
        /// Dark is likely instead of bright.
        invert: bool = false;
    }
}

/// `image2d`.
pub(crate) const IMAGE2D: DatasetRow = DatasetRow {
    name: "image2d",
    about: "points shaped by a grey image (your PNG or a built-in face); density known",
    cite: "",
    schema: Schema::of::<(Image2d, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "",
    build: |table| {
        let Image2d { path, invert } = decode(table)?;
        let drawn = path.is_empty();
        let picture = if drawn { face() } else { read(Path::new(&path))? };
        let content = (!drawn).then(|| sha256(format!("{} {:?}", picture.width, picture.grey).as_bytes()));
        let grey = |g: &f64| if invert { 1.0 - g } else { *g };
        let weights = picture.grey.iter().map(grey).collect();
        let name = if drawn { "the built-in drawing" } else { &path };
        Ok(Source::Points(Box::new(Raster { content, ..Raster::new(weights, picture.width, Path::new(name))? })))
    },
};

/// Half the longer side of the picture in the plane.
const REACH: f64 = 4.0;

struct Picture {
    /// Row after row from the top, in [0, 1].
    grey: Vec<f64>,
    width: usize,
}

fn read(path: &Path) -> Result<Picture> {
    let unreadable = |e: image::ImageError| {
        Error::data(path, format!("cannot be read as an image: {e}"), "give a PNG file in `dataset.path`")
    };
    let reader = image::ImageReader::open(path).map_err(Error::io(path))?;
    let luma = reader.with_guessed_format().map_err(Error::io(path))?.decode().map_err(unreadable)?.to_luma16();
    let width = luma.width() as usize;
    Ok(Picture { grey: luma.into_raw().into_iter().map(|v| f64::from(v) / 65535.0).collect(), width })
}

/// A face of 128×128: a ring, two eyes, a mouth.
fn face() -> Picture {
    let side = 128;
    let grey = (0..side * side).map(|i| {
        let x = ((i % side) as f64 + 0.5) / side as f64 * 2.0 - 1.0;
        let y = 1.0 - ((i / side) as f64 + 0.5) / side as f64 * 2.0;
        let ring = (x.hypot(y) - 0.85).abs() < 0.07;
        let eye = (x.abs() - 0.32).hypot(y - 0.28) < 0.13;
        let mouth = ((x).hypot(y - 0.05) - 0.5).abs() < 0.06 && y < -0.15;
        if ring || eye || mouth { 1.0 } else { 0.0 }
    });
    Picture { grey: grey.collect(), width: side }
}

/// Piecewise constant density: a pixel by its weight, then a point uniform inside it.
struct Raster {
    /// Running sums of the weights, ending in 1.
    cumulative: Vec<f64>,
    width: usize,
    /// Side of a pixel in the plane.
    pixel: f64,
    /// Half width and half height in the plane.
    half: [f64; 2],
    /// Of the file, where it is one.
    content: Option<String>,
}

impl Raster {
    fn new(weights: Vec<f64>, width: usize, path: &Path) -> Result<Self> {
        let total: f64 = weights.iter().sum();
        if total <= 0.0 || width == 0 {
            return Err(Error::data(path, "has no bright pixel", "use another image, or set `dataset.invert = true`"));
        }
        let height = weights.len() / width;
        let pixel = 2.0 * REACH / width.max(height) as f64;
        let half = [width as f64 * pixel / 2.0, height as f64 * pixel / 2.0];
        let mut sum = 0.0;
        let running = |w: f64| {
            sum += w;
            sum / total
        };
        Ok(Raster { cumulative: weights.into_iter().map(running).collect(), width, pixel, half, content: None })
    }

    /// The probability of one pixel.
    fn mass(&self, i: usize) -> f64 {
        let before = i.checked_sub(1).and_then(|j| self.cumulative.get(j)).copied().unwrap_or(0.0);
        self.cumulative.get(i).map_or(0.0, |c| c - before)
    }
}

impl PointGenerator for Raster {
    fn dim(&self) -> usize {
        2
    }

    fn draw(&self, rng: &mut ChaCha8Rng, point: &mut [f64]) {
        let u = rng.random::<f64>();
        let i = self.cumulative.partition_point(|&c| c <= u);
        let (column, row) = (i % self.width, i / self.width);
        let at = [(column as f64 + rng.random::<f64>()), (row as f64 + rng.random::<f64>())];
        point.copy_from_slice(&[at[0] * self.pixel - self.half[0], self.half[1] - at[1] * self.pixel]);
    }

    fn content(&self) -> Option<&str> {
        self.content.as_deref()
    }

    fn bounds(&self) -> Bounds {
        vec![[-REACH - 0.5, REACH + 0.5]; 2]
    }

    fn log_density(&self, point: &[f64]) -> Option<f64> {
        let &[x, y] = point else { return None };
        let column = ((x + self.half[0]) / self.pixel).floor();
        let row = ((self.half[1] - y) / self.pixel).floor();
        let inside = column >= 0.0 && column < self.width as f64 && row >= 0.0;
        let mass = if inside { self.mass(row as usize * self.width + column as usize) } else { 0.0 };
        Some(mass.ln() - 2.0 * self.pixel.ln())
    }
}
