//! VERA: a generator with an entropy bonus takes the place of the chains (Grathwohl et al. 2021, "No MCMC for me").

pub mod entropy;
pub mod posterior;

use std::path::Path;

use candle_core::{Tensor, Var};

use self::entropy::{Entropy, EntropyConfig};
use super::learning::readings::{GRAD_NORM, Readings, mean, scalar};
use super::learning::supervised::{self, Supervised, SupervisedConfig};
use super::learning::trainable::{Trainable, at_rest};
use super::learning::{flow, likelihood_gap};
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, Standing, StepContext};
use crate::config::{Schema, Spec, decode, rule};
use crate::data::Batch;
use crate::density::{Energy, Generator, GeneratorConfig, Model, Proposal, Stored, energy_of};
use crate::methods::example::example;
use crate::metrics::{Metrics, Number, Spent, Unit, numbers};
use crate::nets::Builder;
use crate::ops;
use crate::{Error, Result};

crate::config! {
    /// Keys of the method `vera`.
    pub struct VeraConfig {
        /// λ, the weight of the generator's entropy. 1 makes the objective a bound on the likelihood; image runs of the
        /// paper use 1e-4; 0 is the ablation without entropy.
        entropy_weight: f64 = 1.0, rule::non_negative;
        /// γ, the weight of ½|∇ₓE|² at the data (paper, images: 0.1).
        gradient_penalty: f64 = 0.0, rule::non_negative;
        /// Weight of mean E(x)² at the data.
        energy_l2: f64 = 0.0, rule::non_negative;
        /// Weight of mean E(x)² at the generator's samples.
        sample_energy_l2: f64 = 0.0, rule::non_negative;
        /// The energy is updated at every so-many-th step.
        energy_every: u64 = 1, rule::at_least(1);
        /// The generator is updated at every so-many-th step.
        generator_every: u64 = 1, rule::at_least(1);
        /// α, the weight of the labels' cross-entropy where the model is a classifier (JEM + VERA; paper: 100); 0
        /// ignores labels.
        classify: f64 = 0.0, rule::non_negative;
        /// β, the weight of the mean entropy of p(y|x) on all items (semi-supervised runs of the paper: 1).
        label_entropy: f64 = 0.0, rule::non_negative;
        /// Use the labels of so many items a class only; 0 uses all.
        labels_per_class: usize = 0;
        /// A checkpoint of a VAE, or of a model that tilts one, whose decoder the generator begins as. With
        /// `entropy_weight = 0` this is the WGAN on a VAE's decoder that Xiao et al. (2021) compare VAEBM with.
        generator_ckpt: String = String::new();
    }
    parts {
        /// The generator g: L numbers -> item.
        generator: "mlp" of crate::nets::schemas;
        /// The generator's optimiser, σ's too.
        generator_optim: "adam" of crate::optim::schemas;
    }
}

/// The keys of the method `vera`.
type Keys = (VeraConfig, GeneratorConfig, EntropyConfig);

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "vera",
    about: "amortised maximum likelihood: a generator with entropy regularisation replaces the Markov chains; with a \
            classifier, JEM",
    cite: "Grathwohl, Kelly, Hashemi, Norouzi, Swersky, Duvenaud 2021, \"No MCMC for me: amortized sampling for fast \
           and stable training of energy-based models\", ICLR, Algorithm 1; arXiv 2010.04230",
    schema: Schema::of::<Keys>(),
    numbers: numbers![
        likelihood_gap::NUMBERS,
        [
            Number::new("gradient_penalty", Unit::Plain, "mean ½|∇ₓE|² at the data").when("gradient_penalty > 0"),
            GRAD_NORM,
        ],
        supervised::NUMBERS_WITH_LABELS,
        entropy::NUMBERS,
        [
            Number::norm("generator_grad_norm", "norm of the generator's gradient, before clipping"),
            Number::new("sigma", Unit::Plain, "σ, the standard deviation of the generator's noise").lead(),
        ]
    ],
    cost: Spent { values: 0, gradients: 640 },
    proposal: Some(proposal),
    // The paper's, for JEM and for images; faster rates and fewer samples for a CPU.
    init: &[
        ("classifier: method.classify", "100.0"),
        ("pictures: method.entropy_weight", "1e-4"),
        ("pictures: method.gradient_penalty", "0.1"),
        // The walls of a density at pixels that hardly change are steep where a new generator draws.
        ("flow: optim.lr", "1e-5"),
        ("flow pictures: dataset.noise", "0.1"),
        ("pictures: method.samples", "5"),
        ("pictures: method.generator_optim.lr", "2e-4"),
        ("pictures: method.generator_optim.betas", "[0.0, 0.9]"),
        ("pictures: optim.lr", "1e-4"),
        ("pictures: optim.betas", "[0.0, 0.9]"),
        ("pictures: dataset.noise", "0.03"),
    ],
    example: example!(
        plane,
        "vera",
        r#"latent = 3
samples = 4
gradient_penalty = 0.1
generator = { name = "mlp", hidden = [8], dropout = 0.2 }
"#
    ),
    build: |table, setup| Ok(Box::new(Vera::new(table, setup)?)),
};

