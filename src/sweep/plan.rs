//! The plan of a sweep: a TOML file whose mistakes are shown at their position.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::launcher::Launcher;
use super::random::{Distribution, Draw, is_distribution};
use super::rungs::Halving;
use crate::Result;
use crate::config::{Document, Problem, Problems, Setting, View};
use crate::run::show;
use crate::store::fs;

/// More seeds, draws or trials than this are a mistake.
pub(super) const MOST: usize = 100_000;

/// A plan as it is written.
pub struct Plan {
    /// The file's name without `.toml`, with `-quick` behind it where that version was asked for.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    pub(super) document: Document,
    pub(super) top: Layer,
    pub(super) arms: Vec<Arm>,
    pub(super) quick: Option<Layer>,
    /// How its trials are halved, if they are.
    pub halving: Option<Halving>,
    /// Where its trials run.
    pub launcher: Launcher,
}

/// Keys that vary together; a key of `[grid]` is an axis of its own.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Each row gives every key a value.
    pub rows: Vec<Vec<Setting>>,
}

impl Axis {
    /// The settings of the first row, whose keys are those of every row.
    pub fn keys(&self) -> &[Setting] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// Whether both give a value to one key.
    pub fn meets(&self, other: &Axis) -> bool {
        self.keys().iter().any(|a| other.keys().iter().any(|b| a.path() == b.path()))
    }
}

/// One of several experiments in a sweep.
pub(super) struct Arm {
    pub name: String,
    pub layer: Layer,
    pub quick: Option<Layer>,
}

/// What the plan says for all arms, for one arm, or for its quick version.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub config: Option<PathBuf>,
    pub seeds: Option<Vec<u64>>,
    /// Keys that get the seed plus the value given here.
    pub with_seed: Vec<Setting>,
    pub fixed: Vec<Setting>,
    pub axes: Vec<Axis>,
    pub trials: Option<u64>,
    pub random_seed: Option<u64>,
    pub draws: Vec<Draw>,
}

const TOP: &[&str] =
    &["config", "seeds", "with_seed", "set", "grid", "zip", "random", "arm", "quick", "halving", "launcher"];
const ARM: &[&str] = &["name", "config", "set", "grid", "zip", "quick"];
const ARM_QUICK: &[&str] = &["set", "grid", "zip"];
const QUICK: &[&str] = &["seeds", "set", "grid", "zip", "random", "halving"];

impl Plan {
    /// Reads a plan; `quick` asks for its quick version, where it has one.
    ///
    /// # Errors
    /// Everything that is wrong with the plan itself. Its experiments are checked by [`Plan::trials`].
    pub fn load(path: &Path, quick: bool) -> Result<Self> {
        Ok(Self::read(Document::load(path, &[])?, path, quick)?)
    }

    fn read(document: Document, path: &Path, quick: bool) -> std::result::Result<Self, Problems> {
        let mut reader = Reader { problems: Problems::new(path.display().to_string()) };
        let root = document.view();
        let top = reader.layer(root, "", TOP);
        let mut arms = field(root, "arm").map(|view| reader.arms(view)).unwrap_or_default();
        let mut shorter = field(root, "quick").map(|view| reader.layer(view, " in [quick]", QUICK));
        reader.configs(root, &arms);
        if quick && shorter.is_none() && arms.iter().all(|arm| arm.quick.is_none()) {
            reader.problems.push(root.wrong("this plan has no [quick]", Some("leave --quick out".into())));
        }
        let shortened = field(root, "quick").filter(|_| quick);
        let halving = Halving::read(&document, shortened).unwrap_or_else(|problems| {
            reader.problems.extend(problems);
            None
        });
        let launcher = Launcher::read(&document).unwrap_or_else(|problems| {
            reader.problems.extend(problems);
            Launcher::default()
        });
        reader.problems.is_empty().then_some(()).ok_or(reader.problems)?;
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("sweep");
        let name = if quick { format!("{stem}-quick") } else { stem.to_owned() };
        if !quick {
            shorter = None;
            arms.iter_mut().for_each(|arm| arm.quick = None);
        }
        Ok(Plan { name, path: path.into(), document, top, arms, quick: shorter, halving, launcher })
    }
}

struct Reader {
    problems: Problems,
}

impl Reader {
    fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Reads the keys that a layer may have; `arm` and `quick` are left to the caller.
    fn layer(&mut self, view: View<'_>, place: &str, known: &[&str]) -> Layer {
        let mut layer = Layer::default();
        let Some(fields) = view.fields() else {
            self.refuse(view.wrong(format!("must be a table{place}, got {}", view.written()), None));
            return layer;
        };
        for (key, value) in fields {
            match key {
                _ if !known.contains(&key) => self.refuse(value.unknown_key(key, place, known)),
                "config" => layer.config = self.config(value),
                "seeds" => layer.seeds = self.seeds(value),
                "with_seed" => layer.with_seed = self.offsets(value),
                "set" => layer.fixed = self.settings(value, "set"),
                "grid" => layer.axes.extend(self.grid(value)),
                "zip" => layer.axes.extend(self.zips(value)),
                "random" => self.random(value, &mut layer),
                _ => {}
            }
        }
        layer
    }

