//! What the user reads when a configuration is wrong, and what the program reads when it is right.

use std::path::Path;

use ebm::Error;
use ebm::config::{Document, Resolved, Schema, explain_keys, template};
use ebm::run::Experiment;
use insta::assert_snapshot;

use crate::config_sections::sections;

const GOOD: &str = "seed = 1\n\n[dataset]\nname = \"rings\"\n\n[method]\nname = \"lsd\"\n";

fn resolve(text: &str, sets: &[&str]) -> ebm::Result<Resolved> {
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    Document::from_str("configs/demo.toml", text, &sets)?.resolve(&sections())
}

/// The message for a text that must be refused.
fn refused(text: &str, sets: &[&str]) -> String {
    resolve(text, sets).unwrap_err().to_string()
}

/// The message for a text appended to a good configuration.
fn with(text: &str) -> String {
    refused(&format!("{GOOD}{text}"), &[])
}

fn good(text: &str, sets: &[&str]) -> Resolved {
    resolve(text, sets).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn unknown_key() {
    assert_snapshot!(with("[sampler]\nstpes = 60\n"));
}

#[test]
fn unknown_key_without_a_near_one_lists_the_keys() {
    assert_snapshot!(with("critic.momentum = 0.9\n"));
}

#[test]
fn unknown_section_and_key_at_the_top() {
    assert_snapshot!(refused(&format!("sed = 3\nbatch_size = 7\n{GOOD}[smpler]\nsteps = 3\n"), &[]));
}

#[test]
fn unknown_name() {
    assert_snapshot!(refused("[dataset]\nname = \"ring\"\n[method]\nname = \"lsd\"\ncritic.name = \"resnet\"\n", &[]));
}

#[test]
fn unknown_variant() {
    assert_snapshot!(with("critic = { activation = \"swihs\" }\n[model]\nactivation = \"gelu\"\n"));
}

#[test]
fn wrong_types() {
    assert_snapshot!(with(
        "lambda = \"ten\"\ncritic_steps = 2.5\nbetas = [0.5]\ncritic.hidden = [64, -3, 1.5]\n\
         [model]\nspectral_norm = 1\nhidden = 7\n[train]\nsteps = -1\nbatch_size = {}\ntarget = 1979-05-27\n"
    ));
}

#[test]
fn out_of_range() {
    assert_snapshot!(with("lambda = -1\nbetas = [0.5, 1.0]\ncritic.hidden = [0]\n[train]\nsteps = 0\n"));
}

#[test]
fn not_finite_and_too_large() {
    assert_snapshot!(with("lambda = nan\nbetas = [0.5, -inf]\n[train]\ntarget = 1e999\n"));
    assert_snapshot!(with("[train]\nsteps = 99999999999999999999\n"));
}

#[test]
fn missing_section_and_name() {
    assert_snapshot!(refused("[dataset]\nstd = 3\n", &[]));
}

#[test]
fn a_default_that_breaks_its_rule_must_be_written() {
    assert_snapshot!(refused("[dataset]\nname = \"file\"\n[method]\nname = \"lsd\"\n", &[]));
}

#[test]
fn sections_of_the_wrong_kind() {
    assert_snapshot!(with("[probe]\nname = \"nll\"\n[[train]]\nsteps = 3\n[sampler]\nname = 3\n"));
    assert_snapshot!(refused("model = 3\n[dataset]\nname='rings'\n[method]\nname='lsd'\ncritic='mlp'\n", &[]));
}

#[test]
fn lists_of_sections() {
    assert_snapshot!(with(
        "[[probe]]\nname = \"nll\"\nevry = 3\n[[probe]]\nevery = 3\n[[probe]]\nname = \"samples\"\nsampler.x = 1\n"
    ));
}

#[test]
fn syntax_errors() {
    assert_snapshot!(refused("seed = = 3\nname = rings\nok = 1\nok = 2\n[dataset]\n[dataset\n", &[]));
}

#[test]
fn tabs_and_wide_characters() {
    assert_snapshot!(with("\t\"größe日本\" =\t3\n"));
}

#[test]
fn set_points_into_the_argument() {
    let sets = ["train.stesp=3", "train.steps = no", "method.lambda=-2", "sampler={name=\"hmc\"}", "probe.0.every=1"];
    assert_snapshot!(refused(GOOD, &sets[..4]));
    assert_snapshot!(refused(
        GOOD,
        &[sets[4], "train", "train.steps=", "a b=3", "extends=x", "model.hidden=[1,", "seed.x=1"]
    ));
}

/// A table is laid over the one that is there, however it is written.
#[test]
fn set_merges_a_table_as_a_file_does() {
    let text = GOOD.to_owned()
        + "critic = { name = \"mlp\", hidden = [7], activation = \"relu\" }\n[train]\nsteps = 5\n\
        batch_size = 9\n[sampler]\nname = \"sgld\"\nnoise = 0.5\nsteps = 3\n[[probe]]\nname = \"nll\"\nevery = 3\n";
    let same = |sets: &[&str], others: &[&str]| {
        assert_eq!(good(&text, sets).to_toml(), good(&text, others).to_toml(), "{sets:?}");
    };
    same(&["train={steps=9}"], &["train.steps=9"]);
    same(&["train={}"], &[]);
    same(&["train={steps=9,target=0.5}"], &["train.target=0.5", "train.steps=9"]);
    same(&["method={critic={hidden=[3]}}"], &["method.critic.hidden=[3]"]);
    same(&["probe.0={every=7}"], &["probe.0.every=7"]);
    same(&["train={steps=9}", "train={steps=8}"], &["train.steps=8"]);
    // A table with another name leaves behind what files say of the old one, not what other arguments say.
    let mala = good(&text, &["sampler.steps=4", "sampler={name=\"mala\"}"]).spec("sampler");
    assert_eq!((mala.name(), mala.table["steps"].as_integer()), ("mala", Some(4)));
    same(&["sampler={name=\"mala\"}", "sampler.steps=4"], &["sampler.steps=4", "sampler.name=mala"]);
    // The same in a file that extends this one.
    let extending = tempfile::tempdir().unwrap();
    std::fs::write(extending.path().join("base.toml"), &text).unwrap();
    let name = extending.path().join("x.toml").display().to_string();
    let file = |over: &str| {
        let text = format!("extends = \"base.toml\"\n{over}\n");
        Document::from_str(&name, &text, &[]).unwrap().resolve(&sections()).unwrap().to_toml()
    };
    for over in ["train={steps=9}", "method={critic={hidden=[3]}}", "sampler={name=\"mala\"}"] {
        assert_eq!(good(&text, &[over]).to_toml(), file(over), "{over}");
    }
    let text = refused(GOOD, &["train={steps=9,stepz=3}"]);
    assert!(text.contains("--set:1:16") && text.contains("did you mean `steps`?"), "{text}");
}

#[test]
fn set_reads_toml_or_a_bare_string() {
    let sets = ["dataset.name=rings", "method.lambda=3", "method.critic={name=\"mlp\",hidden=[10]}", "device=cuda:0"];
    let resolved = good(GOOD, &sets);
    assert_eq!(resolved.section("")["device"].as_str(), Some("cuda:0"));
    assert_eq!(resolved.spec("method").table["lambda"], toml::Value::Float(3.0));
    let critic = resolved.spec("method").table["critic"].clone();
    assert_eq!(critic["hidden"], toml::Value::Array(vec![10.into()]));
    assert_eq!(critic["activation"].as_str(), Some("swish"));

    let probes = format!("{GOOD}[[probe]]\nname='nll'\n[[probe]]\nname='samples'\n");
    let list = good(&probes, &["probe.0.every=5", "probe[1].sampler.steps=7"]).list("probe");
    assert_eq!((list[0].name(), list[0].table["every"].as_integer()), ("nll", Some(5)));
    assert_eq!(list[1].table["sampler"]["steps"].as_integer(), Some(7));
}

#[test]
fn another_name_drops_the_keys_of_the_old_row_only() {
    let text =
        format!("{GOOD}critic_steps = 7\n[method.critic]\nhidden = [3]\n[sampler]\nname='sgld'\nnoise=0.1\nsteps=9\n");
    let resolved = good(&text, &["sampler.name=mala", "method.name=cd"]);
    assert_eq!(resolved.spec("sampler").table["steps"].as_integer(), Some(9));
    assert!(!resolved.spec("sampler").table.contains_key("noise"));
    assert!(!resolved.spec("method").table.contains_key("critic"));
    assert_snapshot!(refused(&text, &["sampler.name=mala", "sampler.noise=1"]));
    let turned = refused(&text, &["sampler.noise=1", "sampler.name=mala"]);
    assert_eq!(turned, refused(&text, &["sampler.name=mala", "sampler.noise=1"]), "the order of arguments is free");
}

#[test]
fn defaults_are_filled_in_and_the_dump_runs_again() {
    let resolved = good(&format!("{GOOD}lambda = 3\n[[probe]]\nname='samples'\n"), &[]);
    let text = resolved.to_toml();
    assert_snapshot!(text);
    assert_eq!(good(&text, &[]), resolved);
    assert_eq!(good(&text, &[]).to_toml(), text);
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Loads a file of a temporary folder and hides the folder's name in messages.
fn load(folder: &Path, name: &str) -> Result<Resolved, String> {
    let load = || Document::load(&folder.join(name), &[])?.resolve(&sections());
    load().map_err(|e| e.to_string().replace(&format!("{}/", folder.display()), ""))
}

#[test]
fn extends_is_relative_and_later_wins() {
    let tmp = tempfile::tempdir().unwrap();
    write(
        tmp.path(),
        "base/data.toml",
        "[dataset]\nname='rings'\nrings=2\nnoise=0.5\n[[probe]]\nname='nll'\n[[probe]]\nname='nll'\n",
    );
    write(
        tmp.path(),
        "base/lsd.toml",
        "extends = 'data.toml'\n[method]\nname='lsd'\nlambda=1\n[method.critic]\nhidden=[5]\n",
    );
    write(
        tmp.path(),
        "x.toml",
        "extends = ['base/lsd.toml']\n[dataset]\nrings=3\n[method.critic]\nactivation='relu'\n[[probe]]\n\
         name='samples'\n",
    );
    let resolved = load(tmp.path(), "x.toml").unwrap();
    assert_eq!(resolved.spec("dataset").table["rings"].as_integer(), Some(3));
    assert_eq!(resolved.spec("dataset").table["noise"].as_float(), Some(0.5));
    let critic = &resolved.spec("method").table["critic"];
    assert_eq!((critic["hidden"][0].as_integer(), critic["activation"].as_str()), (Some(5), Some("relu")));
    assert_eq!(resolved.list("probe").len(), 1);
    assert!(!resolved.to_toml().contains("extends"));

    let document = Document::load(&tmp.path().join("x.toml"), &["train.steps=3".into()]).unwrap();
    let origin = |path| document.origin(path).replace(&format!("{}/", tmp.path().display()), "");
    assert_eq!(origin("method.lambda"), "base/lsd.toml:4");
    assert_eq!(origin("dataset.rings"), "x.toml:3");
    assert_eq!(origin("probe[0].name"), "x.toml:7");
    assert_eq!((origin("train.steps").as_str(), origin("train.batch_size").as_str()), ("--set", "default"));
}

#[test]
fn extends_that_cannot_be_followed() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), "base/digits.toml", "extends = '../a.toml'\n");
    write(tmp.path(), "a.toml", "extends = 'base/digits.toml'\n");
    write(tmp.path(), "b.toml", "seed = 1\nextends = ['base/digit.toml', 'nowhere/x.toml']\n");
    write(tmp.path(), "c.toml", "extends = 3\n");
    std::fs::write(tmp.path().join("d.toml"), b"seed = 1\nx = \"\xff\xfe\"\n").unwrap();
    let names = ["a.toml", "b.toml", "c.toml", "d.toml", "e.toml", "base"];
    let all: Vec<String> = names.iter().map(|name| load(tmp.path(), name).unwrap_err()).collect();
    assert_snapshot!(all.join("\n\n----------\n\n"));
}

