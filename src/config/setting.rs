//! One key of an experiment and its value, as another document says it: mistakes are shown where that was written.

use super::diagnostics::{Problem, Problems};
use super::dump::{inline, path_text};
use super::node::{Node, Value};
use super::set::{self, Step};
use super::source::{ARGUMENT, Source, Span};
use super::view::View;
use super::{Document, Resolved};

/// `train.steps = 1000`, with the position of both sides in the document that it was taken from.
#[derive(Clone, Debug)]
pub struct Setting {
    steps: Vec<Step>,
    node: Node,
}

impl Setting {
    /// Every value below a table whose keys are paths, quoted (`"train.steps" = 5`) or bare (`train.steps = 5`).
    /// `is_leaf` says which tables are values themselves.
    ///
    /// # Errors
    /// Keys that are no paths.
    pub fn all(table: View<'_>, is_leaf: &dyn Fn(View<'_>) -> bool) -> Result<Vec<Setting>, Vec<Problem>> {
        let mut found = (Vec::new(), Vec::new());
        collect(table, &[], is_leaf, &mut found);
        if found.1.is_empty() { Ok(found.0) } else { Err(found.1) }
    }

    /// The path as `--set` takes it, each step written in one way only.
    pub fn path(&self) -> String {
        path_text(self.steps.iter().map(|step| step.name.as_str()))
    }

    /// The path in a `path=value`, each step written in one way only; nothing if it is none.
    pub fn path_of(argument: &str) -> Option<String> {
        let (steps, _) = set::path(argument).ok()?;
        Some(path_text(steps.iter().map(|step| step.name.as_str())))
    }

    /// The value with its position; `other` is any view into the document that the setting was taken from.
    pub fn seen_in<'a>(&'a self, other: View<'a>) -> View<'a> {
        View { document: other.document, node: &self.node }
    }

    /// The same key with the entry of a list in the place of the list.
    pub fn item(&self, entry: View<'_>) -> Setting {
        let node = Node { key: self.node.key, ..entry.node.clone() };
        Setting { steps: self.steps.clone(), node }
    }

    /// The same key with a value that was computed; mistakes in it are shown at this one.
    pub fn with(&self, value: toml::Value) -> Setting {
        Setting { steps: self.steps.clone(), node: Node { value: planted(value, &self.node), ..self.node.clone() } }
    }

    /// The value.
    pub fn value(&self) -> toml::Value {
        self.node.to_toml(&mut |_| ())
    }

    /// The value as a complete configuration has it, where `1` and `1.0` are the same number; a table is as written.
    pub fn value_in(&self, resolved: &Resolved) -> toml::Value {
        let mut found = self.steps.first().and_then(|step| resolved.0.get(&step.name));
        for step in self.steps.iter().skip(1) {
            found = match found {
                Some(toml::Value::Table(table)) => table.get(&step.name),
                Some(toml::Value::Array(items)) => step.name.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => None,
            };
        }
        found.filter(|value| !value.is_table()).cloned().unwrap_or_else(|| self.value())
    }

    /// Gives the key another value in a complete configuration that has it.
    pub fn put_in(&self, resolved: &mut Resolved, value: toml::Value) {
        let Some((last, above)) = self.steps.split_last() else { return };
        let mut table = Some(&mut resolved.0);
        for step in above {
            table = table.and_then(|t| t.get_mut(&step.name)).and_then(toml::Value::as_table_mut);
        }
        table.into_iter().for_each(|table| drop(table.insert(last.name.clone(), value.clone())));
    }

    /// The argument of `--set` that says the same.
    pub fn argument(&self) -> String {
        format!("{}={}", self.path(), inline(&self.value()))
    }
}

/// A value as a tree whose every node stands where `like` does.
fn planted(value: toml::Value, like: &Node) -> Value {
    let node = |value| Node { value: planted(value, like), ..like.clone() };
    match value {
        toml::Value::Array(items) => Value::List(items.into_iter().map(node).collect()),
        toml::Value::Table(table) => Value::Table(table.into_iter().map(|(key, value)| (key, node(value))).collect()),
        plain => Value::Plain(plain),
    }
}

