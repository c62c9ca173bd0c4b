//! Energy matching (Balcerak et al. 2025) and equilibrium matching with an energy (Wang & Du 2025): a velocity from
//! noise to data is the slope of one potential.

mod pairs;
mod sweep;

use candle_core::Tensor;

use self::pairs::{Between, Coupling, Velocity};
use self::sweep::{Heat, Sweep};
use super::contrastive_divergence::probability;
use super::learning::readings::{GRAD_NORM, Readings, mean};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::{Schema, decode, rule};
use crate::data::Batch;
use crate::density::{Energy, Model};
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::{Result, ops, rng::Key};

crate::config! {
    /// Keys of the method `energy_matching`.
    pub struct EnergyMatchingConfig {
        /// Steps of the first phase, which learns the velocity alone; they count among `train.steps`.
        matching_steps: u64 = 20000;
        /// Pairs of noise and data: ot (optimal transport within each 256 items of the batch) or independent.
        coupling: Coupling = Coupling::Ot;
        /// What the velocity is: constant (x₁ - x₀), or vanishing at the data (equilibrium matching).
        velocity: Velocity = Velocity::Constant;
        /// Standard deviation of the noise on points between noise and data (images: 0).
        blur: f64 = 0.1, rule::non_negative;
        /// ε, the temperature of the chains at the data: E = V/ε is the energy.
        epsilon: f64 = 0.15, rule::positive;
        /// τ, the time below which chains from noise have temperature 0; from there it rises to ε at time 1.
        tau: f64 = 0.8, below_one;
        /// dt of the chains x ← x - dt ∇V + √(2 ε(t) dt) ξ.
        step_size: f64 = 0.01, rule::positive;
        /// Steps of the chains.
        steps: usize = 200, rule::at_least(1);
        /// Time of the temperature's schedule for a unit of the chains' (released notebook: 0.5; image code: 1).
        pace: f64 = 0.5, rule::positive;
        /// λ, weight of mean V(x⁺) - mean V(x⁻) in the second phase (images: 0.001).
        contrast: f64 = 2.0, rule::non_negative;
        /// Let the velocity's weight fall from 1 at time τ to 0 at the data in the second phase.
        fade: bool = true;
        /// Share of the chains that begin at data; the others begin at noise.
        from_data: f64 = 0.5, probability;
        /// Run the chains from data at the rising temperature too (released image code).
        one_schedule: bool = false;
        /// Share of the negatives, those of the highest V, that are left out (released image code: 0.1).
        trim: f64 = 0.0, below_one;
        /// The contrast counts as this where it is lower (released image code: -0.02); 0 for no floor.
        floor: f64 = 0.0, not_positive;
    }
}

fn below_one(v: &f64) -> rule::Complaint {
    (!(0.0..1.0).contains(v)).then(|| format!("must be at least 0 and below 1, got {v}"))
}

fn not_positive(v: &f64) -> rule::Complaint {
    (*v > 0.0).then(|| format!("must be at most 0, got {v}"))
}

/// The method `energy_matching`: first minimises mean |∇V(x_t) + x₁ - x₀|²/D at points between noise and data, then
/// that with λ (mean V(x⁺) - mean V(x⁻)), x⁻ the ends of chains down V. With `velocity = "vanishing"`, independent
/// pairs and no second phase it is EqM-E.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: "energy_matching",
    about: "one potential whose slope carries noise to data, then contrastive divergence near the data (model \
            `potential`); with vanishing velocities EqM-E",
    cite: "Balcerak, Amiranashvili, Terpin, Shit, Bogensperger, Kaltenbach, Koumoutsakos, Menze 2025, \"Energy \
           Matching: Unifying Flow Matching and Energy-Based Models for Generative Modeling\"; arXiv 2504.10612; \
           vanishing velocities: Wang & Du 2025, \"Equilibrium Matching\"; arXiv 2510.02300",
    schema: Schema::of::<EnergyMatchingConfig>(),
    numbers: &[
        Number::new("matching", Unit::Plain, "mean |∇V + velocity|²/D, each point with its weight").lower().lead(),
        Number::new("energy", Unit::Nats, "mean energy V/ε of the batch").when("the second phase"),
        Number::gap("energy_gap", "mean energy of the negatives less that of the batch, before `floor`")
            .lead()
            .when("the second phase"),
        GRAD_NORM,
    ],
    cost: Spent { values: 0, gradients: 576 },
    proposal: Some(sweep::proposal),
    init: &[("model", "potential"), ("method.matching_steps", "900")],
    example: r#"[dataset]
name = "moons"

[model]
name = "potential"
net = { name = "mlp", hidden = [8, 8], spectral_norm = true }

[method]
name = "energy_matching"
matching_steps = 4
steps = 3
trim = 0.1
"#,
    build: |table, setup| Ok(Box::new(EnergyMatching::new(decode(table)?, setup)?)),
};

