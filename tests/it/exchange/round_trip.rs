//! What is exported and imported again is the same model, to the byte.

use crate::harness::{Lab, bare, experiment, read};

fn energies(lab: &Lab, ckpt: &str) -> Vec<u8> {
    let asked = ["-q", "energy", "--ckpt", ckpt, "--what", "energy,score", "--data", "x.csv", "--out", "e.npz"];
    lab.ok(&asked);
    read(&lab.path("e.npz"))
}

/// Trains, exports and imports; `points` are the numbers of an item.
fn there_and_back(config: &str, points: usize, classes: bool) -> Lab {
    let lab = Lab::new();
    lab.write("c.toml", config);
    let row = |i: usize| (0..points).map(|j| format!("{}", 0.1 * (i * j) as f32 - 0.4)).collect::<Vec<_>>().join(",");
    lab.write("x.csv", &(0..5).map(|i| row(i) + "\n").collect::<String>());
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let told = lab.json(&["-q", "export", "run", "--to", "out"]);
    assert_eq!(told["files"].as_array().unwrap().len(), 5, "{told:#}");
    lab.ok(&["-q", "import", "--from", "out", "--out", "back"]);
    assert_eq!(energies(&lab, "run"), energies(&lab, "back"));
    lab.ok(&["-q", "import", "--from", "out/model.safetensors", "--config", "c.toml", "--out", "w.safetensors"]);
    assert_eq!(energies(&lab, "run"), energies(&lab, "w.safetensors"));
    if classes {
        lab.ok(&["-q", "eval", "--ckpt", "back", "--probe", "accuracy", "--set", "accuracy.items=20"]);
    }
    lab
}

#[test]
fn averaged_weights_with_dropout_and_a_base_density() {
    let lab = there_and_back(&experiment("lsd"), 2, false);
    let card = String::from_utf8(read(&lab.path("out/README.md"))).unwrap();
    let manifest = lab.manifest("run");
    for says in [
        "moving average",
        manifest["dataset_sha256"].as_str().unwrap(),
        "`test_ll`",
        " ± ",
        "ebm train config.toml",
        "2002.05616",
        "items of shape [2]",
    ] {
        assert!(card.contains(says), "no `{says}` in\n{card}");
    }
    // The weights as trained are others, and as good as any.
    lab.ok(&["-q", "export", "run", "--to", "raw", "--weights", "raw"]);
    assert_ne!(read(&lab.path("raw/model.safetensors")), read(&lab.path("out/model.safetensors")));
    assert!(String::from_utf8(read(&lab.path("raw/README.md"))).unwrap().contains("as trained"));
}

#[test]
fn a_method_with_companions_leaves_them_behind() {
    there_and_back(&bare("vera", 2), 2, false);
}

/// Images of 8×8 pixels; nothing of the data is needed to import.
#[test]
fn a_classifier_of_images() {
    let config = "[dataset]\nname = \"digits\"\ntransform = \"logit\"\n[model]\nname = \"classifier\"\n\
                  net = { name = \"wide_resnet\", depth = 10, width = 1, stem = 4, norm = \"group\", groups = 2, \
                  spectral_norm = true }\n[method]\nname = \"classifier\"\n[train]\nsteps = 1\nbatch_size = 8\n";
    let lab = there_and_back(config, 64, true);
    let card = String::from_utf8(read(&lab.path("out/README.md"))).unwrap();
    for says in [
        "a pixel v from 0 to 16",
        "log(w/(1 - w))",
        "8 of 8 pixels",
        "No probe",
        "f(x)[y]",
        "p(y\\|x)",
        "# made by: ebm -q train c.toml",
    ] {
        assert!(card.contains(says), "no `{says}` in\n{card}");
    }
}

/// A table whose columns are scaled: the card has the numbers, and PyTorch takes rows as the file has them.
#[test]
fn rows_of_a_table_in_its_own_units() {
    let lab = Lab::new();
    let row = |i: usize| format!("{},{}\n", 170 + (7 * i) % 23, 0.01 * ((5 * i) % 13) as f64);
    lab.write("rows.csv", &format!("height,share\n{}", (0..100).map(row).collect::<String>()));
    let config = "[dataset]\nname = \"table\"\npath = \"rows.csv\"\nstandardise = true\n[model]\nname = \"neural\"\n\
                  net = { name = \"mlp\", hidden = [8] }\n[method]\nname = \"none\"\n[train]\nsteps = 1\n";
    lab.write("c.toml", config);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    lab.ok(&["-q", "export", "run", "--to", "out"]);
    let card = String::from_utf8(read(&lab.path("out/README.md"))).unwrap();
    let described: serde_json::Value = serde_json::from_slice(&read(&lab.path("out/config.json"))).unwrap();
    let scale = |key: &str, c: usize| described["input"][key][c].as_f64().unwrap();
    assert!((scale("shift", 0) - 181.0).abs() < 2.0 && (scale("scale", 0) - 6.6).abs() < 1.0, "{described:#}");
    let says = format!("| height | {} | {} |", scale("shift", 0), scale("scale", 0));
    assert!(card.contains(&says) && card.contains("| share |"), "no `{says}` in\n{card}");
    lab.ok(&["-q", "energy", "--ckpt", "run", "--data", "rows.csv", "--space", "data", "--out", "e.npy"]);
    let programme = "import sys\nimport numpy as np, torch\nsys.path.insert(0, 'out')\nfrom ebm_model import Model\n\
                     rows = torch.tensor(np.loadtxt('rows.csv', delimiter=',', skiprows=1))\n\
                     model = Model('out')\nhave = model(model.input(rows)).detach().numpy()\n\
                     assert np.abs(have - np.load('e.npy')).max() < 1e-5\n";
    super::python(programme, &lab.path(""));
}
