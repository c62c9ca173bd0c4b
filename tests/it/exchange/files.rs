//! Files of weights: what is read of them, and what becomes of broken ones.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use ebm::exchange::ForeignFile;

use crate::harness::{Lab, bare, read};

/// A linear layer from 3 to 2 numbers within nested dictionaries, by `torch.save` as it is now and before 1.6.
const SAVED: [&str; 2] = ["linear.pt", "linear_legacy.pt"];

fn saved(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[test]
fn both_layouts_of_torch_save_are_read() {
    for name in SAVED {
        let path = saved(name);
        let file = ForeignFile::read(&path).unwrap();
        assert_eq!(file.tensors.keys().collect::<Vec<_>>(), ["model.net.bias", "model.net.weight"], "{name}");
        let file = file.below("model.net", &path).unwrap();
        let weight = &file.tensors["weight"];
        assert_eq!((weight.shape.as_slice(), weight.kind.as_str()), ([2, 3].as_slice(), "f32"));
        let rows = weight.tensor.as_ref().unwrap().to_vec2::<f32>().unwrap();
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{rows:?}");
        [-0.0043, 0.3097, -0.4752].into_iter().zip(&rows[0]).for_each(|(a, b)| near(a, *b));
        let error = file.below("nothing", &path).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains("below `nothing`"), "{error}");
    }
}

#[test]
fn a_broken_file_is_an_error_and_nothing_worse() {
    let of = |bytes: &[u8]| ForeignFile::of_bytes(bytes, Path::new("w.pt"));
    for name in SAVED {
        let whole = read(&saved(name));
        let is_archive = whole.starts_with(b"PK");
        for length in 0..whole.len() {
            let error = of(&whole[..length]).err().unwrap_or_else(|| panic!("{name} cut to {length} bytes"));
            assert_eq!(error.exit_code(), 4, "{error}");
        }
        // A byte that is another one may go unnoticed among the numbers, but for the checksums of an archive.
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let Ok(file) = of(&bytes) {
                    assert!(file.tensors.len() <= 2 && (!is_archive || file.tensors.len() == 2), "{name}, byte {at}");
                }
            }
        }
    }
    for (bytes, says) in [
        (&b""[..], "neither"),
        (b"\x80\x02}.", "none of torch.save"),
        (b"PK\x03\x04", "broken archive"),
        (b"hello, world", "neither"),
    ] {
        let error = of(bytes).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains(says), "{error}");
    }
    assert_eq!(ForeignFile::read(Path::new("/none/at/all.pt")).unwrap_err().exit_code(), 1);
}

/// A model E(x) = w·x + b on three columns has the tensors `net.0.weight` and `net.0.bias`.
const CONFIG: &str = "[dataset]\nname = \"gaussian\"\ndim = 3\n[model]\nname = \"neural\"\nbase = \"none\"\n\
                      net = { name = \"mlp\", hidden = [2], activation = \"tanh\" }\n[method]\nname = \"pcd\"\n\
                      [train]\nsteps = 1\nema = 0.9\n";

const MAP: &str = "key = 'model.net'\n[[rename]]\nfrom = '^'\nto = 'net.0.'\n\
                   [[fill]]\nname = '^net\\.1\\.'\nvalue = 0.5\n";

#[test]
fn weights_come_under_a_model_and_a_dry_run_shows_how() {
    let lab = Lab::new();
    lab.write("c.toml", CONFIG);
    lab.write("map.toml", MAP);
    for name in SAVED {
        std::fs::copy(saved(name), lab.path(name)).unwrap();
    }
    let import = ["-q", "import", "--from", "linear.pt", "--config", "c.toml", "--map", "map.toml"];
    let run = |more: &[&str]| lab.ok(&[&import[..], more].concat());
    let table = run(&["--dry-run"]);
    for says in ["net.0.weight", "[2, 3]", "0.5 everywhere"] {
        assert!(table.contains(says), "{table}");
    }
    assert_eq!(lab.names().len(), 4, "a dry run writes nothing");
    run(&["--out", "run"]);
    run(&["--out", "w.safetensors"]);
    lab.write("x.csv", "1,2,3\n-1,0,0.5\n");
    let energies = |ckpt: &str| lab.ok(&["-q", "energy", "--ckpt", ckpt, "--data", "x.csv"]);
    assert_eq!(energies("run"), energies("w.safetensors"));
    // 0.5 (tanh(w1·x + b1) + tanh(w2·x + b2) + 1) by hand.
    let by_hand = |x: [f64; 3]| {
        let unit = |w: [f64; 3], b: f64| (w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b).tanh();
        0.5 * (unit([-0.0043, 0.3097, -0.4752], -0.0114) + unit([-0.4249, -0.2224, 0.1548], 0.4578) + 1.0)
    };
    let text = energies("run");
    for (line, x) in text.lines().skip(1).zip([[1.0, 2.0, 3.0], [-1.0, 0.0, 0.5]]) {
        let energy: f64 = line.parse().unwrap();
        assert!((energy - by_hand(x)).abs() < 1e-3, "{energy} and {}", by_hand(x));
    }
    // It is a run like any other: it is listed, sampled, evaluated, and nothing existing is overwritten.
    assert!(lab.ok(&["ls", "run"]).contains("none"));
    lab.ok(&["-q", "sample", "--ckpt", "run", "--n", "3", "--steps", "2", "--out", "s.npy"]);
    assert_eq!(lab.manifest("run")["status"], "finished");
    lab.refused(1, &[&import[..], &["--out", "run"]].concat(), &["not empty", "--overwrite"]);
    run(&["--out", "run", "--overwrite"]);
    lab.refused(2, &[&import[..], &["--out", "w.safetensors"]].concat(), &["w.safetensors", "--overwrite"]);
    // There is nothing to train in it, and `resume` does just that.
    lab.ok(&["-q", "resume", "run"]);
    assert_eq!(energies("run"), text);
}

