//! `ebm diagnose`: have the chains converged, and what are their draws worth?

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::loaded::{Loaded, WeightsArg, keeper, run_folder};
use super::outputs::Outputs;
use super::{GlobalArgs, output, usage};
use crate::data::{Modes, file};
use crate::density::Proposal;
use crate::metrics::{Metrics, Spent};
use crate::probes::diagnose::{Importance, Recording, RecordingPlan, Report, ReportRow, importance, pictures};
use crate::run::{Evaluation, Progress, show, signal};
use crate::samplers::{A_NAT_APART, HELD_UP, Start, Target};
use crate::store::fs;
use crate::{Error, Result, draw, rng::Key};

/// Runs the sampler of a checkpoint, or reads draws, and says how far they can be trusted.
#[derive(Args)]
#[command(group = ArgGroup::new("draws").required(true).args(["ckpt", "samples"]))]
pub struct DiagnoseArgs {
    /// A checkpoint, or the folder of its run, whose sampler is run (another one: --set sampler.name=mala)
    #[arg(long, value_name = "FILE")]
    ckpt: Option<PathBuf>,
    /// Draws in a .npy file instead: [chain, draw] or [chain, draw, number], as ArviZ has them
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// How many chains
    #[arg(long, default_value_t = 4)]
    chains: usize,
    /// Steps of each chain after the burn-in
    #[arg(long, default_value_t = 1000)]
    steps: usize,
    /// Steps before those, which are dropped
    #[arg(long, default_value_t = 500)]
    burn_in: usize,
    /// Keeps every so many-th state
    #[arg(long, default_value_t = 1)]
    thin: usize,
    /// Draws of the base density, where the model tilts one, for k̂ of their weights; 0 for none
    #[arg(long, default_value_t = 4000)]
    weights_of: usize,
    /// Seed of the chains; short for --set seed=…
    #[arg(long)]
    seed: Option<u64>,
    /// Folder for chains, plots and the report [default: diagnose/ of the run, numbered; none for --samples]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Adds the worst of the numbers to the run's evaluations.jsonl; `compare`, `ls` and `report` know them as
    /// eval/diagnose/NAME
    #[arg(long, conflicts_with = "samples")]
    keep: bool,
    #[command(flatten)]
    weights: WeightsArg,
}

/// What was looked at.
struct Subject {
    recording: Recording,
    modes: Option<Modes>,
    importance: Option<Importance>,
    /// What the chains were, for the report.
    about: Value,
    /// What is kept of a checkpoint, but for its numbers.
    finding: Option<Evaluation>,
}

/// Gets the draws, looks at them, writes and prints what was found.
pub fn run(args: &DiagnoseArgs, global: &GlobalArgs) -> Result<()> {
    if args.chains == 0 || args.thin == 0 || args.steps < args.thin {
        return Err(usage("--chains, --thin and --steps must leave a draw", "--chains 4 --steps 1000 --thin 1"));
    }
    let out = args.out.clone().or_else(|| args.ckpt.as_deref().map(default_out));
    out.iter().try_for_each(|out| Outputs::new().folder("--out", out))?;
    // What is not there is told by who opens it.
    let keeper = args.ckpt.as_deref().filter(|ckpt| args.keep && ckpt.exists()).map(keeper).transpose()?;
    let subject = match (&args.ckpt, &args.samples) {
        (Some(ckpt), _) => chains(args, global, ckpt)?,
        (None, Some(path)) => {
            let recording = Recording::of_file(path)?;
            Subject { recording, modes: None, importance: None, about: json!({"samples": path}), finding: None }
        }
        (None, None) => return Err(usage("no draws", "give --ckpt FILE or --samples FILE")),
    };
    let Subject { recording, modes, importance, about, finding } = subject;
    let report = Report::of(&recording, modes.as_ref(), importance);
    check(&recording, &report)?;
    let mut document = document(&recording, &report, about, out.as_deref());
    if let Some(out) = &out {
        write(out, &recording, &report, &document)?;
    }
    let metrics = report.metrics(recording.spent.gradients);
    let kept = keeper.zip(finding).map(|(run, finding)| Evaluation { metrics, ..finding }.keep(&run)).transpose();
    let path = kept.as_ref().ok().and_then(Option::as_ref);
    // A finding that cannot be kept is told all the same.
    match global.json {
        true => {
            document["kept"] = json!(path);
            output::print_json(&document)?;
        }
        false => output::print(&text(&recording, &report, out.iter().chain(path)))?,
    }
    kept.map(|_| ())
}

