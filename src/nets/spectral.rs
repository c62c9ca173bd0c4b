//! Spectral normalisation (Miyato et al. 2018): a weight whose largest singular value is 1.

use candle_core::Tensor;

use super::{Builder, Init};
use crate::Result;

/// Power iterations done when a weight is made, so that σ means something before the first step.
const WARM_UP: usize = 15;

/// The weight of a linear map or a convolution, plain or spectrally normalised.
#[derive(Clone)]
pub struct Weight {
    raw: Tensor,
    singular: Option<Singular>,
}

/// Estimates of the leading singular vectors of the weight as a matrix `[O, I·K·K]`: u `[O]`, v `[I·K·K]`.
#[derive(Clone)]
struct Singular {
    u: Tensor,
    v: Tensor,
}

impl Weight {
    /// A weight called `weight`, its first dimension the outputs; with `spectral`, also the buffers `u` and `v`.
    pub fn new(builder: &Builder, shape: &[usize], init: Init, spectral: bool) -> Result<Self> {
        let raw = builder.weight("weight", shape, init)?;
        let (rows, columns) = raw.flatten_from(1)?.dims2()?;
        let vector = |name: &str, n: usize| builder.buffer(name, &[n], Init::Normal(1.0));
        let singular = match spectral {
            true => Some(Singular { u: vector("u", rows)?, v: vector("v", columns)? }),
            false => None,
        };
        let weight = Weight { raw, singular };
        for _ in 0..if builder.is_new() { WARM_UP } else { 0 } {
            weight.power_iterate()?;
        }
        Ok(weight)
    }

    /// W, or W/σ(W) with σ = uᵀ W v, where u and v are constants: ∂σ/∂W = u vᵀ (eq. 9 and appendix A of the paper).
    ///
    /// A pass only reads u and v, so that it is a pure function; [`Weight::power_iterate`] moves them between steps.
    pub fn get(&self) -> Result<Tensor> {
        let Some(Singular { u, v }) = &self.singular else { return Ok(self.raw.clone()) };
        let wv = self.raw.flatten_from(1)?.matmul(&v.unsqueeze(1)?)?;
        let sigma = u.unsqueeze(0)?.matmul(&wv)?;
        Ok(self.raw.broadcast_div(&sigma.reshape(vec![1; self.raw.rank()])?)?)
    }

    /// v ← Wᵀu/‖Wᵀu‖, u ← Wv/‖Wv‖, in place and without a graph.
    pub fn power_iterate(&self) -> Result<()> {
        let Some(Singular { u, v }) = &self.singular else { return Ok(()) };
        let w = self.raw.detach().flatten_from(1)?;
        let next_v = unit(&u.unsqueeze(0)?.matmul(&w)?.squeeze(0)?)?;
        let next_u = unit(&w.matmul(&next_v.unsqueeze(1)?)?.squeeze(1)?)?;
        v.slice_set(&next_v, 0, 0)?;
        Ok(u.slice_set(&next_u, 0, 0)?)
    }
}

/// x/‖x‖; the floor keeps a zero weight from giving NaN.
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
            let weight = Weight::new(&builder, &shape, Init::Uniform(0.7), true).unwrap();
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
        let weight = Weight::new(&builder, &[5, 30], Init::Uniform(0.7), true).unwrap();
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
        Weight::new(&builder, &[2, 3], Init::Constant(0.0), true).unwrap();
        let u = builder.finish().buffers["u"].to_vec1::<f64>().unwrap();
        assert!(u.iter().all(|v| v.is_finite()));
    }
}
