//! The learned Stein discrepancy at all levels of a ladder: one energy and one critic, told the level.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::example::example;
use super::learning::levels::{self, Levels, LevelsConfig, Noisy};
use super::learning::readings::{Readings, mean};
use super::learning::trainable::Trainable;
use super::lsd;
use super::part::parts;
use super::{Critic, CriticConfig, Method, MethodRow, Objective, Setup, SteinSample, StepContext};
use crate::config::{Schema, decode, rule};
use crate::data::Batch;
use crate::density::{Energy as _, Model, beside, by_row, with_level};
use crate::metrics::{Metrics, Spent};
use crate::nets::{Io, LEVEL_FEATURES, level_features};
use crate::{Error, Result, rng::Key};

/// What σ tr ∂f/∂x is estimated by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceFrom {
    /// ε·f, ε the noise of the item: their means are one (Stein 1981).
    #[default]
    Noise,
    /// σ ηᵀ(∂f/∂x)η with a random η.
    Probe,
}

crate::config! {
    /// Keys of the method `lsd_ladder`.
    pub struct LsdLadderConfig {
        /// λ, the weight of the penalty λ E|f|² that makes the best critic unique: f* = σ(∇log q - ∇log p)/2λ.
        lambda: f64 = 1.0, rule::positive;
        /// Where the critic's trace comes from: `noise`, since σ tr ∂f/∂x is ε·f in the mean over the noise ε of an
        /// item, or `probe`, Hutchinson's estimate as in LSD, which takes a tangent pass and is far noisier on images.
        trace: TraceFrom = TraceFrom::Noise;
    }
}

const NAME: &str = "lsd_ladder";

/// The method `lsd_ladder`: LSD (Grathwohl et al. 2020, Algorithm 3) of the data under noise of every level of the
/// model, in the coordinates x/σ, so that no level drowns the others. With the score s = -∇E(x, σ), a critic update
/// maximises mean[σs·f + σ tr ∂f/∂x] - λ mean|f|² over critics f(x, σ), a model update minimises mean σs·f. Under
/// noise the discrepancy sees what lies beside the data, which on the data alone it does not; the weights of far modes
/// it leaves to luck, as `dsm_ladder` does.
pub(super) const ENTRY: MethodRow = MethodRow {
    name: NAME,
    about: "learned Stein discrepancy at all noise levels of one energy (model `ladder`), by one critic that is told \
            the level",
    cite: "Grathwohl, Wang, Jacobsen, Duvenaud, Zemel 2020, ICML, Algorithm 3; arXiv 2002.05616; on the levels of \
           Song & Ermon 2019; arXiv 1907.05600",
    schema: Schema::of::<(LsdLadderConfig, CriticConfig, LevelsConfig)>(),
    numbers: lsd::NUMBERS,
    cost: Spent { values: 0, gradients: 512 },
    proposal: Some(levels::flow),
    init: levels::INIT,
    example: example!(
        ladder,
        "lsd_ladder",
        r#"critic_steps = 2
critic = { name = "mlp", hidden = [8, 8], dropout = 0.2, spectral_norm = true }
"#
    ),
    build: |table, setup| Ok(Box::new(LsdLadder::new(decode(table)?, setup)?)),
};

struct LsdLadder {
    trace: TraceFrom,
    critics: CriticConfig,
    levels: Levels,
    trained: Trainable<Model>,
    critic: Critic,
}

/// Items at their levels, and what the critic is given of them.
struct Seen {
    noisy: Noisy,
    /// What the critic's network reads: x/√(1 + σ²), with functions of the level.
    input: Tensor,
    /// Its rate of change by x/σ, `[B]`.
    rate: Tensor,
}

impl Seen {
    fn new(noisy: Noisy) -> Result<Self> {
        let width = noisy.width();
        let scale = width.sqr()?.affine(1.0, 1.0)?.sqrt()?.recip()?;
        let input = beside(&by_row(&noisy.x, &scale)?, &level_features(&noisy.sigma.log()?)?)?;
        let rate = (scale * width)?;
        Ok(Seen { noisy, input, rate })
    }
}

impl LsdLadder {
    fn new(
        (LsdLadderConfig { lambda, trace }, critics, levels): (LsdLadderConfig, CriticConfig, LevelsConfig),
        setup: Setup,
    ) -> Result<Self> {
        let levels = levels.of(&setup.model, NAME)?;
        let item = setup.data.spec().shape.clone();
        let io = Io { input: with_level(&item), output: item };
        let critic = critics.critic(lambda, &io, setup.key.with("critic"), setup.data.device())?;
        Ok(LsdLadder { trace, critics, levels, trained: Trainable::model(setup.model, setup.optim)?, critic })
    }

    /// The items of a batch, each at a level of its own.
    fn see(&self, cx: &StepContext, i: u64, batch: &Batch) -> Result<Seen> {
        let ((x, own), key) = (batch.beneath(), cx.key.at(i));
        let level = self.levels.draw(key.with("levels"), x.dim(0)?, x.device())?;
        let sigma = levels::sigmas(&self.trained.still, NAME)?.index_select(&level, 0)?;
        Seen::new(Noisy::new(key.with("noise"), x, own, &sigma)?)
    }

