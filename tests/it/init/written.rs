//! What `ebm init` writes, as text: what is set, what suits pictures, the probe in its comment.

use crate::harness::Lab;

use super::table;

#[test]
fn what_is_set_is_written() {
    let lab = Lab::new();
    let sets =
        ["dataset.path=my pictures", "model.net.name=conv", "model.net.channels=[4, 8]", "seed=3", "train={steps=9}"];
    let words: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let text = lab.ok(&[&["init", "--method", "jem", "--dataset", "images"], words.as_slice()].concat());
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["dataset"]["path"].as_str(), Some("my pictures"));
    assert_eq!(table["model"]["net"]["name"].as_str(), Some("conv"));
    assert_eq!(table["model"]["net"]["channels"].to_string(), "[4, 8]");
    assert_eq!((table["seed"].as_integer(), table["train"]["steps"].as_integer()), (Some(3), Some(9)));
    let named = lab.ok(&["init", "--set", "dataset.name=rings", "--set", "method.name=nce"]);
    assert!(named.contains("name = \"rings\"") && named.contains("name = \"nce\""), "{named}");
    lab.refused(2, &["init", "--set", "train.stpes=9"], &["did you mean `steps`?"]);
    lab.refused(2, &["init", "--set", "train.steps=\"many\""], &["train.steps"]);
    lab.refused(2, &["init", "--set", "probe.0.name=ais"], &["ais"]);
}

/// Pictures of 16 x 16 pixels in two classes.
fn pictures(lab: &Lab) {
    for (class, shade) in [("dark", 20u8), ("light", 160)] {
        std::fs::create_dir_all(lab.path("pictures").join(class)).unwrap();
        for i in 0..24u8 {
            let pixel = |x: u32, y: u32| image::Rgb([shade + 3 * i, shade + x as u8, shade + y as u8]);
            let path = lab.path("pictures").join(class).join(format!("{i}.png"));
            image::RgbImage::from_fn(16, 16, pixel).save(path).unwrap();
        }
    }
}

/// What is written for pictures has networks for pictures everywhere, and runs without an edit.
#[test]
fn pictures_have_networks_that_suit_them() {
    let lab = Lab::new();
    pictures(&lab);
    let written = |words: &[&str]| {
        let common = ["init", "--dataset", "images", "--set", "dataset.path=pictures", "--method"];
        let text = lab.ok(&[&common[..], words].concat());
        (text.parse::<toml::Table>().unwrap(), text)
    };
    for (words, net, other) in [
        (&["jem"][..], "model.net", None),
        (&["vera", "--model", "classifier"], "model.net", Some("method.generator")),
        (&["vae"], "model.encoder", Some("model.decoder")),
        (&["coopnets"], "model.net", Some("method.vae.decoder")),
        (&["lsd"], "model.net", None),
    ] {
        let (table, text) = written(words);
        let name = |path: &str| {
            let found = path.split('.').try_fold(toml::Value::Table(table.clone()), |at, key| at.get(key).cloned());
            found.and_then(|part| Some(part.get("name")?.as_str()?.to_owned())).unwrap_or_default()
        };
        assert_eq!(name(net), "conv", "{words:?}");
        assert_eq!(other.map_or("resnet_generator".into(), name), "resnet_generator", "{words:?}");
        lab.write("c.toml", &text);
        let small =
            ["train.batch_size=4", "train.steps=2", "method.buffer=8", "method.samples=2", "method.sampler.steps=2"];
        let is_there = |set: &str| {
            let (path, _) = set.split_once('=').unwrap();
            let keys = path.split('.').try_fold(toml::Value::Table(table.clone()), |at, key| at.get(key).cloned());
            keys.is_some()
        };
        let sets: Vec<&str> = small.into_iter().filter(|set| is_there(set)).flat_map(|set| ["--set", set]).collect();
        lab.ok(&[&["-q", "train", "c.toml", "--overwrite", "--run-dir", "run"], sets.as_slice()].concat());
    }
    let (vera, _) = written(&["vera", "--model", "classifier"]);
    assert_eq!(vera["method"]["classify"].as_float(), Some(100.0));
    assert_eq!(vera["method"]["squash"].as_str(), Some("tanh"));
    // Not where pictures are small or flat, nor in the place of what the user says; other rows' keys are another's.
    for set in ["dataset.flatten=true", "dataset.size=8", "model.net.name=mlp"] {
        assert_eq!(written(&["jem", "--set", set]).0["model"]["net"]["name"].as_str(), Some("mlp"), "{set}");
    }
    assert!(!lab.ok(&["init", "--method", "jem"]).contains("\nkernels = "));
    assert!(written(&["vera"]).0["method"]["classify"].as_float() == Some(0.0));
}

/// The probe in the comment looks at what there is, and what cannot run as it stands is told at once.
#[test]
fn the_probe_that_is_commented_out_runs_and_what_does_not_go_together_is_told() {
    let lab = Lab::new();
    lab.write("rows.csv", &table().replace(",3\n", ",4\n").replacen(",4\n", ",3\n", 90));
    let init = |words: &[&str]| lab.ok(&[&["init"], words].concat());
    for (words, probe) in [
        (&["--method", "score_matching"][..], "nll"),
        (&["--dataset", "gaussian", "--set", "dataset.dim=5"], "mmd"),
        (&["--dataset", "digits", "--method", "cd"], "mmd"),
        (&["--model", "glow", "--method", "ml"], "mmd"),
        (&["--method", "classifier"], "accuracy"),
        (&["--dataset", "table", "--method", "score_matching", "--set", "dataset.path=rows.csv"], "mmd"),
    ] {
        let text = init(words);
        let (above, below) = text.split_once("[[probe]]").unwrap();
        let (probe_keys, after) = below.split_once("\n\n").unwrap_or((below, ""));
        let bare = |line: &str| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line).to_owned();
        let keys: Vec<String> = probe_keys.lines().map(bare).collect();
        assert!(keys.contains(&format!("name = \"{probe}\"")), "{words:?} {keys:?}");
        let text = format!("{}\n[[probe]]{}\n\n{after}", above.trim_end_matches("# "), keys.join("\n"));
        lab.write("c.toml", &text);
        lab.ok(&["check", "c.toml"]);
    }
    for method in ["vaebm", "nt_ebm"] {
        let table: toml::Table = init(&["--method", method]).parse().unwrap();
        let first = ["vae_steps", "flow_steps"].iter().find_map(|key| table["method"].get(key)).unwrap();
        assert!(table["train"]["steps"].as_integer() >= first.as_integer().map(|first| 2 * first), "{method}");
    }
    for words in [["--method", "jem", "--dataset", "moons"], ["--method", "ml_grid", "--dataset", "digits"]] {
        let told = lab.run(&[&["init"], &words[..]].concat());
        assert!(told.code == Some(0) && told.stderr.contains("refuses it as it stands"), "{}", told.stderr);
    }
    assert!(lab.run(&["init"]).stderr.is_empty());
}
