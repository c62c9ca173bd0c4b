//! A small configuration that has one of everything: what the tests of messages and the fuzzer resolve against.

use ebm::config::{Schema, Section, SectionKind, rule};
use serde::{Deserialize, Serialize};

/// A value with a few names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Swish,
    Softplus,
    Relu,
}

ebm::config! {
    /// Keys above the first section.
    pub struct Top {
        /// Seed of all randomness.
        seed: u64 = 0;
        /// cpu, cuda:0 or auto.
        device: String = "cpu".into();
    }
}

ebm::config! {
    /// Training.
    pub struct Train {
        /// Model updates.
        steps: u64 = 1000, rule::at_least(1);
        /// Rows in a batch.
        batch_size: usize = 100, rule::at_least(1);
        /// Stop at this value of the loss.
        target: Option<f64> = None;
    }
}

ebm::config! {
    /// Points on a grid of Gaussians.
    pub struct Grid {
        /// Standard deviation of each.
        std: f64 = 0.1, rule::positive;
    }
}

ebm::config! {
    /// Rings.
    pub struct Rings {
        /// How many.
        rings: usize = 4, rule::at_least(1);
        /// Noise around them.
        noise: f64 = 0.08, rule::non_negative;
    }
}

ebm::config! {
    /// A file.
    pub struct File {
        /// Where it lies.
        path: String = String::new(), |p: &String| p.is_empty().then(|| "must be given".to_owned());
    }
}

ebm::config! {
    /// A perceptron.
    pub struct Mlp {
        /// Widths of the hidden layers.
        hidden: Vec<usize> = vec![64, 64], rule::sizes;
        /// Between the layers.
        activation: Activation = Activation::Swish;
        /// Whether weights are divided by their spectral norm.
        spectral_norm: bool = false;
    }
}

ebm::config! {
    /// A single linear map.
    pub struct Linear {
        /// Whether it has an offset.
        bias: bool = true;
    }
}

ebm::config! {
    /// Learned Stein discrepancy.
    pub struct Lsd {
        /// Critic updates for each model update.
        critic_steps: usize = 5, rule::at_least(1);
        /// Weight of the penalty.
        lambda: f64 = 10.0, rule::positive;
        /// Decay rates of Adam.
        betas: [f64; 2] = [0.5, 0.9], rule::rates;
    }
    parts {
        /// The critic.
        critic: "mlp" of nets;
    }
}

ebm::config! {
    /// Contrastive divergence.
    pub struct Cd {
        /// Steps of the chain.
        k: usize = 1, rule::at_least(1);
    }
    parts {
        /// The chain.
        chain: "sgld" of samplers;
    }
}

ebm::config! {
    /// What every sampler has.
    pub struct Chain {
        /// Steps of each chain.
        steps: usize = 60, rule::at_least(1);
        /// Clip at this norm; none if left out.
        clip: Option<f64> = None;
    }
}

ebm::config! {
    /// Tempered Langevin.
    pub struct Sgld {
        /// Size of a step.
        step_size: f64 = 1.0, rule::positive;
        /// Standard deviation of the noise.
        noise: f64 = 0.01, rule::non_negative;
    }
}

ebm::config! {
    /// Metropolis-adjusted Langevin.
    pub struct Mala {
        /// Size of a step.
        step_size: f64 = 0.1, rule::positive;
    }
}

ebm::config! {
    /// Grid likelihood.
    pub struct Nll {
        /// Steps between two runs.
        every: u64 = 100, rule::at_least(1);
        /// Points along each axis.
        grid: usize = 200, rule::at_least(2);
    }
}

ebm::config! {
    /// A sample grid.
    pub struct Samples {
        /// Steps between two runs.
        every: u64 = 500, rule::at_least(1);
    }
    parts {
        /// Draws them.
        sampler: "sgld" of samplers;
    }
}

pub fn datasets() -> Vec<(&'static str, Schema)> {
    vec![("8gaussians", Schema::of::<Grid>()), ("rings", Schema::of::<Rings>()), ("file", Schema::of::<File>())]
}

pub fn nets() -> Vec<(&'static str, Schema)> {
    vec![("mlp", Schema::of::<Mlp>()), ("linear", Schema::of::<Linear>())]
}

pub fn methods() -> Vec<(&'static str, Schema)> {
    vec![("lsd", Schema::of::<Lsd>()), ("cd", Schema::of::<Cd>())]
}

pub fn samplers() -> Vec<(&'static str, Schema)> {
    vec![("sgld", Schema::of::<(Sgld, Chain)>()), ("mala", Schema::of::<(Mala, Chain)>())]
}

pub fn probes() -> Vec<(&'static str, Schema)> {
    vec![("nll", Schema::of::<Nll>()), ("samples", Schema::of::<Samples>())]
}

/// Everything that the configuration may hold.
pub fn sections() -> Vec<Section> {
    use SectionKind::{List, Named, Plain};
    let section = |key, kind| Section { key, kind };
    vec![
        section("", Plain(Schema::of::<Top>())),
        section("dataset", Named { rows: datasets, default: None }),
        section("model", Named { rows: nets, default: Some("mlp") }),
        section("method", Named { rows: methods, default: None }),
        section("sampler", Named { rows: samplers, default: Some("sgld") }),
        section("train", Plain(Schema::of::<Train>())),
        section("probe", List { rows: probes }),
    ]
}
