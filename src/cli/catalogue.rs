//! Everything a configuration can name, from all registries: what `methods`, `explain` and `init` show.

use serde::Serialize;

use crate::config::{self, Head, Schema};
use crate::sweep::{Halving, Launcher};
use crate::{data, density, methods, nets, optim, probes, samplers};

/// One row of one registry.
#[derive(Serialize)]
pub struct Row {
    /// The section it belongs to: `method`, `sampler`, …
    pub kind: &'static str,
    /// What it says about itself.
    #[serde(flatten)]
    pub head: Head,
}

/// Every row of every registry, methods first.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    extend(&mut rows, "method", methods::METHODS);
    extend(&mut rows, "model", density::MODELS);
    extend(&mut rows, "network", nets::NETS);
    extend(&mut rows, "layer", nets::LAYERS);
    extend(&mut rows, "sampler", samplers::SAMPLERS);
    extend(&mut rows, "dataset", data::DATASETS);
    extend(&mut rows, "optimiser", optim::OPTIMISERS);
    extend(&mut rows, "probe", probes::PROBES);
    rows
}

fn extend<R: config::Row>(rows: &mut Vec<Row>, kind: &'static str, registry: &[R]) {
    rows.extend(registry.iter().map(|row| Row { kind, head: row.head() }));
}

/// The sections that have no `name`, as rows that can be explained.
pub fn plain_sections() -> Vec<Row> {
    let row = |name, about, schema| Row { kind: "section", head: Head { name, about, cite: "", schema, numbers: &[] } };
    vec![
        row("train", "how long to train, how often to log and to save", Schema::of::<crate::run::TrainConfig>()),
        row("guard", "when a run counts as diverged", Schema::of::<crate::run::GuardConfig>()),
        row(
            "launcher",
            "of the plan of a sweep: where trials run, what a job array asks for",
            Schema::of::<Launcher>(),
        ),
        row("halving", "of the plan of a sweep: which trials go on, and which are stopped", Schema::of::<Halving>()),
    ]
}
