//! `ebm compare` on run folders that are written by hand: every number can be checked by hand.

use crate::harness::Lab;
use serde_json::{Value, json};

/// A run folder: what `ebm train` and `ebm sweep` would have left.
pub struct Written<'a> {
    name: String,
    arm: Option<&'a str>,
    method: &'a str,
    dim: u32,
    lr: f64,
    seed: u64,
    status: &'a str,
    last: Value,
}

impl<'a> Written<'a> {
    pub fn of(method: &'a str, dim: u32, seed: u64, last: Value) -> Self {
        let name = format!("{method}-{dim}-{seed}");
        Written { name, arm: None, method, dim, lr: 0.001, seed, status: "finished", last }
    }

    pub fn write(self, lab: &Lab) {
        let Written { name, method, dim, lr, seed, .. } = &self;
        std::fs::create_dir_all(lab.path(&format!("sweep/{name}"))).unwrap();
        let file = |file: &str| format!("sweep/{name}/{file}");
        lab.write(
            &file("config.toml"),
            &format!(
                "seed = {seed}\n[dataset]\nname = \"ica\"\ndim = {dim}\n[method]\nname = \"{method}\"\n[optim]\n\
                 lr = {lr:?}\n"
            ),
        );
        let trial = json!({"arm": self.arm, "settings": {"dataset.dim": dim, "optim.lr": lr}, "seed": seed});
        lab.write(&file("trial.json"), &trial.to_string());
        let (status, last) = (self.status, &self.last);
        let manifest =
            json!({"status": status, "method": method, "dataset": "ica", "seed": seed, "last_metrics": last});
        lab.write(&file("manifest.json"), &manifest.to_string());
        let mut end = last.clone();
        end["step"] = json!(100);
        lab.write(&file("metrics.jsonl"), &format!("{}\n{end}\n", json!({"step": 50, "loss": 1.0})));
    }
}

/// Three methods, two dimensions, three seeds; `sm` diverges at 50.
pub fn ica() -> Lab {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("sweep")).unwrap();
    for (method, dim, values) in [
        ("ml", 10, [-11.0, -11.2, -11.1]),
        ("ml", 50, [-25.0, -26.0, -27.0]),
        ("lsd", 10, [-10.9, -11.3, -11.2]),
        ("lsd", 50, [-25.5, -26.0, -28.0]),
        ("sm", 10, [-12.0, -12.5, -13.0]),
        ("sm", 50, [-40.0, -41.0, -42.0]),
    ] {
        for (seed, ll) in values.into_iter().enumerate() {
            let last = json!({"loss": 0.5, "test_ll": ll, "ksd_reject": f64::from(seed == 0)});
            let diverged = method == "sm" && dim == 50 && seed < 2;
            let status = if diverged { "diverged" } else { "finished" };
            let arm = Some(method);
            Written { status, arm, ..Written::of(method, dim, seed as u64, last) }.write(&lab);
        }
    }
    lab
}

fn group(found: &Value, keys: Value) -> &Value {
    let groups = found["groups"].as_array().unwrap();
    groups.iter().find(|g| g["keys"] == keys).unwrap_or_else(|| panic!("no {keys} in {found:#}"))
}

pub fn close(value: &Value, want: f64) {
    let got = value.as_f64().unwrap_or_else(|| panic!("{value} instead of {want}"));
    assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{got} instead of {want}");
}

#[test]
fn statistics_are_those_by_hand() {
    let lab = ica();
    let found = lab.json(&["compare", "sweep", "--by", "method,dataset.dim", "--metric", "test_ll,ksd_reject"]);
    let ll = &group(&found, json!({"method": "ml", "dataset.dim": 50}))["metrics"]["test_ll"];
    // -25, -26, -27: mean -26, s = 1, s.e. = 1/√3, t of 2 degrees = 4.30265273.
    assert_eq!(
        (&ll["n"], &ll["min"], &ll["max"], &ll["interval"]),
        (&json!(3), &json!(-27.0), &json!(-25.0), &json!("student"))
    );
    close(&ll["mean"], -26.0);
    close(&ll["std"], 1.0);
    close(&ll["std_error"], 1.0 / 3f64.sqrt());
    close(&ll["ci_high"], -26.0 + 4.302_652_729_749_46 / 3f64.sqrt());
    // One of three: Wilson's ends solve |1/3 - p| = 1.95996 √(p(1 - p)/3).
    let rate = &group(&found, json!({"method": "ml", "dataset.dim": 50}))["metrics"]["ksd_reject"];
    assert_eq!(rate["interval"], "wilson");
    for end in ["ci_low", "ci_high"] {
        let p = rate[end].as_f64().unwrap();
        close(&json!((1.0 / 3.0 - p).abs()), 1.959_963_984_540_054 * (p * (1.0 - p) / 3.0).sqrt());
    }
    assert_eq!(found["notes"], json!([]));
}

