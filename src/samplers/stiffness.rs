//! Whether chains without accept-reject are stable on an energy, asked before they run.
//!
//! Along a direction in which the energy bends by κ, the step x ← x - d∇E multiplies the distance from the minimum by
//! 1 - dκ. With dκ > 2 every step overshoots further than the one before: on a Gaussian of width σ, where d > 2σ².

use candle_core::{D, DType, Tensor};

use crate::density::{Energy, Model};
use crate::{Error, Result, rng::Key};

/// How a kernel moves that neither rejects nor bounds the gradient: x ← x - drift ∇E(x) + noise ξ.
#[derive(Clone, Copy, Debug)]
pub struct Drift {
    /// d.
    pub drift: f64,
    /// Standard deviation of the noise.
    pub noise: f64,
    /// The key of the kernel that sets d.
    pub key: &'static str,
    /// The value of that key which gives another d.
    pub value: fn(f64) -> f64,
}

/// How long chains go on.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Steps in one update.
    pub steps: usize,
    /// Updates, on average, before a chain begins anew; infinite for one that never does.
    pub updates: f64,
}

/// A direction in which chains overshoot, whose drift times curvature is above 2 near the start and far from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stiff {
    /// The coordinate in which the direction is largest, as an index into an item.
    pub coordinate: Vec<usize>,
    /// κ.
    pub curvature: f64,
    /// How far chains are from the minimum along it where they begin, with the noise of the first step.
    offset: f64,
    /// Whether the energy bends more far out, as a quartic one does, so that overshooting grows faster and faster.
    steepens: bool,
}

/// Distances at which slopes are compared: near the start, and where no energy that is linear in the long run, such as
/// that of a network alone, bends any more.
const NEAR: f64 = 1e-2;
const FAR: f64 = 1e3;

/// Nats that a chain may climb in one update: where a run is stopped that has no limit of its own.
const TALL: f64 = 1e6;

/// Products with the Hessian: a direction twice as steep as another outweighs it thousandfold by then.
const ROUNDS: usize = 10;

impl Drift {
    /// The direction in which chains at x `[B, ..]` overshoot most, if they overshoot in any.
    ///
    /// By power iteration on 1/d + ∇²E, whose products with a vector are differences of gradients. The curvature is
    /// never overstated: it is that along the direction found.
    ///
    /// # Errors
    /// The energy's own.
    pub fn stiffest(&self, energy: &dyn Energy, x: &Tensor) -> Result<Option<Stiff>> {
        let mut v = unit(&Key::new(0).with("stiffness").normal(x.shape(), x.dtype(), x.device())?)?;
        for _ in 0..ROUNDS {
            v = unit(&((&v / self.drift)? + change(energy, x, &v, NEAR)?)?)?;
        }
        let bend = |distance: f64| host(&along(&change(energy, x, &v, distance)?, &v)?);
        let (near, far) = (bend(NEAR)?, bend(FAR)?);
        let slope = host(&along(&energy.grad(x)?.1, &v)?)?;
        // Where the energy is not finite far out, a chain that overshoots does not come back either.
        let overshoots =
            |i: &usize| self.drift * near[*i] > 2.0 && (self.drift * far[*i] > 2.0 || !far[*i].is_finite());
        let worst = (0..near.len()).filter(overshoots).max_by(|a, b| near[*a].total_cmp(&near[*b]));
        let Some(i) = worst else { return Ok(None) };
        let direction = host(&v.get(i)?.flatten_all()?)?;
        let largest = (0..direction.len()).max_by(|a, b| direction[*a].abs().total_cmp(&direction[*b].abs()));
        let coordinate = coordinate(largest.unwrap_or(0), x.dims().get(1..).unwrap_or_default());
        let offset = self.noise.hypot(slope[i] / near[i]);
        let steepens = !far[i].is_finite() || far[i] > 2.0 * near[i];
        Ok(Some(Stiff { coordinate, curvature: near[i], offset, steepens }))
    }

