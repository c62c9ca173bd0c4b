//! The distribution that the gradients of a noise ladder draw from, and its density, by an ordinary differential
//! equation.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::top::{EnergyAt, Top};
use super::{Density, Energy, Meter, Model, Proposal};
use crate::metrics::Spent;
use crate::{Error, Result, rng::Key};

/// The probability flow of an energy E(x, σ) that knows noise levels: dx/du = σ²∇E(x, σ), u = ln σ, which carries the
/// density p_T ∝ exp(-E(x, σ_T)) at the top to level 0 (Song et al. 2021, eq. 13, for noise that adds up), by the
/// classical Runge-Kutta method in steps of equal u.
///
/// Its density at level 0 is log q(x) = log p_T(x_T) + ∫ σ²ΔE(x(u), σ) du along the path through x. That is the density
/// of what the flow draws. It is exp(-E(x, σ_0))/Z only if the levels fit each other, each being the one below under
/// more noise: gradients alone may be right at every level while the weights of far modes under exp(-E) are wrong.
pub struct ProbabilityFlow {
    at: EnergyAt,
    top: Box<dyn Density>,
    /// ln σ at level 0 and at the top.
    ends: [f64; 2],
    /// The number of Runge-Kutta steps, of four gradients each.
    steps: usize,
    trace: Laplacian,
    /// Where the evaluations of the energy are counted.
    meter: Meter,
}

/// How the Laplacian along the flow is found.
#[derive(Clone, Copy, Debug)]
pub enum Laplacian {
    /// As the sum over all coordinates.
    Exact,
    /// As the mean of vᵀ∇²E v over so many vectors v of random signs, each held along the whole path (Hutchinson 1989).
    /// Signs, not normal draws: the diagonal of the Hessian then adds no variance.
    Signs(usize, Key),
}

impl Laplacian {
    /// The coordinates up to which the exact trace costs little.
    const FEW: usize = 32;
    /// The vectors beyond.
    const SIGNS: usize = 4;

    /// The exact trace of few coordinates, and vectors of signs of more.
    pub fn for_dim(dim: usize) -> Self {
        if dim <= Self::FEW { Laplacian::Exact } else { Laplacian::Signs(Self::SIGNS, Key::new(0).with("trace")) }
    }
}

/// The directions of a walk's estimates of ΔE.
enum Directions {
    /// None is asked for.
    Nowhere,
    All,
    /// Vectors of signs, `[S · B, ..]`.
    Signs(usize, Tensor),
}

impl ProbabilityFlow {
    /// The number of Runge-Kutta steps where nobody says another.
    pub const STEPS: usize = 32;

    /// The flow of a model; `None` for a model without levels.
    ///
    /// # Errors
    /// The device fails.
    pub fn of(model: &Model) -> Result<Option<Self>> {
        let (Some(levels), Some(top)) = (model.levels()?, model.top()?) else { return Ok(None) };
        let levels = levels.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let end = |level: Option<&f64>| level.copied().unwrap_or(f64::NAN);
        let ends = [end(levels.first()), end(levels.last())];
        let dim = model.shape().iter().product();
        let meter = model.meter().clone();
        let model = model.held();
        let at = move |sigma: &Tensor| -> Result<Box<dyn Energy>> {
            let energy = model.at_level(sigma).ok_or_else(|| Error::Other("the model has no noise levels".into()))?;
            Ok(Box::new(energy))
        };
        let at: EnergyAt = Arc::new(at);
        let top = Top::new(at.clone(), ends[1], top);
        Ok(Some(ProbabilityFlow { meter, ..Self::new(at, Box::new(top), ends, dim) }))
    }

    /// The flow of the energy `at` from the density `top` at the higher of two levels to the lower, of items of `dim`
    /// numbers.
    fn new(at: EnergyAt, top: Box<dyn Density>, sigmas: [f64; 2], dim: usize) -> Self {
        let (ends, trace) = (sigmas.map(f64::ln), Laplacian::for_dim(dim));
        ProbabilityFlow { at, top, ends, steps: Self::STEPS, trace, meter: Meter::default() }
    }

