//! The normal density with diagonal covariance, as a base to tilt and as a model with known answers.

use candle_core::{DType, Device, Tensor};

use super::{ANY_ITEMS, Capabilities, Context, Density, Energy, Form, ModelRow, Normal, OfNet, slope_of_grad};
use crate::config::{Schema, decode, rule};
use crate::data::Moments;
use crate::nets::{Builder, Init};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the model `gaussian`.
    pub struct GaussianConfig {
        /// Mean of every coordinate before training.
        mean: f64 = 0.0;
        /// Standard deviation of every coordinate before training.
        std: f64 = 1.0, rule::positive;
        /// Start from the data's mean and standard deviation instead.
        from_data: bool = false;
    }
}

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "gaussian",
    about: "N(μ, diag σ²) with learned μ and log σ; its normaliser is known",
    cite: "",
    schema: Schema::of::<GaussianConfig>(),
    init: &[],
    example: "",
    items: ANY_ITEMS,
    build: |table, context, builder| {
        let config: GaussianConfig = decode(table)?;
        if config.from_data {
            return Ok(Box::new(Gaussian::of_data(context, 0.0, builder)?));
        }
        Ok(Box::new(Gaussian::new(&context.shape, config.mean, config.std, builder)?))
    },
};

/// The normal density N(μ, diag σ²) with learned μ and σ: E(x) = ½ Σ ((x - μ)/σ)² + Σ log σ + (D/2) log 2π, so that
/// exp(-E) integrates to 1.
///
/// # Shapes
/// μ and log σ: the shape of one item, or `[1]` for one number shared by all coordinates.
pub struct Gaussian {
    mean: Tensor,
    log_std: Tensor,
    shape: Vec<usize>,
}

impl Gaussian {
    /// The density on items of the shape `shape` that starts at N(mean, std²) in every coordinate.
    ///
    /// # Errors
    /// With a bound builder, μ or log σ is missing or has another shape.
    pub fn new(shape: &[usize], mean: f64, std: f64, builder: &Builder) -> Result<Self> {
        let mean = builder.weight("mean", shape, Init::Constant(mean))?;
        let log_std = builder.weight("log_std", shape, Init::Constant(std.ln()))?;
        Ok(Gaussian { mean, log_std, shape: shape.to_vec() })
    }

    /// The density N(0, I) in `dim` dimensions, on constants.
    ///
    /// # Errors
    /// The device fails.
    pub fn standard(dim: usize, dtype: DType, device: &Device) -> Result<Self> {
        let zeros = Tensor::zeros(dim, dtype, device)?;
        let tensors = [("mean".to_owned(), zeros.clone()), ("log_std".to_owned(), zeros)].into();
        Self::new(&[dim], 0.0, 1.0, &Builder::bound(tensors, dtype, device))
    }

    /// The density that starts at the data's moments, coordinate by coordinate; `widen` is added to the standard
    /// deviation.
    ///
    /// # Errors
    /// The parameters are new, and the context has no moments.
    pub fn of_data(context: &Context, widen: f64, builder: &Builder) -> Result<Self> {
        let (mean, std) = match Self::start(context, builder)? {
            Some(m) => (m.mean, (m.std + widen)?),
            None => blank(&context.shape, builder)?,
        };
        Self::at(&mean, &std, &context.shape, builder)
    }

    /// The density with one mean and one standard deviation for all coordinates, as the released LSD code has it for
    /// images; it starts at the data's moments.
    ///
    /// # Errors
    /// As [`Gaussian::of_data`].
    pub fn of_data_scalar(context: &Context, widen: f64, builder: &Builder) -> Result<Self> {
        let (mean, std) = match Self::start(context, builder)? {
            Some(m) => {
                let scalar = |v: f64| Tensor::new(&[v], m.mean.device());
                (scalar(m.overall_mean)?, scalar(m.overall_std + widen)?)
            }
            None => blank(&[1], builder)?,
        };
        Self::at(&mean, &std, &context.shape, builder)
    }

