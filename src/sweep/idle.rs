//! Keys that train nothing: a sweep over one of them trains the same model again and again.

use crate::config::Resolved;

/// Keys of `[train]` that say when a run is looked at and what of it is kept.
const OF_TRAIN: &[&str] = &["log_every", "checkpoint_every", "keep", "keep_every", "best", "best_is"];

/// Why every value of the key at `path` trains the same model in this experiment; nothing where models differ, and
/// where no model is trained.
pub(super) fn idle(path: &str, experiment: &Resolved) -> Option<String> {
    let method = experiment.spec("method");
    let (section, key) = path.split_once('.').unwrap_or((path, ""));
    let why = match section {
        _ if method.name() == "none" => return None,
        "sampler" => {
            let name = method.name();
            let draws = "[sampler] draws for probes and `ebm sample`";
            match method.table.get("sampler") {
                None => format!("{draws}, and `{name}` trains without it"),
                Some(_) => {
                    let instead = ["method.sampler", key].join(if key.is_empty() { "" } else { "." });
                    format!("{draws}, and `{name}` trains with [method.sampler]; sweep `{instead}` instead")
                }
            }
        }
        "probe" => "probes measure what is trained".to_owned(),
        "guard" => "[guard] says when a run is stopped".to_owned(),
        "device" => "it says where a run computes".to_owned(),
        "train" if OF_TRAIN.contains(&key) => "it says what is logged and kept of a run".to_owned(),
        _ => return None,
    };
    Some(format!("the plan sweeps `{path}`, but all its values train the same model: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Experiment;

    #[test]
    fn a_key_that_trains_nothing_is_told_from_one_that_does() {
        let why = |path: &str, method: &str| {
            let text = format!(
                "[dataset]\nname = \"moons\"\n[method]\nname = \"{method}\"\n[train]\nsteps = 1\n\
                 [[probe]]\nname = \"nll\"\n"
            );
            idle(path, &Experiment::parse("c.toml", &text, &[]).unwrap().resolved)
        };
        let says = |path, method, words: &str| {
            assert!(why(path, method).is_some_and(|why| why.contains(words)), "{path} under {method}: {words}");
        };
        says("sampler.steps", "pcd", "sweep `method.sampler.steps` instead");
        says("sampler", "cd", "sweep `method.sampler` instead");
        says("sampler.step_size", "lsd", "`lsd` trains without it");
        says("probe.0.every", "pcd", "probes measure");
        says("guard.window", "pcd", "[guard]");
        says("train.log_every", "lsd", "logged and kept");
        says("device", "lsd", "computes");
        for path in
            ["method.sampler.steps", "train.steps", "train.ema", "optim.lr", "model.net", "dataset.noise", "seed"]
        {
            assert_eq!(why(path, "pcd"), None, "{path}");
        }
        assert_eq!(why("sampler.steps", "none"), None);
    }
}
