//! `ebm clean`: says what it would remove, removes nothing that a run still needs.

use std::collections::BTreeSet;

use crate::harness::{Lab, bare};

/// A finished run of 50 steps in `name`, saved and looked at for the best at every tenth.
fn trained(name: &str) -> Lab {
    let lab = Lab::new();
    let looks = "checkpoint_every = 10\nkeep = 0\nbest = \"test_ll\"\n\
                 [[probe]]\nname = \"nll\"\nevery = 10\npoints = 16\nitems = 50\nsamples = 20\n";
    lab.write("c.toml", &(bare("lsd", 50) + looks));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", name]);
    lab
}

fn checkpoints(lab: &Lab, run: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(lab.path(run).join("checkpoints")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn old_checkpoints_are_listed_and_only_then_removed() {
    let lab = trained("runs/a");
    let before = checkpoints(&lab, "runs/a");
    let best = lab.manifest("runs/a")["best"][0].as_u64().unwrap();
    let said = lab.json(&["clean", "runs", "--every", "20"]);
    let expected: BTreeSet<u64> =
        [0, 10, 20, 30, 40, 50].into_iter().filter(|s| s % 20 != 0 && *s != 50 && *s != best).collect();
    let name = |step: &u64| format!("step-{step:08}.safetensors");
    let listed = said["runs"][0]["files"].as_array().unwrap();
    let there: BTreeSet<String> = expected.iter().map(name).filter(|name| before.contains(name)).collect();
    assert!(listed.len() == there.len() && !there.is_empty(), "{said}, {before:?}");
    assert_eq!((&said["removed"], checkpoints(&lab, "runs/a")), (&false.into(), before.clone()));
    assert!(lab.ok(&["clean", "runs"]).contains("nothing is removed without --yes"));
    lab.json(&["clean", "runs", "--every", "20", "--yes"]);
    assert_eq!(checkpoints(&lab, "runs/a"), &before - &there);
    lab.ok(&["clean", "runs", "--yes"]);
    let left = checkpoints(&lab, "runs/a");
    let kept: BTreeSet<String> = [name(&best), name(&50), "last.safetensors".into(), "best.safetensors".into()].into();
    assert_eq!(left, kept);
    assert_eq!(lab.json(&["clean", "runs", "--yes"])["runs"], serde_json::json!([]));
}

#[test]
fn nothing_is_removed_where_the_newest_is_damaged_or_nobody_knows_the_best() {
    let lab = trained("runs/a");
    let newest = lab.path("runs/a/checkpoints/step-00000050.safetensors");
    let bytes = std::fs::read(&newest).unwrap();
    let before = checkpoints(&lab, "runs/a");
    std::fs::remove_file(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::remove_file(lab.path("runs/a/checkpoints/last.safetensors")).unwrap();
    let found = lab.run(&["clean", "runs", "--yes"]);
    assert!(found.code == Some(0) && found.stderr.contains("the newest checkpoint"), "{}", found.stderr);
    assert_eq!(checkpoints(&lab, "runs/a").len(), before.len() - 1);
    lab.write("runs/a/manifest.json", "{");
    assert!(lab.run(&["clean", "runs", "--yes"]).stderr.contains("left alone"));
    assert_eq!(checkpoints(&lab, "runs/a").len(), before.len() - 1);
    lab.refused(2, &["clean", "runs/a/samples"], &["no runs in"]);
    lab.refused(2, &["clean", "runs", "--keep", "0"], &["--keep"]);
}
