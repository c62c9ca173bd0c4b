//! Mixtures whose energy is known exactly at every noise level, for tests of what learns or uses such levels.

use candle_core::{DType, Device, Tensor};

use super::{Density, Energy, by_row};
use crate::{Result, rng::Key};

/// Σ_k w_k N(c_k, s²I), in f64 on the CPU.
#[derive(Clone)]
pub struct Known {
    /// c, `[K, D]`.
    centres: Tensor,
    weights: Vec<f64>,
    std: f64,
}

impl Known {
    /// The mixture of these means and weights.
    pub fn new(centres: &[Vec<f64>], weights: &[f64], std: f64) -> Self {
        let centres = Tensor::new(centres.to_vec(), &Device::Cpu).unwrap();
        Known { centres, weights: weights.to_vec(), std }
    }

    /// The energies -log p_σ, normalised, at levels σ `[B]`.
    pub fn at(&self, sigma: &Tensor) -> Blurred {
        Blurred { known: self.clone(), variance: (sigma.sqr().unwrap() + self.std * self.std).unwrap() }
    }

    /// The density under noise σ.
    pub fn under(&self, sigma: f64) -> Under {
        Under(self.clone(), sigma)
    }

    /// The mean `[D]`, and the mean of the coordinates' variances.
    pub fn moments(&self) -> (Tensor, f64) {
        let weights = Tensor::new(self.weights.as_slice(), &Device::Cpu).unwrap().unsqueeze(1).unwrap();
        let mean = self.centres.broadcast_mul(&weights).unwrap().sum(0).unwrap();
        let between = self.centres.broadcast_sub(&mean).unwrap().sqr().unwrap().broadcast_mul(&weights).unwrap();
        let between = between.sum(0).unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
        (mean, between + self.std * self.std)
    }

    /// n draws under noise σ; the modes come in turn as often as their weights say.
    pub fn draws(&self, key: Key, n: usize, sigma: f64) -> Tensor {
        let ends: Vec<f64> = self
            .weights
            .iter()
            .scan(0.0, |sum, w| {
                *sum += w;
                Some(*sum)
            })
            .collect();
        let mode = |i: usize| ends.iter().filter(|end| (i as f64 + 0.5) / n as f64 >= **end).count() as u32;
        let modes = Tensor::new((0..n).map(mode).collect::<Vec<_>>(), &Device::Cpu).unwrap();
        let centres = self.centres.index_select(&modes, 0).unwrap();
        let noise = key.normal(centres.shape(), DType::F64, &Device::Cpu).unwrap();
        (centres + (noise * self.std.hypot(sigma)).unwrap()).unwrap()
    }
}

/// A [`Known`] mixture at one level an item.
pub struct Blurred {
    known: Known,
    /// s² + σ², `[B]`.
    variance: Tensor,
}

impl Blurred {
    /// log w_k N(x; c_k, (s² + σ²) I), `[B, K]`.
    fn logs(&self, x: &Tensor) -> Result<Tensor> {
        let dim = x.dim(1)? as f64;
        let square = x.unsqueeze(1)?.broadcast_sub(&self.known.centres)?.sqr()?.sum(2)?;
        let norm = self.variance.affine(std::f64::consts::TAU, 0.0)?.log()?.affine(-0.5 * dim, 0.0)?;
        let logs = square.broadcast_div(&self.variance.unsqueeze(1)?)?.affine(-0.5, 0.0)?;
        let weights: Vec<f64> = self.known.weights.iter().map(|w| w.ln()).collect();
        Ok(logs.broadcast_add(&norm.unsqueeze(1)?)?.broadcast_add(&Tensor::new(weights, x.device())?)?)
    }

    /// The share of each mode at x, `[B, K]`.
    fn shares(&self, x: &Tensor) -> Result<Tensor> {
        Ok(candle_nn::ops::softmax(&self.logs(x)?, 1)?)
    }
}

impl Energy for Blurred {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.logs(x)?.log_sum_exp(1)?.neg()?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let centre = self.shares(x)?.matmul(&self.known.centres)?;
        Ok((self.energy(x)?, by_row(&(x - centre)?, &self.variance.recip()?)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        super::slope_of_grad(self, x, v)
    }

    /// With the spread of c·v over the shares, vᵀ∇²E v = |v|²/t - Var(c·v)/t², t = s² + σ².
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let (energy, slope) = self.directional(x, v)?;
        let (shares, along) = (self.shares(x)?, v.matmul(&self.known.centres.t()?)?);
        let mean = (&shares * &along)?.sum(1)?;
        let spread = ((shares * along.sqr()?)?.sum(1)? - mean.sqr()?)?;
        let bend = ((v.sqr()?.sum(1)? / &self.variance)? - (spread / self.variance.sqr()?)?)?;
        Ok([energy, slope, bend])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (energy, grad) = self.grad(x)?;
        let (shares, squares) = (self.shares(x)?, self.known.centres.sqr()?.sum(1)?);
        let centre = shares.matmul(&self.known.centres)?;
        let spread = (shares.broadcast_mul(&squares)?.sum(1)? - centre.sqr()?.sum(1)?)?;
        let flat = self.variance.recip()?.affine(x.dim(1)? as f64, 0.0)?;
        Ok((energy, grad, (flat - (spread / self.variance.sqr()?)?)?))
    }
}

/// A [`Known`] mixture under noise of one level.
pub struct Under(Known, f64);

impl Under {
    fn at(&self, x: &Tensor) -> Result<Blurred> {
        Ok(self.0.at(&Tensor::full(self.1, x.dim(0)?, x.device())?))
    }
}

impl Energy for Under {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.at(x)?.energy(x)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.at(x)?.grad(x)
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        self.at(x)?.directional(x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        self.at(x)?.curvature(x, v)
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        self.at(x)?.laplacian(x)
    }
}

impl Density for Under {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.energy(x)?.neg()?)
    }

    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        Ok(self.0.draws(key, n, self.1))
    }
}

/// What is written down here is itself compared with differences.
#[test]
fn derivatives_of_known_mixtures_are_differences() {
    let known = Known::new(&[vec![-1.0, 0.5, 0.0], vec![1.0, 1.0, -2.0]], &[0.3, 0.7], 0.8);
    let sigma = Tensor::new(&[0.1f64, 0.5, 2.0], &Device::Cpu).unwrap();
    let x = known.draws(Key::new(1), 3, 1.0);
    let v = Key::new(2).normal((3, 3), DType::F64, &Device::Cpu).unwrap();
    let at = |h: f64| known.at(&sigma).energy(&(&x + (&v * h).unwrap()).unwrap()).unwrap().to_vec1::<f64>().unwrap();
    let h = 1e-4;
    let (up, here, down) = (at(h), at(0.0), at(-h));
    let [energy, slope, bend] = known.at(&sigma).curvature(&x, &v).unwrap().map(|t| t.to_vec1::<f64>().unwrap());
    for i in 0..3 {
        assert!((energy[i] - here[i]).abs() < 1e-12 && (slope[i] - (up[i] - down[i]) / (2.0 * h)).abs() < 1e-6);
        assert!((bend[i] - (up[i] - 2.0 * here[i] + down[i]) / (h * h)).abs() < 1e-5);
    }
    let (_, grad, laplacian) = known.at(&sigma).laplacian(&x).unwrap();
    let (_, by_axes, sum) = super::laplacian_axis_by_axis(&known.at(&sigma), &x).unwrap();
    for (a, b) in [(grad, by_axes), (laplacian, sum)] {
        let gap = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(gap.iter().all(|gap| *gap < 1e-9), "{gap:?}");
    }
}
