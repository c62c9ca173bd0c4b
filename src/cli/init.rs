//! `ebm init`: a commented configuration to start from.

use clap::Args;

use super::{GlobalArgs, catalogue, output, suited, usage};
use crate::config::{Document, Problems, Setting, find, nearest, template};
use crate::data::{DATASETS, Origin};
use crate::density::{MODELS, flow::FLOWS};
use crate::methods::METHODS;
use crate::run::{Experiment, Trainer, sections};
use crate::{Error, Result, shell};

/// Writes a commented configuration to stdout: ebm init --method lsd > my.toml; --set PATH=VALUE writes other values
/// than the defaults
#[derive(Args)]
pub struct InitArgs {
    /// The training method
    #[arg(long, default_value = "lsd")]
    method: String,
    /// The data set [default: moons, or one with labels where the method needs them]
    #[arg(long)]
    dataset: Option<String>,
    /// The model [default: neural, or what the method needs]
    #[arg(long)]
    model: Option<String>,
}

/// What is chosen where neither the user nor the row of the method says.
const DATASET: &str = "moons";
const MODEL: &str = "neural";

/// Prints the template.
pub fn run(args: &InitArgs, global: &GlobalArgs) -> Result<()> {
    let sets = global.overrides();
    let mut chosen = chosen(args, said(&sets)?)?;
    let text = written(&chosen);
    check(&text, &sets)?;
    // The first probe that a user takes out of its comment should look at what there is.
    chosen.push(("probe".to_owned(), probe(&chosen, &text).to_owned()));
    let text = written(&chosen);
    match global.json {
        true => output::print_json(&serde_json::json!({"toml": text})),
        false => output::print(&text),
    }
}

/// The commented configuration with what is chosen in the place of defaults.
fn written(chosen: &[(String, String)]) -> String {
    let chosen: Vec<(&str, &str)> = chosen.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    template(&sections(), &chosen)
}

/// The probe that suits the model and the items. Those that come with the program are made for it, with all that trains
/// on them: what does not go together is warned of, since the user may go on to change it.
fn probe(chosen: &[(String, String)], text: &str) -> &'static str {
    let named = |key: &str| chosen.iter().find(|(k, _)| k == key).map_or("", |(_, name)| name.as_str());
    let row = find(DATASETS, named("dataset"));
    let pictures = row.is_some_and(|row| row.pictures);
    let at_hand = row.is_some_and(|row| !row.pictures && !matches!(row.origin, Origin::Yours));
    let built = at_hand.then(|| Trainer::new(Experiment::parse("ebm init", text, &[])?));
    let in_the_plane = matches!(&built, Some(Ok(trainer)) if trainer.data().spec().shape == [2]);
    if let Some(Err(error @ Error::Config(_))) = built {
        tracing::warn!("{} refuses it as it stands: {error}", shell::ebm("check"));
    }
    match named("model") {
        "classifier" => "accuracy",
        _ if pictures => "frechet",
        _ if in_the_plane => "nll",
        _ => "mmd",
    }
}

/// The values of `--set` by their paths, as TOML; the name of a row by the path of its section.
///
/// # Errors
/// What is no `path=value`.
fn said(sets: &[String]) -> Result<Vec<(String, String)>> {
    let document = Document::from_str("ebm init", "", sets)?;
    let problems = |found: Vec<_>| {
        let mut problems = Problems::new("ebm init");
        found.into_iter().for_each(|problem| problems.push(problem));
        problems
    };
    let settings = Setting::all(document.view(), &|_| false).map_err(problems)?;
    let pair = |setting: &Setting| {
        let (path, value) = (setting.path(), setting.value());
        match (path.strip_suffix(".name"), value.as_str()) {
            (Some(section), Some(name)) => (section.to_owned(), name.to_owned()),
            _ => (path, value.to_string()),
        }
    };
    Ok(settings.iter().map(pair).collect())
}

/// Refuses a `--set` that the template does not say: one that is wrong, or an entry of a list.
fn check(text: &str, sets: &[String]) -> Result<()> {
    if sets.is_empty() {
        return Ok(());
    }
    let resolved = |sets: &[String]| Ok::<_, Error>(Experiment::check(&Document::from_str("ebm init", text, sets)?)?);
    let wanted = resolved(sets)?;
    match wanted == resolved(&[])? {
        true => Ok(()),
        false => {
            Err(usage("`ebm init` writes no entries of lists", "add them to the file, where they stand as comments"))
        }
    }
}

/// What the template has in the place of defaults: what the user `said`, the rows named by the user, what the rows of
/// method and model ask for, then what suits pictures.
///
/// # Errors
/// A name that is no row.
fn chosen(args: &InitArgs, said: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
    let own = |key: &str| said.iter().find(|(k, _)| k == key).map(|(_, name)| name.as_str());
    let method = own("method").unwrap_or(&args.method);
    let of_method = find(METHODS, method).map_or(&[][..], |row| row.init);
    let named = |key: &str| of_method.iter().find(|(k, _)| *k == key).map(|(_, name)| *name);
    let model = own("model").or(args.model.as_deref()).or(named("model")).unwrap_or(MODEL);
    let of_model = find(MODELS, model).map_or(&[][..], |row| row.init);
    let learned = of_model.iter().find(|(key, _)| *key == "dataset").map(|(_, name)| *name);
    let dataset = own("dataset").or(args.dataset.as_deref()).or(named("dataset")).or(learned).unwrap_or(DATASET);
    let choices = [("method", method), ("dataset", dataset), ("model", model)];
    let rows = catalogue::rows();
    for (kind, name) in choices {
        let known: Vec<&str> = rows.iter().filter(|row| row.kind == kind).map(|row| row.head.name).collect();
        if !known.contains(&name) {
            let near = nearest(name, &known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            return Err(usage(
                format!("there is no {kind} `{name}`"),
                format!("{near}`{}` lists what can be named", shell::ebm("methods")),
            ));
        }
    }
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let mut chosen = [&said[..], &choices.map(owned)].concat();
    let pictures = find(DATASETS, dataset).is_some_and(|row| row.pictures) && suited::are_large(&said);
    let is_flow = FLOWS.iter().any(|(flow, _)| *flow == model);
    // Keys of the model that the method asks for mean nothing to another one.
    let fits = |key: &str| !key.starts_with("model.") || named("model").is_none_or(|own| own == model);
    let holds = |condition| match condition {
        "pictures" => pictures,
        "flow" => is_flow,
        name => name == model,
    };
    let applies = |(key, value): (&'static str, &'static str)| match key.split_once(": ") {
        Some((conditions, key)) => conditions.split(' ').all(holds).then_some((key, value)),
        None => fits(key).then_some((key, value)),
    };
    chosen.extend(of_method.iter().copied().filter_map(applies).map(owned));
    // How long to train has no default; the first file that a user makes should run all the same.
    chosen.push(owned(("train.steps", "1000")));
    let of_model = of_model.iter().filter(|(key, _)| *key != "dataset");
    chosen.extend(of_model.map(|(key, value)| (format!("model.{key}"), (*value).to_owned())));
    if pictures {
        // No chain makes a picture of noise in a few steps; what the method keeps is near one already.
        let kept = find(METHODS, method).is_some_and(|row| row.proposal.is_some());
        chosen.extend(kept.then(|| owned(("sampler.init", "\"proposal\""))));
        suited::to_pictures(&mut chosen);
    }
    Ok(chosen)
}