#[test]
fn later_code_can_point_at_a_value_or_at_the_header_of_a_default() {
    let text = format!("{GOOD}[method.critic]\nhidden = [10, 20]\n");
    let document = Document::from_str("configs/demo.toml", &text, &[]).unwrap();
    let at = |path| Error::from(document.problems_at(path, format!("{path} is bad"), None)).to_string();
    let all = ["method.critic.hidden[1]", "method.critic.activation", "method.lambda", "train.steps"].map(at);
    assert_snapshot!(all.join("\n\n"));
}

#[test]
fn a_template_documents_every_key_and_resolves_to_the_defaults() {
    for (dataset, method) in [("rings", "lsd"), ("8gaussians", "cd")] {
        let text = template(&sections(), &[("method", method), ("dataset", dataset)]);
        let bare = format!("dataset.name = '{dataset}'\nmethod.name = '{method}'\n");
        assert_eq!(good(&text, &[]), good(&bare, &[]), "{text}");
        // The list that is shown as a comment is right as well.
        let (above, list) = text.split_at(text.find("# [[probe]]").unwrap());
        let uncommented = list.lines().map(|l| l.strip_prefix("# ").filter(|l| l.contains(" = ") || l.contains("[[")));
        let list: Vec<&str> = uncommented.flatten().collect();
        assert_eq!(good(&format!("{above}{}", list.join("\n")), &[]).list("probe").len(), 1);
    }
    assert_snapshot!(template(&sections(), &[("method", "lsd")]));
    let written = good(&template(&sections(), &[("method", "lsd"), ("train.steps", "77")]), &["dataset.name=rings"]);
    assert_eq!(written.section("train")["steps"].as_integer(), Some(77));
}

