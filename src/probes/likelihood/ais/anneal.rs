//! Walks along a path from a normalised base to an energy: annealed importance sampling (Neal 2001),
//! its reverse (Grosse, Ghahramani & Adams 2015), and the walks of RAISE (Burda, Grosse & Salakhutdinov 2015).

use std::time::{Duration, Instant};

use candle_core::Tensor;
use indicatif::HumanDuration;
use serde::{Deserialize, Serialize};

use super::course::{Course, Ends};
use crate::config::rule;
use crate::density::{Density, Energy};
use crate::math::{LogWeights, log_mean_exp};
use crate::probes::support::rows::{CHUNK, in_chunks};
use crate::samplers::{Chain, Hmc, Kernel, Mala, Target};
use crate::{Result, rng::Key};

/// What moves the chains at each temperature; both accept or reject, so that every density of the path stays invariant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// Hamiltonian Monte Carlo.
    #[default]
    Hmc,
    /// Metropolis-adjusted Langevin: one gradient a transition.
    Mala,
}

/// Where the temperatures lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// β_k = k/K.
    Linear,
    /// β_k a logistic function of k from -4 to 4, scaled to [0, 1]: dense at both ends.
    #[default]
    Sigmoid,
}

crate::config! {
    /// Keys of an estimate by annealing.
    pub struct AnnealConfig {
        /// Chains from the base up.
        chains: usize = 100, rule::at_least(2);
        /// Chains from the model down, the other side of the bracket; 0 for none.
        reverse: usize = 100;
        /// Draws from the base of importance sampling without a path; 0 for none.
        draws: usize = 10_000;
        /// K, inverse temperatures from 0 to 1, with one transition at each: 1,000 for a look, 10,000 for a figure.
        temperatures: usize = 1_000, rule::at_least(1);
        /// Where they lie: linear or sigmoid.
        spacing: Spacing = Spacing::Sigmoid;
        /// What moves the chains: hmc or mala.
        transition: Transition = Transition::Hmc;
        /// Leapfrog steps of a transition of hmc: as many gradients.
        leapfrog: usize = 5, rule::at_least(1);
        /// Step size where its adaptation begins, at the base; in coordinates in which a base fitted to data is N(0,
        /// I), or in units of the highest noise level.
        step_size: f64 = 0.3, rule::positive;
        /// Acceptance that a pilot walk adapts the step size to, by the temperatures before each.
        target_accept: f64 = 0.65, rule::rate;
        /// Chains of the pilot walk. Its step sizes are those of all other walks, so that no weight depends on them.
        pilot: usize = 16, rule::at_least(1);
    }
}

/// A path f_β = exp(-U_β) from a normalised f_0 to f = f_1, with a step size for each temperature.
pub struct Annealing<'a> {
    course: Course<'a>,
    config: AnnealConfig,
    betas: Vec<f64>,
    steps: Vec<f64>,
}

/// What a walk of independent chains leaves.
#[derive(Clone)]
pub struct Walk {
    /// Where the chains stand, `[n, ..]`.
    pub x: Tensor,
    /// log w of each: up, E\[w\] = Z; down from draws of the target, E\[w\] = 1/Z.
    pub log_weights: LogWeights,
    /// Mean acceptance at β_1 … β_K.
    pub accept: Vec<f64>,
    /// (β, log of the mean weight up to there), in order of β.
    pub course: Vec<(f64, f64)>,
}

/// Temperatures of the pilot walk after which the time of all walks is known.
const LOOK: usize = 3;

impl<'a> Annealing<'a> {
    /// The geometric path f_0^{1-β} f^β from `base` to `target`, as [`Annealing::along`].
    ///
    /// # Errors
    /// As [`Annealing::along`].
    pub fn new(base: &'a dyn Density, target: &'a dyn Energy, config: &AnnealConfig, key: Key) -> Result<Self> {
        Self::along(Course::Geometric { base, target }, config, key)
    }

    /// Lays out the temperatures and adapts the step sizes by a pilot walk.
    ///
    /// After each transition log ε grows by 0.15 times acceptance minus target, first at the base alone, then along the
    /// path. The released code of Grosse et al. 2015 multiplies ε by 1.02 or 0.98, which lags behind where the path
    /// narrows fast.
    ///
    /// # Errors
    /// An energy that is NaN at draws from the base.
    pub fn along(course: Course<'a>, config: &AnnealConfig, key: Key) -> Result<Self> {
        let betas = betas(config.spacing, config.temperatures);
        let mut path = Annealing { course, config: config.clone(), betas, steps: Vec::new() };
        path.steps = path.adapted(key)?;
        Ok(path)
    }

