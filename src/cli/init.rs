//! `ebm init`: a commented configuration to start from.

use clap::Args;

use super::{GlobalArgs, catalogue, output, usage};
use crate::config::{find, nearest, template};
use crate::density::MODELS;
use crate::methods::METHODS;
use crate::run::sections;
use crate::{Result, shell};

/// Writes a commented configuration to stdout: ebm init --method lsd > my.toml
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
    let chosen = chosen(args)?;
    let chosen: Vec<(&str, &str)> = chosen.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let text = template(&sections(), &chosen);
    match global.json {
        true => output::print_json(&serde_json::json!({"toml": text})),
        false => output::print(&text),
    }
}

/// What the template has in the place of defaults: the rows named by the user, then what the rows of method and model
/// ask for.
///
/// # Errors
/// A name that is no row.
fn chosen(args: &InitArgs) -> Result<Vec<(String, String)>> {
    let of_method = find(METHODS, &args.method).map_or(&[][..], |row| row.init);
    let named = |key: &str| of_method.iter().find(|(k, _)| *k == key).map(|(_, name)| *name);
    let dataset = args.dataset.as_deref().or(named("dataset")).unwrap_or(DATASET);
    let model = args.model.as_deref().or(named("model")).unwrap_or(MODEL);
    let choices = [("method", args.method.as_str()), ("dataset", dataset), ("model", model)];
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
    let mut chosen = choices.map(owned).to_vec();
    // How long to train has no default; the first file that a user makes should run all the same.
    chosen.push(owned(("train.steps", "1000")));
    // Keys of the model that the method asks for mean nothing to another one.
    let fits = |key: &str| !key.starts_with("model.") || named("model").is_none_or(|own| own == model);
    chosen.extend(of_method.iter().copied().filter(|(key, _)| fits(key)).map(owned));
    let of_model = find(MODELS, model).map_or(&[][..], |row| row.init);
    chosen.extend(of_model.iter().map(|(key, value)| (format!("model.{key}"), (*value).to_owned())));
    Ok(chosen)
}
