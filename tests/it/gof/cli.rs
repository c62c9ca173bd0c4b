//! `ebm gof` as a user and a script see it.

use serde_json::Value;

use crate::harness::Lab;

/// A Gaussian in three dimensions with its data.
const CONFIG: &str = "seed = 1\n[dataset]\nname = \"gaussian\"\ndim = 3\n[model]\nname = \"gaussian\"\n[method]\n\
                      name = \"none\"\n\
                      [train]\nsteps = 1\n[[probe]]\nname = \"gof_ksd\"\nitems = 100\n";

/// Small enough for the four tests to take a second.
const SMALL: [&str; 6] = ["--items", "300", "--test-set", "lsd.iterations=200", "--test-set", "lsd.critic.hidden=[16]"];

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("c.toml", CONFIG);
    lab
}

/// Test and decision of each row.
fn decisions(report: &Value) -> Vec<(String, bool)> {
    let rows = report["results"].as_array().unwrap().iter();
    rows.map(|r| (r["test"].as_str().unwrap().to_owned(), r["reject"].as_bool().unwrap())).collect()
}

#[test]
fn a_true_model_stands_and_a_wrong_one_falls() {
    let lab = lab();
    let right = lab.json(&[&["gof", "--config", "c.toml", "--seed", "2"][..], &SMALL].concat());
    let names = ["gof_lsd", "gof_ksd", "gof_lksd", "gof_fssd"].map(|n| (n.to_owned(), false));
    assert_eq!(decisions(&right), names, "{right}");
    assert!(right["results"].as_array().unwrap().iter().all(|r| r["items"] == 300 && r["seconds"].is_f64()));
    let shift = ["gof", "--config", "c.toml", "--set", "dataset.mean=1.0"];
    let wrong = lab.json(&[&shift[..], &SMALL].concat());
    assert_eq!(decisions(&wrong), names.map(|(n, _)| (n, true)), "{wrong}");
    let table = lab.ok(&[&shift[..], &["--tests", "ksd,fssd", "-q"], &SMALL].concat());
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[0].starts_with("test") && lines[1].starts_with("ksd") && lines[2].contains("rejected at 0.05"),
        "{table}"
    );
}

#[test]
fn a_checkpoint_is_tested_against_its_data_other_data_and_a_file() {
    let lab = lab();
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let metrics = String::from_utf8(crate::harness::read(&lab.path("run/metrics.jsonl"))).unwrap();
    for key in ["gof_ksd_stat", "gof_ksd_p", "gof_ksd_reject", "gof_ksd_value"] {
        assert!(metrics.contains(key), "{metrics}");
    }
    assert!(!metrics.contains("seconds"), "{metrics}");
    let ckpt = ["gof", "--ckpt", "run/checkpoints/last.safetensors", "--tests", "ksd"];
    let reject = |more: &[&str]| decisions(&lab.json(&[&ckpt[..], more].concat()))[0].1;
    assert!(!reject(&[]));
    assert!(reject(&["--set", "dataset.mean=[0.5,0,0]"]));
    let csv = |shift: f64| -> String {
        // A low-discrepancy grid of the standard normal, by quantiles.
        let point = |i: usize, step: f64| ebm::math::normal_quantile(((i as f64 + 0.5) * step).fract()) + shift;
        let row = |i: usize| format!("{},{},{}\n", point(i, 0.819_172_5), point(i, 0.671_043_6), point(i, 0.549_700_4));
        (0..400).map(row).collect()
    };
    lab.write("own.csv", &format!("a,b,c\n{}", csv(0.0)));
    lab.write("other.csv", &csv(0.4));
    assert!(!reject(&["--samples", "own.csv"]));
    assert!(reject(&["--samples", "other.csv"]));
    let report =
        lab.json(&[&ckpt[..], &["--samples", "own.csv", "--alpha", "0.9", "--test-set", "ksd.kernel=imq"]].concat());
    assert_eq!(report["results"][0]["items"], 400);
    assert_eq!(report["results"][0]["alpha"], 0.9);
    let again = lab.json(&[&ckpt[..], &["--samples", "own.csv", "--items", "50"]].concat());
    assert_eq!(again["results"][0]["items"], 50);
}

#[test]
fn mistakes_are_named() {
    let lab = lab();
    lab.write("wide.csv", "1,2,3,4\n5,6,7,8\n");
    lab.write("hole.csv", "1,2,3\n4,,6\n");
    lab.write("few.csv", "1,2,3\n4,5,6\n");
    let gof = |more: &[&'static str]| [&["-q", "gof", "--config", "c.toml"][..], more].concat();
    lab.refused(2, &["gof"], &["--config"]);
    lab.refused(2, &gof(&["--tests", "mmd"]), &["there is no test `mmd`", "lsd, ksd, lksd, fssd"]);
    lab.refused(2, &gof(&["--test-set", "ksd.kernal=imq"]), &["kernal", "did you mean `kernel`?"]);
    lab.refused(2, &gof(&["--test-set", "ksd.bandwidth=-1"]), &["bandwidth", "greater than 0"]);
    lab.refused(2, &gof(&["--alpha", "1.5"]), &["alpha", "between 0 and 1"]);
    lab.refused(4, &gof(&["--samples", "none.csv"]), &["none.csv: cannot be read", "hint:"]);
    lab.refused(4, &gof(&["--samples", "wide.csv"]), &["a row has 4 numbers, but the model's items have 3"]);
    lab.refused(4, &gof(&["--samples", "hole.csv"]), &["line 2: column 2: `` is no number"]);
    lab.refused(2, &gof(&["--samples", "few.csv"]), &["needs at least 20 items, got 2"]);
}
