//! `--set path=value`: one value of the tree from the command line.

use toml::de::DeValue;

use super::diagnostics::Problem;
use super::node::{Node, Reader, Value, rename};
use super::source::{Source, Span};

/// A step of a dotted path with the bytes it was written at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub name: String,
    pub start: usize,
    pub end: usize,
}

/// Reads `method.critic.hidden`, `probe.0.every`, `probe[0].every` or `a."b.c"` up to `=` or the end; gives the steps
/// and the byte after them.
///
/// # Errors
/// What is wrong, and at which byte.
pub(super) fn path(text: &str) -> Result<(Vec<Step>, usize), (&'static str, usize)> {
    let mut steps = Vec::new();
    let mut at = skip_space(text, 0);
    loop {
        let (step, next) = step(text, at)?;
        steps.push(step);
        at = skip_space(text, next);
        match text.get(at..).and_then(|rest| rest.chars().next()) {
            None | Some('=') => return Ok((steps, at)),
            Some('.') => at = skip_space(text, at + 1),
            Some('[') => {}
            Some(_) => return Err(("a key has only letters, digits, `_` and `-`", at)),
        }
    }
}

/// The names in a dotted path; one that cannot be read leads nowhere.
pub(super) fn names(text: &str) -> Vec<String> {
    path(text).map(|(steps, _)| steps.into_iter().map(|step| step.name).collect()).unwrap_or_default()
}

fn skip_space(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.len() - rest.trim_start().len()
}

/// One step that begins at byte `at`: a bare key, a quoted key or `[index]`.
fn step(text: &str, at: usize) -> Result<(Step, usize), (&'static str, usize)> {
    let rest = text.get(at..).unwrap_or_default();
    let open = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '['));
    if let Some(open) = open {
        let close = if open == '[' { ']' } else { open };
        let inside = rest.get(1..).unwrap_or_default();
        let len = inside.find(close).ok_or(("this is not closed", at))?;
        let name = inside.get(..len).unwrap_or_default().to_owned();
        if open == '[' && name.parse::<usize>().is_err() {
            return Err(("an index must be a whole number", at + 1));
        }
        return Ok((Step { name, start: at, end: at + len + 2 }, at + len + 2));
    }
    let len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
    let name = rest.get(..len).unwrap_or_default().to_owned();
    if name.is_empty() {
        Err(("a key is missing here", at))
    } else {
        Ok((Step { name, start: at, end: at + len }, at + len))
    }
}

/// Applies the argument that is source number `source` to the tree; the sources `..files` are what it overrides.
///
/// # Errors
/// Everything that is wrong with it, pointing into the argument.
pub(super) fn apply(root: &mut Node, sources: &[Source], source: usize, files: usize) -> Result<(), Vec<Problem>> {
    let text = sources.get(source).map_or("", |s| s.text.as_str());
    let problem = |at: std::ops::Range<usize>, message: String, hint: Option<String>| {
        vec![Problem::at(sources, Span::new(source, at), message, hint)]
    };
    let form = || Some("write `--set path=value`, such as `--set train.steps=100`".to_owned());
    let (steps, equals) = path(text).map_err(|(what, at)| problem(at..at + 1, what.into(), form()))?;
    if text.get(equals..equals + 1) != Some("=") {
        return Err(problem(0..text.len(), "there is no `=`".into(), form()));
    }
    if steps.first().is_some_and(|step| step.name == "extends") {
        let hint = Some("give the file that extends it instead".to_owned());
        return Err(problem(0..equals, "`extends` can only stand in a file".into(), hint));
    }
    let value = value(sources, source, equals + 1, &steps)?;
    insert(root, &steps, value, files).map_err(|(at, what)| problem(at, what, None))
}

/// The value after the `=`: TOML, or a bare string if it does not look like TOML.
fn value(sources: &[Source], source: usize, after: usize, steps: &[Step]) -> Result<Node, Vec<Problem>> {
    let text = sources.get(source).map_or("", |s| s.text.as_str());
    let start = skip_space(text, after);
    let raw = text.get(start..).unwrap_or_default().trim_end();
    let span = |range: std::ops::Range<usize>| Span::new(source, range.start + start..range.end + start);
    let refuse = |at, message: String| Problem::at(sources, at, message, None);
    if raw.is_empty() {
        let hint = Some("write `\"\"` for an empty string".to_owned());
        return Err(vec![Problem::at(sources, span(0..0), "there is no value", hint)]);
    }
    let (parsed, errors) = DeValue::parse_recoverable(raw);
    let key = steps.last().map_or(span(0..0), |step| Span::new(source, step.start..step.end));
    match errors.first() {
        None => {
            let mut reader = Reader { sources, source, offset: start, problems: Vec::new() };
            let node = reader.node(parsed.get_ref(), span(parsed.span()), key, steps.len());
            node.filter(|_| reader.problems.is_empty()).ok_or(reader.problems)
        }
        Some(error) if raw.starts_with(['[', '{', '"', '\'']) => {
            Err(vec![refuse(span(error.span().unwrap_or(0..0)), error.message().to_owned())])
        }
        Some(_) => {
            let value = Value::Plain(toml::Value::String(raw.to_owned()));
            Ok(Node { value, at: span(0..raw.len()), key, outdated: false })
        }
    }
}

/// The bytes of the path at which it goes wrong, and why.
type Refusal = (std::ops::Range<usize>, String);

/// Puts `value` where the steps lead, making the tables that are missing; a table is laid over the one that is there,
/// as in a file. A new `name` outdates what the `files` say, not what other arguments do: their order is free.
pub(super) fn insert(node: &mut Node, steps: &[Step], value: Node, files: usize) -> Result<(), Refusal> {
    let Some((step, rest)) = steps.split_first() else {
        node.merge(value, files);
        return Ok(());
    };
    let here = step.start..step.end;
    node.outdated = false;
    match &mut node.value {
        Value::Table(fields) => {
            if step.name == "name" && rest.is_empty() {
                rename(fields, Some(&value), files);
            }
            let missing = || Node::empty(Span::new(value.at.source, step.start..step.end));
            insert(fields.entry(step.name.clone()).or_insert_with(missing), rest, value, files)
        }
        Value::List(items) => {
            let count = items.len();
            match step.name.parse::<usize>().ok().and_then(|i| items.get_mut(i)) {
                Some(item) => insert(item, rest, value, files),
                None if count == 0 => Err((here, "this list is empty: there is nothing to change".into())),
                None => Err((here, format!("this list has the entries 0 to {}, not `{}`", count - 1, step.name))),
            }
        }
        Value::Plain(_) => Err((here, format!("there is no `{}` here: the path leads into a plain value", step.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        path(text).unwrap().0.into_iter().map(|step| step.name).collect()
    }

    #[test]
    fn paths_are_dotted_indexed_or_quoted() {
        assert_eq!(names("probe.0.every=5"), ["probe", "0", "every"]);
        assert_eq!(names("probe[0].every = 5"), ["probe", "0", "every"]);
        assert_eq!(names(" a . \"b.c=d\" .'e'"), ["a", "b.c=d", "e"]);
        for (text, at) in [("", 0), ("=3", 0), ("a..b=1", 2), ("a b=1", 2), ("a[x]=1", 2), ("a.\"b=1", 2), ("ä=1", 0)]
        {
            assert_eq!(path(text).unwrap_err().1, at, "{text}");
        }
    }
}
