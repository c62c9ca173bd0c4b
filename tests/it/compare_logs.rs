//! `ebm compare` on logs that are not whole, and on numbers that are no estimates.

use crate::compare::{Written, ica};
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