    fn arms(&mut self, view: View<'_>) -> Vec<Arm> {
        let Some(items) = view.items() else {
            self.refuse(view.wrong_key("`arm` must be a list of tables", Some("write [[arm]]".into())));
            return Vec::new();
        };
        let mut arms: Vec<Arm> = Vec::new();
        for item in items {
            let layer = self.layer(item, " in [[arm]]", ARM);
            let quick = field(item, "quick").map(|view| self.layer(view, " in [arm.quick]", ARM_QUICK));
            match field(item, "name").map_or(Err(item.wrong("[[arm]] needs a `name`", None)), name_of) {
                Ok(name) if arms.iter().any(|other| other.name == name) => {
                    self.refuse(item.wrong(format!("there are two arms called `{name}`"), None));
                }
                Ok(name) => arms.push(Arm { name, layer, quick }),
                Err(problem) => self.refuse(problem),
            }
        }
        arms
    }

    /// Every arm needs an experiment: its own, or the plan's.
    fn configs(&mut self, root: View<'_>, arms: &[Arm]) {
        let complete = !arms.is_empty() && arms.iter().all(|arm| arm.layer.config.is_some());
        if field(root, "config").is_none() && !complete && self.problems.is_empty() {
            let hint = "write config = \"../my_experiment.toml\", relative to this file, here or in every [[arm]]";
            self.refuse(root.wrong("`config`, the experiment to run, is missing", Some(hint.into())));
        }
    }

    fn config(&mut self, view: View<'_>) -> Option<PathBuf> {
        let Some(name) = view.as_str() else {
            self.refuse(view.wrong(format!("`config` must be a file name, got {}", view.written()), None));
            return None;
        };
        let path = tidy(&view.folder().join(name));
        if !path.is_file() {
            let hint = "the path is relative to the file that it is written in";
            let message = format!("cannot read {}: there is no such file", path.display());
            self.refuse(view.wrong(message, Some(hint.into())));
        }
        Some(path)
    }

    fn seeds(&mut self, view: View<'_>) -> Option<Vec<u64>> {
        let whole = |view: &View<'_>| view.value()?.as_integer().and_then(|n| u64::try_from(n).ok());
        let list: Option<Vec<u64>> = match view.items() {
            Some(items) => items.iter().map(whole).collect(),
            None => whole(&view).filter(|n| *n <= MOST as u64).map(|n| (0..n).collect()),
        };
        let distinct = |list: &Vec<u64>| list.iter().collect::<BTreeSet<_>>().len() == list.len();
        let list = list.filter(|list| !list.is_empty() && list.len() <= MOST && distinct(list));
        if list.is_none() {
            let hint = "write seeds = 5 for 0 to 4, or a list of different whole numbers such as seeds = [0, 7]";
            self.refuse(view.wrong(format!("these are no seeds: {}", view.written()), Some(hint.into())));
        }
        list
    }

    /// Keys with what is added to the seed.
    fn offsets(&mut self, view: View<'_>) -> Vec<Setting> {
        let found = self.settings(view, "with_seed");
        for setting in &found {
            if setting.value().as_integer().is_none_or(|n| n < 0) {
                let what = format!("must be a whole number, 0 or more, got {}", setting.seen_in(view).written());
                self.refuse(setting.seen_in(view).wrong(what, Some("the key gets the seed plus this number".into())));
            }
        }
        found
    }

    /// Every path below a table with its value.
    fn settings(&mut self, view: View<'_>, place: &str) -> Vec<Setting> {
        self.paths(view, place, &|_| false)
    }

