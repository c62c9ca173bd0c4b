//! One energy for all noise levels: the data blurred by N(0, σ²I) for every σ of a ladder.

mod at_level;
mod schedule;

pub use at_level::{beside, by_row};

use std::sync::Arc;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    ANY_ITEMS, Capabilities, Context, Density, Energy, Form, Gaussian, LadderForm, LadderScales, ModelRow,
    NetPotential, OfNet, PotentialForm,
};
use crate::config::{Schema, decode, rule};
use crate::data::Moments;
use crate::nets::{Builder, LEVEL_FEATURES, Network, Pass};
use crate::{Error, Result, rng::Key};
use at_level::{AtLevel, Part};
use schedule::Schedule;

crate::config! {
    /// Keys of the model `ladder`.
    pub struct LadderConfig {
        /// L, the number of noise levels from `sigma_min` to `sigma_max`. Data of neighbouring levels must be hard to
        /// tell apart: more levels for more coordinates.
        levels: usize = 32, rule::at_least(1);
        /// Where the levels between lie: `geometric`, equally far apart in ln σ; `vp`, in the time of a
        /// variance-preserving diffusion, whose items αx + γε are those of the level σ = γ/α in other coordinates, so
        /// that E_VP(x, t) = E(x/α, γ/α) + D ln α (β from 0.1 to 20, Song et al. 2021); `edm`, in σ^(1/7) (Karras et
        /// al. 2022), which puts more of them at the low end.
        schedule: Schedule = Schedule::Geometric;
        /// σ_0, standard deviation of the noise at level 0, in units of model space: the plain energy is that of the
        /// data plus this noise.
        sigma_min: f64 = 0.05, rule::positive;
        /// Standard deviation of the noise at the top; 0 takes three times the data's. There all modes should be one.
        sigma_max: f64 = 0.0, rule::non_negative;
        /// How the network is told the level: `channels`, nine functions of it behind the item's channels, which every
        /// network reads; `layers`, inside: by `time_embedding` in the layers of a `sequential` network, or by a `unet`
        /// with level = true.
        told: Told = Told::Channels;
        /// h: scalar (a number of the network), dot (-⟨f, y⟩) or square (½|f|²), where f is a network from the
        /// standardised item y and its level to items. Those two denoise images better: f itself is part of the score.
        /// Under square, energies grow far from the data; nothing makes exp(-E) integrable under dot.
        form: PotentialForm = PotentialForm::Scalar;
        /// Weight of h where the noise is small: `bounded` (s/s_σ) for data with a density, `growing` (s/σ) for
        /// images, whose scores grow without bound as the noise falls (Karras et al. 2022).
        weight: LevelWeight = LevelWeight::Bounded;
    }
    parts {
        /// The network h, or f: the standardised item and the level -> scalar, or an item.
        net: "mlp" of crate::nets::schemas;
    }
}

/// How the network is told the level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// As further channels of the item.
    #[default]
    Channels,
    /// By its own layers.
    Layers,
}

/// The weight of the network at a level, relative to the one that is right under wide noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LevelWeight {
    /// s/s_σ, 1 at the lowest level.
    #[default]
    Bounded,
    /// s/σ.
    Growing,
}

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "ladder",
    about: "E(x, σ) = w_σ h(y, σ) - log N(x; m, s_σ² I), y = (x - m)/s_σ: the data at every noise level; E(x) is \
            that of the lowest",
    cite: "the levels: Song & Ermon 2019, \"Generative Modeling by Estimating Gradients of the Data Distribution\", \
           NeurIPS; arXiv 1907.05600; the scales: Karras et al. 2022; arXiv 2206.00364",
    schema: Schema::of::<LadderConfig>(),
    init: &[],
    example: "net = { name = \"mlp\", hidden = [5] }",
    items: ANY_ITEMS,
    build: |table, context, builder| Ok(Box::new(Ladder::new(&decode(table)?, context, builder)?)),
};

/// The energy E(x, σ) = w_σ h((x - m)/s_σ, σ) - log N(x; m, s_σ² I) for every level σ of a ladder, where
/// s_σ² = s² + σ² - σ_0². The data's mean m, and s², the mean of their coordinates' variances plus σ_0², are buffers.
/// Under noise much wider than the data the normal density alone is right, and log Z = 0.
///
/// The network reads the standardised item, with functions of the level as channels behind its own or by layers inside.
/// Its weight w_σ is √D s/s_σ, bounded at the low end, where E has a limit for data with a density; or √D s/σ. Where
/// the network gives items and not numbers, its gradient is as large as they are, and there is no √D.
#[derive(Clone)]
struct Ladder {
    net: Arc<NetPotential>,
    /// N(m, s²I), the normal density of level 0.
    base: Arc<Gaussian>,
    /// The mean m, of an item's shape.
    mean: Tensor,
    /// log s, `[1]`.
    log_std: Tensor,
    levels: usize,
    sigma_min: f64,
    sigma_max: f64,
    schedule: Schedule,
    pass: Pass<'static>,
    told: Told,
    /// √D, or 1 where the network gives items.
    gain: f64,
    weight: LevelWeight,
}

/// The shape of what the network reads: items with the level in further channels.
pub fn with_level(shape: &[usize]) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape.iter_mut().take(1).for_each(|channels| *channels += LEVEL_FEATURES);
    shape
}

impl LadderConfig {
    fn network(&self, context: &Context, builder: &Builder) -> Result<NetPotential> {
        let (item, channels) = (&context.shape, self.told == Told::Channels);
        let input = if channels { with_level(item) } else { item.clone() };
        let net = Network::with_level(&self.net, &self.form.io(&input, item), &builder.sub("net"))?;
        if channels || net.reads_level() {
            return Ok(NetPotential::new(net, self.form, item));
        }
        Err(Error::config("no layer of the network reads the level").at("told").hint(
            "put `{ name = \"time_embedding\" }` into the layers of a `sequential` network, take a `unet` with \
             level = true, or set told = \"channels\"",
        ))
    }
}

