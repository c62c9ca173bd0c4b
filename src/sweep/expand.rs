//! From a plan to its trials: layers on top of each other, axes multiplied, every configuration checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::idle::idle;
use super::plan::{Arm, Axis, Layer, MOST, Plan};
use super::random::Draw;
use super::trial::{Naming, Trial, length, seed_plus};
use crate::config::{Document, Problem, Problems, Setting};
use crate::run::{Declared, Experiment};
use crate::{Error, Result};

/// Checking ends after so many different mistakes.
const MOST_PROBLEMS: usize = 20;

/// One arm with the layers above and below it applied.
struct Space {
    arm: Option<String>,
    config: PathBuf,
    seeds: Option<Vec<u64>>,
    with_seed: Vec<Setting>,
    fixed: Vec<Setting>,
    axes: Vec<Axis>,
    trials: u64,
    random_seed: u64,
    draws: Vec<Draw>,
}

impl Plan {
    /// Every trial in order, each with a configuration that was checked. `sets` are laid on top of every experiment.
    ///
    /// # Errors
    /// Keys that are set and swept, experiments with mistakes; all of them at once, each where it was written.
    pub fn trials(&self, sets: &[String]) -> Result<Vec<Trial>> {
        let spaces = self.spaces()?;
        refuse_swept(&spaces, sets)?;
        let (order, idle) = (Vec::new(), BTreeSet::new());
        let mut found = Found { trials: BTreeMap::new(), order, idle, problems: self.no_problems() };
        for space in &spaces {
            let base = Document::load(&space.config, &[])?;
            for point in self.points(space)? {
                if found.problems.list().len() >= MOST_PROBLEMS {
                    break;
                }
                found.point(self, space, &base, &point, sets)?;
            }
        }
        found.problems.into_result()?;
        found.idle.iter().for_each(|warning| tracing::warn!("{warning}"));
        let trials = found.order.into_iter().filter_map(|id| found.trials.remove(&id)).collect();
        let Some(halving) = &self.halving else { return Ok(trials) };
        halving.refuse_unknown(&self.document, &trials)?;
        Ok(halving.drawn(trials))
    }

    fn no_problems(&self) -> Problems {
        Problems::new(self.path.display().to_string())
    }

    fn spaces(&self) -> Result<Vec<Space>> {
        let mut problems = self.no_problems();
        self.check_quick(&mut problems);
        let spaces: Vec<Space> = match self.arms.as_slice() {
            [] => self.space(None, &mut problems).into_iter().collect(),
            arms => arms.iter().filter_map(|arm| self.space(Some(arm), &mut problems)).collect(),
        };
        problems.into_result()?;
        Ok(spaces)
    }

    /// The quick version makes axes shorter; an axis that it alone knows would be another experiment.
    fn check_quick(&self, problems: &mut Problems) {
        let swept: Vec<&Axis> = self.top.axes.iter().chain(self.arms.iter().flat_map(|arm| &arm.layer.axes)).collect();
        let quick = self.quick.iter().chain(self.arms.iter().filter_map(|arm| arm.quick.as_ref()));
        for axis in quick.flat_map(|quick| &quick.axes) {
            if let Some(key) = axis.keys().first().filter(|_| !swept.iter().any(|other| other.meets(axis))) {
                let hint = "a key that is fixed in the quick version belongs below its `set`".to_owned();
                let what = format!("the quick version sweeps `{}`, but the plan does not", key.path());
                problems.push(key.seen_in(self.document.view()).wrong_key(what, Some(hint)));
            }
        }
    }

    /// The layers of the plan, the arm, and the quick versions of both; of a key the last one counts.
    fn space(&self, arm: Option<&Arm>, problems: &mut Problems) -> Option<Space> {
        let (own, own_quick) = (arm.map(|arm| &arm.layer), arm.and_then(|arm| arm.quick.as_ref()));
        let quick = || self.quick.iter().chain(own_quick);
        let layers: Vec<&Layer> = [&self.top].into_iter().chain(own).chain(quick()).collect();
        let last = |value: fn(&Layer) -> Option<u64>| layers.iter().rev().find_map(|layer| value(layer));
        let mut draws: BTreeMap<String, Draw> = BTreeMap::new();
        layers.iter().flat_map(|l| &l.draws).for_each(|draw| drop(draws.insert(draw.key.path(), draw.clone())));
        // Draws that nobody counted are as many as are to begin.
        let to_draw = self.halving.as_ref().map_or(0, |halving| halving.trials);
        let axes = own.into_iter().fold(self.top.axes.clone(), |axes, arm| overlay(axes, &arm.axes, false));
        let space = Space {
            arm: arm.map(|arm| arm.name.clone()),
            config: layers.iter().rev().find_map(|layer| layer.config.clone())?,
            seeds: layers.iter().rev().find_map(|layer| layer.seeds.clone()),
            with_seed: self.top.with_seed.clone(),
            fixed: layers.iter().flat_map(|layer| layer.fixed.iter().cloned()).collect(),
            axes: quick().fold(axes, |axes, quick| overlay(axes, &quick.axes, true)),
            trials: last(|layer| layer.trials).unwrap_or(if draws.is_empty() { 1 } else { to_draw }),
            random_seed: last(|layer| layer.random_seed).unwrap_or(0),
            draws: draws.into_values().collect(),
        };
        if space.draws.is_empty() && last(|layer| layer.trials).is_some() {
            let hint = "such as `\"optim.lr\" = { log_uniform = [1e-4, 1e-2] }`".to_owned();
            problems.extend(self.document.problems_at("random.trials", "[random] draws no key", Some(hint)));
        }
        self.check_space(&space, problems);
        Some(space)
    }

