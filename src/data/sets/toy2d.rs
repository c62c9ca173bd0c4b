//! The two-dimensional toys of the LSD and VERA papers (after FFJORD's `toy_data`), drawn point by point.
//!
//! The originals space the angles of moons, circles and rings evenly and shuffle; here every point is independent, so
//! that a batch is a sample from the density that is plotted. The numbers (scales, noise) are theirs.

use std::f64::consts::{PI, TAU};

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::mixture::Mixture;
use crate::config::{Schema, decode, rule};
use crate::data::keys::Points;
use crate::data::row::{BuildSource, DatasetRow, Origin};
use crate::data::source::{Bounds, PointGenerator, Source};

type Rng = ChaCha8Rng;

/// A toy that is nothing but a recipe.
struct Toy {
    draw: fn(&mut Rng) -> [f64; 2],
    /// Half the side of the square that holds the data.
    reach: f64,
    /// log p where the recipe has one.
    log_density: fn([f64; 2]) -> Option<f64>,
}

impl PointGenerator for Toy {
    fn dim(&self) -> usize {
        2
    }

    fn draw(&self, rng: &mut Rng, point: &mut [f64]) {
        point.copy_from_slice(&(self.draw)(rng));
    }

    fn bounds(&self) -> Bounds {
        vec![[-self.reach, self.reach]; 2]
    }

    fn log_density(&self, point: &[f64]) -> Option<f64> {
        point.try_into().ok().and_then(self.log_density)
    }
}

const FFJORD: &str = "Grathwohl et al. 2019 (FFJORD), toy_data";

const fn row(name: &'static str, about: &'static str, build: BuildSource) -> DatasetRow {
    let (schema, origin, example) = (Schema::of::<Points>(), Origin::Generated, "");
    DatasetRow { name, about, cite: FFJORD, schema, origin, pictures: false, example, build }
}

fn toy(draw: fn(&mut Rng) -> [f64; 2], reach: f64) -> Source {
    Source::Points(Box::new(Toy { draw, reach, log_density: |_| None }))
}

/// `8gaussians`.
pub(crate) const EIGHT_GAUSSIANS: DatasetRow =
    row("8gaussians", "eight Gaussians on a circle of radius 2.83, std 0.354; density known", |_| {
        let centres = (0..8).map(|k| angle(f64::from(k) / 8.0).map(|c| 4.0 * c / 1.414).to_vec()).collect();
        Ok(Source::Points(Box::new(Mixture::equal(centres, 0.5 / 1.414))))
    });

/// `2spirals`.
pub(crate) const TWO_SPIRALS: DatasetRow =
    row("2spirals", "two interlocked spirals, one and a half turns", |_| Ok(toy(two_spirals, 5.0)));

/// `moons`.
pub(crate) const MOONS: DatasetRow =
    row("moons", "two half circles that reach into each other", |_| Ok(toy(moons, 4.5)));

/// `rings`.
pub(crate) const RINGS: DatasetRow = row("rings", "four concentric rings", |_| Ok(toy(rings, 4.0)));

/// `circles`.
pub(crate) const CIRCLES: DatasetRow = row("circles", "two concentric circles", |_| Ok(toy(circles, 4.5)));

/// `checkerboard`.
pub(crate) const CHECKERBOARD: DatasetRow =
    row("checkerboard", "the eight dark squares of a 4×4 board on [-4, 4]²; density known", |_| {
        Ok(Source::Points(Box::new(Toy { draw: checkerboard, reach: 4.5, log_density: checkerboard_density })))
    });

/// `pinwheel`.
pub(crate) const PINWHEEL: DatasetRow = row("pinwheel", "five bent arms", |_| Ok(toy(pinwheel, 5.0)));

/// `swissroll`.
pub(crate) const SWISS_ROLL: DatasetRow =
    row("swissroll", "a spiral, one and a half turns", |_| Ok(toy(swiss_roll, 4.0)));

crate::config! {
    /// Keys of `25gaussians`.
    pub struct Grid25 {
        /// Distance between neighbouring means.
        spacing: f64 = 1.5, rule::positive;
        /// Standard deviation of each Gaussian.
        std: f64 = 0.15, rule::positive;
    }
}

