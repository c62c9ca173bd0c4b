//! Named numbers of one step, in the order in which they were set.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a method or a probe reports: `loss`, `energy_gap`, `val_nll` … An ordered map from name to f64.
///
/// As JSON it is one object. JSON knows no NaN and no infinity, so a value that is not finite is written `null` and
/// read back as NaN; the guard stops a run at such a value and its message says which one it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// No numbers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name`; a name that is there already keeps its place.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|row| row.0 == name) {
            Some(row) => row.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets `name` and gives itself back, to be chained.
    pub fn with(mut self, name: impl Into<String>, value: f64) -> Self {
        self.set(name, value);
        self
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// All (name, value), in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Leaves out the numbers whose name does not fit.
    pub fn retain(&mut self, fits: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| fits(name));
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same numbers with `prefix/` before every name, as TensorBoard groups them.
    pub fn prefixed(self, prefix: &str) -> Self {
        self.0.into_iter().map(|(name, value)| (format!("{prefix}/{name}"), value)).collect()
    }
}

impl<S: Into<String>> Extend<(S, f64)> for Metrics {
    fn extend<I: IntoIterator<Item = (S, f64)>>(&mut self, rows: I) {
        rows.into_iter().for_each(|(name, value)| self.set(name, value));
    }
}

impl<S: Into<String>> FromIterator<(S, f64)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (S, f64)>>(rows: I) -> Self {
        let mut metrics = Self::new();
        metrics.extend(rows);
        metrics
    }
}

impl IntoIterator for Metrics {
    type Item = (String, f64);
    type IntoIter = std::vec::IntoIter<(String, f64)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Metrics> for Map<String, Value> {
    fn from(metrics: Metrics) -> Self {
        metrics.0.into_iter().map(|(name, value)| (name, Value::from(value))).collect()
    }
}

impl From<Map<String, Value>> for Metrics {
    fn from(map: Map<String, Value>) -> Self {
        map.into_iter().map(|(name, value)| (name, value.as_f64().unwrap_or(f64::NAN))).collect()
    }
}

/// What a run has asked of its energy, item by item. One evaluation counts once: what comes along with it is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Energies that were evaluated without a gradient.
    pub values: u64,
    /// Gradients of the energy, in x or in the weights.
    pub gradients: u64,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.values += other.values;
        self.gradients += other.gradients;
    }
}

/// A number that a row of a registry declares: what a method, a sampler or a probe reports under a name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Number {
    /// The name. A part in braces stands for anything: `auroc_{set}`.
    pub name: &'static str,
    /// The meaning, one line.
    pub about: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
    /// How the guard watches it.
    pub watch: Watch,
    /// Whether it is among the few that are shown first.
    pub lead: bool,
    /// Whether it tells of Markov chains, or of what a step costs, and not of what is learned.
    pub chain: bool,
    /// The number that it is measured against: its floor, its ceiling, or the same of real items; empty where there is
    /// none.
    pub against: &'static str,
    /// When it is reported, such as "data from a known mixture"; empty where no key and no data set takes it away.
    pub when: &'static str,
}

/// What a number is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Natural logarithms: energies, log-likelihoods, divergences.
    Nats,
    /// Bits per dimension.
    Bits,
    /// A part of a whole, from 0 to 1.
    Share,
    /// Whole things; 0 and 1 for no and yes.
    Count,
    /// The first 48 bits of a sha256.
    Hash,
    /// Anything else: distances, norms, statistics.
    Plain,
}

/// Which way a number is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Small values are better.
    Lower,
    /// Large values are better.
    Higher,
    /// It says how things stand, not how good they are.
    Neither,
}

/// How the guard watches a number. That it is finite is asked of every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// No limit.
    Finite,
    /// The norm of a gradient: at most `guard.max_grad_norm`.
    Norm,
    /// A difference of energies: at most `guard.max_energy_gap` in size.
    Gap,
}

impl Number {
    /// A number that is neither better high nor low and has no limit.
    pub const fn new(name: &'static str, unit: Unit, about: &'static str) -> Self {
        let (better, watch) = (Better::Neither, Watch::Finite);
        Number { name, about, unit, better, watch, lead: false, chain: false, against: "", when: "" }
    }

    /// Small values are better.
    pub const fn lower(self) -> Self {
        Number { better: Better::Lower, ..self }
    }

    /// Large values are better.
    pub const fn higher(self) -> Self {
        Number { better: Better::Higher, ..self }
    }

    /// It is among the few that are shown first.
    pub const fn lead(self) -> Self {
        Number { lead: true, ..self }
    }

