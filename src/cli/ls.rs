//! `ebm ls`: the runs under a folder, from their manifests, and from their configurations where these are asked for.

use std::cmp::Ordering;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::{GlobalArgs, output, runs_root, usage};
use crate::config::nearest;
use crate::math::Numeral;
use crate::report::{Fact, Filter, Run, csv, hint_at_name, missing};
use crate::run::{Declared, Manifest, list, show};
use crate::{Result, shell};

/// What is shown of a run unasked; `tags` and `note` too, where a run has some.
const COLUMNS: [&str; 6] = ["run", "status", "method", "dataset", "seed", "step"];

/// Significant digits of a number in a table.
const DIGITS: usize = 6;

/// Lists runs.
#[derive(Args)]
#[command(after_help = "Names in --filter and --columns are keys of the configuration (method, optim.lr), numbers of \
                        the last logged step (test_ll), and run, name, status, step, started, seconds, tags, note and \
                        arm.")]
pub struct LsArgs {
    /// The folder that holds them [default: runs]
    root: Option<PathBuf>,
    /// Only runs of which this is true: 'method=vera and test_ll>-40'. Comparisons with = != < <= > >=, joined by and,
    /// or, not and parentheses; what a run does not have is false of it
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// What is shown of each run: run,optim.lr,test_ll [default: run, status, method, dataset, seed, step]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// Sorts by a number of the last step or a key, smallest first
    #[arg(long, value_name = "NAME")]
    sort: Option<String>,
    /// The other way round; runs without the metric stay last
    #[arg(long, short)]
    reverse: bool,
    /// How the list is printed; --json is short for json
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum FormatArg {
    /// Columns aligned with spaces, numbers as a screen shows them
    Table,
    /// Numbers in full
    Csv,
    /// One document
    Json,
}

/// A run with its manifest, which is printed as it is.
struct Listed {
    run: Run,
    manifest: Manifest,
}

/// Reads every manifest and prints a table; one that cannot be read is warned of.
pub fn run(args: &LsArgs, global: &GlobalArgs) -> Result<()> {
    let format = global.form(args.format, FormatArg::Json)?.unwrap_or(FormatArg::Table);
    let filter = args.filter.as_deref().map(Filter::parse).transpose()?;
    let mut listed = read(args)?;
    let asked = filter.iter().flat_map(Filter::names).chain(args.columns.iter().chain(&args.sort).map(String::as_str));
    complete(&mut listed, &asked.collect::<Vec<_>>());
    let declared = Declared::everything();
    {
        let runs: Vec<&Run> = listed.iter().map(|one| &one.run).collect();
        filter.iter().try_for_each(|filter| filter.check(&runs))?;
        args.known(&runs, &declared)?;
    }
    listed.retain(|one| filter.as_ref().is_none_or(|filter| filter.holds(&one.run)));
    match &args.sort {
        Some(name) => listed.sort_by(|a, b| place(&a.run, name, args.reverse, &b.run)),
        None if args.reverse => listed.reverse(),
        None => {}
    }
    let columns = args.shown(&listed);
    match format {
        FormatArg::Json => output::print_json(&listed.iter().map(|one| args.document(one)).collect::<Vec<_>>()),
        FormatArg::Csv => output::print(&csv(&rows(&listed, &columns, |_, fact| fact.text(), ""))?),
        FormatArg::Table => {
            let cell = |name: &str, fact: Fact<'_>| match fact {
                Fact::Number(number) if name != "step" => show::value(declared.unit(name), number, DIGITS),
                other => other.text(),
            };
            output::print(&output::fitted(&rows(&listed, &columns, cell, "-")))
        }
    }
}