#[test]
fn keys_are_explained_with_those_of_their_parts() {
    let keys = explain_keys(&Schema::of::<crate::config_sections::Lsd>());
    let lines = keys.iter().map(|k| format!("{} | {} | {} | {}", k.name, k.kind, k.default, k.doc));
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn an_error_of_building_is_shown_where_the_key_was_written() {
    let tmp = tempfile::tempdir().unwrap();
    let below = "[train]\nsteps = 1\n[method.critic]\nlearned_beta = true\n";
    let base = "[dataset]\nname = 'rings'\n[method]\nname = 'lsd'\n[method.critic]\nactivation = 'relu'\n";
    write(tmp.path(), "base.toml", &format!("{base}hidden = [4]\n"));
    write(tmp.path(), "own.toml", &format!("extends = 'base.toml'\n{below}"));
    write(tmp.path(), "bad_base.toml", &format!("{base}learned_beta = true\n[train]\nsteps = 1\n"));
    write(tmp.path(), "inherited.toml", "extends = 'bad_base.toml'\n");
    write(tmp.path(), "argument.toml", "extends = 'base.toml'\ntrain.steps = 1\n");
    let refused = |experiment: Experiment| {
        let data = experiment.data().unwrap();
        experiment.method(&data).err().unwrap().to_string()
    };
    let load = |name: &str, sets: &[String]| refused(Experiment::load(&tmp.path().join(name), sets).unwrap());
    let argument = "method.critic.learned_beta=true".to_owned();
    for (name, sets, place) in [
        ("own.toml", vec![], "own.toml:5:16\n  |\n5 | learned_beta = true\n  |                ^^^^"),
        ("inherited.toml", vec![], "bad_base.toml:7:16"),
        ("argument.toml", vec![argument.clone()], "--set:1:28"),
    ] {
        let text = load(name, &sets);
        assert!(text.starts_with("error: `learned_beta` belongs to swish") && text.contains(place), "{text}");
    }
    // Nobody has seen the lines of a stored configuration; an argument is the user's own.
    let complete =
        |sets: &[String]| Experiment::load(&tmp.path().join("argument.toml"), sets).unwrap().resolved.to_toml();
    let stored = |text: &str, sets: &[String]| refused(Experiment::parse("last.safetensors", text, sets).unwrap());
    assert!(!stored(&complete(std::slice::from_ref(&argument)), &[]).contains("-->"));
    assert!(stored(&complete(&[]), &[argument]).contains("--set:1:28"));
}