/// The method `vera` (Grathwohl et al. 2021, Algorithm 1). In one step, x⁻ are draws of the generator; the energy
/// descends mean E(x⁺) - mean E(x⁻) + γ mean ½|∇E(x⁺)|² with data x⁺, for a classifier also α times the cross-entropy;
/// then the generator descends mean E(x⁻) - λ H on the updated E, with H its entropy.
struct Vera {
    config: VeraConfig,
    supervised: Option<Supervised>,
    trained: Trainable<Model>,
    generator: Trainable<Generator>,
    log_sigma: Var,
    entropy: Entropy,
}

/// Draws of the generator that show how far from the data it begins.
const REACH: usize = 64;

/// What the energy's loss needs of data.
struct OnData {
    /// The energies E(x), `[B]`.
    energies: Tensor,
    /// The class logits, where p(y|x) is trained.
    logits: Option<Tensor>,
    /// With γ > 0, a scalar whose value is mean ½|∇ₓE|² and whose gradient in the weights is that of it: that of mean
    /// v·∇ₓE, with v = ∇ₓE held constant.
    penalty: Option<Tensor>,
}

impl Vera {
    fn new(table: &toml::Table, setup: Setup) -> Result<Self> {
        let (config, shape, entropy): Keys = decode(table)?;
        let (device, item) = (setup.data.device(), &setup.data.spec().shape);
        let build = |builder: &Builder| Generator::new(&shape, &config.generator, item, builder);
        let generator = Trainable::new(GENERATOR, &config.generator_optim, setup.key.with("generator"), device, build)?;
        let params = generator.params();
        if !config.generator_ckpt.is_empty() {
            let (path, sources) = (Path::new(&config.generator_ckpt), ["decoder.net.", "base.decoder.net."]);
            let remedy = "give `method.generator` and `method.latent` what the VAE's decoder has, whose noise must not \
                          be \"network\"";
            Stored::load(path, device)?.overwrite(&params.below("net."), &sources, path, remedy)?;
        }
        if setup.model.is_flow() {
            flow::check_reach(setup.data, &generator.still.draw(setup.key.with("reach"), REACH)?, "generator")?;
        }
        let log_sigma = params.weights.get(Generator::LOG_SIGMA).cloned();
        let log_sigma = log_sigma.ok_or_else(|| Error::Other("a generator without σ".into()))?;
        let VeraConfig { classify, label_entropy, labels_per_class, .. } = config;
        let labels = SupervisedConfig { classify, label_entropy, labels_per_class };
        let wanted = classify > 0.0 || label_entropy > 0.0;
        Ok(Vera {
            supervised: wanted.then(|| Supervised::new(labels, setup.data)).transpose()?,
            trained: Trainable::model(setup.model, setup.optim)?,
            entropy: Entropy::new(entropy, shape.latent, device)?,
            config,
            generator,
            log_sigma,
        })
    }

    /// Updates the energy on data and samples x⁻.
    fn update_energy(&mut self, cx: &StepContext, batch: &Batch, negative: &Tensor) -> Result<Readings> {
        let (loss, mut metrics) =
            self.trained.in_training(cx, |energy| self.energy_loss(cx, energy, batch, negative))?;
        metrics.set("grad_norm", self.trained.descend(&loss, cx.lr_scale)?);
        Ok(metrics)
    }

