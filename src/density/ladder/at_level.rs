//! The energy of a ladder at one noise level an item, with its derivatives in x and in the level.

use candle_core::Tensor;

use super::{Ladder, LevelWeight, Told};
use crate::density::{Energy, laplacian_along_axes, laplacian_axis_by_axis};
use crate::nets::{Jet, LEVEL_FEATURES, Pass, level_features, level_slopes};
use crate::{Result, ops};

/// The items `x` `[B, ..]` times one number each, `[B]`.
///
/// # Errors
/// There are other numbers of items and of factors.
pub fn by_row(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; x.rank()];
    shape.iter_mut().zip(factors.dims()).for_each(|(d, &batch)| *d = batch);
    Ok(x.broadcast_mul(&factors.reshape(shape)?)?)
}

/// What of the energy is evaluated.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Part {
    Whole,
    /// The network's part.
    Tilt,
}

/// The energy at one level an item, σ `[B]`, or at level 0.
pub(super) struct AtLevel {
    pub ladder: Ladder,
    pub sigma: Option<Tensor>,
    pub part: Part,
}

/// The coordinates of a batch at its levels.
struct Place {
    /// y = (x - m)/s_σ, `[B, ..]`.
    y: Tensor,
    /// 1/s_σ, `[B]`.
    rate: Tensor,
    /// w_σ, the weight of the network, `[B]`.
    weight: Tensor,
    /// What the network reads, `[B, ..]`.
    input: Tensor,
    /// σ, `[B]`.
    sigma: Tensor,
    /// ln σ, `[B]`.
    level: Tensor,
}

impl AtLevel {
    /// What the network reads of the items x.
    pub fn input(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.place(x)?.input)
    }

    /// The energy, its gradient and its slope ∂E/∂ln σ with x held, all differentiable in the parameters.
    ///
    /// With r = σ²/s_σ², y falls by r y and the network's weight by r times itself (or by itself, where it is s/σ) as
    /// ln σ grows, so that one tangent pass gives the network's part, and the normal density adds r (D - |y|²).
    pub fn with_slope(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        let place = self.place(x)?;
        let (energy, grad) = self.grad_at(&place)?;
        let share = (&place.sigma * &place.rate)?.sqr()?;
        let fall = by_row(&place.y, &share.neg()?)?;
        let along = self.told(&fall, || level_slopes(&place.level))?;
        let [value, slope] = self.ladder.net.jvp(&Jet::new(&place.input, &along)?, self.pass(&place).along_level())?;
        let fall = match self.ladder.weight {
            LevelWeight::Bounded => (value * &share)?,
            LevelWeight::Growing => value,
        };
        let tilt = ((slope - fall)? * &place.weight)?;
        let slope = self.whole(tilt, || {
            let dim = self.ladder.mean.elem_count() as f64;
            Ok((ops::dot(&place.y, &place.y)?.affine(-1.0, dim)? * &share)?)
        })?;
        Ok([energy, grad, slope])
    }

    /// The energy, and what stands for its gradient where the network's output does, [`NetPotential::field`]; `None`
    /// where it cannot.
    ///
    /// [`NetPotential::field`]: crate::density::NetPotential::field
    pub fn field(&self, x: &Tensor) -> Result<Option<[Tensor; 2]>> {
        let place = self.place(x)?;
        let Some((h, tilt)) = self.ladder.net.field(&place.input, &place.weight, self.pass(&place))? else {
            return Ok(None);
        };
        let field = self.whole(tilt, || Ok(place.y.clone()))?;
        Ok(Some([self.of(&place, &h)?, by_row(&field, &place.rate)?]))
    }

    /// The energy and its gradient at a place.
    fn grad_at(&self, place: &Place) -> Result<(Tensor, Tensor)> {
        let (h, tilt) = self.ladder.net.grad(&place.input, Some(&place.weight), self.pass(place))?;
        let grad = self.whole(tilt, || Ok(place.y.clone()))?;
        Ok((self.of(place, &h)?, by_row(&grad, &place.rate)?))
    }

    fn place(&self, x: &Tensor) -> Result<Place> {
        let Ladder { mean, log_std, sigma_min, .. } = &self.ladder;
        let sigma = match &self.sigma {
            Some(sigma) => sigma.clone(),
            None => Tensor::full(*sigma_min, x.dim(0)?, x.device())?.to_dtype(x.dtype())?,
        };
        let variance = log_std.affine(2.0, 0.0)?.exp()?;
        let width = (sigma.sqr()?.broadcast_add(&variance)? - sigma_min * sigma_min)?;
        let rate = width.sqrt()?.recip()?;
        let y = by_row(&x.broadcast_sub(mean)?, &rate)?;
        let weight = match self.ladder.weight {
            LevelWeight::Bounded => rate.clone(),
            LevelWeight::Growing => sigma.recip()?,
        };
        let weight = weight.broadcast_mul(&log_std.exp()?)?.affine(self.ladder.gain, 0.0)?;
        let level = sigma.log()?;
        let input = self.told(&y, || level_features(&level))?;
        Ok(Place { y, rate, weight, input, sigma, level })
    }

    /// What the network reads where its items are y `[B, ..]`, with `numbers` `[B, 9]` in the channels of the level.
    fn told(&self, y: &Tensor, numbers: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        if self.ladder.told == Told::Channels { beside(y, &numbers()?) } else { Ok(y.clone()) }
    }

    /// The directions of the network's input that belong to the directions v of x.
    fn along(&self, place: &Place, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let v = by_row(v, &place.rate)?;
        let wide = self.told(&v, || Ok(Tensor::zeros((v.dim(0)?, LEVEL_FEATURES), v.dtype(), v.device())?))?;
        Ok((v, wide))
    }

    fn pass<'a>(&self, place: &'a Place) -> Pass<'a> {
        self.ladder.pass.at(&place.level)
    }

    /// The energy of the network's value h, `[B]`.
    fn of(&self, place: &Place, h: &Tensor) -> Result<Tensor> {
        let tilt = (h * &place.weight)?;
        if self.part == Part::Tilt {
            return Ok(tilt);
        }
        let dim = self.ladder.mean.elem_count() as f64;
        let log_norm = place.rate.log()?.affine(-dim, 0.5 * dim * (2.0 * std::f64::consts::PI).ln())?;
        Ok(((tilt + ops::dot(&place.y, &place.y)?.affine(0.5, 0.0)?)? + log_norm)?)
    }

    fn whole(&self, tilt: Tensor, base: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        if self.part == Part::Tilt { Ok(tilt) } else { Ok((tilt + base()?)?) }
    }
}

