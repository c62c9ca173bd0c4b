//! Score matching on swish networks: the energy D-H-H-1 without a base density.

use ebm::{Result, data::Batch, methods::StepContext, rng::Key};

use super::{Step, experiment, normal};

/// One step of sliced score matching, variance-reduced, one direction an item.
pub fn sliced(batch: usize, dim: usize, hidden: usize) -> Result<Step> {
    let sections = format!("model = {{ base = \"none\", net = {{ hidden = [{hidden}, {hidden}] }} }}");
    let experiment = experiment(dim, &sections, "sliced_score_matching")?;
    let mut method = experiment.method(&experiment.data()?)?;
    let batches = [Batch { x: normal(&[batch, dim])?, y: None }];
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let cx = StepContext { step, key: Key::new(2).at(step), lr_scale: 1.0 };
        method.step(&cx, &batches).map(drop)
    }))
}
