//! Pages that list what the program has: documents of `--json` have the keys of docs/json.md, and no others; every row
//! of the registries stands in docs/methods.md.

use super::*;

/// A row of the page: the key by its steps, and whether it is there under a condition only.
struct Row {
    steps: Vec<String>,
    conditional: bool,
}

/// The section of the page about a subcommand.
fn section(command: &str) -> Vec<Row> {
    let page = include_str!("../../../docs/json.md");
    let title = format!("## `ebm {command}`\n");
    let text = page.split_once(&title).unwrap_or_else(|| panic!("docs/json.md has no {title}")).1;
    let text = text.split("\n## ").next().unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(key, about)| Row { steps: steps(key), conditional: about.starts_with("if ") }).collect()
}

/// `a[].b` as `a`, `[]`, `b`.
fn steps(key: &str) -> Vec<String> {
    key.replace("[]", ".[]").split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

/// Every method, model, sampler and probe has a row in docs/methods.md; the registry's own words do not say where a
/// formula or a number comes from.
#[test]
fn what_is_registered_is_documented() {
    let page = include_str!("../../../docs/methods.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    let listed = Lab::new().json(&["methods"]);
    for entry in listed.as_array().unwrap() {
        let (kind, name) = (entry["kind"].as_str().unwrap(), entry["name"].as_str().unwrap());
        if ["method", "model", "sampler", "probe"].contains(&kind) && name != "none" {
            let first = |row: &&str| row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{name}`")));
            assert!(rows.iter().any(first), "docs/methods.md has no row for the {kind} `{name}`");
        }
    }
}

/// The paths of all keys of a document.
fn paths(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = [path, std::slice::from_ref(key)].concat();
                found.push(path.clone());
                paths(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &[path, &["[]".to_owned()]].concat(), found)),
        _ => {}
    }
}

/// Whether a path is one that the row names, or leads to it.
fn fits(row: &[String], path: &[String], leads: bool) -> bool {
    match (row.split_first(), path.split_first()) {
        (Some((step, _)), Some(_)) if step == "**" => true,
        (Some((step, row)), Some((key, path))) => (step == "*" && key != "[]" || step == key) && fits(row, path, leads),
        (None, None) => true,
        (Some(_), None) => leads,
        (None, Some(_)) => false,
    }
}

/// Holds documents of a subcommand against the page: they have no other keys, and together they have all.
fn check(command: &str, documents: &[Value]) {
    let rows = section(command);
    let mut found = Vec::new();
    documents.iter().for_each(|document| paths(document, &[], &mut found));
    let unknown = found.iter().find(|path| !rows.iter().any(|row| fits(&row.steps, path, true)));
    assert_eq!(unknown, None, "docs/json.md, ebm {command}: a key that is not listed");
    let there = |row: &Row| row.conditional || found.iter().any(|path| fits(&row.steps, path, false));
    let missing = rows.iter().find(|row| !there(row)).map(|row| row.steps.join("."));
    assert_eq!(missing, None, "docs/json.md, ebm {command}: a key that no document has");
}

/// The documents of command lines, which are those of one subcommand, against its section.
fn told(lab: &Lab, lines: &[&str]) {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let one = |line: &&str| lab.json(&words(line).iter().map(String::as_str).collect::<Vec<_>>());
    let documents: Vec<Value> = lines.iter().map(one).collect();
    check(lines[0].split(' ').find(|word| !word.starts_with('-')).unwrap(), &documents);
}

#[test]
fn the_page_has_a_section_for_every_subcommand_with_a_document() {
    let page = include_str!("../../../docs/json.md");
    let sections: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("## `ebm ")?.strip_suffix('`')).collect();
    let cli = <ebm::cli::Cli as clap::CommandFactory>::command();
    let mut commands: BTreeSet<&str> = cli.get_subcommands().map(|command| command.get_name()).collect();
    for without in ["completions", "watch"] {
        assert!(commands.remove(without));
    }
    assert_eq!(sections, commands);
}

#[test]
fn runs_say_what_the_page_says() {
    let lab = Lab::new();
    let text = bare("ml_grid", 4).replace("log_every", "best = \"test_ll\"\ncheckpoint_every = 1\nlog_every");
    lab.write("c.toml", &(text + "[[probe]]\nname = \"nll\"\npoints = 16\nitems = 50\nsamples = 20\n"));
    told(&lab, &["-q train c.toml --run-dir run"]);
    told(&lab, &["-q resume run"]);
    let plan = "config = \"c.toml\"\nseeds = 2\nset = { train.steps = 2 }\n[grid]\n\"optim.lr\" = [1e-3, 1e-2]\n";
    lab.write("p.toml", plan);
    told(&lab, &["-q sweep p.toml"]);
    told(&lab, &["-q check c.toml"]);
    told(&lab, &["tag run best"]);
    told(&lab, &["note run short"]);
    told(&lab, &["ls ."]);
    told(&lab, &["clean run --keep 1 --yes"]);
    told(&lab, &["report run --out r.html"]);
    let choice = "compare runs --by method --choose optim.lr --max test_ll";
    told(&lab, &[choice, "compare runs --by optim.lr --baseline optim.lr=0.001"]);
    told(&lab, &["man --out man"]);
}

#[test]
fn what_reads_a_checkpoint_says_what_the_page_says() {
    let lab = lab_with_run(&bare("ml_grid", 3));
    told(&lab, &["sample --ckpt run --n 3 --steps 2 --out x.npy"]);
    told(&lab, &["energy --ckpt run --data x.npy --out e.npz"]);
    told(&lab, &["export run --to model"]);
    let import = "-q import --from model --config run --out back";
    told(&lab, &[import, &format!("{import} --dry-run --overwrite")]);
    told(&lab, &["eval --ckpt run --probe nll --set nll.points=16 --set nll.items=50 --set nll.samples=20"]);
    told(&lab, &["diagnose --ckpt run --steps 20 --burn-in 5"]);
    told(&lab, &["-q eval-lsd --ckpt run --eval epochs=1 --eval items=100 --eval critic.hidden=[8]"]);
    told(&lab, &["gof --ckpt run --items 40 --tests ksd"]);
    told(&lab, &["show run", "show run --origin", "show --net run"]);
}

#[test]
fn lists_say_what_the_page_says() {
    let lab = Lab::new();
    told(&lab, &["methods"]);
    told(&lab, &["doctor"]);
    told(&lab, &["explain lsd"]);
    told(&lab, &["init"]);
    told(&lab, &["data list", "data verify digits"]);
}
