//! An energy in affine coordinates: whitened ones make a broad Gaussian of a base, and one step size fits all
//! directions.

use candle_core::{DType, Tensor};
use nalgebra::{DMatrix, SymmetricEigen};

use super::{Energy, laplacian_along_axes};
use crate::math::linalg;
use crate::{Error, Result};

/// The affine coordinates u of items x = μ + Lu, with the items' shape and the inverse map.
///
/// # Shapes
/// u `[B, D]`, x `[B, ..]` of D numbers each.
pub struct Coordinates {
    mean: Tensor,
    /// The matrix Lᵀ `[D, D]`, or the diagonal of L `[D]`.
    root: Tensor,
    /// The matrix L⁻ᵀ `[D, D]`, or the inverse diagonal `[D]`.
    inverse: Tensor,
    log_det: f64,
    shape: Vec<usize>,
}

/// The smallest share of the largest variance that a direction is given where the data hardly vary along it.
const LEAST: f64 = 1e-8;

impl Coordinates {
    /// The coordinates in which x has mean 0 and the covariance I/widen²: L = widen · V Λ^½, with V Λ Vᵀ the covariance
    /// of the items if `full`, else its diagonal.
    ///
    /// # Shapes
    /// x: `[N, ..]`.
    ///
    /// # Errors
    /// There are fewer than two items, or items that are not finite.
    pub fn of_items(x: &Tensor, full: bool, widen: f64) -> Result<Self> {
        let rows = linalg::to_host(&x.flatten_from(1)?)?;
        let (n, d) = rows.shape();
        if n < 2 || rows.iter().any(|v| !v.is_finite()) {
            return Err(Error::Other(format!("a Gaussian is fitted to two finite items or more, got {n}")));
        }
        let mean = rows.row_mean();
        let mut centred = rows;
        centred.row_iter_mut().for_each(|mut row| row -= &mean);
        let (vectors, variances) = match full {
            true => {
                let SymmetricEigen { eigenvectors, eigenvalues } =
                    SymmetricEigen::new(centred.transpose() * &centred / (n as f64 - 1.0));
                (Some(eigenvectors), eigenvalues.iter().copied().collect::<Vec<_>>())
            }
            false => (None, centred.column_iter().map(|c| c.norm_squared() / (n as f64 - 1.0)).collect()),
        };
        let least = LEAST * variances.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let scales: Vec<f64> = variances.iter().map(|v| widen * v.max(least).sqrt()).collect();
        let inverses: Vec<f64> = scales.iter().map(|s| 1.0 / s).collect();
        let (dtype, device) = (x.dtype(), x.device());
        let diagonal = |values: &[f64]| Ok::<_, Error>(Tensor::new(values, device)?.to_dtype(dtype)?);
        let (root, inverse) = match vectors {
            // u Lᵀ = (u · scales) Vᵀ and back (x - μ) V / scales.
            Some(v) => {
                let rows = |scales: &[f64]| DMatrix::from_fn(d, d, |i, j| v[(i, j)] * scales[j]);
                (
                    linalg::to_tensor(&rows(&scales).transpose(), dtype, device)?,
                    linalg::to_tensor(&rows(&inverses), dtype, device)?,
                )
            }
            None => (diagonal(&scales)?, diagonal(&inverses)?),
        };
        let mean = diagonal(mean.iter().copied().collect::<Vec<_>>().as_slice())?;
        let log_det = scales.iter().map(|s| s.ln()).sum();
        Ok(Coordinates { mean, root, inverse, log_det, shape: x.dims().iter().skip(1).copied().collect() })
    }

    /// The number D of coordinates.
    pub fn dim(&self) -> usize {
        self.shape.iter().product()
    }

    /// The logarithm log|det L|.
    pub fn log_det(&self) -> f64 {
        self.log_det
    }

    /// The items x = μ + Lu: `[B, D]` -> `[B, ..]`.
    pub fn to_items(&self, u: &Tensor) -> Result<Tensor> {
        let flat = times(u, &self.root)?.broadcast_add(&self.mean)?;
        Ok(flat.reshape([&[u.dim(0)?], self.shape.as_slice()].concat())?)
    }