fn collect(
    table: View<'_>,
    above: &[Step],
    is_leaf: &dyn Fn(View<'_>) -> bool,
    found: &mut (Vec<Setting>, Vec<Problem>),
) {
    for (key, view) in table.fields().unwrap_or_default() {
        let steps = match steps_of(key, view) {
            Ok(steps) => [above, &steps].concat(),
            Err(problem) => {
                found.1.push(problem);
                continue;
            }
        };
        match view.fields() {
            Some(fields) if !fields.is_empty() && !is_leaf(view) => collect(view, &steps, is_leaf, found),
            _ => found.0.push(Setting { steps, node: view.node.clone() }),
        }
    }
}

/// The steps of one key, placed in the text that the key was written in.
fn steps_of(key: &str, view: View<'_>) -> Result<Vec<Step>, Problem> {
    let refuse = |what: &str| {
        let hint = "write the path of a key as `--set` takes it, such as \"train.steps\"";
        view.wrong_key(format!("`{}` is no path: {what}", super::suggest::short(key)), Some(hint.to_owned()))
    };
    let (mut steps, end) = set::path(key).map_err(|(what, _)| refuse(what))?;
    if end != key.len() {
        return Err(refuse("there must be no `=` in it"));
    }
    let span = view.node.key;
    let quoted = view.document.sources.get(span.source).is_some_and(|s| s.slice(span).starts_with(['"', '\'']));
    let shift = span.start + usize::from(quoted);
    steps.iter_mut().for_each(|step| (step.start, step.end) = (step.start + shift, step.end + shift));
    Ok(steps)
}

impl Document {
    /// This document with settings that were read from `other` laid on top, and the `path=value` of every `--set` on
    /// top of those. Their order does not matter, except that the last value of a key counts.
    ///
    /// # Errors
    /// Paths that lead nowhere, `--set` syntax; all of them at once.
    pub fn with(&self, other: &Document, settings: &[Setting], sets: &[String]) -> Result<Document, Problems> {
        let mut document = self.clone();
        let mut problems = Problems::new(&other.name);
        let shift = self.sources.len();
        document.sources.extend(other.sources.iter().cloned());
        for setting in settings {
            let mut node = setting.node.clone();
            move_sources(&mut node, shift);
            let source = node.at.source;
            if let Err((at, what)) = set::insert(&mut document.root, &setting.steps, node, shift) {
                problems.push(Problem::at(&document.sources, Span::new(source, at), what, None));
            }
        }
        for argument in sets {
            document.sources.push(Source { name: ARGUMENT.into(), text: argument.clone() });
            let outcome = set::apply(&mut document.root, &document.sources, document.sources.len() - 1, shift);
            outcome.err().into_iter().flatten().for_each(|problem| problems.push(problem));
        }
        if problems.is_empty() { Ok(document) } else { Err(problems) }
    }
}

fn move_sources(node: &mut Node, shift: usize) {
    node.at.source += shift;
    node.key.source += shift;
    match &mut node.value {
        Value::Plain(_) => {}
        Value::List(items) => items.iter_mut().for_each(|item| move_sources(item, shift)),
        Value::Table(fields) => fields.values_mut().for_each(|field| move_sources(field, shift)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "\"a.b\" = [1, 2]\nc.d.e = { f = 3 }\n'probe[0].\"x y\"' = 'z'\n";

    fn settings(plan: &Document) -> Vec<Setting> {
        Setting::all(plan.view(), &|_| false).unwrap()
    }

    #[test]
    fn quoted_and_bare_keys_are_paths() {
        let plan = Document::from_str("plan.toml", PLAN, &[]).unwrap();
        let found: Vec<String> = settings(&plan).iter().map(Setting::argument).collect();
        assert_eq!(found, ["a.b=[1, 2]", "c.d.e.f=3", "probe.0.\"x y\"=\"z\""]);
        let bad = Document::from_str("plan.toml", "\"a..b\" = 1\n'c=d' = 2\n", &[]).unwrap();
        let problems = Setting::all(bad.view(), &|_| false).unwrap_err();
        let at: Vec<_> = problems.iter().map(|p| p.place.as_ref().map(|p| (p.line, p.column))).collect();
        assert_eq!(at, [Some((1, 1)), Some((2, 1))]);
    }

    #[test]
    fn the_tree_is_that_of_set_and_mistakes_are_shown_in_the_plan() {
        let base = Document::from_str("base.toml", "probe = [{}]\nc.d = { g = 1 }\n", &[]).unwrap();
        let plan = Document::from_str("plan.toml", PLAN, &[]).unwrap();
        let with = base.with(&plan, &settings(&plan), &["a.b=9".into()]).unwrap();
        let arguments: Vec<String> = settings(&plan).iter().map(Setting::argument).chain(["a.b=9".into()]).collect();
        let by_set = Document::from_str("base.toml", "probe = [{}]\nc.d = { g = 1 }\n", &arguments).unwrap();
        let value = |d: &Document| d.view().value().unwrap();
        assert_eq!(value(&with), value(&by_set));
        assert_eq!((with.origin("c.d.e.f"), with.origin("a.b")), ("plan.toml:2".into(), "--set".into()));
        let plain = Document::from_str("base.toml", "probe = []\n", &[]).unwrap();
        let text = plain.with(&plan, &settings(&plan), &[]).unwrap_err().to_string();
        assert!(text.contains("plan.toml:3:7"), "{text}");
    }
}
