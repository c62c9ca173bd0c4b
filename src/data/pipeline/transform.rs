//! From pixel to model space and back, with the log-determinant that makes bits/dim right.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;

/// What the model sees of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transform {
    /// The raw value, 0 to the number of grey levels.
    None,
    /// z in [0, 1].
    Unit,
    /// 2z - 1 in [-1, 1].
    Scaled,
    /// log u/(1-u), u = α + (1-2α)z.
    Logit,
}

/// The map from a raw pixel v in [0, L] to model space, x = t((v + U)/L), U uniform on (0, 1).
///
/// Without dequantisation U is left out and z = v/(L-1), so that black is 0 and white is 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PixelMap {
    pub transform: Transform,
    /// α of the logit.
    pub alpha: f64,
    /// L for dequantised pixels, L - 1 without: the divisor that leads to [0, 1].
    pub scale: f64,
}

impl PixelMap {
    /// Model space from z = v/L in [0, 1], in f64 as the logit loses digits next to 1.
    pub(crate) fn forward(&self, z: f64) -> f64 {
        match self.transform {
            Transform::None => z * self.scale,
            Transform::Unit => z,
            Transform::Scaled => 2.0 * z - 1.0,
            Transform::Logit => {
                let u = self.alpha + (1.0 - 2.0 * self.alpha) * z;
                (u / (1.0 - u)).ln()
            }
        }
    }

    /// Pixels in [0, 1], clamped, from model space; any shape.
    pub(crate) fn inverse(&self, x: &Tensor) -> Result<Tensor> {
        let z = match self.transform {
            Transform::None => x.affine(1.0 / self.scale, 0.0)?,
            Transform::Unit => x.clone(),
            Transform::Scaled => x.affine(0.5, 0.5)?,
            Transform::Logit => {
                let sigmoid = (x.affine(0.5, 0.0)?.tanh()? * 0.5)?.affine(1.0, 0.5)?;
                let stretch = 1.0 / (1.0 - 2.0 * self.alpha);
                sigmoid.affine(stretch, -self.alpha * stretch)?
            }
        };
        Ok(z.clamp(0.0, 1.0)?)
    }

    /// log |det ∂x/∂v| of one item from raw pixel to model space, at x. Shapes: `[B, ..]` -> `[B]`, f64, nats.
    ///
    /// For the logit, dx/dv = (1-2α) / (L·u(1-u)) and -log u(1-u) = |x| + 2 log(1 + e^-|x|).
    pub(crate) fn log_det(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.flatten_from(1)?.to_dtype(DType::F64)?;
        let (items, dim) = x.dims2()?;
        let constant = match self.transform {
            Transform::None => 0.0,
            Transform::Unit => -self.scale.ln(),
            Transform::Scaled => 2f64.ln() - self.scale.ln(),
            Transform::Logit => (1.0 - 2.0 * self.alpha).ln() - self.scale.ln(),
        };
        let constant = Tensor::full(constant * dim as f64, items, x.device())?;
        if self.transform != Transform::Logit {
            return Ok(constant);
        }
        let size = x.abs()?;
        let bend = ((size.neg()?.exp()? + 1.0)?.log()? * 2.0)?;
        Ok(((size + bend)?.sum(1)? + constant)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    const ALL: [Transform; 4] = [Transform::None, Transform::Unit, Transform::Scaled, Transform::Logit];

    fn map(transform: Transform) -> PixelMap {
        PixelMap { transform, alpha: 1e-3, scale: 256.0 }
    }

    #[test]
    fn there_and_back() {
        let z: Vec<f64> = (0..=100).map(|i| i as f64 / 100.0).collect();
        for m in ALL.map(map) {
            let x: Vec<f64> = z.iter().map(|&z| m.forward(z)).collect();
            let back = m.inverse(&Tensor::new(x.as_slice(), &Device::Cpu).unwrap()).unwrap().to_vec1::<f64>().unwrap();
            let worst = z.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-12, "{m:?}: {worst}");
        }
    }

    #[test]
    fn log_det_is_the_derivative() {
        let (v, h) = ([0.3, 17.0, 128.0, 250.5], 1e-4);
        for m in ALL.map(map) {
            let at = |v: f64| m.forward(v / m.scale);
            let want: f64 = v.iter().map(|&v| ((at(v + h) - at(v - h)) / (2.0 * h)).ln()).sum();
            let x = Tensor::from_vec(v.map(at).to_vec(), (1, 4), &Device::Cpu).unwrap();
            let got = m.log_det(&x).unwrap().to_vec1::<f64>().unwrap()[0];
            assert!((got - want).abs() < 1e-6, "{m:?}: {got} against {want}");
        }
    }

    #[test]
    fn far_out_in_the_logit_nothing_overflows() {
        let x = Tensor::new(&[[-800f64, 800.0, 0.0]], &Device::Cpu).unwrap();
        let m = PixelMap { transform: Transform::Logit, alpha: 0.0, scale: 256.0 };
        let got = m.log_det(&x).unwrap().to_vec1::<f64>().unwrap()[0];
        assert_eq!(got, 1600.0 + 2.0 * 2f64.ln() - 3.0 * 256f64.ln());
    }
}
