//! `ebm init`: a commented configuration to start from.

use clap::Args;

use super::{GlobalArgs, catalogue, output, usage};
use crate::config::{nearest, template};
use crate::run::sections;
use crate::{Result, shell};

/// Writes a commented configuration to stdout: ebm init --method lsd > my.toml
#[derive(Args)]
pub struct InitArgs {
    /// The training method
    #[arg(long, default_value = "lsd")]
    method: String,
    /// The data set [default: moons, or digits where the method needs labels]
    #[arg(long)]
    dataset: Option<String>,
    /// The model [default: neural, or what the method needs: real_nvp, classifier, vae, tilted]
    #[arg(long)]
    model: Option<String>,
}

/// Prints the template.
pub fn run(args: &InitArgs, global: &GlobalArgs) -> Result<()> {
    let (model, dataset) = match args.method.as_str() {
        "ml" => ("real_nvp", "moons"),
        "jem" | "classifier" => ("classifier", "digits"),
        "vae" => ("vae", "moons"),
        "vaebm" | "nt_ebm" => ("tilted", "moons"),
        _ => ("neural", "moons"),
    };
    let (model, dataset) = (args.model.as_deref().unwrap_or(model), args.dataset.as_deref().unwrap_or(dataset));
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
    // How long to train has no default; the first file that a user makes should run all the same.
    let mut chosen = [&choices[..], &[("train.steps", "1000")]].concat();
    if args.method == "nt_ebm" {
        chosen.push(("model.base", "real_nvp"));
    }
    let text = template(&sections(), &chosen);
    match global.json {
        true => output::print_json(&serde_json::json!({"toml": text})),
        false => output::print(&text),
    }
}