    /// ε at β_1 … β_K.
    pub fn steps(&self) -> &[f64] {
        &self.steps
    }

    /// n chains from the base to the target: log w = Σ_k log f_{β_k}(x_{k-1}) - log f_{β_{k-1}}(x_{k-1}), x_0 ~ f_0,
    /// and x_k from x_{k-1} by a transition that leaves f_{β_k} invariant. E\[w\] = Z (Neal 2001, eq. 10).
    ///
    /// # Errors
    /// An energy that is NaN where a chain stands.
    pub fn up(&self, key: Key, n: usize) -> Result<Walk> {
        let mut walk = Walk::at(&self.course.base().sample(key.with("base"), n)?, 0.0)?;
        let mut before = 0.0;
        for (k, (&beta, &step)) in self.betas.iter().zip(&self.steps).enumerate() {
            let x = walk.x.detach();
            let ends = self.course.ends(&x)?;
            walk.add(&self.course.fall(&x, ends.as_ref(), before, beta)?, beta);
            walk.moved(self.move_at(key.with("up").at(k as u64), &x, ends.as_ref(), beta, step)?);
            before = beta;
        }
        Ok(walk)
    }

    /// Chains from x down to the base, one for each row: transitions at β_K … β_1, each before its weight
    /// log w += log f_{β_{k-1}} - log f_{β_k}. With x from the target, E\[w\] = 1/Z and -log of their mean lies above
    /// log Z in expectation. For any x, w is f(x)⁻¹ times an unbiased estimate of the density at x of what
    /// [`Annealing::up`] ends in: log f(x) + log w is a lower bound on its logarithm in expectation (Burda et al. 2015,
    /// eq. 9-11).
    ///
    /// # Errors
    /// An energy that is NaN where a chain stands.
    pub fn down(&self, key: Key, x: &Tensor) -> Result<Walk> {
        let mut walk = Walk::at(x, 1.0)?;
        let mut ends = self.course.ends(&x.detach())?;
        let below = std::iter::once(&0.0).chain(&self.betas);
        let path: Vec<_> = self.betas.iter().zip(below).zip(&self.steps).enumerate().collect();
        for (k, ((&beta, &below), &step)) in path.into_iter().rev() {
            walk.moved(self.move_at(key.with("down").at(k as u64), &walk.x.detach(), ends.as_ref(), beta, step)?);
            let x = walk.x.detach();
            // After the last move energies are enough.
            ends = if k == 0 { None } else { self.course.ends(&x)? };
            walk.add(&self.course.fall(&x, ends.as_ref(), beta, below)?, below);
        }
        walk.accept.reverse();
        walk.course.reverse();
        Ok(walk)
    }

    /// Weights f(x)/f_0(x) of n draws from the base: importance sampling without a path.
    ///
    /// # Errors
    /// An energy that is NaN.
    pub fn at_once(&self, key: Key, n: usize) -> Result<LogWeights> {
        let x = self.course.base().sample(key, n)?;
        Ok(LogWeights(in_chunks(&x, CHUNK, |_, rows| self.course.fall(rows, None, 0.0, 1.0))?.concat()))
    }

    fn kernel(&self, step_size: f64) -> Box<dyn Kernel> {
        match self.config.transition {
            Transition::Hmc => Box::new(Hmc { step_size, leapfrog: self.config.leapfrog, jitter: 0.1, scale: None }),
            Transition::Mala => Box::new(Mala { step_size, scale: None }),
        }
    }

    /// One transition that leaves f_β invariant; the share accepted.
    fn move_at(&self, key: Key, x: &Tensor, ends: Option<&Ends>, beta: f64, step: f64) -> Result<(Tensor, f64)> {
        let (energy, chain) = self.course.begin(x, ends, beta)?;
        let (chain, info) = self.kernel(step).step(key, &Target::new(&*energy), &chain)?;
        Ok((chain.x, info.read()?.accept.unwrap_or(1.0)))
    }

