//! `[halving]` of a plan: which number trials are judged by, and how long each rung is.

use super::trial::Trial;
use crate::config::{Document, Problems, Section, SectionKind, Setting, View, decode, rule};
use crate::run::{BestIs, Declared, Extreme};
use crate::store::checkpoint::sha256;
use crate::{Result, config::Schema};

/// More rungs than this are a mistake: the lowest would be shorter than any run.
const MOST_RUNGS: u64 = 40;

crate::config! {
    /// Keys of `[halving]`.
    pub struct Halving {
        /// The number of a probe that trials are judged by, such as test_ll.
        objective: String = String::new(), given;
        /// What of it is best: max, min, or auto, which takes what the number declares.
        objective_is: BestIs = BestIs::Auto;
        /// One in so many goes on from a rung to the next, which is so many times as long.
        eta: u64 = 3, rule::at_least(2);
        /// How many rungs there are; the last is the full length. 0 to give `min_steps`.
        rungs: u64 = 0;
        /// Steps of the lowest rung, or epochs where those give a run's length. 0 to give `rungs`.
        min_steps: u64 = 0;
        /// How many settings begin, each with all its seeds, drawn from those of the plan; 0 for all.
        trials: u64 = 0;
        /// Keys whose values are not compared with each other, such as ["dataset.name"] or ["arm"]: each of them is a
        /// search of its own.
        by: Vec<String> = Vec::new();
    }
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn given(v: &String) -> rule::Complaint {
    v.is_empty().then(|| "must name a number of a probe".to_owned())
}

impl Halving {
    /// The section, which is called like this in a plan.
    pub const KEY: &'static str = "halving";

    /// Reads the section of a plan, with the keys of `quick` on top; nothing if there is none.
    ///
    /// # Errors
    /// All that is wrong with it, but for what depends on the experiments.
    pub(super) fn read(plan: &Document, quick: Option<View<'_>>) -> std::result::Result<Option<Self>, Problems> {
        let quick = quick.and_then(|view| Setting::all(view, &|_| false).ok()).unwrap_or_default();
        let within = format!("{}.", Self::KEY);
        let quick: Vec<Setting> = quick.into_iter().filter(|key| key.path().starts_with(&within)).collect();
        let document = plan.only(&[Self::KEY]).with(plan, &quick, &[])?;
        if document.view().fields().unwrap_or_default().is_empty() {
            return Ok(None);
        }
        let section = Section { key: Self::KEY, kind: SectionKind::Plain(Schema::of::<Self>()) };
        let table = document.check(&[section])?.section(Self::KEY);
        let wrong = |what: String, hint: &str| document.problems_at(Self::KEY, what, Some(hint.to_owned()));
        let halving: Self = decode(&table).map_err(|e| wrong(e.to_string(), "see docs/sweeps.md"))?;
        match (halving.rungs, halving.min_steps) {
            (0, 0) => {
                let what = "[halving] needs `rungs` or `min_steps`".to_owned();
                Err(wrong(what, "write rungs = 4, or min_steps = 100 for the length of the lowest rung"))
            }
            (2.., 0) | (0, 1..) if halving.rungs <= MOST_RUNGS => Ok(Some(halving)),
            (n, 0) => Err(wrong(format!("`rungs` must be from 2 to {MOST_RUNGS}, got {n}"), "write rungs = 4")),
            _ => Err(wrong("`rungs` and `min_steps` are both given".into(), "remove one of them")),
        }
    }

    /// The lengths at which a run of `length` steps or epochs is compared with others, from the lowest to the full one.
    ///
    /// # Errors
    /// The key that is wrong, a message and a hint, if the run is too short for that.
    pub(super) fn of_length(&self, length: u64) -> std::result::Result<Vec<u64>, (&'static str, String, String)> {
        let mut rungs = vec![length];
        if self.rungs > 0 {
            let parts = (1..self.rungs).map(|i| self.eta.checked_pow(u32::try_from(i).unwrap_or(u32::MAX)));
            rungs.extend(parts.map(|part| part.map_or(0, |part| length / part)));
            rungs.reverse();
            if rungs.first() == Some(&0) {
                let (n, eta) = (self.rungs, self.eta);
                let what = format!("{n} rungs with eta = {eta} need a run of {eta}^{} steps, got {length}", n - 1);
                return Err(("halving.rungs", what, "take fewer rungs, or longer runs".into()));
            }
        } else if self.min_steps >= length {
            let what = format!("the lowest rung is {}, but a run is {length} long", self.min_steps);
            return Err(("halving.min_steps", what, "take a smaller one, such as a ninth of a run".into()));
        } else {
            let up = std::iter::successors(Some(self.min_steps), |rung| rung.checked_mul(self.eta));
            rungs = up.take_while(|rung| *rung < length).chain([length]).collect();
        }
        Ok(rungs)
    }

    /// What is wrong with the search for an experiment: its numbers and its length.
    pub(super) fn troubles(&self, plan: &Document, declared: &Declared, length: u64) -> Vec<Problems> {
        let keys = ["objective", "objective_is"];
        let judged = declared.judge(&self.objective, self.objective_is, keys).err();
        let judged = judged.map(|(what, hint)| plan.problems_at("halving.objective", what, Some(hint)));
        let rungs = self.of_length(length).err();
        let rungs = rungs.map(|(key, what, hint)| plan.problems_at(key, what, Some(hint)));
        judged.into_iter().chain(rungs).collect()
    }

    /// What is wrong with `by`, whose keys are those that the trials are told apart by.
    pub(super) fn refuse_unknown(&self, plan: &Document, trials: &[Trial]) -> std::result::Result<(), Problems> {
        let known = |key: &String| trials.iter().any(|trial| trial.label.value(key).is_some());
        let Some(wrong) = self.by.iter().find(|key| !known(key)) else { return Ok(()) };
        let mut keys: Vec<&str> = trials.iter().flat_map(|t| t.label.settings.keys().map(String::as_str)).collect();
        keys.extend(trials.iter().find_map(|trial| trial.label.arm.as_ref().map(|_| "arm")));
        keys.sort_unstable();
        keys.dedup();
        let near = crate::config::nearest(wrong, &keys).map(|near| format!("did you mean `{near}`?"));
        let hint = near.unwrap_or_else(|| format!("its trials differ in {}", keys.join(", ")));
        Err(plan.problems_at("halving.by", format!("the plan does not vary `{wrong}`"), Some(hint)))
    }

    /// Which values of the objective are best in the experiment of a trial.
    ///
    /// # Errors
    /// A configuration that is not resolved.
    pub(super) fn extreme(&self, trial: &Trial) -> Result<Extreme> {
        let declared = Declared::of(&trial.resolved)?;
        Ok(declared.extreme(&self.objective, self.objective_is).unwrap_or(Extreme::Max))
    }

    /// The trials of the settings that are drawn to begin, in the order of the plan.
    pub(super) fn drawn(&self, mut trials: Vec<Trial>) -> Vec<Trial> {
        let mut lots: Vec<String> = trials.iter().map(|trial| lot(&trial.label.setting())).collect();
        lots.sort_unstable();
        lots.dedup();
        let last = usize::try_from(self.trials).ok().and_then(|n| lots.get(n.checked_sub(1)?)).cloned();
        trials.retain(|trial| last.as_ref().is_none_or(|last| lot(&trial.label.setting()) <= *last));
        trials
    }
}

/// The place of a setting in the order in which they begin. An asynchronous search promotes the best of what it has
/// seen, so settings in order of size, as a grid lists them, would be promoted one after the other.
pub(super) fn lot(setting: &str) -> String {
    sha256(format!("halving {setting}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Option<Halving>, String> {
        let plan = Document::from_str("p.toml", text, &[]).unwrap();
        let quick = plan.view().fields().unwrap().into_iter().find(|(key, _)| *key == "quick").map(|(_, view)| view);
        Halving::read(&plan, quick).map_err(|problems| problems.into_result().unwrap_err().to_string())
    }

    #[test]
    fn rungs_are_parts_of_the_full_length() {
        let rungs = |text: &str, length| {
            let halving = read(&format!("[halving]\nobjective = \"test_ll\"\n{text}")).unwrap().unwrap();
            halving.of_length(length).map_err(|(key, _, _)| key)
        };
        assert_eq!(rungs("rungs = 4", 2700), Ok(vec![100, 300, 900, 2700]));
        assert_eq!(rungs("rungs = 3\neta = 2", 10), Ok(vec![2, 5, 10]));
        assert_eq!(rungs("rungs = 4", 26), Err("halving.rungs"));
        assert_eq!(rungs("rungs = 40\neta = 100", 26), Err("halving.rungs"));
        assert_eq!(rungs("min_steps = 100", 2700), Ok(vec![100, 300, 900, 2700]));
        assert_eq!(rungs("min_steps = 100", 1000), Ok(vec![100, 300, 900, 1000]));
        assert_eq!(rungs("min_steps = 100", 100), Err("halving.min_steps"));
    }

    #[test]
    fn the_section_is_checked_and_the_quick_version_lies_on_top() {
        assert_eq!(read("seeds = 1\n"), Ok(None));
        let plan = "[halving]\nobjective = \"test_ll\"\nrungs = 4\n[quick.halving]\nrungs = 2\ntrials = 5\n";
        let quick = read(plan).unwrap().unwrap();
        assert_eq!((quick.rungs, quick.trials, quick.eta, quick.objective.as_str()), (2, 5, 3, "test_ll"));
        for (text, says) in [
            ("rungs = 3", "`objective` in [halving] must name a number of a probe"),
            ("objective = \"x\"", "`rungs` or `min_steps`"),
            ("objective = \"x\"\nrungs = 3\nmin_steps = 3", "both given"),
            ("objective = \"x\"\nrungs = 1", "from 2 to 40"),
            ("objective = \"x\"\nrungs = 3\neta = 1", "at least 2"),
            ("objective = \"x\"\nrungs = 3\netta = 2", "did you mean `eta`?"),
            ("objective = \"x\"\nrungs = 3\nobjective_is = \"mx\"", "did you mean `max`?"),
        ] {
            let error = read(&format!("[halving]\n{text}\n")).unwrap_err();
            assert!(error.contains(says) && error.contains("p.toml:"), "{text}: {error}");
        }
    }
}