    /// The density on tensors that others keep: μ of the items' shape, log σ of the same or `[1]`.
    pub(super) fn on(mean: &Tensor, log_std: &Tensor) -> Self {
        Gaussian { mean: mean.clone(), log_std: log_std.clone(), shape: mean.dims().to_vec() }
    }

    /// The moments that new parameters start at; `None` for parameters that exist already.
    pub(super) fn start(context: &Context, builder: &Builder) -> Result<Option<Moments>> {
        match (context.moments, builder.is_new()) {
            (_, false) => Ok(None),
            (Some(moments), true) => moments().map(Some),
            (None, true) => Err(Error::Other("a base density needs the data's moments to start at".into())),
        }
    }

    fn at(mean: &Tensor, std: &Tensor, shape: &[usize], builder: &Builder) -> Result<Self> {
        let mean = builder.weight_at("mean", mean)?;
        let log_std = builder.weight_at("log_std", &std.maximum(MIN_STD)?.log()?)?;
        Ok(Gaussian { mean, log_std, shape: shape.to_vec() })
    }

    fn dim(&self) -> usize {
        self.shape.iter().product()
    }

    /// The standardised numbers (x - μ)/σ, `[B, ..]`.
    fn standardise(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.broadcast_sub(&self.mean)?.broadcast_mul(&self.log_std.neg()?.exp()?)?)
    }

    /// The log-normaliser Σ log σ + (D/2) log 2π, a scalar.
    fn log_normaliser(&self) -> Result<Tensor> {
        let copies = self.dim() as f64 / self.log_std.elem_count() as f64;
        let log_2pi = (2.0 * std::f64::consts::PI).ln();
        Ok(self.log_std.sum_all()?.affine(copies, 0.5 * self.dim() as f64 * log_2pi)?)
    }
}

/// The smallest standard deviation at the start, for coordinates that are constant in the data.
const MIN_STD: f64 = 1e-3;

/// The number of items that are drawn at once: what a replay buffer of pictures begins with takes its own bytes, and
/// few besides.
const PIECE: usize = 1_000;

/// Placeholders for μ and log σ, whose shape is compared with bound parameters.
fn blank(shape: &[usize], builder: &Builder) -> Result<(Tensor, Tensor)> {
    let ones = Tensor::ones(shape, builder.dtype(), builder.device())?;
    Ok((ones.clone(), ones))
}

impl Energy for Gaussian {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let half = self.standardise(x)?.sqr()?.flatten_from(1)?.sum(1)?.affine(0.5, 0.0)?;
        Ok(half.broadcast_add(&self.log_normaliser()?)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let z = self.standardise(x)?;
        let half = z.sqr()?.flatten_from(1)?.sum(1)?.affine(0.5, 0.0)?;
        let grad = z.broadcast_mul(&self.log_std.neg()?.exp()?)?;
        Ok((half.broadcast_add(&self.log_normaliser()?)?, grad))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    /// The curvature along v: vᵀ diag(σ⁻²) v, which does not depend on x.
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let rate = self.log_std.neg()?.exp()?;
        let (z, w) = (self.standardise(x)?, v.broadcast_mul(&rate)?);
        let sum = |t: Tensor| -> Result<Tensor> { Ok(t.flatten_from(1)?.sum(1)?) };
        let energy = sum(z.sqr()?)?.affine(0.5, 0.0)?.broadcast_add(&self.log_normaliser()?)?;
        Ok([energy, sum((z * &w)?)?, sum(w.sqr()?)?])
    }

    /// The Laplacian ΔE = Σ σ⁻².
    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (energy, grad) = self.grad(x)?;
        let copies = self.dim() as f64 / self.log_std.elem_count() as f64;
        let trace = self.log_std.affine(-2.0, 0.0)?.exp()?.sum_all()?.affine(copies, 0.0)?;
        Ok((energy, grad, trace.broadcast_as(x.dim(0)?)?))
    }
}