/// `25gaussians`.
pub(crate) const TWENTY_FIVE_GAUSSIANS: DatasetRow = DatasetRow {
    name: "25gaussians",
    about: "a 5×5 grid of Gaussians, for counting modes; density known",
    cite: "Dumoulin et al. 2017 (ALI); Gulrajani et al. 2017 use spacing 0.7072, std 0.0177",
    schema: Schema::of::<(Grid25, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "",
    build: |table| {
        let Grid25 { spacing, std } = decode(table)?;
        let centres = (0..25).map(|k| [k / 5, k % 5].map(|i| (f64::from(i) - 2.0) * spacing).to_vec()).collect();
        Ok(Source::Points(Box::new(Mixture::equal(centres, std))))
    },
};

crate::config! {
    /// Keys of `cos`.
    pub struct Curve {
        /// Standard deviation across the curve; the original has 0, and so no density and no bound on the likelihood.
        thickness: f64 = 0.1, rule::non_negative;
    }
}

/// `cos`.
pub(crate) const COS: DatasetRow = DatasetRow {
    name: "cos",
    about: "one period of a wave, blurred",
    cite: FFJORD,
    schema: Schema::of::<(Curve, Points)>(),
    origin: Origin::Generated,
    pictures: false,
    example: "",
    build: |table| Ok(Source::Points(Box::new(Wave(decode::<Curve>(table)?.thickness)))),
};

/// (x, 2.5 sin x) + thickness·N(0, I), x uniform on [-2.5, 2.5].
struct Wave(f64);

impl PointGenerator for Wave {
    fn dim(&self) -> usize {
        2
    }

    fn draw(&self, rng: &mut Rng, point: &mut [f64]) {
        let x = rng.random_range(-2.5..2.5);
        point.copy_from_slice(&blur(rng, [x, 2.5 * x.sin()], self.0));
    }

    fn bounds(&self) -> Bounds {
        vec![[-2.5 - 6.0 * self.0 - 0.5, 2.5 + 6.0 * self.0 + 0.5]; 2]
    }
}

/// The point of the unit circle at `turn` of a full turn.
fn angle(turn: f64) -> [f64; 2] {
    [(TAU * turn).cos(), (TAU * turn).sin()]
}

fn blur(rng: &mut Rng, point: [f64; 2], std: f64) -> [f64; 2] {
    point.map(|c| c + std * rng.sample::<f64, _>(StandardNormal))
}

/// r = 3π√U; ±(-r cos r + U', r sin r + U'')/3 with U', U'' on [0, ½]; noise 0.1.
fn two_spirals(rng: &mut Rng) -> [f64; 2] {
    let r = 3.0 * PI * rng.random::<f64>().sqrt();
    let arm = [-r * r.cos() + 0.5 * rng.random::<f64>(), r * r.sin() + 0.5 * rng.random::<f64>()];
    let sign = if rng.random() { 1.0 } else { -1.0 };
    blur(rng, arm.map(|c| sign * c / 3.0), 0.1)
}

/// Half circles (cos t, sin t) and (1 - cos t, ½ - sin t), noise 0.1, then ×2 and moved by (-1, -0.2).
fn moons(rng: &mut Rng) -> [f64; 2] {
    let t = PI * rng.random::<f64>();
    let arc = if rng.random() { [t.cos(), t.sin()] } else { [1.0 - t.cos(), 0.5 - t.sin()] };
    let [x, y] = blur(rng, arc, 0.1);
    [2.0 * x - 1.0, 2.0 * y - 0.2]
}

/// Radii 3, 2.25, 1.5, 0.75 with equal weight; noise 0.08.
fn rings(rng: &mut Rng) -> [f64; 2] {
    let radius = 0.75 * f64::from(rng.random_range(1..=4u32));
    let on = angle(rng.random()).map(|c| radius * c);
    blur(rng, on, 0.08)
}

/// Radii 1 and ½, noise 0.08, then ×3.
fn circles(rng: &mut Rng) -> [f64; 2] {
    let radius = if rng.random() { 1.0 } else { 0.5 };
    let on = angle(rng.random()).map(|c| radius * c);
    blur(rng, on, 0.08).map(|c| 3.0 * c)
}

/// x uniform on [-2, 2], y = U - 2·Bernoulli(½) + (⌊x⌋ mod 2), then ×2.
fn checkerboard(rng: &mut Rng) -> [f64; 2] {
    let x = rng.random_range(-2.0..2.0f64);
    let below = if rng.random() { 2.0 } else { 0.0 };
    let y = rng.random::<f64>() - below + x.floor().rem_euclid(2.0);
    [2.0 * x, 2.0 * y]
}

/// 1/32 on the dark squares, which have side 2 and where ⌊x/2⌋ + ⌊y/2⌋ is even.
fn checkerboard_density([x, y]: [f64; 2]) -> Option<f64> {
    let inside = x.abs() <= 4.0 && y.abs() <= 4.0;
    let dark = ((x / 2.0).floor() + (y / 2.0).floor()).rem_euclid(2.0) == 0.0;
    Some(if inside && dark { -(32f64.ln()) } else { f64::NEG_INFINITY })
}

/// Arm k of 5: (1 + 0.3 N, 0.1 N) turned by 2πk/5 + ¼ e^{first coordinate}, then ×2.
///
/// The original returns 5⌊B/5⌋ points for a batch of B; here B.
fn pinwheel(rng: &mut Rng) -> [f64; 2] {
    let radial = 1.0 + 0.3 * rng.sample::<f64, _>(StandardNormal);
    let tangential = 0.1 * rng.sample::<f64, _>(StandardNormal);
    let (sin, cos) = (TAU * f64::from(rng.random_range(0..5u32)) / 5.0 + 0.25 * radial.exp()).sin_cos();
    [2.0 * (radial * cos + tangential * sin), 2.0 * (tangential * cos - radial * sin)]
}

/// t = 1.5π(1 + 2U): (t cos t, t sin t), noise 1, then /5.
fn swiss_roll(rng: &mut Rng) -> [f64; 2] {
    let t = 1.5 * PI * (1.0 + 2.0 * rng.random::<f64>());
    blur(rng, [t * t.cos(), t * t.sin()], 1.0).map(|c| c / 5.0)
}
