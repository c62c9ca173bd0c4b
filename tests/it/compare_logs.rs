//! `ebm compare` along the course of a run, on logs that are not whole, and on numbers that are no estimates.

use crate::compare::{Written, close, ica, well_formed};
use crate::harness::Lab;
use serde_json::json;

#[test]
fn a_damaged_line_of_a_log_hides_no_other_and_is_told_once() {
    let lab = ica();
    let log = lab.path("sweep/ml-10-0/metrics.jsonl");
    let text = String::from_utf8(crate::harness::read(&log)).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    lab.write("sweep/ml-10-0/metrics.jsonl", &format!("{first}\n\u{1b}garbage\n{rest}"));
    let outcome = lab.run(&["compare", "sweep/ml-10-0", "--by", "method", "--at", "max", "--json"]);
    assert!(outcome.code == Some(0) && outcome.stdout.contains("-11"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.matches("1 damaged line passed over, the first is line 2").count(), 1);
}

/// Two methods with three seeds: a distance, the size of the sets that it is measured on, and the hash of its features.
fn distances(features: impl Fn(u64) -> u32) -> Lab {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("sweep")).unwrap();
    for (method, values) in [("ml", [5.0, 6.0, 7.0]), ("lsd", [5.5, 6.0, 6.0])] {
        for (seed, frechet) in (0..).zip(values) {
            let floor = [1.0, 1.1, 1.3][seed as usize];
            let last = json!({"frechet": frechet, "frechet_floor": floor, "frechet_items": 600,
                              "features_sha": features(seed), "a_features_sha": 7});
            Written::of(method, 10, seed, last).write(&lab);
        }
    }
    lab
}

#[test]
fn hashes_have_no_mean_and_what_cannot_be_better_is_not_judged_unasked() {
    let words = ["compare", "sweep", "--by", "method"];
    let one = distances(|_| 7);
    let found = one.json(&words);
    assert_eq!(found["metrics"], json!(["frechet", "frechet_floor", "frechet_items"]));
    let alike = found["alike"].to_string();
    assert!(alike.contains("\"frechet: ") && !alike.contains("floor") && !alike.contains("items"), "{alike}");
    assert!(!found["notes"].to_string().contains("features_sha"), "{found}");
    // A difference of 0 in every seed has no error to be below, asked for or not.
    let asked = one.json(&[&words[..], &["--metric", "frechet_floor,frechet_items,features_sha"]].concat());
    assert_eq!(asked["metrics"], json!(["frechet_floor", "frechet_items", "features_sha"]));
    assert_eq!(asked["alike"], json!([]));
    let notes = distances(|seed| 7 + u32::from(seed == 2)).json(&words)["notes"].to_string();
    assert!(notes.contains("`features_sha` has 2 values") && !notes.contains("a_features_sha"), "{notes}");
}

#[test]
fn what_is_the_same_in_every_run_is_no_difference_below_its_error() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("sweep")).unwrap();
    // The mean of three times .1 is not .1, and their spread is not 0.
    for (method, seeds) in [("ml", 0..3), ("lsd", 3..5)] {
        for seed in seeds {
            Written::of(method, 10, seed, json!({"real": 0.1, "drawn": seed})).write(&lab);
        }
    }
    let alike = &lab.json(&["compare", "sweep", "--by", "method", "--metric", "real,drawn"])["alike"];
    assert!(!alike.to_string().contains("real"), "{alike}");
}

/// One run with a course: `bits` falls, `lsd` follows it, `sm` does not.
fn course() -> Lab {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("sweep")).unwrap();
    Written::of("ml", 10, 0, json!({"bits": 1.8})).write(&lab);
    let line = |i: i32| {
        let bits = 2.0 - 0.02 * f64::from(i);
        json!({"step": 1000 * i, "bits": bits, "lsd": bits * bits, "sm": f64::from(i % 3), "fid": 9.0 - f64::from(i)})
    };
    let mut text: String = (1..=10).map(|i| format!("{}\n", line(i))).collect();
    text.insert_str(0, "{\"step\":500,\"bits\":3.0}\n");
    lab.write("sweep/ml-10-0/metrics.jsonl", &text);
    lab
}

#[test]
fn a_run_can_be_read_anywhere_along_its_course() {
    let lab = course();
    let value = |words: &[&str], metric: &str| {
        let found = lab.json(&[&["compare", "sweep", "--metric", metric], words].concat());
        found["groups"][0]["metrics"][metric]["mean"].as_f64().unwrap()
    };
    assert_eq!(value(&[], "bits"), 1.8);
    assert_eq!(value(&["--at", "max"], "bits"), 3.0);
    assert_eq!(value(&["--at", "min"], "sm"), 0.0);
    assert_eq!(value(&["--at", "4000"], "fid"), 5.0);
    // Steps 8,000 to 10,000: 1, 0 and -1.
    assert_eq!(value(&["--at", "mean:3000"], "fid"), 0.0);
    assert_eq!(value(&["--at", "mean:1"], "fid"), -1.0);
    assert_eq!(value(&["--at", "mean:18446744073709551615"], "fid"), 3.5);
    for wrong in ["mean", "mean:0", "mean:x"] {
        lab.refused(2, &["compare", "sweep", "--at", wrong], &["mean:STEPS"]);
    }
    assert_eq!(value(&["--at", "best", "--max", "lsd"], "fid"), 8.0);
    assert_eq!(value(&["--at", "best", "--min", "lsd"], "fid"), -1.0);
    let every = lab.json(&["compare", "sweep", "--metric", "bits,lsd", "--at", "every"]);
    assert_eq!(every["groups"].as_array().unwrap().len(), 10, "step 500 has no lsd");
}

#[test]
fn checkpoints_of_one_run_are_points_with_a_correlation() {
    let lab = course();
    let words =
        ["compare", "sweep", "--at", "every", "--x", "bits", "--y", "lsd,sm", "--plot", "f.png", "--plot", "f.svg"];
    let found = lab.json(&words);
    let correlations = found["correlations"].as_array().unwrap();
    assert_eq!((&correlations[0]["y"], &correlations[0]["n"]), (&json!("lsd"), &json!(10)));
    close(&correlations[0]["spearman"], 1.0);
    assert!(correlations[1]["spearman"].as_f64().unwrap().abs() < 0.5);
    assert!(lab.ok(&words).contains("bits and lsd: Spearman 1.000"));
    let picture = image::open(lab.path("f.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (900, 600));
    well_formed(&std::fs::read_to_string(lab.path("f.svg")).unwrap());
}