    /// Refuses chains on the energy that leave every bound while they last, and warns of others that overshoot.
    ///
    /// # Shapes
    /// x `[B, ..]`, where some chains begin.
    ///
    /// # Errors
    /// The refusal, at the kernel's key; the energy's own. `section` is the path of the kernel's section.
    pub fn check(&self, section: &str, model: &Model, energy: &dyn Energy, x: &Tensor, life: Lifetime) -> Result<()> {
        let Some(stiff) = self.stiffest(energy, x)? else { return Ok(()) };
        let growth = self.drift * stiff.curvature - 1.0;
        // No step of infinitely many updates is none.
        let steps = (life.steps as f64 * life.updates).max(life.steps as f64);
        let what = self.complaint(section, &stiff);
        let returns = stiff.offset.ln() + steps * growth.ln() < FAR.ln();
        if !stiff.steepens && returns && self.climb(energy, x, life.steps)? < TALL {
            tracing::warn!("{what}. Better: {}", self.remedy(section, model, &stiff));
            return Ok(());
        }
        Err(Error::config(what).at(self.key).hint(self.remedy(section, model, &stiff)))
    }

    /// The largest energy above the start, in nats, that chains at x reach in so many steps without noise; infinite
    /// where it is not finite. The energy may bend more where they come by than where they began.
    fn climb(&self, energy: &dyn Energy, x: &Tensor, steps: usize) -> Result<f64> {
        let (mut x, first) = (x.detach(), energy.energy(x)?.detach());
        for _ in 0..steps {
            let slope = energy.grad(&x)?.1.detach();
            x = (&x - (slope * self.drift)?)?;
        }
        let climbed = host(&(energy.energy(&x)?.detach() - first)?)?;
        Ok(climbed.into_iter().fold(0.0, |most, climb| if climb.is_finite() { climb.max(most) } else { f64::INFINITY }))
    }

    fn complaint(&self, section: &str, Stiff { coordinate, curvature, .. }: &Stiff) -> String {
        let drift = self.drift;
        format!(
            "the chains of `{section}` overshoot further with every step in coordinate {coordinate:?} of an item: the \
             energy bends there by {curvature:.3e} (as a Gaussian of width {:.3e}), times the drift {drift:.3e} that \
             is {:.3e}, and they are stable below 2",
            curvature.sqrt().recip(),
            drift * curvature
        )
    }

    /// A drift at which a step leads to the minimum at most, or a base density as wide as the step.
    fn remedy(&self, section: &str, model: &Model, stiff: &Stiff) -> String {
        let smaller =
            format!("--set {section}.{}={}", self.key, digit((self.value)(1.0 / stiff.curvature), f64::floor));
        match model.widening() {
            Some(key) => {
                let wide = digit(self.drift.sqrt(), f64::ceil);
                format!("--set model.{key}={wide}, so that the base density is wider than a step; or {smaller}")
            }
            None => smaller,
        }
    }
}

/// The first significant digit of a positive number, the rest cut off by `round`.
pub fn digit(value: f64, round: fn(f64) -> f64) -> f64 {
    let unit = 10f64.powf(value.log10().floor());
    // 0.3/0.1 is 3, and 3·0.1 is written as 0.3.
    let cut = round((value / unit * 1e9).round() / 1e9) * unit;
    format!("{cut:.0e}").parse().unwrap_or(cut)
}

/// (∇E(x + hv) - ∇E(x - hv))/2h, like x.
fn change(energy: &dyn Energy, x: &Tensor, v: &Tensor, h: f64) -> Result<Tensor> {
    let at = |h: f64| -> Result<Tensor> { Ok(energy.grad(&(x + (v * h)?)?.detach())?.1.detach()) };
    Ok(((at(h)? - at(-h)?)? / (2.0 * h))?)
}

/// a·b of each item, `[B]`.
fn along(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok((a * b)?.flatten_from(1)?.sum(D::Minus1)?)
}

/// Every item divided by its length.
fn unit(v: &Tensor) -> Result<Tensor> {
    let flat = v.flatten_from(1)?;
    // By the largest entry first: squares of steep gradients overflow.
    let flat = flat.broadcast_div(&flat.abs()?.max_keepdim(1)?.maximum(f64::from(f32::MIN_POSITIVE))?)?;
    Ok(flat.broadcast_div(&flat.sqr()?.sum_keepdim(1)?.sqrt()?)?.reshape(v.shape())?)
}

fn host(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_dtype(DType::F64)?.to_vec1()?)
}

