//! Weights whose scale is kept apart: spectral normalisation (Miyato et al. 2018), which sets the largest singular
//! value to 1, and weight normalisation (Salimans & Kingma 2016), which learns the length of each row by itself.

use candle_core::{DType, Tensor};

use super::{Builder, Gradients, Init};
use crate::ops::{Kept, LayerWeights};
use crate::{Error, Result};

/// The power iterations done when a weight is made, so that σ is a good estimate before the first step.
const WARM_UP: usize = 15;

/// The scaling of a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// No scaling: the weight is applied as it is.
    #[default]
    Free,
    /// Spectral norm, W/σ(W) with σ(W) the largest singular value (Miyato et al. 2018).
    Spectral,
    /// Weight norm, exp(s_o) v_o/‖v_o‖ for each output o, with s and v learned (Salimans & Kingma 2016).
    Norm,
}

impl Scaling {
    /// The scaling that two keys of a network ask for, of which at most one may be true.
    ///
    /// # Errors
    /// Both are true.
    pub fn of(spectral_norm: bool, weight_norm: bool) -> Result<Self> {
        match (spectral_norm, weight_norm) {
            (true, true) => Err(Error::config("a weight has `spectral_norm` or `weight_norm`, not both")
                .at("spectral_norm")
                .hint("set one of them to false")),
            (true, false) => Ok(Scaling::Spectral),
            (false, true) => Ok(Scaling::Norm),
            (false, false) => Ok(Scaling::Free),
        }
    }

    /// The key that asks for the scaling, if one has to.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Scaling::Free => None,
            Scaling::Spectral => Some("spectral_norm"),
            Scaling::Norm => Some("weight_norm"),
        }
    }
}

/// The name of s of the weight norm, below the layer's path.
const LOG_SCALE: &str = "log_scale";

/// The standard deviation that a layer's outputs are given under weight norm before training (Xiao et al. 2021,
/// appendix: 1/5).
const CALIBRATED_STD: f64 = 0.2;

/// The weight of a linear map or a convolution.
#[derive(Clone)]
pub struct Weight {
    raw: Tensor,
    scale: Scale,
    /// What a frozen network makes of the weight once between two updates.
    kept: Kept,
}

#[derive(Clone)]
enum Scale {
    Free,
    Spectral(Singular),
    /// Weight norm, with s `[O]`.
    Norm(Tensor),
}

/// Estimates of the leading singular vectors of the weight as a matrix `[O, I·K·K]`: u `[O]` and v `[I·K·K]`.
#[derive(Clone)]
struct Singular {
    u: Tensor,
    v: Tensor,
}

impl Weight {
    /// A weight called `weight` of shape `shape`, whose first dimension is the outputs. Spectral norm adds the buffers
    /// `u` and `v`; weight norm adds the weight `log_scale`, which starts where it changes nothing.
    ///
    /// # Errors
    /// As [`Builder::weight`].
    pub fn new(builder: &Builder, shape: &[usize], init: Init, scaling: Scaling) -> Result<Self> {
        let raw = builder.weight("weight", shape, init)?;
        let (rows, columns) = (shape.iter().take(1).product(), shape.iter().skip(1).product());
        let vector = |name: &str, n: usize| builder.buffer(name, &[n], Init::Normal(1.0));
        let scale = match scaling {
            Scaling::Free => Scale::Free,
            Scaling::Spectral => Scale::Spectral(Singular { u: vector("u", rows)?, v: vector("v", columns)? }),
            Scaling::Norm => Scale::Norm(builder.weight(LOG_SCALE, &[rows], Init::Constant(0.0))?),
        };
        let weight = Weight { raw, scale, kept: Kept::default() };
        if builder.is_new() {
            for _ in 0..WARM_UP {
                weight.power_iterate()?;
            }
            if let Scale::Norm(log_scale) = &weight.scale {
                log_scale.slice_set(&weight.lengths()?.detach().log()?, 0, 0)?;
            }
        }
        Ok(weight)
    }

    /// How the weight is scaled.
    pub fn scaling(&self) -> Scaling {
        match self.scale {
            Scale::Free => Scaling::Free,
            Scale::Spectral(_) => Scaling::Spectral,
            Scale::Norm(_) => Scaling::Norm,
        }
    }