    /// The coordinates u = L⁻¹(x - μ): `[B, ..]` -> `[B, D]`.
    pub fn of(&self, x: &Tensor) -> Result<Tensor> {
        times(&x.flatten_from(1)?.broadcast_sub(&self.mean)?, &self.inverse)
    }

    /// The gradient Lᵀg by u, `[B, D]`, of the gradient g by x, `[B, ..]`.
    fn pull(&self, g: &Tensor) -> Result<Tensor> {
        let g = g.flatten_from(1)?;
        match self.root.rank() {
            1 => times(&g, &self.root),
            _ => Ok(g.matmul(&self.root.t()?.contiguous()?)?),
        }
    }
}

/// The rows `[B, D]` times a matrix `[D, D]`, or times a diagonal `[D]`.
fn times(rows: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    Ok(if matrix.rank() == 1 { rows.broadcast_mul(matrix)? } else { rows.contiguous()?.matmul(matrix)? })
}

/// The energy E(μ + Lu) - log|det L| of the coordinates u, where x = μ + Lu has the energy E(x); the normaliser is the
/// same.
///
/// # Shapes
/// u `[B, D]`.
pub struct Affine<'a> {
    /// The energy E of the items.
    pub energy: &'a dyn Energy,
    /// The coordinates, with μ and L.
    pub coordinates: &'a Coordinates,
}

impl Affine<'_> {
    /// The direction Lv, as items like x.
    fn along(&self, v: &Tensor, x: &Tensor) -> Result<Tensor> {
        Ok(times(v, &self.coordinates.root)?.reshape(x.shape())?)
    }

    fn shifted(&self, energy: &Tensor) -> Result<Tensor> {
        let by = Tensor::new(self.coordinates.log_det, energy.device())?.to_dtype(DType::F64)?;
        Ok(energy.to_dtype(DType::F64)?.broadcast_sub(&by)?.to_dtype(energy.dtype())?)
    }
}

