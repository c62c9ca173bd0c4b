//! A run folder serves wherever a checkpoint does.

use clap::CommandFactory as _;
use ebm::cli::Cli;

use super::*;

/// Every option that names a checkpoint to be read, as subcommand and option, with a command line in which `@` stands
/// for it and `%` for a name of its own.
const TRIED: &[(&str, &str, &str)] = &[
    ("train", "from", "train c.toml --from @ --run-dir from%"),
    ("sample", "ckpt", "sample --ckpt @ --n 3 --steps 2 --out x.npy"),
    ("energy", "ckpt", "energy --ckpt @ --set dataset.limit=20"),
    ("export", "ckpt", "export @ --to model --overwrite"),
    ("import", "config", "import --from model --config @ --out back%"),
    ("eval", "ckpt", "eval --ckpt @ --probe nll --set nll.points=16 --set nll.items=50 --set nll.samples=20"),
    ("diagnose", "ckpt", "diagnose --ckpt @ --steps 20 --burn-in 5"),
    ("eval-lsd", "ckpt", "eval-lsd --ckpt @ --eval epochs=1 --eval items=100 --eval critic.hidden=[8]"),
    ("gof", "ckpt", "gof --ckpt @ --items 40 --tests ksd"),
    ("show", "config", "show @"),
    ("show", "config", "show --net @"),
];

/// Options that speak of checkpoints and read none.
const OTHERS: &[&str] = &["weights", "out", "curves", "dry_run", "overwrite"];

/// The options of a subcommand that read a checkpoint, as their help says.
fn readers(command: &clap::Command) -> Vec<String> {
    let says = |arg: &clap::Arg| {
        let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let name = arg.get_id().as_str();
        (help.contains("heckpoint") || name == "ckpt") && !OTHERS.contains(&name)
    };
    command.get_arguments().filter(|arg| says(arg)).map(|arg| arg.get_id().to_string()).collect()
}

#[test]
fn every_subcommand_takes_a_run_folder_in_the_place_of_a_checkpoint() {
    let cli = Cli::command();
    let found: BTreeSet<(String, String)> = cli
        .get_subcommands()
        .flat_map(|command| readers(command).into_iter().map(|option| (command.get_name().to_owned(), option)))
        .collect();
    let tried = TRIED.iter().map(|(command, option, _)| ((*command).to_owned(), (*option).to_owned())).collect();
    assert_eq!(found, tried, "an option that reads a checkpoint has no line here, or a line has no such option");
    let lab = lab_with_run(&bare("ml_grid", 3));
    for (command, _, line) in TRIED {
        let told = |ckpt: &str, own: &str| {
            let words: Vec<String> = line.split(' ').map(|word| word.replace('@', ckpt).replace('%', own)).collect();
            let words = words.iter().map(String::as_str);
            lab.ok(&["-q"].into_iter().chain(words).collect::<Vec<_>>()).replace(LAST, "run")
        };
        let (folder, file) = (told("run", "a"), told(LAST, "b"));
        // What takes a name of its own, or the time, says another thing.
        if !line.contains('%') && !["diagnose", "gof"].contains(command) {
            assert_eq!(folder, file, "{line}");
        }
    }
}

/// A run's folder stands for its last checkpoint in where files are left, too: inside it, where `report` looks.
#[test]
fn what_is_made_of_a_runs_folder_lies_in_it() {
    let lab = lab_with_run(&bare("pcd", 2));
    for (ckpt, numbered) in [("run", ""), (LAST, "-1")] {
        lab.ok(&["-q", "sample", "--ckpt", ckpt, "--n", "4", "--steps", "2"]);
        assert!(lab.path(&format!("run/samples/sample-last{numbered}.png")).is_file(), "{ckpt}");
        lab.ok(&["-q", "diagnose", "--ckpt", ckpt, "--chains", "4", "--steps", "20", "--burn-in", "2"]);
        assert!(lab.path(&format!("run/diagnose{numbered}/diagnose.json")).is_file(), "{ckpt}");
        lab.ok(&["-q", "eval", "--ckpt", ckpt, "--probe", "nll", "--set", "nll.points=16", "--pictures", "p"]);
    }
    let pictures = std::fs::read_dir(lab.path("p")).unwrap().map(|file| file.unwrap().file_name());
    let pictures: Vec<String> = pictures.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(!pictures.is_empty() && pictures.iter().all(|name| name.starts_with("last-nll-")), "{pictures:?}");
    // A copy elsewhere has no run: what is made of it is left here.
    std::fs::copy(lab.path(LAST), lab.path("alone.safetensors")).unwrap();
    lab.ok(&["-q", "sample", "--ckpt", "alone.safetensors", "--n", "4", "--steps", "2"]);
    assert!(lab.path("sample-alone.png").is_file());
}