    /// Updates the critic at the model's present score σs.
    fn update_critic(&mut self, cx: &StepContext, i: u64, seen: &Seen, metrics: &mut Metrics) -> Result<()> {
        let Seen { noisy, input, .. } = seen;
        let slope = levels::at(&self.trained.still, &noisy.sigma, NAME)?.grad(&noisy.x)?.1.detach();
        let score = by_row(&slope, &noisy.width().neg()?)?;
        let key = cx.key.with("critic").at(i);
        let stein = match self.trace {
            TraceFrom::Noise => self.critic.step_towards(key, input, &(score + noisy.noise())?, cx.lr_scale)?,
            TraceFrom::Probe => probed(&mut self.critic, key, seen, &score, cx.lr_scale)?,
        };
        stein.report(metrics);
        Ok(())
    }

    /// Takes one descent step on mean σs·f as a function of the model's parameters, with the critic held constant.
    fn update_model(&mut self, cx: &StepContext, seen: &Seen) -> Result<Metrics> {
        let (noisy, f) = (&seen.noisy, self.critic.value(&seen.input)?);
        let along = by_row(&f, noisy.width())?;
        let (energy, loss) = self.trained.in_training(cx, |model| {
            let (energy, slope) = levels::at(model, &noisy.sigma, NAME)?.directional(&noisy.x, &along)?;
            Ok((energy, slope.mean_all()?.neg()?))
        })?;
        let grad_norm = self.trained.descend(&loss, cx.lr_scale)?;
        Readings::new().with("energy", mean(&energy)?).with("grad_norm", grad_norm).read()
    }
}

/// Takes one ascent step of the critic with Hutchinson's estimate of its trace.
fn probed(critic: &mut Critic, key: Key, seen: &Seen, score: &Tensor, lr_scale: f64) -> Result<SteinSample> {
    let Seen { noisy, input, rate } = seen;
    let probe = critic.noise().draw(key.with("probe"), &noisy.x)?;
    // The level does not move with the item.
    let still = Tensor::zeros((input.dim(0)?, LEVEL_FEATURES), input.dtype(), input.device())?;
    let along = beside(&by_row(&probe, rate)?, &still)?;
    critic.step_along(Objective::Discrepancy, key, [input, &along], [score, &probe], lr_scale)
}

parts!(LsdLadder: trained, critic);

impl Method for LsdLadder {
    fn batches_per_step(&self) -> usize {
        self.critics.critic_steps + 1
    }

    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let (last, critic_batches) =
            batches.split_last().ok_or_else(|| Error::Other("lsd_ladder: a step needs batches".into()))?;
        let mut metrics = Metrics::new();
        for (i, batch) in critic_batches.iter().enumerate() {
            let seen = self.see(cx, i as u64, batch)?;
            self.update_critic(cx, i as u64, &seen, &mut metrics)?;
        }
        let seen = self.see(cx, critic_batches.len() as u64, last)?;
        metrics.extend(self.update_model(cx, &seen)?);
        Ok(metrics)
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            self.critics.advice(),
            "a higher level 0, below which the data have no score (--set model.sigma_min=0.2)".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::config::Spec;
    use crate::methods::Noise;
    use crate::nets::schemas;
    use crate::optim;

    /// In the mean over the noise ε of items, ε·f is σ tr ∂f/∂x (Stein 1981): a critic that has learned by the one sees
    /// the same discrepancy by the other.
    #[test]
    fn a_critic_sees_one_discrepancy_by_both_traces() {
        const N: usize = 8000;
        let net = Spec::of_text(schemas, "mlp", "hidden = [24]").unwrap();
        let adam = Spec::of_text(optim::schemas, "adam", "lr = 0.01").unwrap();
        let io = Io { input: vec![2 + LEVEL_FEATURES], output: vec![2] };
        let mut critic = Critic::on(&net, &adam, 1.0, Noise::Rademacher, &io, Key::new(1), &Device::Cpu).unwrap();
        let seen = |i: u64| {
            let key = Key::new(2).at(i);
            let clean = key.with("x").normal((N, 2), DType::F32, &Device::Cpu).unwrap().sign().unwrap();
            let sigma = key.with("level").uniform(N, DType::F32, &Device::Cpu).unwrap().affine(1.5, 0.3).unwrap();
            Seen::new(Noisy::new(key.with("noise"), &clean, 0.2, &sigma).unwrap()).unwrap()
        };
        // The score of a standard normal density, in the coordinates of each level.
        let score = |seen: &Seen| by_row(&seen.noisy.x.neg().unwrap(), seen.noisy.width()).unwrap();
        let step = |critic: &mut Critic, i: u64, rate: f64| {
            let seen = seen(i);
            let g = (score(&seen) + seen.noisy.noise()).unwrap();
            critic.step_towards(Key::new(3), &seen.input, &g, rate).unwrap().discrepancy
        };
        for i in 0..120 {
            step(&mut critic, i, 1.0);
        }
        let by_noise = step(&mut critic, 1000, 0.0);
        let fresh = seen(1000);
        let by_probe = probed(&mut critic, Key::new(4), &fresh, &score(&fresh), 0.0).unwrap().discrepancy;
        assert!(by_noise > 0.3 && (by_noise - by_probe).abs() < 0.1 * by_noise, "{by_noise} and {by_probe}");
    }
}
