//! The densities that noise-contrastive estimation tells data from: log p is known, and exact draws are too.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::config::{Spec, rule};
use crate::data::{Data, Split};
use crate::density::{Context, Density, GaussianConfig, Model, Proposal, Stored};
use crate::math::linalg;
use crate::methods::part::{Part, fitting};
use crate::methods::{self, Setup, Standing};
use crate::store::{State, checkpoint::sha256, put};
use crate::{Error, Result, ops, rng::Key};

/// The number of data items from which the noise takes its moments; they are always the same ones.
const ITEMS: usize = 10_000;

/// The standard deviation whose square is added to the variance along every direction, so that constant pixels do no
/// harm.
const MIN_STD: f64 = 1e-3;

/// The density with which data are contrasted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseChoice {
    /// The normal density N(μ, diag σ²) with the data's moments (released LSD code).
    #[default]
    Diagonal,
    /// The normal density N(μ, Σ) with the data's mean and covariance (Gutmann & Hyvärinen): much closer to correlated
    /// data.
    Full,
    /// The density of the model `noise_model`, as it is built.
    Model,
    /// The density that another run learned, out of its checkpoint `noise_ckpt`.
    Checkpoint,
}

crate::config! {
    /// Keys of methods that contrast data with a known density.
    pub struct NoiseConfig {
        /// ν, draws of that density for each data item.
        noise_ratio: usize = 1, rule::at_least(1);
        /// The known density: "diagonal" or "full" (normal, with the data's moments), "model" (`noise_model`,
        /// untrained) or "checkpoint" (`noise_ckpt`). Its tails must not be lighter than the model's.
        noise: NoiseChoice = NoiseChoice::Diagonal;
        /// With noise = "checkpoint": a checkpoint, or the folder of its run, whose model has a known normaliser (a
        /// flow, a Gaussian), or whose method keeps a density beside its energy (`flow_mcmc`, the methods on a
        /// `ladder`).
        noise_ckpt: String = String::new();
    }
    parts {
        /// With noise = "model": a model with a known normaliser, not trained.
        noise_model: "gaussian" of crate::density::schemas;
    }
}

/// A fixed density on items of the data's shape. It is a function of the data, the key and the checkpoint that it came
/// from: a state keeps the hash of the last, so that a run goes on beside the density that it began with.
pub(in crate::methods) enum NoiseDensity {
    /// The normal density N(μ, diag σ²), or any model.
    Built(Box<Model>),
    /// The normal density N(μ, Σ) with a full covariance Σ.
    Full(FullGaussian),
    /// The density of a checkpoint.
    Learned(Learned),
}

/// The density of a checkpoint: of its model, or of what its method keeps beside the energy.
pub(in crate::methods) struct Learned {
    density: Box<dyn Proposal>,
    path: String,
    /// The first 12 hexadecimal digits of the sha256 of the weights, as an integer, which f64 holds.
    hash: Tensor,
}

/// A normalised model as a proposal.
struct Normalised(Model);

impl Proposal for Normalised {
    fn draw(&self, key: Key, n: usize) -> Result<Tensor> {
        self.0.density().ok_or_else(|| unnormalised("noise"))?.sample(key, n)
    }

    fn density(&self) -> Option<&dyn Density> {
        self.0.density()
    }
}

impl Learned {
    /// # Errors
    /// The file is no good checkpoint, it is of other items, or nothing in it is a known density.
    fn load(path: &str, data: &Data) -> Result<Self> {
        let file = Path::new(path);
        let stored = Stored::load(file, data.device())?;
        let (own, its) = (stored.data.spec(), data.spec());
        if own.shape != its.shape || own.image != its.image || stored.data.rescaling() != data.rescaling() {
            let (was, is) = (stored.data.in_words(), data.in_words());
            let what = format!("it is of items {:?} ({was}), and these are {:?} ({is})", own.shape, its.shape);
            return Err(Error::checkpoint(file, what, "give one of a run on the data of this run"));
        }
        let hash = hash(&stored.weights)?;
        let name = stored.section("model").name().to_owned();
        let density = match stored.model.density().is_some() {
            true => Some(Box::new(Normalised(stored.model)) as Box<dyn Proposal>),
            false => beside(stored, data.device())?.filter(|proposal| proposal.density().is_some()),
        };
        let Some(density) = density else {
            let what = format!(
                "neither its model `{name}` nor what its method keeps has a known normaliser (the flow of a `ladder` \
                 has one for items of up to 32 numbers)"
            );
            let remedy = "give one of a run that trained a flow, such as method `ml` or `flow_mcmc`";
            return Err(Error::checkpoint(file, what, remedy));
        };
        Ok(Learned { density, path: path.to_owned(), hash })
    }

    fn known(&self) -> Result<&dyn Density> {
        self.density.density().ok_or_else(|| unnormalised("noise"))
    }
}

