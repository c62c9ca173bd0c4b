//! How tensors of another program come to be those of a model: the rules of a `map.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use regex::Regex;
use serde::Deserialize;

use super::file::ForeignFile;
use super::foreign::Foreign;
use crate::nets::Shapes;
use crate::store::State;
use crate::{Error, Result};

/// The rules of a `map.toml`. A tensor that no rule names keeps its name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Map {
    /// The dictionary of the file that holds the tensors, such as `model_state_dict`; nested ones joined by dots.
    pub key: String,
    /// Tensors of the file that the model has no use for.
    pub skip: Vec<Pattern>,
    /// New names: every rule is applied, in order, to what those before it made of the name.
    pub rename: Vec<Rename>,
    /// Tensors of the model that no file has.
    pub fill: Vec<Fill>,
}

/// A new name for some tensors of the file, and what is done to their numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The part of the name that is replaced.
    pub from: Pattern,
    /// What takes its place, with `${1}` for what the first group of `from` matched.
    pub to: String,
    /// The order of the dimensions, such as `[1, 0]` for a matrix to be transposed.
    #[serde(default)]
    pub transpose: Vec<usize>,
    /// A constant factor; -1 turns log p into an energy.
    #[serde(default = "one")]
    pub scale: f64,
}

/// A constant for some tensors of the model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// A part of their names in the model.
    pub name: Pattern,
    /// The constant.
    pub value: f64,
}

fn one() -> f64 {
    1.0
}

/// A regular expression for a part of a name; `^` and `$` are the ends of the name.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        Regex::new(&text).map(Pattern).map_err(|e| e.to_string())
    }
}

/// A tensor of the model, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Its name in the model.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
    /// Name and shape in the file.
    pub from: Option<(String, Vec<usize>)>,
    /// What is done to it.
    pub note: String,
    /// Why it does not fit, if it does not.
    pub wrong: Option<String>,
}

/// What becomes of every tensor.
#[derive(Clone, Debug, Default)]
pub struct Fit {
    /// The tensors of the model, by name.
    pub rows: Vec<Fitted>,
    /// Tensors of the file without a place in the model: name, shape and type.
    pub left_over: Vec<(String, Vec<usize>, String)>,
    /// Names that `skip` passed over.
    pub skipped: Vec<String>,
    /// The tensors of the model, as far as they fit.
    pub tensors: State,
}

impl Map {
    /// Reads a file of rules.
    ///
    /// # Errors
    /// It cannot be read, or a rule is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        toml::from_str(&text).map_err(|e| {
            let hint = "the keys are `key`, `skip`, [[rename]] with from, to, transpose and scale, and [[fill]] with \
                        name and value";
            Error::config(format!("{}: {e}", path.display()).trim_end()).hint(hint)
        })
    }

    /// Fits the tensors of a file to a model with these shapes.
    ///
    /// # Errors
    /// Two tensors of the file would be one of the model.
    pub fn fit(&self, file: &ForeignFile, shapes: &Shapes) -> Result<Fit> {
        let mut fit = Fit::default();
        let mut sources: BTreeMap<String, Renamed> = BTreeMap::new();
        for (name, foreign) in &file.tensors {
            if self.skip.iter().any(|Pattern(skip)| skip.is_match(name)) {
                fit.skipped.push(name.clone());
                continue;
            }
            let mut rules = Vec::new();
            let to = self.rename.iter().fold(name.clone(), |name, rule| match rule.from.0.is_match(&name) {
                true => {
                    rules.push(rule);
                    rule.from.0.replace(&name, &rule.to).into_owned()
                }
                false => name,
            });
            if !shapes.contains_key(&to) {
                let kind = if to == *name { foreign.kind.clone() } else { format!("{}, to {to}", foreign.kind) };
                fit.left_over.push((name.clone(), foreign.shape.clone(), kind));
            } else if let Some(other) = sources.insert(to.clone(), Renamed { from: name, foreign, rules }) {
                return Err(Error::config(format!("`{}` and `{name}` would both be `{to}`", other.from))
                    .hint("let a rule name fewer tensors, or add one of them to `skip`"));
            }
        }
        for (name, shape) in shapes {
            let (row, tensor) = match sources.get(name) {
                Some(renamed) => renamed.shaped(name, shape),
                None => self.filled(name, shape),
            };
            fit.rows.push(row);
            fit.tensors.extend(tensor.map(|tensor| (name.clone(), tensor)));
        }
        Ok(fit)
    }

    fn filled(&self, name: &str, shape: &[usize]) -> (Fitted, Option<Tensor>) {
        let row = Fitted { name: name.into(), shape: shape.into(), from: None, note: String::new(), wrong: None };
        let Some(fill) = self.fill.iter().find(|fill| fill.name.0.is_match(name)) else {
            return (Fitted { wrong: Some("missing".into()), ..row }, None);
        };
        let made = Tensor::full(fill.value, shape, &Device::Cpu).and_then(|t| t.to_dtype(DType::F32));
        placed(Fitted { note: format!("{} everywhere", fill.value), ..row }, made)
    }
}

