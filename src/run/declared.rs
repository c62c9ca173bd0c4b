//! The numbers that a run will report, by what its method, its probes and the trainer declare.

use super::best::Extreme;
use super::evaluations;
use super::train_config::BestIs;
use crate::config::{Document, Problems, Resolved, decode, find, nearest};
use crate::methods::METHODS;
use crate::metrics::{Better, Metrics, Number, Unit, fits};
use crate::probes::{PROBES, Schedule, labelled};
use crate::{Result, shell};

/// The numbers that the trainer itself reports.
const OF_TRAINER: &[Number] = &[
    Number::new("energy_values", Unit::Count, "energies evaluated without a gradient since the first step").chain(),
    Number::new("energy_gradients", Unit::Count, "gradients of the energy taken since the first step").chain(),
];

/// Who reports a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// The trainer, at every step.
    Trainer,
    /// The method of this name, at every step.
    Method(&'static str),
    /// The probe of this name, when it looks.
    Probe(&'static str),
}

/// A number under the name by which a run reports it.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The name of the number behind the label of its probe. Parts in braces stand for one character or more.
    pub name: String,
    /// What was declared.
    pub number: Number,
    /// Who reports it.
    pub by: Reporter,
}

/// Declared numbers: those of the probes first, in the order in which they are reported.
#[derive(Clone, Debug, Default)]
pub struct Declared(Vec<Declaration>);

impl Declared {
    /// The numbers of a run with this configuration.
    ///
    /// # Errors
    /// A configuration that is not resolved.
    pub fn of(resolved: &Resolved) -> Result<Self> {
        let mut all = Self::default();
        for spec in resolved.list("probe") {
            let Schedule { label, .. } = decode(&spec.table)?;
            if let Some(row) = find(PROBES, spec.name()) {
                all.add(Reporter::Probe(row.name), &label, row.numbers);
            }
        }
        if let Some(row) = find(METHODS, resolved.spec("method").name()) {
            all.add(Reporter::Method(row.name), "", row.numbers);
        }
        all.add(Reporter::Trainer, "", OF_TRAINER);
        Ok(all)
    }

    /// The numbers of every method and probe, without a label.
    pub fn everything() -> Self {
        let mut all = Self::default();
        PROBES.iter().for_each(|row| all.add(Reporter::Probe(row.name), "", row.numbers));
        METHODS.iter().for_each(|row| all.add(Reporter::Method(row.name), "", row.numbers));
        all.add(Reporter::Trainer, "", OF_TRAINER);
        all
    }

    fn add(&mut self, by: Reporter, label: &str, numbers: &[Number]) {
        let named = |number: &Number| Declaration { name: labelled(label, number.name), number: *number, by };
        self.0.extend(numbers.iter().map(named));
    }

