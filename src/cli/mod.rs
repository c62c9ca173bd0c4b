//! The command line: one file a subcommand. Arguments in, exit code out; what is computed lives in the rooms below.

mod arrays;
mod catalogue;
mod check;
mod classes;
mod clean;
mod compare;
mod data;
mod diagnose;
mod doctor;
mod draws;
mod energy;
mod eval;
mod eval_lsd;
mod explain;
mod export;
mod gof;
mod import;
mod init;
mod items;
mod loaded;
mod ls;
mod man;
mod methods;
mod networks;
mod note;
mod outcome;
mod output;
mod outputs;
mod picture;
mod ranks;
mod report;
mod resume;
mod sample;
mod show;
mod suited;
mod sweep;
mod sweep_slurm;
mod tag;
mod train;
mod trials;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Setting;
use crate::{Error, Result, process, shell};

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 error · 2 configuration or usage · 3 diverged, or no result · 4 bad checkpoint or data · 5 out \
of memory or disk · 128 + N stopped by signal N, such as 130 by SIGINT (go on with `ebm resume`)";

/// Train, sample and evaluate energy-based models p(x) = exp(-E(x)) / Z.
#[derive(Parser)]
#[command(name = "ebm", version, about, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// Options that every subcommand takes, anywhere on the line.
#[derive(Args, Clone, Debug)]
pub struct GlobalArgs {
    /// Overrides one key: --set sampler.steps=60. May be given again
    #[arg(long = "set", value_name = "PATH=VALUE", global = true)]
    pub sets: Vec<String>,
    /// cpu, cuda:0 or auto; short for --set device=…
    #[arg(long, global = true)]
    pub device: Option<String>,
    /// Prints one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, only warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Says more; twice for everything
    #[arg(long, short, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

impl GlobalArgs {
    /// `--set` and `--device` as overrides, in the order in which they count.
    pub fn overrides(&self) -> Vec<String> {
        let device = self.device.iter().map(|name| format!("device={name:?}"));
        self.sets.iter().cloned().chain(device).collect()
    }

    /// Those, and the values of options of a command, each a word with the key that it is short for.
    ///
    /// # Errors
    /// `--set` gives such a key too.
    fn overrides_with(&self, options: &[(&str, &str, Option<u64>)]) -> Result<Vec<String>> {
        let mut sets = self.overrides();
        for (word, key, value) in options {
            let Some(value) = value else { continue };
            self.refuse_twice(word, key)?;
            sets.push(format!("{key}={value}"));
        }
        Ok(sets)
    }

    /// The form that `--format` names, or `json` where `--json` is there.
    ///
    /// # Errors
    /// The two say different things.
    fn form<T: PartialEq>(&self, named: Option<T>, json: T) -> Result<Option<T>> {
        match (self.json, named) {
            (false, named) => Ok(named),
            (true, Some(other)) if other != json => {
                Err(usage("--json and --format say two different things", "leave one of them out"))
            }
            (true, _) => Ok(Some(json)),
        }
    }