    /// A key has one source: it is set, on one axis, or drawn.
    fn check_space(&self, space: &Space, problems: &mut Problems) {
        let mut swept: Vec<&Setting> = space.axes.iter().flat_map(Axis::keys).collect();
        swept.extend(space.draws.iter().map(|draw| &draw.key));
        let at = |setting: &Setting, what: String, hint: &str| -> Problem {
            setting.seen_in(self.document.view()).wrong_key(what, Some(hint.to_owned()))
        };
        for (i, key) in swept.iter().enumerate() {
            let path = key.path();
            if let Some(other) = swept.iter().take(i).find(|other| overlap(&other.path(), &path)) {
                let what = match other.path() {
                    same if same == path => format!("`{path}` is swept twice"),
                    other => format!("`{path}` is swept, and `{other}` as well"),
                };
                problems.push(at(key, what, "keep one of the axes"));
            }
            if let Some(own) = space.with_seed.iter().find(|own| overlap(&own.path(), &path)) {
                problems.push(at(
                    own,
                    format!("`{path}` goes with the seed, and is swept as well"),
                    "remove one of them",
                ));
            }
            if let Some(fixed) = space.fixed.iter().find(|fixed| overlap(&fixed.path(), &path)) {
                let hint = "remove one of them; a quick version gives its grid one value";
                problems.push(at(fixed, format!("`{path}` is set, and swept as well"), hint));
            }
        }
        if space.trials == 0 {
            let key = space.draws.first().map(|draw| &draw.key);
            key.into_iter().for_each(|key| {
                problems.push(at(key, "[random] needs `trials`, how often to draw".into(), "write trials = 20"));
            });
        }
    }

    /// Every combination of the axes with every draw.
    fn points(&self, space: &Space) -> Result<Vec<Vec<Setting>>> {
        let sizes = space.axes.iter().map(|axis| axis.rows.len());
        let seeds = space.seeds.as_ref().map_or(1, Vec::len);
        let all = sizes.chain([space.trials as usize, seeds]).try_fold(1usize, usize::checked_mul);
        if all.is_none_or(|n| n > MOST) {
            let text = format!("{}: more than {MOST} trials", self.path.display());
            return Err(Error::config(text).hint("shorten an axis, or draw with [random]"));
        }
        let mut points: Vec<Vec<Setting>> = vec![Vec::new()];
        for axis in &space.axes {
            let with =
                |point: &Vec<Setting>| axis.rows.iter().map(|row| [point.as_slice(), row].concat()).collect::<Vec<_>>();
            points = points.iter().flat_map(with).collect();
        }
        let draw = |trial: u64| -> Vec<Setting> {
            let one = |d: &Draw| d.key.with(d.from.draw(space.random_seed, &d.key.path(), trial));
            space.draws.iter().map(one).collect()
        };
        let draws: Vec<Vec<Setting>> = (0..space.trials).map(draw).collect();
        Ok(points.iter().flat_map(|point| draws.iter().map(move |drawn| [point.as_slice(), drawn].concat())).collect())
    }
}

/// Lays axes over others: each takes the place of those that share a key with it. `only_instead`: an axis that has
/// none to replace is left out.
fn overlay(below: Vec<Axis>, above: &[Axis], only_instead: bool) -> Vec<Axis> {
    let mut axes: Vec<(Axis, bool)> = below.iter().map(|axis| (axis.clone(), false)).collect();
    for axis in above.iter().filter(|axis| !only_instead || below.iter().any(|old| old.meets(axis))) {
        let place = axes.iter().position(|(old, new)| !new && old.meets(axis));
        axes.retain(|(old, new)| *new || !old.meets(axis));
        axes.insert(place.unwrap_or(axes.len()).min(axes.len()), (axis.clone(), true));
    }
    axes.into_iter().map(|(axis, _)| axis).collect()
}