    /// Its tensors by name, the stored weight first.
    pub fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let mut tensors = vec![("weight", &self.raw)];
        match &self.scale {
            Scale::Free => {}
            Scale::Spectral(Singular { u, v }) => tensors.extend([("u", u), ("v", v)]),
            Scale::Norm(log_scale) => tensors.push((LOG_SCALE, log_scale)),
        }
        tensors
    }

    /// The lengths ‖v_o‖, `[O]`, with a floor that keeps a zero weight from giving NaN.
    fn lengths(&self) -> Result<Tensor> {
        Ok(self.raw.flatten_from(1)?.sqr()?.sum(1)?.sqrt()?.maximum(1e-12)?)
    }

    /// The weight that is applied, of the stored weight's shape. Under spectral norm σ = uᵀ W v, where u and v are
    /// constants: ∂σ/∂W = u vᵀ (Miyato et al. 2018, eq. 9 and appendix A).
    ///
    /// This only reads u and v, so that a pass is a pure function; [`Weight::power_iterate`] moves them between steps.
    pub fn get(&self) -> Result<Tensor> {
        let Singular { u, v } = match &self.scale {
            Scale::Free => return Ok(self.raw.clone()),
            Scale::Norm(log_scale) => {
                let mut per_output = vec![1; self.raw.rank()];
                per_output.iter_mut().take(1).for_each(|n| *n = log_scale.elem_count());
                let rate = (log_scale.exp()? / self.lengths()?)?.reshape(per_output)?;
                return Ok(self.raw.broadcast_mul(&rate)?);
            }
            Scale::Spectral(singular) => singular,
        };
        let wv = self.raw.flatten_from(1)?.matmul(&v.unsqueeze(1)?)?;
        let sigma = u.unsqueeze(0)?.matmul(&wv)?;
        Ok(self.raw.broadcast_div(&sigma.reshape(vec![1; self.raw.rank()])?)?)
    }

    /// The weight w that [`Weight::get`] gave, for an operation: with the place where a frozen network keeps what is
    /// made of it, unless it is scaled anew in each pass.
    pub fn given<'a>(&'a self, w: &'a Tensor) -> LayerWeights<'a> {
        match self.scale {
            Scale::Free => LayerWeights::kept(w, &self.kept),
            _ => w.into(),
        }
    }

    /// Adds to `grads` what the gradient for w, which [`Weight::get`] gave, is for the parameters.
    ///
    /// # Errors
    /// The gradient does not fit.
    pub fn collect(&self, w: &Tensor, gradient: &Tensor, grads: &mut Gradients) -> Result<()> {
        match self.scale {
            Scale::Free => grads.add(&self.raw, gradient.clone()),
            _ => grads.add_through(w, gradient),
        }
    }

    /// Does one power iteration under spectral norm, v ← Wᵀu/‖Wᵀu‖, u ← Wv/‖Wv‖, in place and without a graph.
    pub fn power_iterate(&self) -> Result<()> {
        let Scale::Spectral(Singular { u, v }) = &self.scale else { return Ok(()) };
        let w = self.raw.detach().flatten_from(1)?;
        let next_v = unit(&u.unsqueeze(0)?.matmul(&w)?.squeeze(0)?)?;
        let next_u = unit(&w.matmul(&next_v.unsqueeze(1)?)?.squeeze(1)?)?;
        v.slice_set(&next_v, 0, 0)?;
        Ok(u.slice_set(&next_u, 0, 0)?)
    }

    /// Whether the weight is under weight norm, exp(s) v/‖v‖ output by output.
    pub fn has_norm(&self) -> bool {
        matches!(self.scale, Scale::Norm(_))
    }

    /// The outputs `[B, O, ..]` of a layer over some items, computed by `pass`. Under weight norm, s and `bias` are
    /// first moved, in place, to where every output has mean 0 and standard deviation 1/5 over these items (Salimans &
    /// Kingma 2016, §3).
    pub fn calibrate(&self, bias: &Tensor, pass: impl Fn() -> Result<Tensor>) -> Result<Tensor> {
        let y = pass()?;
        let Scale::Norm(log_scale) = &self.scale else { return Ok(y) };
        let rows = y.detach().to_dtype(DType::F64)?.transpose(0, 1)?.contiguous()?.flatten_from(1)?;
        let mean = rows.mean_keepdim(1)?;
        let std = rows.broadcast_sub(&mean)?.sqr()?.mean(1)?.sqrt()?.to_vec1::<f64>()?;
        // An output that does not vary, as of a unit that is never on, is left alone.
        let factors: Vec<f64> = std.iter().map(|s| if *s > 1e-8 { CALIBRATED_STD / s } else { 1.0 }).collect();
        let factor = Tensor::new(factors, y.device())?;
        let moved = ((bias.detach().to_dtype(DType::F64)? - mean.squeeze(1)?)? * &factor)?;
        let scaled = (log_scale.detach().to_dtype(DType::F64)? + factor.log()?)?;
        bias.slice_set(&moved.to_dtype(bias.dtype())?, 0, 0)?;
        log_scale.slice_set(&scaled.to_dtype(log_scale.dtype())?, 0, 0)?;
        pass()
    }
}

