//! Skeleton of a model: independent logistic coordinates. Copy it to `src/density/<name>.rs`, write `crate::` for
//! `ebm::`, and add the row to `MODELS`; `docs/adding-a-model.md` tells the rest.

use candle_core::{DType, Device, Tensor};
use ebm::config::{Schema, decode, rule};
use ebm::density::{ANY_ITEMS, Capabilities, Density, Energy, ModelRow, laplacian_along_axes, slope_of_grad};
use ebm::nets::{Builder, Init};
use ebm::ops::{self, Activation};
use ebm::{Result, rng::Key};

ebm::config! {
    /// Keys of the model `logistic`.
    pub struct LogisticConfig {
        /// Scale of every coordinate before training.
        scale: f64 = 1.0, rule::positive;
    }
}

/// `logistic`.
pub const ENTRY: ModelRow = ModelRow {
    name: "logistic",
    about: "independent logistic coordinates with learned places and scales; its normaliser is known",
    // Authors, year and equation; empty where it is folklore.
    cite: "",
    schema: Schema::of::<LogisticConfig>(),
    // What `ebm init` writes that is not the default.
    init: &[],
    // Keys that make a large model small, and the items that it takes with them: the contract tests build it so.
    example: "",
    items: ANY_ITEMS,
    build: |table, context, builder| Ok(Box::new(Logistic::new(&decode(table)?, &context.shape, builder)?)),
};

/// E(x) = Σ z + 2 log(1 + exp(-z)) + log s with z = (x - m)/s, so that exp(-E) integrates to 1.
///
/// # Shapes
/// m and log s: that of one item.
pub struct Logistic {
    place: Tensor,
    log_scale: Tensor,
    dtype: DType,
    device: Device,
}

impl Logistic {
    /// At the origin. The builder makes new parameters or hands out those of a checkpoint; the names are the
    /// checkpoint's.
    ///
    /// # Errors
    /// Parameters of another shape.
    pub fn new(config: &LogisticConfig, item: &[usize], builder: &Builder) -> Result<Self> {
        Ok(Logistic {
            place: builder.weight("place", item, Init::Constant(0.0))?,
            log_scale: builder.weight("log_scale", item, Init::Constant(config.scale.ln()))?,
            dtype: builder.dtype(),
            device: builder.device().clone(),
        })
    }

    /// z, `[B, ..]`.
    fn standardised(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.broadcast_sub(&self.place)?.broadcast_mul(&self.log_scale.neg()?.exp()?)?)
    }

    /// tanh(z/2), the slope of E in z.
    fn slope(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.standardised(x)?.affine(0.5, 0.0)?.tanh()?)
    }
}

/// All but the first dimension added up: `[B, ..]` -> `[B]`.
fn total(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_from(1)?.sum(1)?)
}

/// Everything is made of operations that candle differentiates once more, by the parameters: `backward()` of any of
/// these values trains them. Nothing is detached.
impl Energy for Logistic {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        let z = self.standardised(x)?;
        let softplus = ops::activate(Activation::Softplus, &z.neg()?)?;
        Ok(total(&(z + (softplus * 2.0)?)?)?.broadcast_add(&self.log_scale.sum_all()?)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.energy(x)?, self.slope(x)?.broadcast_mul(&self.log_scale.neg()?.exp()?)?))
    }

    /// Any energy may answer with the whole gradient; one made of networks has a tangent pass, which is cheaper.
    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    /// ∂²E/∂x² = (1 - tanh²(z/2))/(2s²) in every coordinate, 0 between two.
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let (energy, slope) = self.directional(x, v)?;
        let v = v.broadcast_mul(&self.log_scale.neg()?.exp()?)?;
        let bend = (self.slope(x)?.sqr()?.affine(-0.5, 0.5)? * v.sqr()?)?;
        Ok([energy, slope, total(&bend)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

/// What it can do besides; each capability that is not named here is absent.
impl Capabilities for Logistic {
    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Logistic {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.energy(x)?.neg()?)
    }

    /// m + s log(u/(1 - u)), u uniform and kept off 0 and 1.
    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        let shape = [&[n], self.place.dims()].concat();
        let u = key.uniform(shape, DType::F64, &self.device)?.clamp(1e-9, 1.0 - 1e-9)?;
        let z = (u.log()? - u.affine(-1.0, 1.0)?.log()?)?.to_dtype(self.dtype)?;
        Ok(z.broadcast_mul(&self.log_scale.exp()?)?.broadcast_add(&self.place)?)
    }
}
