//! Exact maximum likelihood in 2-D with the normaliser by quadrature, the ceiling by which every other method is
//! measured.

use candle_core::{D, DType, Device};

use super::example::example;
use super::learning::readings::{ENERGY, GRAD_NORM, Readings, scalar};
use super::learning::trainable::Trainable;
use super::method::only;
use super::part::parts;
use super::{Method, MethodRow, Setup, StepContext};
use crate::config::{Schema, decode, rule};
use crate::data::Batch;
use crate::density::{Energy as _, Model};
use crate::math::Grid;
use crate::metrics::{Metrics, Number, Spent, Unit};
use crate::{Error, Result, shell};

crate::config! {
    /// Keys of the method `ml_grid`.
    pub struct MlGridConfig {
        /// Grid points along each axis. The grid is shifted at random at every step, so that the normaliser is
        /// unbiased and no mass can hide between its points.
        points: usize = 80, rule::at_least(8);
        /// The grid covers the data's window widened by this factor.
        widen: f64 = 1.2, rule::at_least(1.0);
    }
}

pub(super) const ENTRY: MethodRow = MethodRow {
    name: "ml_grid",
    about: "exact maximum likelihood in 2-D: log Z by quadrature on a randomly shifted grid",
    cite: "",
    schema: Schema::of::<MlGridConfig>(),
    numbers: &[
        Number::new("nll", Unit::Nats, "mean -log p(x) of the batch").lower().lead(),
        ENERGY,
        Number::new("log_z", Unit::Nats, "log ∫ exp(-E) over the grid"),
        GRAD_NORM,
    ],
    cost: Spent { values: 0, gradients: 2176 },
    proposal: None,
    init: &[],
    example: example!(plane, "ml_grid", "points = 16\n"),
    build: |table, setup| Ok(Box::new(MlGrid::new(decode(table)?, setup)?)),
};

/// The method `ml_grid`: minimises mean E(x) + log ∫ exp(-E) by its exact gradient mean ∇E(data) - Σ w ∇E(grid), where
/// ∇ is by the parameters and w = softmax(-E(grid)).
struct MlGrid {
    grid: Grid,
    trained: Trainable<Model>,
}

impl MlGrid {
    fn new(config: MlGridConfig, setup: Setup) -> Result<Self> {
        let window = setup.data.bounds_2d().ok_or_else(|| {
            let shape = &setup.data.spec().shape;
            Error::config(format!(
                "method `ml_grid` integrates over the plane, but items of `{}` have shape {shape:?}",
                setup.data.spec().name
            ))
            .hint(format!(
                "choose a 2-D data set ({}), or another method ({})",
                shell::ebm("data list"),
                shell::ebm("methods")
            ))
        })?;
        let trained = Trainable::model(setup.model, setup.optim)?;
        Ok(MlGrid { grid: Grid::new(window, config.points).widened(config.widen), trained })
    }
}

parts!(MlGrid: trained);

impl Method for MlGrid {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        let batch = only(batches)?;
        let shift = cx.key.with("shift").uniform(2, DType::F64, &Device::Cpu)?.to_vec1::<f64>()?;
        let points = self.grid.points([shift[0], shift[1]], batch.x.device())?;
        let on_data = self.trained.live.energy(&batch.x)?.mean_all()?;
        let on_grid = self.trained.live.energy(&points)?;
        let weights = candle_nn::ops::softmax(&on_grid.detach().neg()?, D::Minus1)?;
        // Its gradient is that of the negative log-likelihood; its value is not.
        let surrogate = (&on_data - (&on_grid * weights)?.sum_all()?)?;
        let grad_norm = self.trained.descend(&surrogate, cx.lr_scale)?;
        let log_z = self.grid.log_integral(&on_grid.detach().neg()?.to_dtype(DType::F64)?.to_vec1()?);
        let energy = scalar(&on_data)?;
        Readings::new()
            .with("nll", energy.affine(1.0, log_z)?)
            .with("energy", energy)
            .with("log_z", log_z)
            .with("grad_norm", grad_norm)
            .read()
    }

    fn model(&self) -> &Model {
        &self.trained.live
    }
}