    /// The same flow by so many Runge-Kutta steps, and with another way to the Laplacian if one is given.
    pub fn solved(self, steps: usize, trace: Option<Laplacian>) -> Self {
        ProbabilityFlow { steps, trace: trace.unwrap_or(self.trace), ..self }
    }

    /// How the Laplacian is found.
    pub fn trace(&self) -> Laplacian {
        self.trace
    }

    /// log q at x `[B, ..]`, one estimate a vector of signs or a single one, `[S, B]` f64. The signs are those of the
    /// batch number `piece`.
    ///
    /// # Errors
    /// The energy fails.
    pub fn log_probs(&self, x: &Tensor, piece: u64) -> Result<Tensor> {
        let directions = match self.trace {
            Laplacian::Exact => Directions::All,
            Laplacian::Signs(count, key) => {
                let count = count.max(1);
                let shape = [&[count], x.dims()].concat();
                Directions::Signs(count, key.at(piece).rademacher(shape, x.dtype(), x.device())?.flatten(0, 1)?)
            }
        };
        let [low, high] = self.ends;
        let (top, gained) = self.walk(x, [low, high], &directions)?;
        let log_top = self.top.log_prob(&top)?.detach().to_dtype(DType::F64)?;
        let gained = gained.ok_or_else(|| Error::Other("a walk without its trace".into()))?;
        Ok(gained.broadcast_add(&log_top)?)
    }

    /// The end of the path through x from one ln σ to another, and ∫ σ²ΔE du along it, `[S, B]` f64.
    fn walk(&self, x: &Tensor, [from, to]: [f64; 2], directions: &Directions) -> Result<(Tensor, Option<Tensor>)> {
        let h = (to - from) / self.steps as f64;
        let mut x = x.detach();
        let mut gained: Option<Tensor> = None;
        for i in 0..self.steps {
            let u = from + h * i as f64;
            let first = self.slope(&x, u, directions)?;
            let second = self.slope(&(&x + (&first.0 * (0.5 * h))?)?, u + 0.5 * h, directions)?;
            let third = self.slope(&(&x + (&second.0 * (0.5 * h))?)?, u + 0.5 * h, directions)?;
            let last = self.slope(&(&x + (&third.0 * h)?)?, u + h, directions)?;
            let mean = |a: &Tensor, b: &Tensor, c: &Tensor, d: &Tensor| -> Result<Tensor> {
                Ok((((a + d)? + ((b + c)? * 2.0)?)? * (h / 6.0))?)
            };
            x = (x + mean(&first.0, &second.0, &third.0, &last.0)?)?;
            if let (Some(a), Some(b), Some(c), Some(d)) = (&first.1, &second.1, &third.1, &last.1) {
                let more = mean(a, b, c, d)?;
                gained = Some(gained.map_or(Ok(more.clone()), |sum| sum + &more)?);
            }
        }
        Ok((x, gained))
    }

    /// dx/du at ln σ = u, and the estimates of σ²ΔE there, `[S, B]` f64.
    fn slope(&self, x: &Tensor, u: f64, directions: &Directions) -> Result<(Tensor, Option<Tensor>)> {
        let variance = (2.0 * u).exp();
        let level = |n: usize| Ok::<_, Error>(Tensor::full(u.exp(), n, x.device())?.to_dtype(x.dtype())?);
        let batch = x.dim(0)?;
        let energy = (self.at)(&level(batch)?)?;
        let (grad, bend) = match directions {
            Directions::Nowhere => (energy.grad(x)?.1, None),
            Directions::All => {
                let (_, grad, bend) = energy.laplacian(x)?;
                (grad, Some(bend.unsqueeze(0)?))
            }
            Directions::Signs(count, v) => {
                let copies = Tensor::cat(&vec![x; *count], 0)?;
                let [_, _, bend] = (self.at)(&level(count * batch)?)?.curvature(&copies, v)?;
                (energy.grad(x)?.1, Some(bend.reshape((*count, batch))?))
            }
        };
        let bend = bend.map(|bend| bend.detach().to_dtype(DType::F64)?.affine(variance, 0.0)).transpose()?;
        Ok((grad.detach().affine(variance, 0.0)?, bend))
    }
}