    /// Says how long all walks will take, if that is long: the pilot walk's first temperatures took `look`.
    fn foretell(&self, look: Duration) {
        let AnnealConfig { chains, reverse, pilot, temperatures, .. } = self.config;
        let others = (chains + reverse) as f64 / pilot as f64 / self.course.trials() as f64;
        let all = look.mul_f64((1.0 + others) * temperatures as f64 / LOOK as f64);
        if all > Duration::from_secs(60) {
            tracing::info!(
                "ais: {temperatures} temperatures of {pilot} + {chains} + {reverse} chains take about {}; fewer take \
                 less: `ais.temperatures`, `ais.chains`, `ais.reverse`",
                HumanDuration(all)
            );
        }
    }

    fn adapted(&self, key: Key) -> Result<Vec<f64>> {
        /// Transitions at the base before the path: no gradient of the target is taken.
        const WARM: u64 = 300;
        const RANGE: [f64; 2] = [1e-5, 10.0];
        let (base, scale) = (self.course.base(), self.course.scale());
        let mut step = self.config.step_size * scale;
        let adapt = |step: f64, accept: f64| {
            (step * (0.15 * (accept - self.config.target_accept)).exp()).clamp(RANGE[0] * scale, RANGE[1] * scale)
        };
        let mut chain = Chain::at(&base.sample(key.with("base"), self.config.pilot)?);
        for i in 0..WARM {
            let (next, info) = self.kernel(step).step(key.with("warm").at(i), &Target::new(base), &chain)?;
            chain = next;
            step = adapt(step, info.read()?.accept.unwrap_or(1.0));
        }
        let mut x = chain.x;
        let mut steps = Vec::with_capacity(self.betas.len());
        let began = Instant::now();
        for (k, &beta) in self.betas.iter().enumerate() {
            if k == LOOK {
                self.foretell(began.elapsed());
            }
            let (key, trials) = (key.with("pilot").at(k as u64), self.course.trials());
            for trial in 0..trials {
                let key = if trial == 0 { key } else { key.at(trial) };
                // The last trial is a move with the step size that is kept.
                if trial + 1 == trials {
                    steps.push(step);
                }
                let at = x.detach();
                let ends = self.course.ends(&at)?;
                let (next, accept) = self.move_at(key, &at, ends.as_ref(), beta, step)?;
                x = next;
                step = adapt(step, accept);
            }
        }
        Ok(steps)
    }
}

impl Walk {
    /// Chains that stand at x and have weight 1.
    fn at(x: &Tensor, beta: f64) -> Result<Self> {
        let log_weights = LogWeights(vec![0.0; x.dim(0)?]);
        Ok(Walk { x: x.clone(), log_weights, accept: Vec::new(), course: vec![(beta, 0.0)] })
    }

    /// log w += fall for each chain, on the way to β.
    fn add(&mut self, falls: &[f64], beta: f64) {
        self.log_weights.0.iter_mut().zip(falls).for_each(|(w, fall)| *w += fall);
        self.course.push((beta, log_mean_exp(&self.log_weights.0)));
    }

    fn moved(&mut self, (x, accept): (Tensor, f64)) {
        self.x = x;
        self.accept.push(accept);
    }
}

/// log p̂(x) of each row of x, in the coordinates of the path: -E(x) plus the log mean weight of `chains` walks down
/// from x. Below log p(x) in expectation, but for chains that do not mix (Burda et al. 2015, eq. 11).
///
/// # Errors
/// An energy that is NaN where a chain stands.
pub fn raise(path: &Annealing, x: &Tensor, minus_e: &[f64], chains: usize, key: Key) -> Result<Vec<f64>> {
    let n = x.dim(0)? as u32;
    let rows: Vec<u32> = (0..n).flat_map(|i| std::iter::repeat_n(i, chains)).collect();
    let walk = path.down(key, &x.index_select(&Tensor::new(rows, x.device())?, 0)?)?;
    Ok(minus_e.iter().zip(walk.log_weights.0.chunks(chains)).map(|(e, log_w)| e + log_mean_exp(log_w)).collect())
}

/// β_1 … β_K, the last of them 1.
fn betas(spacing: Spacing, k: usize) -> Vec<f64> {
    /// The logistic function is taken from minus to plus this.
    const REACH: f64 = 4.0;
    let logistic = |t: f64| 1.0 / (1.0 + (-t).exp());
    let at = |share: f64| match spacing {
        Spacing::Linear => share,
        Spacing::Sigmoid => {
            let low = logistic(-REACH);
            (logistic(REACH * (2.0 * share - 1.0)) - low) / (1.0 - 2.0 * low)
        }
    };
    (1..=k).map(|i| if i == k { 1.0 } else { at(i as f64 / k as f64) }).collect()
}