#[test]
fn how_long_runs_took_is_told_when_asked() {
    let lab = ica();
    for (seed, seconds) in [(0, 1.0), (1, 2.0), (2, 6.0)] {
        let line = json!({"step": 100, "seconds": seconds, "steps_per_s": 3.0});
        lab.write(&format!("sweep/ml-10-{seed}/timing.jsonl"), &format!("{line}\n"));
    }
    let found = lab.json(&["compare", "sweep", "--by", "method,dataset.dim", "--metric", "seconds"]);
    close(&group(&found, json!({"method": "ml", "dataset.dim": 10}))["metrics"]["seconds"]["mean"], 3.0);
    assert_eq!(group(&found, json!({"method": "lsd", "dataset.dim": 10}))["metrics"]["seconds"]["missing"], json!(3));
}

#[test]
fn runs_that_did_not_finish_are_counted_and_shown() {
    let lab = ica();
    let sm = json!({"arm": "sm", "dataset.dim": 50});
    let found = lab.json(&["compare", "sweep"]);
    let row = group(&found, sm.clone());
    assert_eq!((&row["runs"], &row["unfinished"]), (&json!(3), &json!({"diverged": 2})));
    close(&row["metrics"]["test_ll"]["mean"], -42.0);
    assert_eq!(row["metrics"]["test_ll"]["std"], Value::Null);
    assert!(found["metrics"] == json!(["test_ll", "ksd_reject"]), "what the probes wrote, not the loss: {found:#}");
    let text = lab.ok(&["compare", "sweep", "--metric", "test_ll"]);
    assert!(text.contains("-42 (n=1)") && text.contains("2 diverged"), "{text}");
    let all = lab.json(&["compare", "sweep", "--unfinished"]);
    close(&group(&all, sm)["metrics"]["test_ll"]["mean"], -41.0);
    // A trial that never began, one whose numbers are not finite, one that lacks the metric.
    std::fs::create_dir(lab.path("sweep/none")).unwrap();
    lab.write("sweep/none/trial.json", r#"{"arm": "sm", "settings": {"dataset.dim": 10}, "seed": 9}"#);
    let odd = |seed, last| Written { arm: Some("sm"), ..Written::of("sm", 10, seed, last) }.write(&lab);
    odd(7, json!({"test_ll": null}));
    odd(8, json!({"loss": 1.0}));
    let row =
        group(&lab.json(&["compare", "sweep", "--metric", "test_ll"]), json!({"arm": "sm", "dataset.dim": 10})).clone();
    let ll = &row["metrics"]["test_ll"];
    assert_eq!((&row["runs"], &row["unfinished"]), (&json!(6), &json!({"unstarted": 1})));
    assert_eq!((&ll["n"], &ll["not_finite"], &ll["missing"]), (&json!(3), &json!(1), &json!(1)));
    close(&ll["mean"], -12.5);
}

#[test]
fn one_setting_is_chosen_by_its_mean() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("sweep")).unwrap();
    for (method, best) in [("nce", 1), ("cnce", 2)] {
        for (i, lr) in [0.1, 0.01, 0.001].into_iter().enumerate() {
            for seed in 0..2 {
                let ll = -20.0 - (i as f64 - best as f64).abs() - 0.25 * seed as f64;
                let run = Written::of(method, 10, seed, json!({"test_ll": ll}));
                Written { lr, name: format!("{method}-{lr}-{seed}"), ..run }.write(&lab);
            }
        }
    }
    let words = ["compare", "sweep", "--by", "method", "--choose", "optim.lr", "--max", "test_ll"];
    let found = lab.json(&words);
    let nce = group(&found, json!({"method": "nce"}));
    assert_eq!((&nce["chosen"], &nce["runs"]), (&json!({"optim.lr": 0.01}), &json!(2)));
    close(&nce["metrics"]["test_ll"]["mean"], -20.125);
    assert_eq!(nce["tried"].as_array().unwrap().len(), 3);
    let cnce = group(&found, json!({"method": "cnce"}));
    assert_eq!(cnce["chosen"], json!({"optim.lr": 0.001}));
    let notes = found["notes"].to_string();
    assert!(notes.contains("method=cnce: the best optim.lr is the last") && !notes.contains("method=nce:"), "{notes}");
    let smallest = lab.json(&["compare", "sweep", "--by", "method", "--choose", "optim.lr", "--min", "test_ll"]);
    assert_eq!(group(&smallest, json!({"method": "cnce"}))["chosen"], json!({"optim.lr": 0.1}));
    lab.refused(2, &words[..6], &["--max METRIC"]);
    // Without the choice, the mean is over different things, and that is said.
    let mixed = lab.json(&["compare", "sweep", "--by", "method"]);
    assert!(mixed["notes"].to_string().contains("also differ in optim.lr (0.001, 0.01, 0.1)"), "{mixed:#}");
}