impl Ladder {
    fn new(config: &LadderConfig, context: &Context, builder: &Builder) -> Result<Self> {
        let &LadderConfig { levels, sigma_min, sigma_max, .. } = config;
        if sigma_max > 0.0 && sigma_max <= sigma_min {
            return Err(Error::config(format!("the top level {sigma_max} is not above level 0, {sigma_min}"))
                .at("sigma_max")
                .hint("raise `sigma_max`, or lower `sigma_min`"));
        }
        let net = config.network(context, builder)?;
        let ones = || Tensor::ones(context.shape.as_slice(), builder.dtype(), builder.device());
        let (mean, variance) = match Gaussian::start(context, builder)? {
            Some(Moments { mean, std, .. }) => (mean, std.sqr()?.mean_all()?),
            None => (ones()?, ones()?.mean_all()?),
        };
        let mean = builder.buffer_at("mean", &mean)?;
        let log_std = ((variance + sigma_min * sigma_min)?.log()? * 0.5)?.reshape(1)?;
        let log_std = builder.buffer_at("log_std", &log_std)?;
        let (net, base) = (Arc::new(net), Arc::new(Gaussian::on(&mean, &log_std)));
        let gain = if config.form == PotentialForm::Scalar { (mean.elem_count() as f64).sqrt() } else { 1.0 };
        let &LadderConfig { schedule, told, weight, .. } = config;
        let pass = Pass::EVAL;
        Ok(Ladder { net, base, mean, log_std, levels, sigma_min, sigma_max, schedule, pass, told, gain, weight })
    }

    /// The levels σ_0 < … < σ_{L-1}, `[L]`.
    fn sigmas(&self) -> Result<Tensor> {
        let like = &self.log_std;
        let top = if self.sigma_max > 0.0 { like.affine(0.0, self.sigma_max.ln())? } else { (like + 3f64.ln())? };
        self.schedule.between(&like.affine(0.0, self.sigma_min.ln())?, &top, self.levels)
    }

    /// The standard deviation at the top, as a logarithm: ½ log(s² + σ_{L-1}² - σ_0²), `[1]`.
    fn top_log_std(&self) -> Result<Tensor> {
        let top = self.sigmas()?.narrow(0, self.levels.saturating_sub(1), 1)?.sqr()?;
        let variance = (top + self.log_std.affine(2.0, 0.0)?.exp()?)?;
        Ok((variance - self.sigma_min * self.sigma_min)?.log()?.affine(0.5, 0.0)?)
    }

    /// The energy at level 0, whole or without its normal density.
    fn lowest(&self, part: Part) -> AtLevel {
        AtLevel { ladder: self.clone(), sigma: None, part }
    }
}

impl Energy for Ladder {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.lowest(Part::Whole).energy(x)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.lowest(Part::Whole).grad(x)
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        self.lowest(Part::Whole).directional(x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        self.lowest(Part::Whole).curvature(x, v)
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        self.lowest(Part::Whole).laplacian(x)
    }
}

impl Capabilities for Ladder {
    fn in_training(&self, key: Key) -> Option<Box<dyn Capabilities>> {
        Some(Box::new(Ladder { pass: Pass::train(key), ..self.clone() }))
    }

    fn at_level(&self, sigma: &Tensor) -> Option<Box<dyn Energy>> {
        Some(Box::new(AtLevel { ladder: self.clone(), sigma: Some(sigma.clone()), part: Part::Whole }))
    }

    fn level_grad(&self, sigma: &Tensor, x: &Tensor) -> Result<Option<[Tensor; 3]>> {
        AtLevel { ladder: self.clone(), sigma: Some(sigma.clone()), part: Part::Whole }.with_slope(x).map(Some)
    }

    fn level_field(&self, sigma: &Tensor, x: &Tensor) -> Result<Option<[Tensor; 2]>> {
        AtLevel { ladder: self.clone(), sigma: Some(sigma.clone()), part: Part::Whole }.field(x)
    }

    fn top(&self) -> Result<Option<Box<dyn Density>>> {
        Ok(Some(Box::new(Gaussian::on(&self.mean, &self.top_log_std()?))))
    }

    fn levels(&self) -> Result<Option<Tensor>> {
        self.sigmas().map(Some)
    }

    fn form(&self) -> Option<Form<'_>> {
        let scales = LadderScales {
            sigmas: self.sigmas().ok()?.to_dtype(DType::F64).ok()?.to_vec1().ok()?,
            lowest: self.sigma_min,
            form: self.net.form(),
            in_channels: self.told == Told::Channels,
            growing: self.weight == LevelWeight::Growing,
            gain: self.gain,
        };
        let ladder = Some(LadderForm { mean: &self.mean, log_std: &self.log_std, scales });
        Some(Form { net: Some(self.net.net()), of_net: OfNet::NUMBER, normal: None, ladder })
    }

    fn after_update(&self) -> Result<()> {
        self.net.net().power_iterate()
    }

    fn calibrate(&self, items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        self.net.net().calibrate(&|| self.lowest(Part::Tilt).input(&items()?))
    }

    fn base(&self) -> Option<&dyn Density> {
        Some(&*self.base)
    }

    fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.base.sample(key, n).map(Some)
    }

    fn tilt(&self) -> Option<Box<dyn Energy + '_>> {
        Some(Box::new(self.lowest(Part::Tilt)))
    }
}
