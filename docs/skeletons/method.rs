//! Skeleton of a method with a companion network. Copy it to `src/methods/<name>.rs` and add the row to `METHODS`;
//! `docs/adding-a-method.md` tells the rest.
//!
//! A generator g is trained to reach low energies, and the energy to tell its draws from data (Kim & Bengio 2016,
//! without their entropy term, so that g collapses sooner or later: `vera` is the method to train with).

use candle_core::Tensor;

use super::learning::readings::{GRAD_NORM, Readings, mean};
use super::learning::trainable::{Trainable, at_rest};
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, Standing, StepContext};
use crate::Result;
use crate::config::{Schema, Spec, decode, rule};
use crate::data::Batch;
use crate::density::{Energy, Generator, GeneratorConfig, Model, Proposal};
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::nets::Builder;

crate::config! {
    /// Keys of the method `directed`.
    pub struct DirectedConfig {
        /// Weight of mean E(x)² on data and draws, which keeps the energy's level.
        energy_l2: f64 = 0.0, rule::non_negative;
    }
    parts {
        /// The generator g: L numbers -> item.
        generator: "mlp" of crate::nets::schemas;
        /// The generator's optimiser; `[optim]` is the energy's.
        generator_optim: "adam" of crate::optim::schemas;
    }
}

/// All keys of the method.
type Keys = (DirectedConfig, GeneratorConfig);

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "directed",
    about: "a generator learns to reach low energies, the energy to tell its draws from data",
    // Authors, year, title, and equation or algorithm; empty where it is folklore.
    cite: "Kim & Bengio 2016, \"Deep directed generative models with energy-based probability estimation\"; \
           arXiv 1606.03439",
    schema: Schema::of::<Keys>(),
    // All that `step` may report: two to four of them lead, the guard bounds norms and gaps.
    numbers: &[
        Number::new("energy", Unit::Nats, "mean energy of the batch"),
        Number::gap("energy_gap", "mean energy of the generator's draws minus that of the batch").lead(),
        GRAD_NORM,
        Number::norm("generator_grad_norm", "norm of the generator's gradient, before clipping"),
    ],
    // Eight steps on batches of 16: data and draws for the energy's loss, a gradient at each draw for the generator's.
    cost: Spent { values: 0, gradients: 8 * (2 * 16 + 16) },
    // What a stopped run can be drawn from; `None` for a method that keeps no such thing.
    proposal: Some(proposal),
    // A small experiment; the contract tests train it.
    init: &[],
    example: r#"[dataset]
name = "8gaussians"

[model]
net = { name = "mlp", hidden = [8, 8], dropout = 0.2 }

[method]
name = "directed"
latent = 3
generator = { name = "mlp", hidden = [8] }
"#,
    build: |table, setup| Ok(Box::new(Directed::new(table, setup)?)),
};

/// One step: the energy descends mean E(x) - mean E(g(z)), then the generator descends mean E(g(z)).
struct Directed {
    config: DirectedConfig,
    trained: Trainable<Model>,
    generator: Trainable<Generator>,
}

// All that the next step depends on. A field that is missing here is lost when a run stops.
parts!(Directed: trained, generator);

/// What the generator is called in the state.
const GENERATOR: &str = "generator";

impl Directed {
    fn new(table: &toml::Table, setup: Setup) -> Result<Self> {
        let (config, shape): Keys = decode(table)?;
        let (device, item) = (setup.data.device(), &setup.data.spec().shape);
        // Called twice: for the live network and for its still twin, which follows every update without a graph.
        let build = |builder: &Builder| Generator::new(&shape, &config.generator, item, builder);
        let generator = Trainable::new(GENERATOR, &config.generator_optim, setup.key.with(GENERATOR), device, build)?;
        Ok(Directed { trained: Trainable::model(setup.model, setup.optim)?, config, generator })
    }

    /// The energy's update on data x⁺ and draws x⁻, which are held constant.
    fn update_energy(&mut self, cx: &StepContext, x: &Tensor, drawn: &Tensor) -> Result<Readings> {
        // Dropout is part of this view of the model only; the model that is sampled and saved has none.
        let (up, down) = self.trained.in_training(cx, |energy| Ok((energy.energy(x)?, energy.energy(drawn)?)))?;
        let level = ((up.sqr()?.mean_all()? + down.sqr()?.mean_all()?)? * self.config.energy_l2)?;
        let loss = ((up.mean_all()? - down.mean_all()?)? + level)?;
        let (on_data, on_draws) = (mean(&up)?, mean(&down)?);
        let gap = (on_draws - &on_data)?;
        let norm = self.trained.descend(&loss, cx.lr_scale)?;
        Ok(Readings::new().with("energy", on_data).with("energy_gap", gap).with("grad_norm", norm))
    }