    /// Refuses `--set` of a key for which `word` stands on the same line.
    fn refuse_twice(&self, word: &str, key: &str) -> Result<()> {
        match self.sets.iter().find(|set| Setting::path_of(set).is_some_and(|path| path == key)) {
            Some(set) => Err(usage(format!("{word} is short for --set {key}=…, and --set {set} is there"), "keep one")),
            None => Ok(()),
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Trains the experiment of a configuration file
    Train(train::TrainArgs),
    /// Goes on with an interrupted run, exactly where it was saved
    Resume(resume::ResumeArgs),
    /// Runs every trial of a plan: grids, random search, seeds; run again to continue
    Sweep(sweep::SweepArgs),
    /// Draws samples from a checkpoint
    Sample(sample::SampleArgs),
    /// Evaluates a model on items, into a file: energies, scores, logits, log-densities, features
    Energy(energy::EnergyArgs),
    /// Writes a model for PyTorch or ONNX, with a model card
    Export(export::ExportArgs),
    /// Puts weights of PyTorch under a model
    Import(import::ImportArgs),
    /// Runs one probe on a checkpoint: log Z, sample quality, accuracy
    Eval(eval::EvalArgs),
    /// Runs chains and says what their draws are worth: R̂, ESS, jumps between modes
    Diagnose(diagnose::DiagnoseArgs),
    /// Scores checkpoints by a learned Stein discrepancy and ranks them
    EvalLsd(eval_lsd::EvalLsdArgs),
    /// Tests whether data or samples come from a model
    Gof(gof::GofArgs),
    /// Checks a configuration: decodes it, builds everything, runs a few steps
    Check(check::CheckArgs),
    /// Says what a device is, and whether it computes what it should
    Doctor(doctor::DoctorArgs),
    /// Shows a configuration as it is resolved, with the origin of every value
    Show(show::ShowArgs),
    /// Lists methods, models, samplers, data sets, networks, optimisers and probes
    Methods(methods::MethodsArgs),
    /// Explains one of them: what it does, its keys and defaults, its paper
    Explain(explain::ExplainArgs),
    /// Writes a commented configuration to start from
    Init(init::InitArgs),
    /// Lists, fetches and verifies data sets
    Data(data::DataArgs),
    /// Compares groups of runs: tables and figures with means over repeats
    Compare(Box<compare::CompareArgs>),
    /// Writes one HTML file about runs or sweeps: numbers, curves, pictures, settings
    Report(report::ReportArgs),
    /// Lists runs: those that a filter chooses, with the columns that are asked for
    Ls(Box<ls::LsArgs>),
    /// Shows a run or a sweep on the terminal, as it goes
    Watch(watch::WatchArgs),
    /// Adds tags to a run, or removes some
    Tag(tag::TagArgs),
    /// Keeps a note with a run
    Note(note::NoteArgs),
    /// Removes old checkpoints; without --yes it only says which
    Clean(clean::CleanArgs),
    /// Prints shell completions
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Writes manual pages
    Man(man::ManArgs),
}

/// Parses the command line and runs it; gives the exit code.
pub fn main() -> i32 {
    shell::called_as(std::env::args_os().next());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return answered(&said),
    };
    output::start_log(&cli.global);
    match process::bounded(|| refuse_unreadable().and_then(|()| dispatch(&cli))) {
        Ok(()) => 0,
        Err(error) => {
            output::print_error(&error);
            error.exit_code()
        }
    }
}

/// What clap has to say: help and version are printed, and a mistake is told; gives the exit code.
fn answered(said: &clap::Error) -> i32 {
    let printed = output::printed(said.print());
    match printed {
        Err(error) if !said.use_stderr() => {
            output::print_error(&error);
            error.exit_code()
        }
        _ => said.exit_code(),
    }
}

impl Command {
    /// The name of a command that reads no configuration, and whether it asks for a device all the same.
    fn without_config(&self) -> Option<(&'static str, bool)> {
        Some(match self {
            Command::Doctor(_) => ("doctor", true),
            Command::Methods(_) => ("methods", false),
            Command::Explain(_) => ("explain", false),
            Command::Data(_) => ("data", false),
            Command::Compare(_) => ("compare", false),
            Command::Report(_) => ("report", false),
            Command::Clean(_) => ("clean", false),
            Command::Ls(_) => ("ls", false),
            Command::Watch(_) => ("watch", false),
            Command::Tag(_) => ("tag", false),
            Command::Note(_) => ("note", false),
            Command::Completions { .. } => ("completions", false),
            Command::Man(_) => ("man", false),
            _ => return None,
        })
    }
}

/// Refuses words that are no text: a path of such bytes cannot be written into a manifest or JSON as it is.
fn refuse_unreadable() -> Result<()> {
    match std::env::args_os().find(|word| word.to_str().is_none()) {
        Some(word) => Err(usage(format!("{} is not UTF-8", word.to_string_lossy()), "rename the file or folder")),
        None => Ok(()),
    }
}

/// Refuses `--set` and `--device` where nothing would read them, and `--json` where a script is printed.
fn refuse_unread(cli: &Cli) -> Result<()> {
    if cli.global.json && matches!(cli.command, Command::Completions { .. }) {
        return Err(usage("`ebm completions` prints a script, and no JSON", "leave out --json"));
    }
    let Some((command, on_device)) = cli.command.without_config() else { return Ok(()) };
    let unread = match &cli.global {
        GlobalArgs { sets, .. } if !sets.is_empty() => "--set",
        GlobalArgs { device: Some(_), .. } if !on_device => "--device",
        _ => return Ok(()),
    };
    Err(usage(format!("`ebm {command}` reads no configuration: {unread} would change nothing"), "leave it out"))
}

fn dispatch(cli: &Cli) -> Result<()> {
    let global = &cli.global;
    refuse_unread(cli)?;
    global.device.iter().try_for_each(|_| global.refuse_twice("--device", "device"))?;
    match &cli.command {
        Command::Train(args) => train::run(args, global),
        Command::Resume(args) => resume::run(args, global),
        Command::Sweep(args) => sweep::run(args, global),
        Command::Sample(args) => sample::run(args, global),
        Command::Energy(args) => energy::run(args, global),
        Command::Export(args) => export::run(args, global),
        Command::Import(args) => import::run(args, global),
        Command::Eval(args) => eval::run(args, global),
        Command::Diagnose(args) => diagnose::run(args, global),
        Command::EvalLsd(args) => eval_lsd::run(args, global),
        Command::Gof(args) => gof::run(args, global),
        Command::Check(args) => check::run(args, global),
        Command::Doctor(args) => doctor::run(args, global),
        Command::Show(args) => show::run(args, global),
        Command::Methods(args) => methods::run(args, global),
        Command::Explain(args) => explain::run(args, global),
        Command::Init(args) => init::run(args, global),
        Command::Data(args) => data::run(args, global.json),
        Command::Compare(args) => compare::run(args, global),
        Command::Report(args) => report::run(args, global),
        Command::Clean(args) => clean::run(args, global),
        Command::Ls(args) => ls::run(args, global),
        Command::Watch(args) => watch::run(args, global),
        Command::Tag(args) => tag::run(args, global),
        Command::Note(args) => note::run(args, global),
        Command::Completions { shell } => completions(*shell),
        Command::Man(args) => man::run(args, program(), global),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program(), "ebm", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// All that the command line takes, for completions and manual pages.
fn program() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Where runs go unless `--run-dir` says otherwise.
pub(crate) fn runs_root() -> PathBuf {
    PathBuf::from("runs")
}

/// A usage error, exit code 2.
fn usage(message: impl std::fmt::Display, hint: impl std::fmt::Display) -> Error {
    Error::config(message.to_string()).hint(hint.to_string())
}

/// The error of folders without a run in them.
fn no_runs(folders: &[PathBuf]) -> Error {
    let hint = format!("a run is a folder with a manifest.json; `{}` lists them", shell::ebm("ls"));
    usage(format!("no runs in {}", listed(folders)), hint)
}

/// Paths with commas between them.
fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