/// Weights of several types become f32, which is said; other types and numbers that are none are refused.
#[test]
fn types_are_converted_or_refused() {
    let lab = Lab::new();
    lab.write("c.toml", CONFIG);
    let tensor =
        |shape: &[usize], value: f64, dtype| Tensor::full(value, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    let weights = |last: Tensor| {
        let tensors = [
            ("net.0.weight", tensor(&[2, 3], 0.5, DType::F16)),
            ("net.0.bias", tensor(&[2], 0.25, DType::F64)),
            ("net.1.weight", tensor(&[1, 2], 1.0, DType::BF16)),
            ("net.1.bias", last),
        ];
        let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor));
        candle_core::safetensors::save(&tensors.into_iter().collect(), lab.path("w.safetensors")).unwrap();
    };
    let import = ["-q", "import", "--from", "w.safetensors", "--config", "c.toml", "--out", "run", "--overwrite"];
    weights(tensor(&[1], -1.0, DType::F32));
    let said = lab.ok(&import);
    for says in ["1 tensor: f16 to f32", "1 tensor: f64 to f32", "1 tensor: bf16 to f32"] {
        assert!(said.contains(says), "{said}");
    }
    lab.write("x.csv", "1,1,1\n");
    let energy: f64 =
        lab.ok(&["-q", "energy", "--ckpt", "run", "--data", "x.csv"]).lines().nth(1).unwrap().parse().unwrap();
    assert!((energy - (2.0 * 1.75f64.tanh() - 1.0)).abs() < 1e-6, "{energy}");
    // Training goes on in a new run.
    lab.ok(&["-q", "train", "c.toml", "--from", "run", "--run-dir", "on"]);
    weights(tensor(&[1], f64::NAN, DType::F32));
    lab.refused(4, &import, &["net.1.bias", "NaN"]);
    weights(tensor(&[1], 1e300, DType::F64));
    lab.refused(4, &import, &["net.1.bias", "inf"]);
    weights(tensor(&[1], 1.0, DType::U32));
    lab.refused(4, &import, &["net.1.bias", "u32, which no weight is"]);
}

#[test]
fn what_does_not_fit_is_listed_with_its_shape() {
    let lab = Lab::new();
    lab.write("c.toml", CONFIG);
    std::fs::copy(saved("linear.pt"), lab.path("w.pt")).unwrap();
    let from = ["-q", "import", "--from", "w.pt", "--config", "c.toml"];
    let outcome = lab.run(&[&from[..], &["--key", "model.net", "--dry-run"]].concat());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("left over (f32)") && outcome.stderr.contains("net.1.bias [1]"));
    let told = lab.run(&[&from[..], &["--dry-run", "--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&told["fits"], &told["left_over"][0]["shape"]), (&false.into(), &serde_json::json!([2])));
    let out = [&from[..], &["--out", "run"]].concat();
    lab.refused(4, &out, &["4 missing from the file", "2 of the file left over", "--dry-run"]);
    lab.refused(4, &out, &["at the top of the file (--key): model"]);
    lab.write("map.toml", "renames = []\n");
    lab.refused(2, &[&out[..], &["--map", "map.toml"]].concat(), &["map.toml", "renames", "[[rename]]"]);
    lab.write("map.toml", "[[rename]]\nfrom = '('\nto = ''\n");
    lab.refused(2, &[&out[..], &["--map", "map.toml"]].concat(), &["map.toml", "line 2"]);
    lab.refused(2, &["import", "--from", "w.pt", "--out", "run"], &["--config"]);
    lab.refused(2, &["import", "--from", "w.pt", "--config", "c.toml"], &["--out"]);
    assert!(!lab.path("run").exists());
}

#[test]
fn a_model_that_others_do_not_know_is_refused_by_name() {
    let lab = Lab::new();
    let none = |model: &str| {
        format!(
            "[dataset]\nname = \"gaussian\"\ndim = 3\n[model]\n{model}\n[method]\nname = \"none\"\n[train]\nsteps = 1\n"
        )
    };
    lab.write("rbm.toml", &none("name = \"rbm\""));
    lab.ok(&["-q", "train", "rbm.toml", "--run-dir", "rbm"]);
    lab.refused(2, &["export", "rbm", "--to", "out"], &["`rbm`", "classifier"]);
    assert!(!lab.path("out").exists());
    lab.write("c.toml", &bare("pcd", 1));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    std::fs::create_dir(lab.path("full")).unwrap();
    lab.write("full/mine", "");
    lab.refused(2, &["export", "run", "--to", "full"], &["not empty", "--overwrite"]);
    lab.refused(2, &["export", "run", "--to", "c.toml"], &["--to"]);
    lab.ok(&["export", "run", "--to", "full", "--overwrite"]);
    lab.ok(&["export", "run", "--to", "full", "--overwrite", "--format", "onnx"]);
    let there = ["mine", "config.json", "model.onnx"].iter().all(|name| lab.path("full").join(name).exists());
    assert!(there && !lab.path("full/model.safetensors").exists(), "what is stale would be of another model");
}