    /// It tells of Markov chains, or of cost.
    pub const fn chain(self) -> Self {
        Number { chain: true, ..self }
    }

    /// It is measured against the number of this name.
    pub const fn against(self, against: &'static str) -> Self {
        Number { against, ..self }
    }

    /// It is reported only under this condition.
    pub const fn when(self, when: &'static str) -> Self {
        Number { when, ..self }
    }

    /// The norm of a gradient, which the guard bounds.
    pub const fn norm(name: &'static str, about: &'static str) -> Self {
        Number { watch: Watch::Norm, ..Self::new(name, Unit::Plain, about) }
    }

    /// A difference of energies, which the guard bounds.
    pub const fn gap(name: &'static str, about: &'static str) -> Self {
        Number { watch: Watch::Gap, ..Self::new(name, Unit::Nats, about) }
    }

    /// Whether it is declared under this name: equal, but for parts in braces, which stand for one character or more.
    pub fn is(&self, name: &str) -> bool {
        fits(self.name, name)
    }
}

/// `numbers![SHARED, [ONE, ANOTHER]]`: lists of [`Number`]s as one list, which a row can declare.
macro_rules! numbers {
    ($($list:expr),* $(,)?) => {{
        const LISTS: &[&[$crate::metrics::Number]] = &[$(&$list),*];
        const ALL: [$crate::metrics::Number; $crate::metrics::length(LISTS)] = $crate::metrics::joined(LISTS);
        &ALL
    }};
}
pub(crate) use numbers;

/// How many numbers some lists have together.
pub(crate) const fn length(lists: &[&[Number]]) -> usize {
    let (mut length, mut list) = (0, 0);
    while list < lists.len() {
        length += lists[list].len();
        list += 1;
    }
    length
}

/// The numbers of some lists, one list after the other; N is their [`length`].
pub(crate) const fn joined<const N: usize>(lists: &[&[Number]]) -> [Number; N] {
    let mut all = [Number::new("", Unit::Plain, ""); N];
    let (mut at, mut list) = (0, 0);
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            all[at] = lists[list][i];
            (at, i) = (at + 1, i + 1);
        }
        list += 1;
    }
    all
}

/// Whether `name` has the form of `pattern`, whose parts in braces stand for one character or more.
pub fn fits(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('{') else { return pattern == name };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    let Some(name) = name.strip_prefix(before) else { return false };
    name.char_indices().skip(1).map(|(at, _)| at).chain([name.len()]).any(|at| at > 0 && fits(after, &name[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_name_may_have_free_parts() {
        let number = |name| Number::new(name, Unit::Share, "");
        assert!(number("auroc_{set}").is("auroc_mnist") && !number("auroc_{set}").is("auroc_"));
        assert!(number("{set}_{of}_x").is("a_b_x") && !number("{set}_{of}_x").is("a_x"));
        assert!(number("nll").is("nll") && !number("nll").is("nll2") && number("é{x}").is("éü"));
    }

    #[test]
    fn order_is_that_of_setting() {
        let mut m = Metrics::new();
        m.set("loss", 1.0);
        m.set("gap", 2.0);
        m.set("loss", 3.0);
        assert_eq!(m.iter().collect::<Vec<_>>(), [("loss", 3.0), ("gap", 2.0)]);
        assert_eq!(m.get("gap"), Some(2.0));
        assert_eq!(m.prefixed("val").get("val/gap"), Some(2.0));
    }

    #[test]
    fn json_keeps_order_and_every_bit() {
        let values = [0.1 + 0.2, 1e-300, -0.0, f64::MIN_POSITIVE, 1.0 / 3.0, 123456789.12345679, f64::MAX];
        let m: Metrics = values.iter().enumerate().map(|(i, v)| (format!("z{}", 9 - i), *v)).collect();
        let text = serde_json::to_string(&m).unwrap();
        let back: Metrics = serde_json::from_str(&text).unwrap();
        let bits = |m: &Metrics| m.iter().map(|(k, v)| (k.to_owned(), v.to_bits())).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&m), "{text}");
    }

    #[test]
    fn what_is_not_finite_is_null() {
        let m: Metrics = [("a", f64::NAN), ("b", f64::INFINITY), ("c", 1.0)].into_iter().collect();
        let text = serde_json::to_string(&m).unwrap();
        assert_eq!(text, r#"{"a":null,"b":null,"c":1.0}"#);
        let back: Metrics = serde_json::from_str(&text).unwrap();
        assert!(back.get("a").unwrap().is_nan() && back.get("b").unwrap().is_nan());
    }
}