/// A tensor of a file with the rules that its name fitted.
struct Renamed<'a> {
    from: &'a str,
    foreign: &'a Foreign,
    rules: Vec<&'a Rename>,
}

impl Renamed<'_> {
    /// The tensor `name` of the model.
    fn shaped(&self, name: &str, shape: &[usize]) -> (Fitted, Option<Tensor>) {
        let from = Some((self.from.to_owned(), self.foreign.shape.clone()));
        let row = Fitted { name: name.into(), shape: shape.into(), from, note: String::new(), wrong: None };
        let kind = &self.foreign.kind;
        let Some(tensor) = &self.foreign.tensor else {
            return (Fitted { wrong: Some(format!("{kind}, which no weight is")), ..row }, None);
        };
        let mut notes = Vec::new();
        if kind != "f32" {
            notes.push(format!("{kind} to f32"));
        }
        let mut made = Ok(tensor.clone());
        for Rename { transpose, scale, .. } in &self.rules {
            if !transpose.is_empty() {
                notes.push(format!("transposed to {transpose:?}"));
                made = made.and_then(|t| t.permute(transpose.as_slice())?.contiguous());
            }
            if scale.to_bits() != 1f64.to_bits() {
                notes.push(format!("times {scale}"));
                made = made.and_then(|t| t * *scale);
            }
        }
        placed(Fitted { note: notes.join(", "), ..row }, made)
    }
}

fn placed(row: Fitted, made: candle_core::Result<Tensor>) -> (Fitted, Option<Tensor>) {
    match made {
        Ok(tensor) if tensor.dims() == row.shape => (row, Some(tensor)),
        Ok(_) => (Fitted { wrong: Some("another shape".into()), ..row }, None),
        Err(_) => (Fitted { wrong: Some("its dimensions cannot be ordered so".into()), ..row }, None),
    }
}

impl Fit {
    /// Whether every tensor of the model has its place in the file, and the other way round.
    pub fn is_whole(&self) -> bool {
        self.left_over.is_empty() && self.rows.iter().all(|row| row.wrong.is_none())
    }