/// Refuses draws that say nothing: none is finite, or the energy falls without end where they are.
fn check(recording: &Recording, report: &Report) -> Result<()> {
    let energies = recording.energy.iter().flat_map(|energy| energy.chains().iter().flatten());
    let lowest = energies.copied().filter(|e| e.is_finite()).fold(f64::INFINITY, f64::min);
    if report.nonfinite_draws > 0 && report.nonfinite_draws == recording.x.len() {
        let remedy =
            "take smaller steps (--set sampler.step_size=…), or a kernel that rejects (--set sampler.name=mala)";
        return Err(Error::undefined("none of the draws is finite", remedy));
    }
    if lowest <= -A_NAT_APART {
        let what = format!("chains came to energies of {lowest:.3e} nats: the energy falls without end");
        return Err(Error::undefined(what, HELD_UP));
    }
    Ok(())
}

/// Runs the sampler of a checkpoint.
fn chains(args: &DiagnoseArgs, global: &GlobalArgs, ckpt: &Path) -> Result<Subject> {
    let sets = global.overrides_with(&[("--seed", "seed", args.seed)])?;
    let stored = Loaded::load(ckpt, &sets, args.weights.weights)?;
    let sampler = stored.experiment.sampler()?;
    let data = match sampler.config.init {
        Start::Data => &stored.experiment.data()?,
        _ => &stored.data,
    };
    let (model, key) = (&stored.model, Key::new(stored.experiment.top.seed).with("diagnose"));
    let proposal = stored.proposal.as_deref();
    let target = Target::of(model).proposing(proposal);
    let start = sampler.start(key.with("start"), model, proposal, data, args.chains)?;
    // Until the chains run there is nothing to stop in order: a signal ends the process, however long starts take.
    signal::install()?;
    let of_start = model.meter().take();
    if start.dim(0)? < args.chains {
        return Err(usage(
            format!("{} chains cannot begin at {}", args.chains, show::counted(start.dim(0)? as u64, "item")),
            "--chains with a smaller number",
        ));
    }
    let plan = RecordingPlan { burn_in: args.burn_in, steps: args.steps, thin: args.thin };
    let mut progress = Progress::new((plan.burn_in + plan.steps) as u64, 0, global.quiet);
    let about = json!({
        "checkpoint": ckpt, "step": stored.step, "sampler": sampler.kernel.describe(), "init": sampler.config.init,
        "steps": args.steps, "burn_in": args.burn_in, "thin": args.thin, "seed": stored.experiment.top.seed,
    });
    let mut recording = Recording::run(plan, sampler, key.with("steps"), &target, &start, |step| {
        progress.step(step as u64 + 1, &Metrics::new());
        signal::stop_requested().map_or(Ok(()), |signal| Err(Error::Interrupted(signal)))
    })?;
    progress.finish();
    recording.spent += of_start;
    recording.spent += proposal.map_or_else(Spent::default, Proposal::take_spent);
    let importance = match args.weights_of {
        0 => None,
        n => importance(key.with("importance"), model, model.base(), n)?,
    };
    let size = [("chains", args.chains), ("steps", args.steps), ("burn_in", args.burn_in), ("thin", args.thin)];
    let own = size.map(|(key, value)| (format!("diagnose.{key}"), value.to_string()));
    let (how, seed) = (stored.how(own, args.weights), stored.experiment.top.seed);
    let finding = Evaluation { step: stored.step, probe: "diagnose".into(), how, seed, metrics: Metrics::new() };
    Ok(Subject { recording, modes: data.modes(), importance, about, finding: Some(finding) })
}

