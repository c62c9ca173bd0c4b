//! The term of the gradient of contrastive divergence that it leaves out: its chains change as the energy does.

use candle_core::{D, Tensor};

use crate::config::rule;
use crate::density::Energy;
use crate::metrics::{Number, Unit};
use crate::samplers::Sampler;
use crate::{Error, Result};

crate::config! {
    /// Keys of the term that contrastive divergence leaves out.
    pub struct KlConfig {
        /// Weight of mean E(x⁻(θ)), E held, through the last step of the chains (improved contrastive divergence: 1);
        /// unadjusted kernels only. Alone it draws chains together: `kl_entropy` is the other half of the divergence.
        kl: f64 = 0.0, rule::non_negative;
        /// With `kl`: weight of -mean log |x⁻ - its nearest fellow|, through the same step (improved contrastive
        /// divergence: 0.3; the entropy's estimate has the number of coordinates).
        kl_entropy: f64 = 0.0, rule::non_negative;
    }
}

/// The term's number.
pub(in crate::methods) const KL: Number =
    Number::new("kl", Unit::Plain, "the term whose gradient is that of KL(chains, model) through the last step")
        .when("kl > 0");

/// The divergence of the chains' ends x⁻ from the model through their last step x⁻ = x - d∇E(x) + noise: the gradient
/// of E(x⁻) - entropy in the weights, with E held, is that of -d v·∇E(x) with v = ∇E(x⁻) and the entropy's slope held
/// (Du, Li, Tenenbaum & Mordatch 2021).
pub(in crate::methods) struct ChainKl {
    kl: f64,
    entropy: f64,
    /// d.
    drift: f64,
}

impl ChainKl {
    /// The term, if it has a weight.
    ///
    /// # Errors
    /// The kernel is no unadjusted one without bounds.
    pub fn new(config: &KlConfig, sampler: &Sampler) -> Result<Option<Self>> {
        let &KlConfig { kl, kl_entropy: entropy } = config;
        if kl == 0.0 {
            if entropy > 0.0 {
                let what = "`kl_entropy` is half of a term that `kl` switches on";
                return Err(Error::config(what).at("kl_entropy").hint("--set method.kl=1"));
            }
            return Ok(None);
        }
        let Some(drift) = sampler.kernel.drift().filter(|_| sampler.config.steps > 0) else {
            let what = "the chains of `kl` need a step that follows the gradient and is neither rejected nor cut";
            return Err(Error::config(what)
                .at("kl")
                .hint("a sampler langevin or sgld, without clip_grad and clamp (--set method.sampler.clip_grad=0)"));
        };
        Ok(Some(ChainKl { kl, entropy, drift: drift.drift }))
    }

    /// v, the slope of the divergence at the ends x⁻ of the chains, as x⁻, without a graph.
    ///
    /// # Errors
    /// The energy fails.
    pub fn slope(&self, still: &dyn Energy, ends: &Tensor) -> Result<Tensor> {
        let slope = (still.grad(ends)?.1.detach() * self.kl)?;
        if self.entropy == 0.0 || ends.dim(0)? < 2 {
            return Ok(slope);
        }
        let away = away_from_nearest(&ends.flatten_from(1)?)?.reshape(ends.shape())?;
        Ok((slope - (away * self.entropy)?)?)
    }

    /// The term -d mean v·∇E(x), a scalar, at the places x one step before the ends.
    ///
    /// # Errors
    /// The energy fails.
    pub fn loss(&self, live: &dyn Energy, before: &Tensor, slope: &Tensor) -> Result<Tensor> {
        Ok(live.directional(before, slope)?.1.mean_all()?.affine(-self.drift, 0.0)?)
    }
}