/// What the method of a checkpoint keeps beside its energy.
fn beside(stored: Stored, device: &Device) -> Result<Option<Box<dyn Proposal>>> {
    let (model, method) = (stored.section("model"), stored.section("method").completed(methods::schemas));
    let mut state = stored.state;
    put(&mut state, "model", stored.weights);
    let spec = stored.data.spec();
    let standing = Standing { shape: &spec.shape, model: &model, classes: spec.classes, state: &state, device };
    methods::proposal(&method, &standing)
}

/// The hash of [`Learned`], of weights by name.
fn hash(weights: &State) -> Result<Tensor> {
    let mut bytes = Vec::new();
    for (name, tensor) in weights {
        bytes.extend(name.as_bytes());
        let values: Vec<f64> = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
    let digits = sha256(&bytes);
    let number = digits.get(..12).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
    Ok(Tensor::new(number as f64, &Device::Cpu)?)
}

/// The name of the hash in the state.
const HASH: &str = "noise:hash";

impl Part for NoiseDensity {
    fn save(&self, state: &mut State) -> Result<()> {
        if let NoiseDensity::Learned(learned) = self {
            state.insert(HASH.into(), learned.hash.clone());
        }
        Ok(())
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.check(state)
    }

    /// # Errors
    /// The run began beside another density than the checkpoint gives now.
    fn check(&self, state: &State) -> Result<()> {
        let NoiseDensity::Learned(learned) = self else { return Ok(()) };
        let began = fitting(state, HASH, &learned.hash)?.to_scalar::<f64>()?;
        if began == learned.hash.to_scalar::<f64>()? {
            return Ok(());
        }
        let remedy = "put the checkpoint that the run began with there, or begin a new run";
        Err(Error::checkpoint(Path::new(&learned.path), "its weights are not those that this run began beside", remedy))
    }
}

impl NoiseDensity {
    /// The density that the keys name, of the data of a method's setup.
    ///
    /// # Errors
    /// The data have no such density, the model no known normaliser, or the checkpoint is of no use.
    pub(in crate::methods) fn new(config: &NoiseConfig, setup: &Setup) -> Result<Self> {
        let NoiseConfig { noise, noise_ckpt, noise_model, .. } = config;
        if noise_ckpt.is_empty() == (*noise == NoiseChoice::Checkpoint) {
            return Err(Error::config("`noise = \"checkpoint\"` and `noise_ckpt` belong together")
                .at(if noise_ckpt.is_empty() { "noise" } else { "noise_ckpt" })
                .hint("--set method.noise=checkpoint --set method.noise_ckpt=runs/flow"));
        }
        match noise {
            NoiseChoice::Diagonal => Self::diagonal(setup.data),
            NoiseChoice::Full => Self::full(setup.data),
            NoiseChoice::Model => Self::model(noise_model, setup.data, setup.key.with("noise")),
            NoiseChoice::Checkpoint => Ok(NoiseDensity::Learned(Learned::load(noise_ckpt, setup.data)?)),
        }
    }

    /// The normal density with the data's mean and standard deviation in every coordinate.
    pub(in crate::methods) fn diagonal(data: &Data) -> Result<Self> {
        let config = GaussianConfig { from_data: true, ..GaussianConfig::default() };
        Self::model(&Spec::of("gaussian", &config), data, Key::new(0))
    }

    /// The normal density with the data's mean and covariance.
    pub(in crate::methods) fn full(data: &Data) -> Result<Self> {
        Ok(NoiseDensity::Full(FullGaussian::of(data)?))
    }

    /// A model with a known normaliser, as it is built, without training.
    ///
    /// # Errors
    /// The model's normaliser is unknown.
    pub(in crate::methods) fn model(spec: &Spec, data: &Data, key: Key) -> Result<Self> {
        let context = Context {
            shape: data.spec().shape.clone(),
            classes: data.spec().classes,
            moments: Some(&|| data.mean_std(ITEMS)),
        };
        let model = Model::new(spec, &context, key, DType::F32, data.device())?;
        match model.density() {
            Some(_) => Ok(NoiseDensity::Built(Box::new(model))),
            None => Err(unnormalised(spec.name())),
        }
    }

    /// The log-density log p(x), `[N, ..]` -> `[N]`, as a constant.
    pub(in crate::methods) fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            NoiseDensity::Full(normal) => normal.log_prob(x),
            NoiseDensity::Built(model) => {
                Ok(model.density().ok_or_else(|| unnormalised("noise"))?.log_prob(x)?.detach())
            }
            NoiseDensity::Learned(learned) => Ok(learned.known()?.log_prob(x)?.detach()),
        }
    }

    /// The draws, `[n, ..]`.
    pub(in crate::methods) fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        match self {
            NoiseDensity::Full(normal) => normal.sample(key, n),
            NoiseDensity::Built(model) => {
                Ok(model.density().ok_or_else(|| unnormalised("noise"))?.sample(key, n)?.detach())
            }
            NoiseDensity::Learned(learned) => Ok(learned.known()?.sample(key, n)?.detach()),
        }
    }
}

