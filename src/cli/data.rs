//! `ebm data list | fetch | verify`: which data sets there are, getting them, checking them.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::output;
use crate::run::is_watched;
use crate::{
    Error, Result,
    data::{
        self, DATASETS, DatasetRow, FileSet, Origin, fetch, locate,
        manifest::Known,
        verify::{self, FileState, Report},
    },
    run::layout,
};

/// `ebm data`: list, download and check data sets.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Every data set: what it is, and whether its files are here
    List,
    /// Download a data set from its public home, checked by size and sha256
    Fetch {
        /// The data set, as in `dataset.name`
        name: String,
        /// A server to try before the known ones: file names are appended to it
        #[arg(long, value_name = "URL")]
        mirror: Vec<String>,
        /// The folder that holds all data sets [default: $EBM_DATA, or datasets]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Check the files of one data set, or of all that are here: size, sha256, format
    Verify {
        /// The data set, as in `dataset.name`
        name: Option<String>,
    },
}

/// Runs the subcommand; `json` asks for one JSON document on stdout.
///
/// # Errors
/// Files that are missing or bad (exit code 4), an unknown name (2).
pub fn run(args: &DataArgs, json: bool) -> Result<()> {
    match &args.command {
        Command::List => list(json),
        Command::Fetch { name, mirror, dir } => get(name, mirror, dir.as_deref(), json),
        Command::Verify { name } => check(name.as_deref(), json),
    }
}

fn list(json: bool) -> Result<()> {
    let sets = data::file_sets()?;
    let rows = DATASETS.iter().map(|row| {
        let set = sets.iter().find(|set| set.known.name == row.name);
        json!({
            "name": row.name,
            "about": row.about,
            "cite": row.cite,
            "status": status(row, set),
            "licence": set.map(|set| &set.known.licence),
            "home": set.map(|set| &set.known.home),
        })
    });
    let rows: Vec<Value> = rows.collect();
    if json {
        return output::print_json(&json!({ "datasets": rows }));
    }
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let heads: Vec<_> = rows.iter().map(|row| vec![text(row, "name"), text(row, "status")]).collect();
    let (heads, abouts) = (output::table(&heads), rows.iter().map(|row| row["about"].as_str().unwrap_or_default()));
    output::print(&output::list(heads.lines().zip(abouts), layout::widest(heads.lines())))
}

/// One word on where the items come from; of files it only looks whether they exist.
fn status(row: &DatasetRow, set: Option<&FileSet>) -> &'static str {
    match (&row.origin, set) {
        (Origin::Files(_), Some(set)) => presence(set),
        (Origin::Yours, _) => "your file",
        _ => "generated",
    }
}

fn presence(set: &FileSet) -> &'static str {
    let FileSet { known, format } = set;
    let folders = locate::folders(known, "");
    let here = known.files.iter().filter(|file| locate::find(&folders, file).is_some()).count();
    match here {
        0 if known.files.iter().all(|file| format.built_in(file).is_some()) => "shipped",
        0 if known.mirrors.is_empty() => "by hand",
        0 => "to fetch",
        n if n == known.files.len() => "here",
        _ => "partly",
    }
}

fn get(name: &str, mirrors: &[String], dir: Option<&Path>, json: bool) -> Result<()> {
    let set = data::file_set(name)?;
    let root = dir.map_or_else(default_root, Path::to_path_buf);
    let folder = root.join(set.known.folder());
    let mirrors = [mirrors, &set.known.mirrors].concat();
    let bar = ProgressBar::new(0);
    if !is_watched() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let style = "{msg:<28} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let progress = |name: &str, have: u64, total: u64| {
        bar.set_message(name.to_owned());
        bar.set_length(total);
        bar.set_position(have);
    };
    let fetched = fetch::fetch(&set, &mirrors, &folder, &progress);
    bar.finish_and_clear();
    let files = fetched?;
    if json {
        return output::print_json(&json!({ "name": name, "folder": folder, "files": files }));
    }
    let row = |f: &fetch::Fetched| vec![format!("{:?}", f.outcome).to_lowercase(), f.path.display().to_string()];
    output::print(&output::table(&files.iter().map(row).collect::<Vec<_>>()))
}

fn default_root() -> PathBuf {
    std::env::var_os("EBM_DATA").filter(|v| !v.is_empty()).map_or_else(|| "datasets".into(), PathBuf::from)
}

fn check(name: Option<&str>, json: bool) -> Result<()> {
    let sets = match name {
        Some(name) => vec![data::file_set(name)?],
        None => data::file_sets()?,
    };
    let reports = sets.iter().map(|set| (&set.known, verify::verify(set, &locate::folders(&set.known, ""))));
    let reports: Vec<(&Known, Report)> = reports.filter(|(_, r)| name.is_some() || !r.absent()).collect();
    let plain: Vec<&Report> = reports.iter().map(|(_, r)| r).collect();
    if json {
        output::print_json(&json!({ "sets": plain }))?;
    } else {
        output::print(&output::table(&plain.iter().flat_map(|r| rows(r)).collect::<Vec<_>>()))?;
    }
    match reports.iter().find(|(_, r)| r.bad() || (name.is_some() && !r.usable)) {
        None => Ok(()),
        Some((set, report)) => {
            let what = if report.bad() { "has files that are not what they should be" } else { "is not complete" };
            Err(Error::data(Path::new(&set.name), what, set.remedy()))
        }
    }
}

/// A row for each file, and one below it that says what is wrong with it.
fn rows(report: &Report) -> Vec<Vec<String>> {
    let of_file = |f: &verify::Finding| {
        let state = match f.state {
            FileState::Good => "good",
            FileState::Missing => "missing",
            FileState::Bad => "BAD",
        };
        let place = f.path.as_ref().map_or_else(|| f.name.clone(), |p| p.display().to_string());
        let problem = f.problem.iter().map(|problem| vec![String::new(), String::new(), problem.clone()]);
        std::iter::once(vec![report.name.clone(), state.to_owned(), place]).chain(problem).collect::<Vec<_>>()
    };
    report.files.iter().flat_map(of_file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        data: DataArgs,
    }

    fn ebm_data(words: &[&str]) -> Result<()> {
        let line = Line::parse_from([&["data"], words].concat());
        run(&line.data, true)
    }

    #[test]
    fn lists_and_verifies() {
        ebm_data(&["list"]).unwrap();
        ebm_data(&["verify", "digits"]).unwrap();
        assert_eq!(ebm_data(&["verify", "moons"]).unwrap_err().exit_code(), 2);
        assert_eq!(ebm_data(&["fetch", "usps"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn what_cannot_be_fetched_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("sets");
        assert_eq!(ebm_data(&["fetch", "usps", "--dir", root.to_str().unwrap()]).unwrap_err().exit_code(), 2);
        assert!(!root.exists());
    }
}