    fn paths(&mut self, view: View<'_>, place: &str, is_leaf: &dyn Fn(View<'_>) -> bool) -> Vec<Setting> {
        if view.fields().is_none() {
            self.refuse(view.wrong(format!("`{place}` must be a table, got {}", view.written()), None));
            return Vec::new();
        }
        let found = Setting::all(view, is_leaf).unwrap_or_else(|problems| {
            problems.into_iter().for_each(|problem| self.refuse(problem));
            Vec::new()
        });
        let mut seen = BTreeSet::new();
        for setting in &found {
            let path = setting.path();
            if path == "seed" && place != "random" {
                let hint = "write `seeds` above the first section".to_owned();
                self.refuse(setting.seen_in(view).wrong_key("seeds are not set like other keys", Some(hint)));
            } else if path.split('.').next() == Some("extends") {
                self.refuse(setting.seen_in(view).wrong_key("`extends` can only stand in a file", None));
            } else if setting.seen_in(view).value().is_none() {
                self.refuse(setting.seen_in(view).wrong("must be finite", None));
            } else if !seen.insert(path.clone()) {
                self.refuse(setting.seen_in(view).wrong_key(format!("`{path}` stands here twice"), None));
            }
        }
        found
    }

    fn grid(&mut self, view: View<'_>) -> Vec<Axis> {
        let settings = self.settings(view, "grid");
        settings.iter().filter_map(|setting| self.column(view, setting)).map(Axis::of_one).collect()
    }

    /// The values of one key, one after the other.
    fn column(&mut self, view: View<'_>, setting: &Setting) -> Option<Vec<Setting>> {
        let value = setting.seen_in(view);
        let items = value.items().filter(|items| !items.is_empty());
        if items.is_none() {
            let what = format!("`{}` must be a list of values to try, got {}", setting.path(), value.written());
            let hint = "a value that does not vary belongs below `set`".to_owned();
            self.refuse(value.wrong(what.replace("got a list", "got an empty list"), Some(hint)));
        }
        Some(items?.into_iter().map(|item| setting.item(item)).collect())
    }

    fn zips(&mut self, view: View<'_>) -> Vec<Axis> {
        let Some(items) = view.items() else {
            self.refuse(view.wrong_key("`zip` must be a list of tables", Some("write [[zip]]".into())));
            return Vec::new();
        };
        items.into_iter().filter_map(|item| self.zip(item)).collect()
    }

    /// Keys whose values are taken together, the first of each, the second of each, and so on.
    fn zip(&mut self, view: View<'_>) -> Option<Axis> {
        let settings = self.settings(view, "zip");
        let columns: Option<Vec<Vec<Setting>>> = settings.iter().map(|s| self.column(view, s)).collect();
        let columns = columns?;
        let count = columns.first()?.len();
        for (setting, column) in settings.iter().zip(&columns) {
            if column.len() != count {
                let first = settings.first().map(Setting::path).unwrap_or_default();
                let (path, n) = (setting.path(), column.len());
                let values = show::counted(n as u64, "value");
                let what = format!("`{path}` has {values}, but `{first}` in the same [[zip]] has {count}");
                self.refuse(setting.seen_in(view).wrong(what, None));
                return None;
            }
        }
        let row = |i: usize| columns.iter().filter_map(|column| column.get(i).cloned()).collect();
        Some(Axis { rows: (0..count).map(row).collect() })
    }

    fn random(&mut self, view: View<'_>, layer: &mut Layer) {
        for setting in self.paths(view, "random", &is_distribution) {
            let value = setting.seen_in(view);
            let count = value.value().and_then(|v| v.as_integer()).and_then(|n| u64::try_from(n).ok());
            match (setting.path().as_str(), count) {
                ("trials", Some(n)) if (1..=MOST as u64).contains(&n) => layer.trials = Some(n),
                ("seed", Some(n)) => layer.random_seed = Some(n),
                (key @ ("trials" | "seed"), _) => {
                    let least = if key == "trials" { 1 } else { 0 };
                    let what = format!("must be a whole number, {least} or more, got {}", value.written());
                    self.refuse(value.wrong(what, None));
                }
                _ => match Distribution::read(value) {
                    Ok(from) => layer.draws.push(Draw { key: setting, from }),
                    Err(problem) => self.refuse(problem),
                },
            }
        }
    }
}

impl Axis {
    fn of_one(column: Vec<Setting>) -> Self {
        Axis { rows: column.into_iter().map(|setting| vec![setting]).collect() }
    }
}

fn field<'a>(view: View<'a>, name: &str) -> Option<View<'a>> {
    view.fields().into_iter().flatten().find(|(key, _)| *key == name).map(|(_, view)| view)
}

/// A name that can be part of a folder's name.
fn name_of(view: View<'_>) -> std::result::Result<String, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let fits = |name: &&str| (1..=40).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.');
    view.as_str().filter(fits).map(str::to_owned).ok_or_else(|| {
        let hint = "letters, digits, `_`, `-` and `.`, 40 at most: it becomes part of folder names";
        view.wrong(format!("`name` must be a plain word, got {}", view.written()), Some(hint.into()))
    })
}

/// `configs/sweeps/../x.toml` as `configs/x.toml`, where that leads to the same file.
fn tidy(path: &Path) -> PathBuf {
    use std::path::Component::{Normal, ParentDir};
    let mut short = PathBuf::new();
    for part in path.components() {
        match (part, short.components().next_back()) {
            (ParentDir, Some(Normal(_))) => drop(short.pop()),
            _ => short.push(part),
        }
    }
    // A link on the way makes `..` lead elsewhere.
    if fs::place_of(&short) == fs::place_of(path) { short } else { path.into() }
}