impl Energy for ProbabilityFlow {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.log_prob(x)?.neg()?)
    }

    fn grad(&self, _: &Tensor) -> Result<(Tensor, Tensor)> {
        Err(without_slope())
    }

    fn directional(&self, _: &Tensor, _: &Tensor) -> Result<(Tensor, Tensor)> {
        Err(without_slope())
    }

    fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
        Err(without_slope())
    }

    fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        Err(without_slope())
    }
}

fn without_slope() -> Error {
    Error::config("the density of a ladder's probability flow is known in value only: chains cannot move on it")
        .hint("move them on the model itself (--set sampler.space=data)")
}

impl Density for ProbabilityFlow {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.log_probs(x, 0)?.mean(0)?.to_dtype(x.dtype())?)
    }

    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        let [low, high] = self.ends;
        Ok(self.walk(&self.top.sample(key, n)?, [high, low], &Directions::Nowhere)?.0)
    }
}

impl Proposal for ProbabilityFlow {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        self.sample(key, n)
    }

    /// The density where the trace is exact: with signs log q is an estimate, and neither jumps that are accepted by
    /// its ratios nor weights made of it would be right.
    fn density(&self) -> Option<&dyn Density> {
        matches!(self.trace, Laplacian::Exact).then_some(self as &dyn Density)
    }

    fn is_dear(&self) -> bool {
        true
    }

    fn take_spent(&self) -> Spent {
        self.meter.take()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::density::Gaussian;
    use crate::density::known::Known;
    use crate::math::stats;

    const CPU: Device = Device::Cpu;

    fn list(x: &Tensor) -> Vec<f64> {
        x.to_vec1().unwrap()
    }

    /// The flow of the exact energies of a mixture between two levels, from its exact density at the higher one.
    fn flow(known: &Known, sigmas: [f64; 2]) -> ProbabilityFlow {
        let (top, dim) = (Box::new(known.under(sigmas[1])), known.moments().0.elem_count());
        let known = known.clone();
        let at = move |sigma: &Tensor| Ok(Box::new(known.at(sigma)) as Box<dyn Energy>);
        ProbabilityFlow::new(Arc::new(at), top, sigmas, dim)
    }

    /// The same from the normal density with the mixture's mean and mean variance, as a model has it.
    fn from_normal(known: &Known, sigmas: [f64; 2]) -> ProbabilityFlow {
        let (mean, variance) = known.moments();
        let log_std = Tensor::new(&[0.5 * (variance + sigmas[1] * sigmas[1]).ln()], &CPU).unwrap();
        ProbabilityFlow { top: Box::new(Gaussian::on(&mean, &log_std)), ..flow(known, sigmas) }
    }

    fn mean_error(found: &Tensor, exact: &[f64]) -> f64 {
        stats::mean(&list(found).iter().zip(exact).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>())
    }

    /// The four modes of the leaderboard, and two modes 11 standard deviations apart in 16 coordinates.
    fn beds() -> [(Known, f64); 2] {
        let corner = |k: usize| [k & 1, k >> 1].map(|bit| if bit == 1 { 3.0 } else { -3.0 }).to_vec();
        let plane = Known::new(&(0..4).map(corner).collect::<Vec<_>>(), &[0.1, 0.2, 0.3, 0.4], 0.7);
        let far = Known::new(&[vec![-1.4; 16], vec![1.4; 16]], &[0.8, 0.2], 1.0);
        [(plane, 1e-3), (far, 3e-3)]
    }

    /// Draws of a mixture under noise σ with their log-densities.
    fn drawn(known: &Known, sigma: f64, n: usize) -> (Tensor, Vec<f64>) {
        let x = known.draws(Key::new(3), n, sigma);
        let level = Tensor::full(sigma, n, &CPU).unwrap();
        let exact = list(&known.at(&level).energy(&x).unwrap().neg().unwrap());
        (x, exact)
    }

    #[test]
    fn with_exact_energies_the_density_is_the_closed_form() {
        for (known, within) in beds() {
            let (x, exact) = drawn(&known, 0.05, 1000);
            let mean = mean_error(&flow(&known, [0.05, 40.0]).log_prob(&x).unwrap(), &exact);
            assert!(mean < within && mean > 0.0, "mean error {mean} nats");
            // Half as many steps are some sixteen times as wrong: the method is of fourth order.
            let coarse = flow(&known, [0.05, 40.0]).solved(16, None);
            let coarse = mean_error(&coarse.log_prob(&x).unwrap(), &exact);
            assert!(coarse > 4.0 * mean, "{coarse} and {mean}");
            // What the normal density at the top leaves out.
            let normal = mean_error(&from_normal(&known, [0.05, 40.0]).log_prob(&x).unwrap(), &exact);
            assert!(normal > mean && normal < 10.0 * within, "{normal}");
        }
    }

    #[test]
    fn random_signs_have_the_mean_of_the_exact_trace_and_a_small_error() {
        let (known, _) = &beds()[1];
        let (x, _) = drawn(known, 0.05, 60);
        let exact = list(&flow(known, [0.05, 40.0]).log_prob(&x).unwrap());
        let signs = flow(known, [0.05, 40.0]).solved(32, Some(Laplacian::Signs(6, Key::new(8))));
        let found = signs.log_probs(&x, 0).unwrap();
        assert_eq!(found.dims(), [6, 60]);
        let rows = found.to_vec2::<f64>().unwrap();
        let off: Vec<f64> = rows.iter().flat_map(|row| row.iter().zip(&exact).map(|(a, b)| a - b)).collect();
        let (mean, error, spread) = (stats::mean(&off), stats::std_error(&off), stats::std(&off));
        // An item's error is .6 nats here; with normal vectors it would be 20.
        assert!(mean.abs() < 4.0 * error && spread > 0.1 && spread < 2.0, "{mean} ± {error}, spread {spread}");
    }

    /// A Gaussian moves on straight lines: x_T = x √((v + σ_T²)/(v + σ_0²)).
    #[test]
    fn a_gaussian_keeps_its_quantiles_and_its_density() {
        let known = Known::new(&[vec![0.5; 3]], &[1.0], 1.3);
        let (x, exact) = drawn(&known, 0.1, 20);
        let fine = flow(&known, [0.1, 10.0]).solved(200, None);
        for (found, exact) in list(&fine.log_prob(&x).unwrap()).iter().zip(&exact) {
            assert!((found - exact).abs() < 1e-6, "{found} and {exact}");
        }
        let [low, high] = fine.ends;
        let (end, _) = fine.walk(&x, [low, high], &Directions::Nowhere).unwrap();
        let stretch = ((1.69f64 + 100.0) / (1.69 + 0.01)).sqrt();
        let want = x.affine(1.0, -0.5).unwrap().affine(stretch, 0.5).unwrap();
        let gap = (end - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(gap < 1e-5, "{gap}");
    }

    #[test]
    fn draws_have_the_weights_of_the_modes_and_lead_back_to_where_they_began() {
        let (known, _) = &beds()[0];
        let flow = flow(known, [0.05, 40.0]);
        let x = flow.sample(Key::new(5), 4000).unwrap();
        let right: Vec<f64> = list(&x.narrow(1, 0, 1).unwrap().squeeze(1).unwrap());
        let share = right.iter().filter(|x| **x > 0.0).count() as f64 / 4000.0;
        assert!((share - 0.6).abs() < 4.0 * (0.24f64 / 4000.0).sqrt(), "{share}");
        let [low, high] = flow.ends;
        let (top, _) = flow.walk(&x, [low, high], &Directions::Nowhere).unwrap();
        let gap = (top - flow.top.sample(Key::new(5), 4000).unwrap()).unwrap().abs().unwrap();
        let gap = list(&gap.flatten_all().unwrap());
        assert!(stats::mean(&gap) < 0.01, "{}", stats::mean(&gap));
        assert!(flow.grad(&x).is_err() && flow.density().is_some());
        let guessed = flow.solved(4, Some(Laplacian::Signs(4, Key::new(1))));
        assert!(guessed.density().is_none(), "an estimate is no density that a chain may jump by");
    }
}