/// The unit vector x/‖x‖, with a floor that keeps a zero weight from giving NaN.
fn unit(x: &Tensor) -> Result<Tensor> {
    let norm = x.sqr()?.sum_all()?.sqrt()?;
    Ok(x.broadcast_div(&norm.maximum(1e-12)?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::rng::Key;

    /// The largest singular value of a matrix with two rows, from the eigenvalues of the 2×2 matrix M Mᵀ.
    fn top_singular_value(weight: &Tensor) -> f64 {
        let m = weight.flatten_from(1).unwrap();
        let gram = m.matmul(&m.t().unwrap()).unwrap().to_vec2::<f64>().unwrap();
        let (a, b, d) = (gram[0][0], gram[0][1], gram[1][1]);
        ((a + d) / 2.0 + ((a - d).powi(2) / 4.0 + b * b).sqrt()).sqrt()
    }

    #[test]
    fn the_top_singular_value_becomes_one() {
        for shape in [vec![2, 30], vec![2, 3, 3, 3]] {
            let builder = Builder::new(Key::new(6), DType::F64, &Device::Cpu);
            let weight = Weight::new(&builder, &shape, Init::Uniform(0.7), Scaling::Spectral).unwrap();
            let raw = top_singular_value(&weight.raw);
            assert!((raw - 1.0).abs() > 0.1, "a weight of norm {raw} would pass untouched");
            for _ in 0..200 {
                weight.power_iterate().unwrap();
            }
            let top = top_singular_value(&weight.get().unwrap());
            assert!((top - 1.0).abs() < 1e-4, "{shape:?}: {top}");
        }
    }

    #[test]
    fn a_pass_leaves_the_vectors_alone_and_an_iteration_moves_the_saved_buffers() {
        let builder = Builder::new(Key::new(6), DType::F64, &Device::Cpu);
        let weight = Weight::new(&builder, &[5, 30], Init::Uniform(0.7), Scaling::Spectral).unwrap();
        let saved = || builder.finish().buffers["u"].to_vec1::<f64>().unwrap();
        let before = saved();
        let first = weight.get().unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(first, weight.get().unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap());
        assert_eq!(before, saved());
        weight.power_iterate().unwrap();
        assert_ne!(before, saved());
    }

    #[test]
    fn a_zero_weight_gives_no_nan_vectors() {
        let builder = Builder::new(Key::new(6), DType::F64, &Device::Cpu);
        Weight::new(&builder, &[2, 3], Init::Constant(0.0), Scaling::Spectral).unwrap();
        let u = builder.finish().buffers["u"].to_vec1::<f64>().unwrap();
        assert!(u.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn under_weight_norm_a_new_weight_is_what_it_was_and_each_output_has_its_own_scale() {
        let (plain, scaled) =
            (Builder::new(Key::new(6), DType::F64, &Device::Cpu), Builder::new(Key::new(6), DType::F64, &Device::Cpu));
        let weight =
            |builder: &Builder, scaling| Weight::new(builder, &[2, 3, 3, 3], Init::Uniform(0.7), scaling).unwrap();
        let list = |w: &Weight| w.get().unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let (free, norm) = (weight(&plain, Scaling::Free), weight(&scaled, Scaling::Norm));
        list(&free).iter().zip(list(&norm)).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
        let params = scaled.finish();
        params.weights[LOG_SCALE].slice_set(&Tensor::new(&[2f64.ln(), 0.0], &Device::Cpu).unwrap(), 0, 0).unwrap();
        let lengths =
            norm.get().unwrap().flatten_from(1).unwrap().sqr().unwrap().sum(1).unwrap().to_vec1::<f64>().unwrap();
        assert!((lengths[0] - 4.0).abs() < 1e-12 && (lengths[1] - 1.0).abs() < 1e-12, "{lengths:?}");
        assert!(Scaling::of(true, true).is_err());
    }
}
