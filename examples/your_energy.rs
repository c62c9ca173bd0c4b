//! An energy of your own, sampled by MALA:
//!
//! ```text
//! cargo run --release --example your_energy
//! ```
//!
//! E(x) = ½ ((|x|² - R²)/s)² is a ring of radius R in the plane. Under exp(-E)/Z, |x|² is normal with mean R² and
//! standard deviation s (cut off at 0, many s away), so what the chains find can be checked.

#![allow(clippy::print_stdout)] // An example prints what it found.

use candle_core::{DType, Device, Tensor};
use ebm::Result;
use ebm::density::{Energy, laplacian_along_axes, slope_of_grad};
use ebm::math::convergence::Draws;
use ebm::math::stats;
use ebm::rng::Key;
use ebm::samplers::{Kernel, Mala, Target};

/// A ring of radius R; s is the width of |x|².
struct Ring {
    radius: f64,
    width: f64,
}

impl Ring {
    /// o = (|x|² - R²)/s, `[B, 1]`.
    fn off(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.sqr()?.sum_keepdim(1)?.affine(1.0 / self.width, -self.radius.powi(2) / self.width)?)
    }
}

impl Energy for Ring {
    /// E = ½ o².
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok((self.off(x)?.sqr()?.squeeze(1)? * 0.5)?)
    }

    /// ∇E = (2 o/s) x.
    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let pull = (self.off(x)? * (2.0 / self.width))?;
        Ok((self.energy(x)?, x.broadcast_mul(&pull)?))
    }

    /// v·∇E: by the whole gradient, which costs no more here.
    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    /// vᵀ∇²E v = (2 o/s) |v|² + (2 x·v/s)².
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let (energy, slope) = self.directional(x, v)?;
        let along = ((x * v)?.sum_keepdim(1)? * (2.0 / self.width))?.sqr()?;
        let across = (self.off(x)? * (2.0 / self.width))?.mul(&v.sqr()?.sum_keepdim(1)?)?;
        Ok([energy, slope, (along + across)?.squeeze(1)?])
    }

    /// ΔE: the curvatures along the axes, summed.
    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

const CHAINS: usize = 100;

fn main() -> Result<()> {
    let ring = Ring { radius: 2.0, width: 1.0 };
    let kernel = Mala { step_size: 0.3, scale: None };
    let key = Key::new(1);
    let target = Target::new(&ring);
    let start = key.with("start").normal((CHAINS, 2), DType::F64, &Device::Cpu)?;
    let mut chain = kernel.init(&target, &start)?;
    let mut squares = vec![Vec::new(); CHAINS];
    for step in 0..1500 {
        chain = kernel.step(key.with("step").at(step), &target, &chain)?.0;
        // The first 500 steps find the ring.
        if step >= 500 {
            let r2: Vec<f64> = chain.x.sqr()?.sum(1)?.to_vec1()?;
            squares.iter_mut().zip(r2).for_each(|(draws, r2)| draws.push(r2));
        }
    }
    let all = squares.concat();
    let draws = Draws::new(squares);
    println!("mean of |x|² {:.4} (exact {:.4})", stats::mean(&all), ring.radius.powi(2));
    println!("variance     {:.4} (exact {:.4})", stats::variance(&all), ring.width.powi(2));
    println!("R̂ {:.4}, effective draws {:.0} of {}", draws.rhat(), draws.ess_bulk(), draws.total());
    Ok(())
}