    fn energy_loss(
        &self,
        cx: &StepContext,
        energy: &Model,
        batch: &Batch,
        negative: &Tensor,
    ) -> Result<(Tensor, Readings)> {
        let OnData { energies: up, logits, penalty } = self.on_data(cx, energy, &batch.x)?;
        let down = energy.energy(negative)?;
        let mut loss = (up.mean_all()? - down.mean_all()?)?;
        let terms = [(self.config.energy_l2, &up), (self.config.sample_energy_l2, &down)];
        for (weight, energies) in terms.into_iter().filter(|(weight, _)| *weight > 0.0) {
            loss = (loss + (energies.sqr()?.mean_all()? * weight)?)?;
        }
        let (on_data, on_samples) = (mean(&up)?, mean(&down)?);
        let gap = (&on_samples - &on_data)?;
        let mut metrics =
            Readings::new().with("energy", on_data).with("sample_energy", on_samples).with("energy_gap", gap);
        if let Some(penalty) = penalty {
            metrics.set("gradient_penalty", scalar(&penalty)?);
            loss = (loss + (penalty * self.config.gradient_penalty)?)?;
        }
        if let (Some(supervised), Some(logits)) = (&self.supervised, &logits) {
            let (extra, found) = supervised.loss(cx.step, energy, logits, batch)?;
            loss = (loss + extra)?;
            metrics.extend(found);
        }
        Ok((loss, metrics))
    }

    /// What the loss needs of data x, by one pass, or by two with a gradient penalty.
    fn on_data(&self, cx: &StepContext, energy: &Model, x: &Tensor) -> Result<OnData> {
        let labelled = self.supervised.is_some();
        if self.config.gradient_penalty == 0.0 {
            let logits = labelled.then(|| supervised::logits(energy, x)).transpose()?;
            let energies = logits.as_ref().map_or_else(|| energy.energy(x), energy_of)?;
            return Ok(OnData { energies, logits, penalty: None });
        }
        let v = self.trained.still_in_training(cx).grad(x)?.1.detach();
        let (energies, logits, slope) = if labelled {
            let [logits, slope] = supervised::logits_along(energy, x, &v)?;
            (energy_of(&logits)?, Some(logits), slope)
        } else {
            let (energies, slope) = energy.directional(x, &v)?;
            (energies, None, slope)
        };
        let value = (slope.detach().mean_all()? * 0.5)?;
        let slope = slope.mean_all()?;
        Ok(OnData { energies, logits, penalty: Some(((&slope - slope.detach())? + value)?) })
    }

    /// Updates the generator: x⁻, with its graph, moves along λc - ∇E(x⁻), where c is the estimate of -∇ₓ log q(x⁻).
    fn update_generator(&mut self, cx: &StepContext, x: &Tensor, z: &Tensor) -> Result<Readings> {
        let at = x.detach();
        let mut field = self.trained.still.grad(&at)?.1.detach();
        let mut metrics = Readings::new();
        if self.config.entropy_weight > 0.0 {
            let key = cx.key.with("entropy");
            let (c, found) = self.entropy.estimate(key, &self.generator.still, &at, z, cx.lr_scale)?;
            field = (field - (c.detach() * self.config.entropy_weight)?)?;
            metrics.extend(found);
        }
        let loss = ((x * field)?.sum_all()? / x.dim(0)? as f64)?;
        metrics.set("generator_grad_norm", self.generator.descend(&loss, cx.lr_scale)?);
        let [low, high] = self.generator.live.log_sigma_range();
        ops::assign(&self.log_sigma, &self.log_sigma.as_detached_tensor().clamp(low as f32, high as f32)?)?;
        metrics.set("sigma", self.generator.live.sigma()?);
        Ok(metrics)
    }
}

parts!(Vera: trained, generator, entropy);

impl Method for Vera {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let z = self.generator.live.prior(cx.key.with("z"), batch.x.dim(0)?)?;
        let noise = cx.key.with("noise").normal(batch.x.shape(), batch.x.dtype(), batch.x.device())?;
        let x = self.generator.live.render(&z, &noise)?;
        let mut metrics = Readings::new();
        if cx.step.is_multiple_of(self.config.energy_every) {
            metrics.extend(self.update_energy(cx, batch, &x.detach())?);
        }
        if cx.step.is_multiple_of(self.config.generator_every) {
            metrics.extend(self.update_generator(cx, &x, &z)?);
        }
        metrics.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec![
            "a gradient penalty (--set method.gradient_penalty=0.1)".to_owned(),
            "a penalty on the level of the energy (--set method.energy_l2=0.01 --set method.sample_energy_l2=0.01)"
                .to_owned(),
            "an energy that learns more slowly than its generator (--set optim.lr=…)".to_owned(),
        ]
    }
}

/// The name of the generator in the state.
const GENERATOR: &str = "generator";

/// The generator of a run, as a proposal.
fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let (config, shape, _): Keys = decode(&spec.table)?;
    let build = |builder: &Builder| Generator::new(&shape, &config.generator, standing.shape, builder);
    Ok(Box::new(at_rest(GENERATOR, standing, build)?))
}