    /// The generator's update on draws with their graph: the gradient of mean E(x⁻), whose factor ∇E(x⁻) is held
    /// constant.
    fn update_generator(&mut self, cx: &StepContext, drawn: &Tensor) -> Result<f64> {
        // The still twin: this counts as one gradient an item, the live model would count as two.
        let field = self.trained.still.grad(&drawn.detach())?.1.detach();
        let loss = ((drawn * field)?.sum_all()? / drawn.dim(0)? as f64)?;
        self.generator.descend(&loss, cx.lr_scale)
    }
}

impl Method for Directed {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let x = &only(batches)?.x;
        let z = self.generator.live.prior(cx.key.with("z"), x.dim(0)?)?;
        let drawn = self.generator.live.mean(&z)?;
        let mut readings = self.update_energy(cx, x, &drawn.detach())?;
        readings.set("generator_grad_norm", self.update_generator(cx, &drawn)?);
        readings.read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }

    fn advice(&self) -> Vec<String> {
        vec!["a penalty on the level of the energy (--set method.energy_l2=0.01)".to_owned()]
    }
}

/// The generator of a run, to draw from.
fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    let (config, shape): Keys = decode(&spec.table)?;
    let build = |builder: &Builder| Generator::new(&shape, &config.generator, standing.shape, builder);
    Ok(Box::new(at_rest(GENERATOR, standing, build)?))
}

/// What the contract tests check of every row that is listed: leave it out of your copy.
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{DType, Device};

    use super::*;
    use crate::data::{Data, Split, of_text};
    use crate::density::{self, Context};
    use crate::metrics::Spent;
    use crate::{optim, rng::Key};

    /// The section of the method.
    fn spec() -> Spec {
        Spec::of_text(|| vec![(ENTRY.name, ENTRY.schema)], ENTRY.name, "latent = 3").unwrap()
    }

    fn fresh(data: &Arc<Data>) -> Box<dyn Method> {
        let context = Context { shape: vec![2], classes: None, moments: None };
        let normal = Spec::of_text(density::schemas, "gaussian", "").unwrap();
        let model = Model::new(&normal, &context, Key::new(1), DType::F32, &Device::Cpu).unwrap();
        let optim = Spec::of_text(optim::schemas, "adam", "").unwrap();
        (ENTRY.build)(&spec().table, Setup { model, optim: &optim, data, key: Key::new(2) }).unwrap()
    }

    fn advance(method: &mut dyn Method, data: &Data, step: u64) -> Metrics {
        let batch = data.batch(Split::Train, step, 16).unwrap();
        method.step(&StepContext { step, key: Key::new(3).at(step), lr_scale: 1.0 }, &[batch]).unwrap()
    }

    #[test]
    fn the_skeleton_goes_on_from_its_state_counts_right_and_reports_what_it_declares() {
        let data = Arc::new(of_text("name = \"8gaussians\""));
        let (mut first, mut second) = (fresh(&data), fresh(&data));
        advance(&mut *first, &data, 0);
        second.load(&first.state().unwrap()).unwrap();
        first.model().meter().take();
        let found = advance(&mut *first, &data, 1);
        assert_eq!(found, advance(&mut *second, &data, 1));
        // Of 16 items and 16 draws the gradient in the weights, of 16 draws the gradient in x.
        assert_eq!(first.model().meter().read(), Spent { values: 0, gradients: 48 });
        let declared = |name: &str| ENTRY.numbers.iter().filter(|number| number.is(name)).count();
        assert!(found.iter().all(|(name, _)| declared(name) == 1) && found.iter().count() == ENTRY.numbers.len());

        let state = first.state().unwrap();
        let standing =
            Standing { shape: &[2], model: &Spec::default(), classes: None, state: &state, device: &Device::Cpu };
        let drawn = proposal(&spec(), &standing).unwrap().draw(Key::new(4), 5).unwrap();
        assert_eq!(drawn.dims(), [5, 2]);
    }
}