#[test]
fn differences_are_paired_by_seed() {
    let lab = ica();
    let words = ["compare", "sweep", "--metric", "test_ll", "--baseline", "arm=ml"];
    let found = lab.json(&words);
    let difference = &group(&found, json!({"arm": "lsd", "dataset.dim": 50}))["metrics"]["test_ll"]["difference"];
    // -0.5, 0, -1: mean -0.5, s = 0.5, half = 4.30265273 · 0.5/√3.
    close(&difference["mean"], -0.5);
    close(&difference["std"], 0.5);
    close(&difference["ci_high"], -0.5 + 4.302_652_729_749_46 * 0.5 / 3f64.sqrt());
    let sm = &group(&found, json!({"arm": "sm", "dataset.dim": 50}))["metrics"]["test_ll"]["difference"];
    assert_eq!(sm["n"], 1, "only seed 2 has both");
    close(&sm["mean"], -15.0);
    assert_eq!(group(&found, json!({"arm": "ml", "dataset.dim": 50}))["metrics"]["test_ll"].get("difference"), None);
    lab.refused(2, &["compare", "sweep", "--baseline", "arm=lds"], &["did you mean `lsd`?"]);
    lab.refused(2, &["compare", "sweep", "--by", "dataset.dim", "--baseline", "arm=ml"], &["add `arm` to --by"]);
}

#[test]
fn tables_in_every_format() {
    let lab = ica();
    lab.write("paper.csv", "arm,dataset.dim,published\nml,10,-10.98\nlsd,50,-25.36\nsm,50,NaN\nnce,50,-73.62\n");
    let words = ["compare", "sweep", "--metric", "test_ll", "--pivot", "dataset.dim", "--reference", "paper.csv"];
    let table = |format: &str| lab.ok(&[&words[..], &["-q", "--format", format]].concat());
    insta::assert_snapshot!("text", table("text"));
    insta::assert_snapshot!("markdown", table("markdown"));
    insta::assert_snapshot!("latex", table("latex"));
    insta::assert_snapshot!("csv", table("csv"));
    let compared = ["compare", "sweep", "-q", "--metric", "test_ll,ksd_reject", "--baseline", "arm=ml"];
    insta::assert_snapshot!("differences", lab.ok(&compared));
    let found = lab.json(&words);
    assert_eq!(group(&found, json!({"arm": "lsd", "dataset.dim": 50}))["metrics"]["test_ll"]["published"], -25.36);
    assert_eq!(group(&found, json!({"arm": "sm", "dataset.dim": 50}))["metrics"]["test_ll"]["published"], "NaN");
    assert!(found["notes"].to_string().contains("published -73.62, but there is no such group"), "{found:#}");
    lab.write("paper.toml", "[[row]]\narm = \"ml\"\n\"dataset.dim\" = 10\npublished = -10.98\n");
    let found = lab.json(&["compare", "sweep", "--reference", "paper.toml", "--metric", "test_ll"]);
    assert_eq!(group(&found, json!({"arm": "ml", "dataset.dim": 10}))["metrics"]["test_ll"]["published"], -10.98);
    let files = ["t.md", "t.csv", "t.json", "t.tex"];
    lab.ok(&[&words[..], &["--out", "t.md", "--out", "t.csv", "--out", "t.json", "--out", "t.tex"]].concat());
    let read = |name: &str| std::fs::read_to_string(lab.path(name)).unwrap();
    assert_eq!(files[..2].iter().map(|f| read(f)).collect::<Vec<_>>(), [table("markdown"), table("csv")]);
    assert_eq!((read("t.json"), read("t.tex")), (table("json"), table("latex")));
    lab.refused(2, &["compare", "sweep", "--out", "t.xls"], &[".md, .csv"]);
    lab.write("bad.csv", "arm,dim,published\nml,10,1\n");
    lab.refused(2, &["compare", "sweep", "--reference", "bad.csv"], &["`dim`", "dataset.dim"]);
}