fn unnormalised(name: &str) -> Error {
    Error::config(format!("`method.noise_model` must know its normaliser, and model `{name}` does not"))
        .at("noise_model")
        .hint("choose `gaussian`, `ica` or a flow, or set `method.noise = \"full\"`")
}

/// The normal density N(μ, Σ), by the Cholesky factor L of Σ = LLᵀ. It is no [`crate::density::Density`]: that asks for
/// derivatives in x as well, and noise-contrastive estimation needs values and draws alone.
pub(in crate::methods) struct FullGaussian {
    /// The mean μ, `[1, D]`.
    mean: Tensor,
    /// The inverse L⁻¹, `[D, D]`: z = L⁻¹(x - μ) is standard normal.
    whiten: Tensor,
    /// The factor L, `[D, D]`.
    factor: Tensor,
    /// The log-normaliser log det L + (D/2) log 2π.
    log_normaliser: f64,
    shape: Vec<usize>,
}

impl FullGaussian {
    fn of(data: &Data) -> Result<Self> {
        let x = linalg::to_host(&data.all(Split::Train, ITEMS)?.x.flatten_from(1)?)?;
        if x.nrows() < 2 {
            return Err(Error::config(format!("a covariance needs two items, not {}", x.nrows())));
        }
        let mean = DVector::from_fn(x.ncols(), |i, _| x.column(i).mean());
        let centred = DMatrix::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] - mean[j]);
        let covariance = centred.tr_mul(&centred) / (x.nrows() as f64 - 1.0);
        Self::new(&mean, covariance, &data.spec().shape, data.device())
    }

    fn new(mean: &DVector<f64>, mut covariance: DMatrix<f64>, shape: &[usize], device: &Device) -> Result<Self> {
        (0..mean.len()).for_each(|i| covariance[(i, i)] += MIN_STD * MIN_STD);
        let factor = covariance.cholesky().map(|c| c.l()).ok_or_else(degenerate)?;
        let whiten = factor.clone().try_inverse().ok_or_else(degenerate)?;
        let log_det: f64 = factor.diagonal().iter().map(|v| v.ln()).sum();
        let row = DMatrix::from_row_slice(1, mean.len(), mean.as_slice());
        let tensor = |m: &DMatrix<f64>| linalg::to_tensor(m, DType::F32, device);
        Ok(FullGaussian {
            mean: tensor(&row)?,
            whiten: tensor(&whiten)?,
            factor: tensor(&factor)?,
            log_normaliser: log_det + 0.5 * mean.len() as f64 * std::f64::consts::TAU.ln(),
            shape: shape.to_vec(),
        })
    }

    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        let z = ops::linear(&x.flatten_from(1)?.broadcast_sub(&self.mean)?, &self.whiten, None)?;
        Ok(z.sqr()?.sum(1)?.affine(-0.5, -self.log_normaliser)?)
    }

    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        let z = key.normal((n, self.mean.dim(1)?), DType::F32, self.mean.device())?;
        let x = ops::linear(&z, &self.factor, None)?.broadcast_add(&self.mean)?;
        Ok(x.reshape([&[n], self.shape.as_slice()].concat())?)
    }
}

fn degenerate() -> Error {
    Error::config("the data's covariance is not positive definite, so that no normal density has it")
        .at("noise")
        .hint("set `method.noise = \"diagonal\"`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::stats;

    /// E[-log p] of the draws is the entropy, ½ log det(2πe Σ), and log p is that of the formula.
    #[test]
    fn a_full_normal_is_normalised_and_draws_from_itself() {
        let covariance = DMatrix::from_row_slice(2, 2, &[2.0, 1.2, 1.2, 1.0]);
        let mean = DVector::from_row_slice(&[1.0, -3.0]);
        let normal = FullGaussian::new(&mean, covariance.clone(), &[2, 1], &Device::Cpu).unwrap();
        let ridged = covariance + DMatrix::identity(2, 2) * MIN_STD * MIN_STD;
        let x = normal.sample(Key::new(1), 20_000).unwrap();
        assert_eq!(x.dims(), [20_000, 2, 1]);
        let log_p = normal.log_prob(&x).unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        let log_det = (ridged.determinant() * std::f64::consts::TAU.powi(2)).ln();
        let z = (stats::mean(&log_p) + 0.5 * (log_det + 2.0)) / stats::std_error(&log_p);
        assert!(z.abs() < 4.0, "z = {z}");
        let rows = x.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        let inverse = ridged.try_inverse().unwrap();
        for (row, have) in rows.iter().zip(&log_p).take(20) {
            let d = DVector::from_iterator(2, row.iter().map(|v| f64::from(*v))) - &mean;
            let want = -0.5 * ((d.transpose() * &inverse * &d)[0] + log_det);
            assert!((have - want).abs() < 1e-5 * (1.0 + want.abs()), "{have} and {want}");
        }
    }
}