/// The runs with what their manifests say of them.
fn read(args: &LsArgs) -> Result<Vec<Listed>> {
    let root = args.root.clone().unwrap_or_else(runs_root);
    // Nobody has trained here yet: no error, unless the folder was named.
    let found = if args.root.is_none() && !root.exists() { Vec::new() } else { list(&root)? };
    let mut listed = Vec::new();
    for (path, manifest) in found {
        match manifest {
            Ok(manifest) => {
                let mut warnings = Vec::new();
                let run = Run::of_manifest(&path, Some(Ok(manifest.clone())), &mut warnings);
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                listed.push(Listed { run, manifest });
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }
    Ok(listed)
}

/// Reads the configurations too, if a name is asked for that no manifest has.
fn complete(listed: &mut [Listed], asked: &[&str]) {
    let runs: Vec<&Run> = listed.iter().map(|one| &one.run).collect();
    // An arm and a seed stand beside the configuration or in it, whether or not a run has them.
    let beside = asked.iter().any(|name| ["arm", "seed"].contains(name));
    if missing(asked, &runs).is_empty() && !beside {
        return;
    }
    let read = |one: &mut Listed| {
        let mut warnings = Vec::new();
        one.run.read_configuration(&mut warnings);
        warnings
    };
    let warnings: Vec<Vec<String>> = listed.par_iter_mut().map(read).collect();
    warnings.concat().iter().for_each(|warning| tracing::warn!("{warning}"));
}

/// Where a run comes in the order by `name`: numbers by size, then words, last who has nothing there.
fn place(a: &Run, name: &str, reverse: bool, b: &Run) -> Ordering {
    let key = |run: &Run| match run.fact(name) {
        Some(Fact::Number(number)) => (!number.is_nan()).then_some((number, String::new())),
        Some(fact) => {
            let text = fact.text();
            let number = Numeral::parse(&text).and_then(|_| text.parse().ok());
            Some(number.map_or((f64::INFINITY, text), |number| (number, String::new())))
        }
        None => None,
    };
    match (key(a), key(b)) {
        (Some(a), Some(b)) => {
            let order = a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            if reverse { order.reverse() } else { order }
        }
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// A header, and a row for each run; `none` for what a run does not have.
fn rows(
    listed: &[Listed],
    columns: &[String],
    cell: impl Fn(&str, Fact<'_>) -> String,
    none: &str,
) -> Vec<Vec<String>> {
    let one = |run: &Run, name: &String| run.fact(name).map(|fact| cell(name, fact)).filter(|text| !text.is_empty());
    let row = |run: &Run| columns.iter().map(|name| one(run, name).unwrap_or_else(|| none.to_owned())).collect();
    std::iter::once(columns.to_vec()).chain(listed.iter().map(|listed| row(&listed.run))).collect()
}

impl LsArgs {
    /// Refuses columns that no run has, and an order by what no run has and nobody declares.
    fn known(&self, runs: &[&Run], declared: &Declared) -> Result<()> {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        if let Some(wrong) = missing(&columns, runs).first().filter(|_| !runs.is_empty()) {
            return Err(usage(format!("--columns: no run has `{wrong}`"), hint_at_name(wrong, runs)));
        }
        // A name with free parts, such as `{split}_accuracy`, is known where a run has it.
        let Some(name) = self.sort.as_deref().filter(|name| !missing(&[name], runs).is_empty()) else { return Ok(()) };
        if declared.names().any(|known| known == name) {
            return Ok(());
        }
        let names = runs.iter().flat_map(|run| run.last.iter().map(|(name, _)| name));
        let all: Vec<&str> = names.chain(declared.names()).collect();
        let hint = match nearest(name, &all) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("`{}` lists the numbers of a method or a probe", shell::ebm("explain NAME")),
        };
        Err(usage(format!("no run has the metric `{name}`"), hint))
    }

    /// The columns that are asked for, or else those that say most.
    fn shown(&self, listed: &[Listed]) -> Vec<String> {
        if !self.columns.is_empty() {
            return self.columns.clone();
        }
        let tags = listed.iter().any(|one| !one.run.remarks.tags.is_empty()).then_some("tags");
        let note = listed.iter().any(|one| !one.run.remarks.note.is_empty()).then_some("note");
        COLUMNS.into_iter().chain(self.sort.as_deref()).chain(tags).chain(note).map(str::to_owned).collect()
    }

    /// A run as JSON: the asked columns, or its manifest and what people say of it.
    fn document(&self, one: &Listed) -> Value {
        let run = &one.run;
        if self.columns.is_empty() {
            return json!({
                "run": run.dir.to_string_lossy(), "status": run.status, "tags": run.remarks.tags,
                "note": run.remarks.note, "manifest": one.manifest,
            });
        }
        let value = |name: &String| (name.clone(), run.fact(name).map_or(Value::Null, |fact| fact.json()));
        self.columns.iter().map(value).collect::<Map<_, _>>().into()
    }
}