/// Number `flat` of an item of this shape, as an index axis by axis.
pub fn coordinate(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = Vec::with_capacity(shape.len());
    for &side in shape.iter().rev() {
        index.push(flat % side.max(1));
        flat /= side.max(1);
    }
    index.reverse();
    index
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::config::Spec;
    use crate::data::{Moments, Sources};
    use crate::density::{Context, Gaussian, Ica};
    use crate::nets::Builder;
    use crate::samplers::{Kernel as _, Langevin, Sgld};

    const CPU: Device = Device::Cpu;

    fn drift(drift: f64) -> Drift {
        Sgld { drift, noise: 0.01, ..Sgld::default() }.drift().unwrap()
    }

    fn builder() -> Builder {
        Builder::new(Key::new(1), DType::F32, &CPU)
    }

    /// A Gaussian on pictures whose widths are 1 but for one of 0.1.
    fn gaussian() -> (Gaussian, Tensor) {
        let item = (1, 2, 3);
        let std = Tensor::new(&[[[1f32, 1.0, 1.0], [1.0, 0.1, 1.0]]], &CPU).unwrap();
        let mean = Tensor::zeros(item, DType::F32, &CPU).unwrap();
        let moments = Moments { mean, std, overall_mean: 0.0, overall_std: 1.0 };
        let context = Context { shape: vec![1, 2, 3], classes: None, moments: Some(&|| Ok(moments.clone())) };
        let x = Key::new(2).normal((3, 1, 2, 3), DType::F32, &CPU).unwrap();
        (Gaussian::of_data(&context, 0.0, &builder()).unwrap(), (x * 0.1).unwrap())
    }

    #[test]
    fn the_narrowest_coordinate_of_a_gaussian_is_named_if_the_drift_is_above_2_of_its_variance() {
        let (energy, x) = gaussian();
        let found = drift(0.021).stiffest(&energy, &x).unwrap().unwrap();
        assert_eq!(found.coordinate, [0, 1, 1]);
        assert!((found.curvature - 100.0).abs() < 0.5, "{found:?}");
        assert_eq!(drift(0.019).stiffest(&energy, &x).unwrap(), None);
        let steps = |step_size: f64| Langevin { step_size }.drift().unwrap().stiffest(&energy, &x).unwrap().is_some();
        assert!(steps(0.21) && !steps(0.19));
    }

    #[test]
    fn an_energy_that_is_linear_far_out_brings_every_chain_back() {
        let ica = Ica::new(&[2], Sources::Logistic, &builder()).unwrap();
        let x = Tensor::zeros((2, 2), DType::F32, &CPU).unwrap();
        assert!(drift(100.0).stiffest(&ica, &x).unwrap().is_none());
        let far = Tensor::full(f32::NAN, (2, 2), &CPU).unwrap();
        assert!(drift(1.0).stiffest(&ica, &far).unwrap().is_none());
    }

    #[test]
    fn chains_are_refused_that_leave_every_bound_while_they_last() {
        let text = "name = \"gaussian\"\nstd = 0.5";
        let context = Context { shape: vec![2], classes: None, moments: None };
        let model = Model::new(&Spec::new(text.parse().unwrap()), &context, Key::new(0), DType::F32, &CPU).unwrap();
        let model = model.frozen().unwrap();
        let x = Key::new(2).normal((3, 2), DType::F32, &CPU).unwrap();
        let check = |d: f64, steps, updates| drift(d).check("a.b", &model, &model, &x, Lifetime { steps, updates });
        // Curvature 4: every step multiplies by 1 - 4d.
        check(0.49, 1000, f64::INFINITY).unwrap();
        check(1.0, 5, 1.0).unwrap();
        let text = check(1.0, 5, 20.0).unwrap_err().to_string();
        assert!(text.contains("`a.b`") && text.contains("hint: --set a.b.drift=0.2"), "{text}");
        check(1.0, 100, 1.0).unwrap_err();
    }

    #[test]
    fn one_digit_is_cut_as_asked() {
        let cut = |round: fn(f64) -> f64| [0.0456, 3.0, 0.3, 999.0].map(|v| digit(v, round));
        assert_eq!(cut(f64::floor), [0.04, 3.0, 0.3, 900.0]);
        assert_eq!(cut(f64::ceil), [0.05, 3.0, 0.3, 1000.0]);
    }
}