#[test]
fn what_is_wrong_is_said() {
    let lab = ica();
    lab.refused(2, &["compare", "sweep", "--metric", "test_l"], &["no run has the metric `test_l`", "`test_ll`"]);
    lab.refused(2, &["compare", "sweep", "--metric", "fid"], &["`test_ll`", "`ksd_reject`", "`loss`"]);
    lab.refused(2, &["compare", "sweep", "--by", "dataset.dimm"], &["did you mean `dataset.dim`?"]);
    lab.refused(2, &["compare", "sweep", "--at", "best"], &["--max METRIC"]);
    lab.refused(2, &["compare", "sweep", "--plot", "a.png", "--x", "arm"], &["`arm`", "dataset.dim"]);
    lab.refused(2, &["compare", "sweep", "--plot", "a.gif", "--x", "dataset.dim"], &[".png or .svg"]);
    std::fs::create_dir(lab.path("empty")).unwrap();
    lab.refused(2, &["compare", "empty"], &["no runs in empty", "manifest.json"]);
    lab.refused(1, &["compare", "nowhere"], &["nowhere"]);
    // A damaged manifest is a warning and a count, not the end.
    lab.write("sweep/ml-10-0/manifest.json", "{\"status\": ");
    let found = lab.run(&["compare", "sweep", "--json"]);
    assert!(
        found.code == Some(0) && found.stderr.contains("ml-10-0/manifest.json: not a manifest"),
        "{}",
        found.stderr
    );
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    let row = group(&found, json!({"arm": "ml", "dataset.dim": 10}));
    assert_eq!((&row["runs"], &row["unfinished"]), (&json!(3), &json!({"unreadable": 1})));
}

#[test]
fn lines_with_error_bars_in_panels() {
    let lab = ica();
    let all = ["compare", "sweep", "--x", "dataset.dim", "--y", "test_ll", "--plot", "a.png", "--plot", "a.svg"];
    lab.ok(&[&all[..], &["--title", "ICA <test> & more"]].concat());
    let svg = std::fs::read_to_string(lab.path("a.svg")).unwrap();
    well_formed(&svg);
    for word in ["dataset.dim", "test_ll", "lsd", "ml", "sm", "ICA &lt;test&gt; &amp; more"] {
        assert!(svg.contains(word), "{word}");
    }
    image::open(lab.path("a.png")).unwrap();
    let panels = ["--panel", "arm", "--x", "dataset.dim", "--plot", "b.png", "--log-x", "--free-axes"];
    lab.ok(&[&["compare", "sweep", "--metric", "test_ll"][..], &panels].concat());
    let picture = image::open(lab.path("b.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (160 + 3 * 440, 600));
}

/// Every tag is closed in order, and no `&` or `<` stands bare in a text.
pub fn well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        let bare =
            text.split('&').skip(1).any(|t| !["lt;", "gt;", "amp;", "quot;", "#"].iter().any(|e| t.starts_with(e)));
        assert!(!bare, "{text}");
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        match tag {
            t if t.starts_with('?') || t.starts_with('!') || t.ends_with('/') => {}
            t if t.starts_with('/') => assert_eq!(open.pop(), t.get(1..), "{t}"),
            t => open.push(t.split_whitespace().next().unwrap()),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty() && xml.contains("<svg"), "{open:?}");
}

#[test]
fn a_difference_below_its_error_is_said() {
    let lab = ica();
    let words = ["compare", "sweep", "--by", "method,dataset.dim", "--metric", "test_ll"];
    // ml and lsd, seed by seed: -.1, .1, .1 at 10 and .5, 0, 1 at 50; lsd and sm at 10 are 1.37 ± .94 apart.
    let alike = lab.json(&words)["alike"].to_string();
    assert!(alike.matches("method=lsd").count() == 2 && !alike.contains("method=sm"), "{alike}");
    assert!(lab.ok(&words).contains("test_ll: the difference is below its error between"), "{alike}");
    let found = lab.json(&[&words[..], &["--baseline", "method=ml"]].concat());
    let below = |method: &str, dim: u32| {
        let keys = json!({"method": method, "dataset.dim": dim});
        group(&found, keys)["metrics"]["test_ll"]["difference"]["below_error"].clone()
    };
    // One pair has no error.
    assert_eq!([below("lsd", 10), below("sm", 10), below("sm", 50)], [json!(true), json!(false), Value::Null]);
}