    /// The declaration of `name`; one without free parts before one with them. What was found after training is
    /// declared by the same probe.
    pub fn find(&self, name: &str) -> Option<&Declaration> {
        let name = name.strip_prefix(evaluations::PREFIX).unwrap_or(name);
        let exact = self.0.iter().find(|declared| declared.name == name);
        exact.or_else(|| self.0.iter().find(|declared| fits(&declared.name, name)))
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|declared| declared.name.as_str())
    }

    /// How `name` is counted; [`Unit::Plain`] where nobody declares it.
    pub fn unit(&self, name: &str) -> Unit {
        self.find(name).map_or(Unit::Plain, |declared| declared.number.unit)
    }

    /// The number among `metrics` that `name` is measured against.
    pub fn against<'a>(&self, name: &str, metrics: &'a Metrics) -> Option<(&'a str, f64)> {
        let number = &self.find(name).filter(|declared| !declared.number.against.is_empty())?.number;
        let other = format!("{}{}", name.strip_suffix(number.name)?, number.against);
        metrics.iter().find(|(name, _)| *name == other)
    }

    /// The names among `metrics` that are shown first; all of them, if none is.
    pub fn leads<'a>(&self, metrics: &'a Metrics) -> Vec<(&'a str, f64)> {
        let lead = |(name, _): &(&str, f64)| self.find(name).is_some_and(|declared| declared.number.lead);
        let leads: Vec<_> = metrics.iter().filter(lead).collect();
        if leads.is_empty() { metrics.iter().collect() } else { leads }
    }

    /// The tag of `name` in TensorBoard, under the group of what reports it: `probe/`, `chain/` or `train/`.
    pub fn tag(&self, name: &str) -> String {
        let group = match self.find(name) {
            Some(Declaration { by: Reporter::Probe(_), .. }) => "probe",
            Some(declared) if declared.number.chain => "chain",
            _ => "train",
        };
        format!("{group}/{name}")
    }

    /// Which values of `train.best` are best, where `train.best_is` leaves it to the number.
    pub fn extreme(&self, name: &str, is: BestIs) -> Option<Extreme> {
        match (is, self.find(name)?.number.better) {
            (BestIs::Max, _) | (BestIs::Auto, Better::Higher) => Some(Extreme::Max),
            (BestIs::Min, _) | (BestIs::Auto, Better::Lower) => Some(Extreme::Min),
            (BestIs::Auto, Better::Neither) => None,
        }
    }

    /// Checks `train.best` against the numbers of the run's probes, and `train.best_is` against their direction.
    ///
    /// # Errors
    /// A name that no probe of the run reports, or whose direction is not known, at its position in `document`.
    pub fn check_best(&self, document: &Document, best: &str, is: BestIs) -> std::result::Result<(), Problems> {
        if best.is_empty() {
            return Ok(());
        }
        let judged = self.judge(best, is, ["train.best", "train.best_is"]);
        judged.map(drop).map_err(|(message, hint)| document.problems_at("train.best", message, Some(hint)))
    }

    /// Which values of the probes' number `name` are best. `keys` are those that give the name and the direction, as
    /// messages call them.
    ///
    /// # Errors
    /// A message and a hint, where no probe of the run reports the number or its direction is not known.
    pub fn judge(&self, name: &str, is: BestIs, keys: [&str; 2]) -> std::result::Result<Extreme, (String, String)> {
        let [key, key_is] = keys;
        let declared = match self.find(name) {
            Some(declared) if matches!(declared.by, Reporter::Probe(_)) => declared,
            Some(_) => {
                let message = format!("`{name}` is reported at every step, and `{key}` is a number of a probe");
                return Err((message, self.known_probes()));
            }
            None => return Err((format!("no probe of this run reports `{name}`"), self.hint(name))),
        };
        match (is, declared.number.better) {
            (BestIs::Max, Better::Lower) => tracing::warn!("{key_is} = max, but small values of `{name}` are better"),
            (BestIs::Min, Better::Higher) => tracing::warn!("{key_is} = min, but large values of `{name}` are better"),
            _ => {}
        }
        self.extreme(name, is).ok_or_else(|| {
            let message = format!("whether large or small values of `{name}` are best is not known");
            (message, format!("set `{key_is}` to max or min"))
        })
    }

    /// What to write in the place of a number that no probe of the run reports.
    fn hint(&self, wrong: &str) -> String {
        let probes = self.0.iter().filter(|declared| matches!(declared.by, Reporter::Probe(_)));
        let names: Vec<&str> = probes.map(|declared| declared.name.as_str()).collect();
        match (nearest(wrong, &names), Self::everything().find(wrong).map(|declared| declared.by)) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(Reporter::Probe(probe))) => {
                format!("the probe `{probe}` reports it: add `[[probe]]` with that name")
            }
            _ => self.known_probes(),
        }
    }

    fn known_probes(&self) -> String {
        let lead = |declared: &&Declaration| matches!(declared.by, Reporter::Probe(_)) && declared.number.lead;
        let names: Vec<String> = self.0.iter().filter(lead).map(|declared| format!("`{}`", declared.name)).collect();
        match names.is_empty() {
            true => "the run has no probe: add one, such as `[[probe]]` with `name = \"nll\"`".into(),
            false => {
                let (names, explain) = (names.join(", "), shell::ebm("explain PROBE"));
                format!("its probes report {names}, among others; `{explain}` lists all")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Experiment;

    const TEXT: &str = "[dataset]\nname = \"8gaussians\"\n[method]\nname = \"ml_grid\"\n[train]\nsteps = 1\n\
                        [[probe]]\nname = \"nll\"\nlabel = \"a\"\n[[probe]]\nname = \"modes\"\n\
                        [[probe]]\nname = \"magnetisation\"\n";

    fn read(best: &str, is: &str) -> Result<Experiment> {
        let sets = [format!("train.best={best:?}"), format!("train.best_is={is}")];
        Experiment::parse("c.toml", TEXT, &sets)
    }

    #[test]
    fn the_best_number_is_checked_when_the_configuration_is_read() {
        for (best, is) in
            [("a_test_ll", "auto"), ("mode_kl", "auto"), ("mode_kl", "max"), ("up_share", "min"), ("", "auto")]
        {
            read(best, is).unwrap_or_else(|error| panic!("{best}, {is}: {error}"));
        }
        for (best, says) in [
            ("a_test_l", "did you mean `a_test_ll`?"),
            ("amari", "the probe `amari` reports it"),
            ("energy_gradients", "is a number of a probe"),
            ("up_share", "set `train.best_is`"),
            ("nothing_like_it", "`a_test_ll`, `modes`"),
        ] {
            let error = read(best, "auto").err().unwrap().to_string();
            assert!(error.contains(says) && error.contains("--set"), "{best}: {error}");
        }
    }

    #[test]
    fn direction_unit_and_group_are_those_declared() {
        let declared = Declared::of(&read("", "auto").unwrap().resolved).unwrap();
        let extreme = |name, is| declared.extreme(name, is);
        assert_eq!(extreme("a_test_ll", BestIs::Auto), Some(Extreme::Max));
        assert_eq!(extreme("a_test_ll", BestIs::Min), Some(Extreme::Min));
        assert_eq!((extreme("mode_kl", BestIs::Auto), extreme("up_share", BestIs::Auto)), (Some(Extreme::Min), None));
        assert_eq!((declared.unit("modes"), declared.unit("unheard")), (Unit::Count, Unit::Plain));
        let tags = ["modes", "a_grid_log_z", "energy_gradients", "loss"].map(|name| declared.tag(name));
        assert_eq!(tags, ["probe/modes", "probe/a_grid_log_z", "chain/energy_gradients", "train/loss"]);
    }
}