/// `RUN/diagnose` for a checkpoint in a run folder, else `diagnose` here; numbered when that exists.
fn default_out(ckpt: &Path) -> PathBuf {
    let folder = run_folder(ckpt).unwrap_or_default();
    let name = |i: usize| if i == 0 { folder.join("diagnose") } else { folder.join(format!("diagnose-{i}")) };
    (0..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

/// Chains as arrays, plots, and the report, which says what the arrays are.
fn write(out: &Path, recording: &Recording, report: &Report, document: &Value) -> Result<()> {
    fs::create_dir(out)?;
    let array = |name: &str, shape: &[usize], values: &[f64]| {
        fs::write_atomic(&out.join(name), &file::npy_bytes(shape, values)?)
    };
    array("chains.npy", &recording.shape, &recording.x)?;
    let pair = [report.chains, report.draws];
    for (name, draws) in statistics(recording, report) {
        array(&format!("{name}.npy"), &pair, &draws.chains().concat())?;
    }
    for plot in pictures(recording, report)? {
        fs::write_atomic(&out.join(format!("{}.png", plot.name)), &draw::png(&plot.picture)?)?;
        fs::write_atomic(&out.join(format!("{}.svg", plot.name)), plot.svg.as_bytes())?;
    }
    let text = serde_json::to_string_pretty(document).map_err(|e| Error::Other(format!("cannot write JSON: {e}")))?;
    fs::write_atomic(&out.join("diagnose.json"), (text + "\n").as_bytes())
}

/// What there is beside the draws, as ArviZ groups it under `sample_stats`.
fn statistics<'a>(
    recording: &'a Recording,
    report: &'a Report,
) -> impl Iterator<Item = (&'static str, &'a crate::math::convergence::Draws)> {
    let energy = recording.energy.as_ref().map(|d| ("energy", d));
    let hamiltonian = recording.hamiltonian.as_ref().map(|d| ("hamiltonian", d));
    energy.into_iter().chain(hamiltonian).chain(report.visits.as_ref().map(|v| ("mode", &v.nearest)))
}

fn document(recording: &Recording, report: &Report, about: Value, out: Option<&Path>) -> Value {
    let of = |row: &ReportRow| {
        let mut numbers = json!(row.worth.metrics());
        row.index.into_iter().for_each(|index| numbers["index"] = json!(index));
        numbers
    };
    let rows = report.rows.iter().map(|row| (row.name.replace(' ', "_").to_lowercase(), of(row)));
    let visits = report.visits.as_ref();
    let mut found = json!({
        "chains": report.chains, "draws": report.draws, "dim": report.dim,
        "quantities": rows.collect::<serde_json::Map<_, _>>(), "worst_coordinate": report.worst_coordinate,
        "constant_coordinates": report.constant, "stuck_chains": report.frozen.count,
        "accepted_by_chain": recording.accepted, "copied_chains": report.copies,
        "nonfinite_draws": report.nonfinite_draws,
        "acceptance": recording.acceptance, "nonfinite_proposals": recording.nonfinite,
        "energy_values": recording.spent.values, "energy_gradients": recording.spent.gradients,
        "step_size": recording.tuning.as_ref().map(|t| t.step_size), "e_bfmi": report.bfmi,
        "mode_counts": visits.map(|v| &v.counts), "jumps": visits.map(|v| v.jumps),
        "jumps_per_1000_steps": report.jump_rate,
        "base_density": report.importance.map(|i| json!({"draws": i.draws, "pareto_k": i.k, "ess_share": i.ess_share})),
        "warnings": report.warnings(), "of": about, "folder": out,
    });
    if out.is_some() {
        found["arviz"] = arviz(recording, report);
    }
    found
}

/// What the arrays in the folder are, in ArviZ's words.
fn arviz(recording: &Recording, report: &Report) -> Value {
    let stats: Vec<&str> = statistics(recording, report).map(|(name, _)| name).collect();
    let load = |name: &str, file: &str| format!("\"{name}\": np.load(\"{file}.npy\")");
    let group: Vec<String> = stats.iter().map(|name| load(name, name)).collect();
    let stat = |name: &&str| ((*name).to_owned(), json!({"file": format!("{name}.npy"), "dims": ["chain", "draw"]}));
    let own = (0..recording.shape.len().saturating_sub(2)).map(|i| format!("x_dim_{i}"));
    let dims: Vec<String> = ["chain", "draw"].map(str::to_owned).into_iter().chain(own).collect();
    json!({
        "inference_library": "ebm", "inference_library_version": env!("CARGO_PKG_VERSION"),
        "posterior": {"x": {"file": "chains.npy", "shape": recording.shape, "dims": dims}},
        "sample_stats": stats.iter().map(stat).collect::<serde_json::Map<_, _>>(),
        "read": format!("az.from_dict(posterior={{{}}}, sample_stats={{{}}})", load("x", "chains"), group.join(", ")),
    })
}

fn text<'p>(recording: &Recording, report: &Report, written: impl Iterator<Item = &'p PathBuf>) -> String {
    let counted = |n: usize, one: &str| show::counted(n as u64, one);
    let size = [(report.chains, "chain"), (report.draws, "draw"), (report.dim, "dimension")];
    let [chains, draws, dimensions] = size.map(|(n, one)| counted(n, one));
    let mut text = format!("{chains} of {draws} in {dimensions}\n\n");
    text += &as_table(report);
    let percent = |name: &str, a: f64| format!("{name} {:.1} %", 100.0 * a);
    let mut facts: Vec<String> = recording.acceptance.iter().map(|(name, a)| percent(name, a)).collect();
    facts.extend(recording.tuning.as_ref().map(|t| format!("step size tuned to {}", show::number(t.step_size, 4))));
    facts.extend(report.bfmi.map(|b| format!("E-BFMI {b:.2}")));
    facts.extend((recording.spent != Spent::default()).then(|| output::cost(recording.spent)));
    let refused: usize = recording.nonfinite.iter().sum();
    facts.extend((refused > 0).then(|| format!("{} without a finite energy", counted(refused, "proposal"))));
    if let (Some(visits), Some(rate)) = (&report.visits, report.jump_rate) {
        let seen = visits.counts.iter().filter(|n| **n > 0).count();
        facts.push(format!(
            "{seen} of {}, {} ({rate:.1} in 1,000 steps)",
            counted(visits.counts.len(), "mode"),
            counted(visits.jumps, "jump")
        ));
    }
    facts.extend(report.importance.map(|i| {
        format!(
            "base density as proposal: k̂ {}, ESS {:.1} % of {} draws",
            show::fixed(i.k, 2),
            100.0 * i.ess_share,
            i.draws
        )
    }));
    text += &facts.iter().map(|fact| format!("{fact}\n")).collect::<String>();
    text += &report.warnings().iter().map(|w| format!("warning: {w}\n")).collect::<String>();
    text + &written.map(|path| format!("{}\n", path.display())).collect::<String>()
}

fn as_table(report: &Report) -> String {
    let header = ["", "R̂", "bulk ESS", "tail ESS", "autocorrelation time"].map(str::to_owned).to_vec();
    let number = |v: f64, digits: usize| if v.is_nan() { "-".to_owned() } else { show::fixed(v, digits) };
    let name = |row: &ReportRow| match row.index {
        Some(index) if report.dim > 1 || row.name.ends_with("mode") => format!("{} ({index})", row.name),
        _ => row.name.clone(),
    };
    let row = |row: &ReportRow| {
        let w = &row.worth;
        vec![
            name(row),
            number(w.rhat, 3),
            number(w.ess_bulk, 0),
            number(w.ess_tail, 0),
            number(w.autocorrelation_time, 1),
        ]
    };
    output::table(&std::iter::once(header).chain(report.rows.iter().map(row)).collect::<Vec<_>>()) + "\n"
}