/// Items `[B, C, ..]` with the numbers `[B, F]` as further channels, `[B, C + F, ..]`.
///
/// # Errors
/// There are numbers for other items.
pub fn beside(y: &Tensor, numbers: &Tensor) -> Result<Tensor> {
    let (batch, count) = numbers.dims2()?;
    let rest = y.dims().get(2..).unwrap_or_default();
    let narrow = [&[batch, count], vec![1; rest.len()].as_slice()].concat();
    let planes = numbers.reshape(narrow)?.broadcast_as([&[batch, count], rest].concat())?;
    Ok(Tensor::cat(&[y, &planes], 1)?)
}

impl Energy for AtLevel {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let place = self.place(x)?;
        self.of(&place, &self.ladder.net.value(&place.input, self.pass(&place))?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.grad_at(&self.place(x)?)
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let place = self.place(x)?;
        let (v, wide) = self.along(&place, v)?;
        let [value, slope] = self.ladder.net.jvp(&Jet::new(&place.input, &wide)?, self.pass(&place))?;
        let slope = self.whole((slope * &place.weight)?, || ops::dot(&place.y, &v))?;
        Ok((self.of(&place, &value)?, slope))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let place = self.place(x)?;
        let (v, wide) = self.along(&place, v)?;
        let [h, first, second] = self.ladder.net.curve(&place.input, &wide, self.pass(&place))?;
        let slope = self.whole((first * &place.weight)?, || ops::dot(&place.y, &v))?;
        let bend = self.whole((second * &place.weight)?, || ops::dot(&v, &v))?;
        Ok([self.of(&place, &h)?, slope, bend])
    }

    /// The Laplacian, by one axis a pass where levels belong to the rows.
    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        if self.sigma.is_some() { laplacian_axis_by_axis(self, x) } else { laplacian_along_axes(self, x) }
    }
}