    /// What does not fit, in one sentence, with the first eight names of each kind.
    pub fn complaint(&self) -> String {
        let named = |names: Vec<String>, what: &str| match names.len() {
            0 => None,
            n => {
                let more = if n > 8 { ", …" } else { "" };
                let first: Vec<String> = names.into_iter().take(8).collect();
                Some(format!("{n} {what}: {}{more}", first.join(", ")))
            }
        };
        let rows = |missing: bool| {
            let wrong = self.rows.iter().filter(move |row| row.wrong.is_some() && row.from.is_none() == missing);
            wrong.map(|row| match &row.from {
                None => format!("{} {:?}", row.name, row.shape),
                Some((from, shape)) => {
                    let why = row.wrong.as_deref().unwrap_or_default();
                    format!("{from} {shape:?} as {} {:?} ({why})", row.name, row.shape)
                }
            })
        };
        let left = self.left_over.iter().map(|(name, shape, _)| format!("{name} {shape:?}")).collect();
        let kinds = [
            named(rows(true).collect(), "missing from the file"),
            named(rows(false).collect(), "do not fit"),
            named(left, "of the file left over"),
        ];
        kinds.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(shape: &[usize], kind: &str) -> Foreign {
        let n: usize = shape.iter().product();
        let tensor = Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap().reshape(shape).unwrap();
        Foreign { shape: shape.into(), kind: kind.into(), tensor: (kind != "i32").then_some(tensor) }
    }

    fn file(tensors: &[(&str, &[usize], &str)]) -> ForeignFile {
        let tensors = tensors.iter().map(|(name, shape, kind)| ((*name).to_owned(), foreign(shape, kind)));
        ForeignFile { tensors: tensors.collect(), notes: BTreeMap::new() }
    }

    fn shapes(shapes: &[(&str, &[usize])]) -> Shapes {
        shapes.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
    }

    fn map(text: &str) -> Map {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn tensors_are_renamed_transposed_scaled_filled_and_skipped() {
        let map = map(r#"
            skip = ['num_batches_tracked$']
            [[rename]]
            from = '^layers\.'
            to = 'net.'
            [[rename]]
            from = '^net\.(\d+)\.w$'
            to = 'net.${1}.weight'
            transpose = [1, 0]
            [[rename]]
            from = '^last'
            to = 'net.out'
            scale = -2.0
            [[fill]]
            name = '^net\.\d+\.bias$'
            value = 0.5
        "#);
        let file = file(&[
            ("bn.num_batches_tracked", &[], "i64"),
            ("last", &[2], "f16"),
            ("layers.10.w", &[2, 3], "f32"),
            ("same", &[1], "f64"),
        ]);
        let shapes = shapes(&[("net.10.bias", &[2]), ("net.10.weight", &[3, 2]), ("net.out", &[2]), ("same", &[1])]);
        let fit = map.fit(&file, &shapes).unwrap();
        assert!(fit.is_whole() && fit.complaint().is_empty(), "{}", fit.complaint());
        let list = |name: &str| fit.tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(list("net.10.weight"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!((list("net.out"), list("net.10.bias")), (vec![0.0, -2.0], vec![0.5, 0.5]));
        let notes: Vec<&str> = fit.rows.iter().map(|row| row.note.as_str()).collect();
        assert_eq!(notes, ["0.5 everywhere", "transposed to [1, 0]", "f16 to f32, times -2", "f64 to f32"]);
        assert_eq!(fit.skipped, ["bn.num_batches_tracked"]);
    }

    #[test]
    fn whatever_does_not_fit_is_listed() {
        let file = file(&[("a", &[2], "f32"), ("b", &[3], "f32"), ("c", &[1], "i32"), ("d", &[1, 2], "f32")]);
        let shapes = shapes(&[("b", &[4]), ("c", &[1]), ("e", &[5]), ("x", &[2, 1])]);
        let rules = map("[[rename]]\nfrom = '^d$'\nto = 'x'\ntranspose = [0, 2]\n");
        let fit = rules.fit(&file, &shapes).unwrap();
        assert!(!fit.is_whole() && fit.tensors.is_empty());
        assert_eq!(
            fit.complaint(),
            "1 missing from the file: e [5]; 3 do not fit: b [3] as b [4] (another shape), c [1] as c [1] (i32, which \
             no weight is), d [1, 2] as x [2, 1] (its dimensions cannot be ordered so); 1 of the file left over: a [2]"
        );
        let both = map("[[rename]]\nfrom = '^[ad]$'\nto = 'e'\n");
        let error = both.fit(&file, &shapes).unwrap_err().to_string();
        assert!(error.contains("`a` and `d` would both be `e`"), "{error}");
        assert!(toml::from_str::<Map>("[[rename]]\nfrom = '('\nto = 'x'\n").unwrap_err().to_string().contains("line"));
        assert!(toml::from_str::<Map>("skipped = []").is_err());
    }
}