impl Capabilities for Gaussian {
    fn form(&self) -> Option<Form<'_>> {
        let normal = Some(Normal { mean: &self.mean, log_std: &self.log_std });
        Some(Form { net: None, of_net: OfNet::NUMBER, normal, ladder: None })
    }

    fn has_closed_laplacian(&self) -> bool {
        true
    }

    fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.sample(key, n).map(Some)
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Gaussian {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.energy(x)?.neg()?)
    }

    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        let (mean, std) = (self.mean.detach(), self.log_std.exp()?.detach());
        let shaped = |n: usize| std::iter::once(n).chain(self.shape.iter().copied()).collect::<Vec<usize>>();
        let mut normals = key.normals();
        let mut piece = |n: usize| -> Result<Tensor> {
            let scaled = normals.draw(shaped(n), mean.dtype(), mean.device())?.broadcast_mul(&std)?;
            Ok(scaled.broadcast_add(&mean)?)
        };
        if n <= PIECE {
            return piece(n);
        }
        let x = Tensor::zeros(shaped(n), mean.dtype(), mean.device())?;
        for from in (0..n).step_by(PIECE) {
            x.slice_set(&piece(PIECE.min(n - from))?, 0, from)?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments() -> Moments {
        let tensor = |v: [f64; 2]| Tensor::new(&v, &Device::Cpu).unwrap();
        Moments { mean: tensor([1.0, -2.0]), std: tensor([0.5, 2.0]), overall_mean: -0.5, overall_std: 2.0 }
    }

    #[test]
    fn draws_in_pieces_are_the_draws_at_once() {
        let builder = Builder::new(Key::new(0), DType::F64, &Device::Cpu);
        let context = Context { shape: vec![2], classes: None, moments: Some(&|| Ok(moments())) };
        let p = Gaussian::of_data(&context, 0.0, &builder).unwrap();
        let n = 2 * PIECE + 7;
        let noise = Key::new(1).normal((n, 2), DType::F64, &Device::Cpu).unwrap().to_vec2::<f64>().unwrap();
        let x = p.sample(Key::new(1), n).unwrap().to_vec2::<f64>().unwrap();
        for (x, z) in x.iter().zip(&noise) {
            assert!((x[0] - (1.0 + 0.5 * z[0])).abs() < 1e-12 && (x[1] - (2.0 * z[1] - 2.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn energy_and_gradient_match_the_formula() {
        let builder = Builder::new(Key::new(0), DType::F64, &Device::Cpu);
        let context = Context { shape: vec![2], classes: None, moments: Some(&|| Ok(moments())) };
        let p = Gaussian::of_data(&context, 0.0, &builder).unwrap();
        let x = Tensor::new(&[[1.5f64, 0.0]], &Device::Cpu).unwrap();
        let (energy, grad) = p.grad(&x).unwrap();
        let log_2pi = (2.0 * std::f64::consts::PI).ln();
        let expected = 0.5 * (1.0 + 1.0) + (0.5f64 * 2.0).ln() + log_2pi;
        assert!((energy.to_vec1::<f64>().unwrap()[0] - expected).abs() < 1e-12);
        let grad = grad.to_vec2::<f64>().unwrap();
        assert!((grad[0][0] - 2.0).abs() < 1e-12 && (grad[0][1] - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_shared_width_counts_every_coordinate_in_the_normaliser() {
        let builder = Builder::new(Key::new(0), DType::F64, &Device::Cpu);
        let context = Context { shape: vec![2], classes: None, moments: Some(&|| Ok(moments())) };
        let p = Gaussian::of_data_scalar(&context, 1.0, &builder).unwrap();
        let at_mean = Tensor::new(&[[-0.5f64, -0.5]], &Device::Cpu).unwrap();
        let expected = 2.0 * 3f64.ln() + (2.0 * std::f64::consts::PI).ln();
        assert!((p.energy(&at_mean).unwrap().to_vec1::<f64>().unwrap()[0] - expected).abs() < 1e-12);
    }
}