/// What the points have come to so far.
struct Found {
    trials: BTreeMap<String, Trial>,
    order: Vec<String>,
    /// What is to be said of swept keys that train nothing.
    idle: BTreeSet<String>,
    problems: Problems,
}

impl Found {
    fn point(&mut self, plan: &Plan, space: &Space, base: &Document, point: &[Setting], sets: &[String]) -> Result<()> {
        let all: Vec<Setting> = space.fixed.iter().chain(point).cloned().collect();
        let seeded: Vec<Setting> = all.iter().chain(&space.with_seed).cloned().collect();
        let checked = base.with(&plan.document, &seeded, sets).and_then(|document| Experiment::check(&document));
        let resolved = match checked {
            Ok(resolved) => resolved,
            Err(problems) => {
                self.problems.extend(problems);
                return Ok(());
            }
        };
        if let Some(halving) = &plan.halving {
            let declared = Declared::of(&resolved)?;
            let troubles = halving.troubles(&plan.document, &declared, length(&resolved));
            troubles.into_iter().for_each(|problems| self.problems.extend(problems));
        }
        self.idle.extend(point.iter().filter_map(|setting| idle(&setting.path(), &resolved)));
        let own = resolved.0.get("seed").and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok());
        let naming = Naming::new(space.arm.as_deref(), point, &resolved, &space.with_seed);
        let seeds = space.seeds.clone().unwrap_or_else(|| vec![own.unwrap_or(0)]);
        for seed in seeds {
            let trial = naming.trial(seed, space.config.clone(), arguments(&all, space, seed, sets));
            self.add(trial)?;
        }
        Ok(())
    }

    /// Two draws, or two ways to write one value, may come to the same trial: it runs once.
    fn add(&mut self, trial: Trial) -> Result<()> {
        match self.trials.get(&trial.id) {
            None => {
                self.order.push(trial.id.clone());
                self.trials.insert(trial.id.clone(), trial);
                Ok(())
            }
            Some(other) if other.label == trial.label => Ok(()),
            Some(_) => Err(Error::Other(format!("two trials would share the name {}; rename an arm", trial.id))),
        }
    }
}

/// What `ebm train` is given to run the trial.
fn arguments(all: &[Setting], space: &Space, seed: u64, sets: &[String]) -> Vec<String> {
    let own = space.seeds.as_ref().map(|_| format!("seed={seed}"));
    let beside = space.with_seed.iter().map(|setting| setting.with(seed_plus(setting, seed)).argument());
    all.iter().map(Setting::argument).chain(own).chain(beside).chain(sets.iter().cloned()).collect()
}

/// Whether two keys are one, or one of them is a table that has the other.
fn overlap(one: &str, other: &str) -> bool {
    let holds = |table: &str, key: &str| {
        key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    holds(one, other) || holds(other, one)
}

/// An override of a key that the plan varies would make every trial of that axis the same, and one of a key that arms
/// set for themselves would take from them what they differ in.
fn refuse_swept(spaces: &[Space], sets: &[String]) -> Result<()> {
    for set in sets {
        let Some(left) = Setting::path_of(set) else { continue };
        let of = |space: &Space| -> Vec<String> {
            space.fixed.iter().filter(|fixed| overlap(&left, &fixed.path())).map(Setting::argument).collect()
        };
        if spaces.windows(2).any(|pair| matches!(pair, [one, next] if of(one) != of(next))) {
            let text = format!("--set {set}: arms of the plan differ in it, and this would override them");
            return Err(Error::config(text).hint("change the plan instead"));
        }
    }
    for space in spaces {
        let beside = space.with_seed.iter().map(Setting::path);
        let seeds = space.seeds.iter().map(|_| "seed".to_owned()).chain(beside);
        let swept = space.axes.iter().flat_map(Axis::keys).chain(space.draws.iter().map(|d| &d.key)).map(Setting::path);
        for path in swept.chain(seeds) {
            let is_it = |set: &&String| Setting::path_of(set).is_some_and(|left| overlap(&left, &path));
            if let Some(set) = sets.iter().find(is_it) {
                let text = format!("--set {set}: the plan sweeps `{path}`, and this would override it");
                return Err(Error::config(text).hint("change the plan instead"));
            }
        }
    }
    Ok(())
}

#[test]
fn a_table_and_a_key_of_it_overlap_and_names_that_only_begin_alike_do_not() {
    for (one, other) in [("optim", "optim"), ("optim", "optim.lr"), ("probe.0", "probe.0.n"), ("probe", "probe[0].n")] {
        assert!(overlap(one, other) && overlap(other, one), "{one} and {other}");
    }
    for (one, other) in [("optim.lr", "optim.betas"), ("method.steps", "method.steps_max"), ("a.b", "a.c.b")] {
        assert!(!overlap(one, other) && !overlap(other, one), "{one} and {other}");
    }
}