/// V = εE, so that exp(-E) is the density that the paper claims for the samples at temperature ε.
struct EnergyMatching {
    config: EnergyMatchingConfig,
    trained: Trainable<Model>,
}

parts!(EnergyMatching: trained);

impl EnergyMatching {
    fn new(config: EnergyMatchingConfig, setup: Setup) -> Result<Self> {
        Ok(EnergyMatching { config, trained: Trainable::model(setup.model, setup.optim)? })
    }

    /// The losses |∇V + velocity|²/D `[B]` at points between noise and data.
    fn matching(&self, energy: &dyn Energy, at: &Between) -> Result<Tensor> {
        let (_, grad) = energy.grad(&at.x)?;
        let miss = ((grad * self.config.epsilon)? + &at.velocity)?;
        let dim = (miss.elem_count() / miss.dim(0)?.max(1)) as f64;
        Ok(ops::dot(&miss, &miss)?.affine(1.0 / dim, 0.0)?)
    }

    /// The weights of the points in the second phase, `[B]`: 1 up to τ, then falling to 0 at time 1.
    fn faded(&self, time: &Tensor) -> Result<Tensor> {
        let rest = 1.0 / (1.0 - self.config.tau);
        Ok(if self.config.fade { time.affine(-rest, rest)?.minimum(1.0)? } else { time.ones_like()? })
    }

    /// The ends of chains, as many as x⁺ has items: the first from data, the others from noise.
    fn negatives(&self, key: Key, x: &Tensor) -> Result<Tensor> {
        let n = x.dim(0)?;
        let data = ((n as f64 * self.config.from_data).round() as usize).min(n);
        let (sweep, still) = (Sweep::of(&self.config), &self.trained.still);
        let mut ends = Vec::new();
        if data > 0 {
            let heat = if self.config.one_schedule { Heat::Rising } else { Heat::Full };
            ends.push(sweep.run(key.with("data"), still, &x.narrow(0, 0, data)?, heat)?);
        }
        if data < n {
            let shape = [&[n - data], x.dims().get(1..).unwrap_or_default()].concat();
            let noise = key.with("noise").normal(shape, x.dtype(), x.device())?;
            ends.push(sweep.run(key.with("sweep"), still, &noise, Heat::Rising)?);
        }
        Ok(Tensor::cat(&ends, 0)?)
    }

    /// ε (mean E(x⁺) - mean E(x⁻)), a scalar, and the mean energy of the data.
    fn contrast(&self, energy: &dyn Energy, x: &Tensor, negative: &Tensor) -> Result<(Tensor, Tensor)> {
        let (up, mut down) = (energy.energy(x)?, energy.energy(negative)?);
        let n = down.dim(0)?;
        let kept = n - ((n as f64 * self.config.trim) as usize).min(n.saturating_sub(1));
        if kept < n {
            let order = down.detach().arg_sort_last_dim(true)?.narrow(0, 0, kept)?;
            down = down.index_select(&order.contiguous()?, 0)?;
        }
        let gap = ((up.mean_all()? - down.mean_all()?)? * self.config.epsilon)?;
        Ok((gap, mean(&up)?))
    }

    /// The loss of the second phase, with the numbers to report.
    fn second(&self, energy: &Model, at: &Between, x: &Tensor, negative: &Tensor) -> Result<(Tensor, Readings)> {
        let matching = (self.matching(energy, at)? * self.faded(&at.time)?)?.mean_all()?;
        let (gap, on_data) = self.contrast(energy, x, negative)?;
        let readings = Readings::new()
            .with("matching", mean(&matching)?)
            .with("energy", on_data)
            .with("energy_gap", (mean(&gap)? * (-1.0 / self.config.epsilon))?);
        let gap = if self.config.floor < 0.0 { gap.maximum(self.config.floor)? } else { gap };
        Ok(((matching + (gap * self.config.contrast)?)?, readings))
    }
}

impl Method for EnergyMatching {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let x = &only(batches)?.x;
        let EnergyMatchingConfig { coupling, velocity, blur, matching_steps, .. } = self.config;
        let at = Between::new(cx.key.with("between"), x, coupling, velocity, blur)?;
        let (loss, readings) = match cx.step < matching_steps {
            true => {
                let loss = self.trained.in_training(cx, |energy| Ok(self.matching(energy, &at)?.mean_all()?))?;
                let readings = Readings::new().with("matching", mean(&loss)?);
                (loss, readings)
            }
            false => {
                let negative = self.negatives(cx.key.with("negatives"), x)?;
                self.trained.in_training(cx, |energy| self.second(energy, &at, x, &negative))?
            }
        };
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        readings.with("grad_norm", grad_norm).read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn first_phase(&self) -> Option<(&'static str, u64)> {
        Some(("matching_steps", self.config.matching_steps))
    }

    fn advice(&self) -> Vec<String> {
        vec![
            format!("a smaller weight of the contrast (--set method.contrast={})", 0.1 * self.config.contrast),
            "a floor under the contrast (--set method.floor=-0.02)".to_owned(),
        ]
    }
}