impl Energy for Affine<'_> {
    fn energy(&self, u: &Tensor) -> Result<Tensor> {
        self.shifted(&self.energy.energy(&self.coordinates.to_items(u)?)?)
    }

    fn grad(&self, u: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.energy.grad(&self.coordinates.to_items(u)?)?;
        Ok((self.shifted(&energy)?, self.coordinates.pull(&grad)?))
    }

    fn directional(&self, u: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let x = self.coordinates.to_items(u)?;
        let (energy, slope) = self.energy.directional(&x, &self.along(v, &x)?)?;
        Ok((self.shifted(&energy)?, slope))
    }

    fn curvature(&self, u: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let x = self.coordinates.to_items(u)?;
        let [energy, slope, bend] = self.energy.curvature(&x, &self.along(v, &x)?)?;
        Ok([self.shifted(&energy)?, slope, bend])
    }

    fn laplacian(&self, u: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, u)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::density::{Bridge, Gaussian};
    use crate::math::stats;
    use crate::nets::Builder;
    use crate::rng::Key;

    const CPU: Device = Device::Cpu;

    fn gaussian(mean: f64, std: f64) -> Gaussian {
        Gaussian::new(&[1, 2, 2], mean, std, &Builder::new(Key::new(0), DType::F64, &CPU)).unwrap()
    }

    fn list(x: &Tensor) -> Vec<f64> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn close(a: &Tensor, b: &[f64], what: &str) {
        for (a, b) in list(a).iter().zip(b) {
            assert!((a - b).abs() < 1e-6 * (1.0 + b.abs()), "{what}: {a} and {b}");
        }
    }

    /// A set of correlated items.
    fn items() -> Tensor {
        let noise = Key::new(1).normal((500, 4), DType::F64, &CPU).unwrap();
        let mix = Key::new(2).normal((4, 4), DType::F64, &CPU).unwrap();
        (noise.matmul(&mix).unwrap() + 3.0).unwrap().reshape((500, 1, 2, 2)).unwrap()
    }

    #[test]
    fn fitted_coordinates_whiten_the_items_and_lead_back() {
        for (full, widen) in [(true, 1.0), (false, 1.0), (true, 1.5)] {
            let c = Coordinates::of_items(&items(), full, widen).unwrap();
            let u = c.of(&items()).unwrap();
            close(&c.to_items(&u).unwrap(), &list(&items()), "there and back");
            let u = linalg::to_host(&u).unwrap();
            for (i, column) in u.column_iter().enumerate() {
                let column: Vec<f64> = column.iter().copied().collect();
                assert!((stats::std(&column) - 1.0 / widen).abs() < 1e-9 && stats::mean(&column).abs() < 1e-9);
                let other = u.column((i + 1) % 4);
                let both = column.iter().zip(other.iter()).map(|(a, b)| a * b).sum::<f64>() / 499.0;
                assert_eq!(both.abs() < 1e-9, full, "{both}");
            }
        }
    }

    #[test]
    fn the_base_in_its_own_coordinates_is_a_standard_normal() {
        // With μ = 1, σ = 2 in every coordinate and D = 4: E_u(u) = ½|u|² + 2 log 2π for any rotation.
        let exact = (gaussian(1.0, 2.0), Key::new(3).normal((6, 4), DType::F64, &CPU).unwrap());
        let x = Tensor::cat(&[&exact.1, &exact.1.neg().unwrap()], 0).unwrap();
        let c = Coordinates::of_items(&x.reshape((12, 1, 2, 2)).unwrap(), true, 1.0).unwrap();
        let target = Affine { energy: &exact.0, coordinates: &c };
        let u = Key::new(5).normal((3, 4), DType::F64, &CPU).unwrap();
        let want: Vec<f64> = list(&exact.0.energy(&c.to_items(&u).unwrap()).unwrap());
        let want: Vec<f64> = want.iter().map(|e| e - c.log_det()).collect();
        close(&target.energy(&u).unwrap(), &want, "energy");
        let det = linalg::log_abs_det(&linalg::to_host(&c.root).unwrap());
        assert!((det - c.log_det()).abs() < 1e-9, "{det}");
    }

    #[test]
    fn gradients_and_curvatures_are_differences() {
        let (wide, narrow) = (gaussian(1.0, 2.0), gaussian(-0.5, 0.7));
        let bridge = Bridge { from: &wide, to: &narrow, beta: 0.3 };
        for full in [true, false] {
            let c = Coordinates::of_items(&items(), full, 1.2).unwrap();
            let e = Affine { energy: &bridge, coordinates: &c };
            let [u, v] = [7, 8].map(|key| Key::new(key).normal((5, 4), DType::F64, &CPU).unwrap());
            let at = |h: f64| list(&e.energy(&(&u + (&v * h).unwrap()).unwrap()).unwrap());
            let h = 1e-4;
            let differences = |f: &dyn Fn(usize) -> f64| (0..5).map(f).collect::<Vec<_>>();
            let (up, here, down) = (at(h), at(0.0), at(-h));
            let slope = differences(&|i| (up[i] - down[i]) / (2.0 * h));
            let bend = differences(&|i| (up[i] - 2.0 * here[i] + down[i]) / (h * h));
            let (energy, grad) = e.grad(&u).unwrap();
            close(&energy, &here, "energy");
            close(&(grad * &v).unwrap().sum(1).unwrap(), &slope, "gradient");
            let [energy, first, second] = e.curvature(&u, &v).unwrap();
            close(&energy, &here, "energy with curvature");
            close(&first, &slope, "slope");
            for (a, b) in list(&second).iter().zip(&bend) {
                assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_direction_without_spread_still_has_a_width() {
        let x = Tensor::new(&[[1f64, 5.0], [2.0, 5.0], [4.0, 5.0]], &CPU).unwrap();
        for full in [true, false] {
            let c = Coordinates::of_items(&x, full, 1.0).unwrap();
            assert!(list(&c.of(&x).unwrap()).iter().all(|v| v.is_finite()) && c.log_det().is_finite());
        }
        assert!(Coordinates::of_items(&x.narrow(0, 0, 1).unwrap(), true, 1.0).is_err());
    }
}