/// The slope (x - n)/|x - n|² of log |x - n| for each row x of `[N, D]`, n the nearest of the others.
fn away_from_nearest(x: &Tensor) -> Result<Tensor> {
    let square = x.unsqueeze(1)?.broadcast_sub(&x.unsqueeze(0)?)?.sqr()?.sum(2)?;
    let own = (Tensor::eye(x.dim(0)?, x.dtype(), x.device())? * 1e30)?;
    let nearest = (square + own)?.argmin(D::Minus1)?;
    let apart = (x - x.index_select(&nearest, 0)?)?;
    // Two chains at one place have no direction apart.
    let distance = apart.sqr()?.sum_keepdim(1)?.maximum(1e-12)?;
    Ok(apart.broadcast_div(&distance)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::density::slope_of_grad;
    use crate::rng::Key;

    /// E = a x²/2, a trained.
    struct Parabola(Tensor);

    impl Energy for Parabola {
        fn energy(&self, x: &Tensor) -> Result<Tensor> {
            Ok((x.sqr()?.sum(1)?.broadcast_mul(&self.0)? * 0.5)?)
        }

        fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
            Ok((self.energy(x)?, x.broadcast_mul(&self.0)?))
        }

        fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
            slope_of_grad(self, x, v)
        }

        fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
            Err(Error::Other("not asked for".into()))
        }

        fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
            Err(Error::Other("not asked for".into()))
        }
    }

    /// One step from data N(0, v) on E = a x²/2: x⁻ has variance V = (1 - da)² v + 2d. Contrastive divergence has the
    /// slope ½(v - V) in a, which at a = 1/v is -d²/2v and not 0. The energy's half of the term is -da(1 - da)v, and
    /// that of the entropy ½ log V is d(1 - da)v/V: together they turn it into the slope of the whole divergence.
    #[test]
    fn the_bias_of_one_step_on_a_normal_density_is_the_closed_form() {
        let (v, d, n) = (1.5f64, 0.2f64, 400_000);
        let normal = |name: &str| Key::new(1).with(name).normal((n, 1), DType::F64, &Device::Cpu).unwrap();
        let before = (normal("x") * v.sqrt()).unwrap();
        let a = Var::new(1.0 / v, &Device::Cpu).unwrap();
        let (energy, held) = (Parabola(a.as_tensor().clone()), Parabola(a.as_tensor().detach()));
        let drifted = (&before - (held.grad(&before).unwrap().1 * d).unwrap()).unwrap();
        let ends = (drifted + (normal("noise") * (2.0 * d).sqrt()).unwrap()).unwrap();
        let slope_in_a = |loss: &Tensor| loss.backward().unwrap().get(&a).unwrap().to_scalar::<f64>().unwrap();
        let gap = (energy.energy(&before).unwrap() - energy.energy(&ends).unwrap()).unwrap().mean_all().unwrap();
        assert!((slope_in_a(&gap) + d * d / (2.0 * v)).abs() < 0.01, "{}", slope_in_a(&gap));
        let term = ChainKl { kl: 1.0, entropy: 0.0, drift: d };
        let slope = term.slope(&held, &ends).unwrap();
        let found = slope_in_a(&term.loss(&energy, &before, &slope).unwrap());
        let shrink = 1.0 - d / v;
        assert!((found + d / v * shrink * v).abs() < 0.01, "{found}");
        // The entropy's slope, exact here: x⁻/V.
        let wide = shrink * shrink * v + 2.0 * d;
        let entropy = slope_in_a(&term.loss(&energy, &before, &(ends / -wide).unwrap()).unwrap());
        assert!((entropy - d * shrink * v / wide).abs() < 0.01, "{entropy}");
    }

    #[test]
    fn every_row_is_pushed_from_its_nearest_fellow() {
        let x = Tensor::new(&[[0.0f64, 0.0], [0.0, 2.0], [5.0, 2.0]], &Device::Cpu).unwrap();
        let have = away_from_nearest(&x).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(have, [[0.0, -0.5], [0.0, 0.5], [0.2, 0.0]]);
    }
}
