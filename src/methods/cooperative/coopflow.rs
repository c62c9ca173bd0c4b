//! CoopFlow: a flow starts the energy's chains and learns from their ends (Xie, Zhu, Li & Li 2022).

use candle_core::Tensor;

use super::super::learning::flow;
use super::super::learning::readings::Readings;
use super::super::learning::trainable::Trainable;
use super::super::part::parts;
use super::super::{MethodRow, Setup, Standing, StepContext};
use super::generator::TaughtGenerator;
use super::{Cooperative, Draft, Given, Terms};
use crate::config::{Schema, Spec, decode, rule};
use crate::density::Proposal;
use crate::density::flow::Flow;
use crate::methods::example::example;
use crate::metrics::{Spent, numbers};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of the method `coopflow`.
    pub struct CoopFlowConfig {
        /// Chains of a step; 0 for as many as the batch has items.
        chains: usize = 0;
        /// First steps, among `train.steps`, in which the flow alone learns, from the data (the paper's CoopFlow(pre)).
        pretrain: u64 = 0;
        /// Weight of mean E(x⁺)² + mean E(x⁻)².
        energy_l2: f64 = 0.0, rule::non_negative;
    }
    parts {
        /// The flow.
        flow: "real_nvp" of crate::density::flow::schemas;
        /// The flow's optimiser.
        flow_optim: "adam" of crate::optim::schemas;
        /// The chains that revise its draws. Released code: 30 steps of drift s²/2, s = 0.03, the noise switched off:
        /// `sgld` with drift 4.5e-4, noise 0.
        sampler: "sgld" of crate::samplers::schemas;
    }
}

/// CoopFlow (Xie, Zhu, Li & Li 2022, Algorithm 1).
pub(in crate::methods) const COOPFLOW: MethodRow = MethodRow {
    name: "coopflow",
    about: "a flow starts short chains of the energy and learns, by its likelihood, from where they end; not exact for \
            exp(-E)",
    cite: "Xie, Zhu, Li, Li 2022, \"A tale of two flows: cooperative learning of Langevin flow and normalizing flow \
           toward energy-based model\", ICLR, Algorithm 1; arXiv 2205.06924",
    schema: Schema::of::<CoopFlowConfig>(),
    numbers: numbers![*super::NUMBERS, flow::NUMBERS],
    cost: Spent { values: 120, gradients: 336 },
    proposal: Some(proposal),
    init: &[],
    example: example!(
        plane,
        "coopflow",
        r#"pretrain = 2
chains = 10
sampler.steps = 3
flow = { name = "nice", hidden = [6], prior = "gaussian" }
"#
    ),
    build: |table, setup| Ok(Box::new(coopflow(decode(table)?, setup)?)),
};

fn coopflow(config: CoopFlowConfig, setup: Setup) -> Result<Cooperative> {
    let CoopFlowConfig { chains, pretrain, energy_l2, flow, flow_optim, sampler } = config;
    let flow = Trainable::flow(&flow, &flow_optim, setup.data, setup.key.with("flow"))?;
    let terms = Terms { chains, learn: true, energy_l2, given: Given::Nothing };
    let (data, key) = (setup.data.clone(), setup.key.with("reach"));
    let cooperative = Cooperative::new(terms, &sampler, Box::new(Taught { flow, pretrain }), setup)?;
    flow::check_reach(&data, &cooperative.first(key, &data)?, "flow")?;
    Ok(cooperative)
}

/// A flow with the density q that descends -mean log q(x̃) on revised draws x̃.
struct Taught {
    flow: Trainable<Flow>,
    pretrain: u64,
}

parts!(Taught: flow);

impl TaughtGenerator for Taught {
    fn prepare(&mut self, cx: &StepContext, x: &Tensor) -> Result<Option<Readings>> {
        let due = cx.step < self.pretrain;
        due.then(|| self.flow.learn(x, cx.lr_scale)).transpose()
    }

    fn draw(&self, key: Key, n: usize, _: Option<&Tensor>) -> Result<(Tensor, Option<Tensor>)> {
        Ok((self.flow.still.draw(key.with("z"), n)?, None))
    }

    fn learn(&mut self, cx: &StepContext, draft: &Draft) -> Result<Readings> {
        self.flow.learn(&draft.revised, cx.lr_scale)
    }
}

/// The flow of a run, as a proposal.
fn proposal(spec: &Spec, standing: &Standing) -> Result<Box<dyn Proposal>> {
    flow::proposal(&decode::<CoopFlowConfig>(&spec.table)?.flow, standing)
}
