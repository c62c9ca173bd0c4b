//! `scripts/claims.py`: the page of claims is what the records give, and a verdict follows its record.

use std::path::Path;
use std::process::Command;

use crate::harness::{Lab, Outcome, outcome};

/// Runs the script by `$EBM_PYTHON`; says so and gives nothing where there is none.
fn claims(arguments: &[&str]) -> Option<Outcome> {
    let Some(python) = std::env::var_os("EBM_PYTHON") else {
        println!("skipped: EBM_PYTHON names no Python 3.11");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/claims.py");
    Some(outcome(Command::new(python).arg(script).args(arguments)))
}

const CLAIMS: &str = r#"
[[paper]]
key = "p"
name = "A paper"
[[claim]]
id = "a"
paper = "p"
where = "Table 1"
claim = "One is better than two."
setting = "Three seeds."
length = [{ what = "steps", ran = 100, of = 100 }]
repeats = 3
record = "r.csv"
metric = "frechet"
command = "ebm train configs/vae_digits.toml"
[[claim.check]]
says = "distance"
rule = "less"
left = { arm = "one" }
right = { arm = "two" }
"#;

const HEADER: &str = "arm,metric,runs,n,mean,std_error,ci_low,ci_high,diverged,not_finite\n";

/// A folder of results with these claims and a record of two arms, means and half intervals.
fn results(claims: &str, one: (f64, f64), two: (f64, f64)) -> Lab {
    let lab = Lab::new();
    let row = |arm: &str, (mean, half): (f64, f64)| {
        format!("{arm},frechet,3,3,{mean},,{},{},0,0\n", mean - half, mean + half)
    };
    lab.write("claims.toml", claims);
    lab.write("r.csv", &(HEADER.to_owned() + &row("one", one) + &row("two", two)));
    lab
}

fn run(lab: &Lab, more: &[&str]) -> Option<(i32, String)> {
    let folder = lab.path("");
    let found = claims(&[&["--results", folder.to_str().unwrap()], more].concat())?;
    Some((found.code.unwrap(), found.stdout + &found.stderr))
}

/// What the page says of the claim `a`.
fn verdict(lab: &Lab) -> Option<String> {
    let (code, said) = run(lab, &[])?;
    assert_eq!(code, 0, "{said}");
    let page = std::fs::read_to_string(lab.path("claims.md")).unwrap();
    let row = page.lines().find(|line| line.starts_with("| `a`")).unwrap();
    Some(row.split(" | ").nth(6).unwrap().to_owned())
}

#[test]
fn the_page_of_claims_is_what_the_records_give() {
    let Some(found) = claims(&["--check"]) else { return };
    assert_eq!(found.code, Some(0), "{}{}", found.stdout, found.stderr);
}

#[test]
fn a_verdict_follows_its_record() {
    let cut = CLAIMS.replace("ran = 100", "ran = 20");
    let elsewhere = CLAIMS.replace("length =", "ours = \"smaller\"\nlength =");
    let fewer = CLAIMS.replace("repeats = 3", "repeats = 5");
    let (good, bad) = ((1.0, 0.1), (2.0, 0.1));
    for (claims, one, two, expected) in [
        (CLAIMS, good, bad, "**reproduced**"),
        (CLAIMS, bad, good, "**not**: 0 of 1 hold"),
        (CLAIMS, (1.0, 0.9), (2.0, 0.9), "**in part**: 0 of 1 hold, 1 lean"),
        (CLAIMS, (2.0, 0.9), (1.0, 0.9), "**not**: 0 of 1 hold, 1 lean against"),
        (&cut, good, bad, "**in part**: cut"),
        (&cut, bad, good, "**not**: 0 of 1 hold; cut"),
        (&fewer, good, bad, "**in part**: cut"),
        (&elsewhere, good, bad, "**in part**: another setting"),
    ] {
        let Some(found) = verdict(&results(claims, one, two)) else { return };
        assert_eq!(found, expected);
    }
    // One run has no interval, and decides nothing alone.
    let lab = results(CLAIMS, good, bad);
    lab.write("r.csv", &(HEADER.to_owned() + "one,frechet,3,3,1,,,,0,0\ntwo,frechet,3,3,2,,,,0,0\n"));
    assert_eq!(verdict(&lab).unwrap(), "**in part**: no interval");
}

#[test]
fn a_changed_record_is_told_by_check_and_the_page_is_left_alone() {
    let lab = results(CLAIMS, (1.0, 0.1), (2.0, 0.1));
    let Some((0, _)) = run(&lab, &[]) else { return };
    assert_eq!(run(&lab, &["--check"]).unwrap().0, 0);
    let page = std::fs::read(lab.path("claims.md")).unwrap();
    lab.write("r.csv", &(HEADER.to_owned() + "one,frechet,3,3,3,,2.9,3.1,0,0\ntwo,frechet,3,3,2,,1.9,2.1,0,0\n"));
    let (code, said) = run(&lab, &["--check"]).unwrap();
    assert!(code == 1 && said.contains("-| `a`") && said.contains("**not**"), "{code}: {said}");
    assert_eq!(std::fs::read(lab.path("claims.md")).unwrap(), page);
}

#[test]
fn mistakes_are_named_and_end_with_two() {
    let rank = "rule = \"rank\"\nx = \"frechet\"\ny = \"frechet\"";
    let (less, pair) = ("rule = \"less\"", "left = { arm = \"one\" }\nright = { arm = \"two\" }");
    for (from, to, words) in [
        ("right = { arm = \"two\" }", "right = { arm = \"one\" }", "compared with itself"),
        (less, "rule = \"greater\"\nmargin = -3", "cannot fail"),
        (less, "rule = \"better\"", "no rule `better`"),
        ("{ arm = \"one\" }", "{ arm = \"three\" }", "0 rows"),
        ("vae_digits.toml", "vae_digit.toml", "configs/vae_digit.toml, which is not there"),
        ("ebm train configs/vae_digits.toml", "scripts/reproduce_vae.sh digit", "knows no digit"),
        ("[[claim.check]]", "verdict = \"reproduced\"\n[[claim.check]]", "unknown key `verdict`"),
        (&[less, "\n", pair].concat(), rank, "rows in common"),
        ("r.csv", "s.csv", "no such record"),
    ] {
        assert!(CLAIMS.contains(from), "{from}");
        let lab = results(&CLAIMS.replace(from, to), (1.0, 0.1), (2.0, 0.1));
        let Some((code, said)) = run(&lab, &[]) else { return };
        assert!(code == 2 && said.contains(words) && !lab.path("claims.md").exists(), "{to}: {code}: {said}");
    }
}

#[test]
fn a_record_from_a_page_says_what_the_page_says() {
    let record = "[[record]]\npath = \"r.csv\"\nfrom = \"README.md\"\nsection = \"Two\"\ncommand = \"ebm ls\"\n";
    let lab = results(&(CLAIMS.to_owned() + record), (1.0, 0.1), (2.0, 0.1));
    let rows = "one,frechet,3,3,1.5,,1.4,1.6,1.5\ntwo,frechet,3,3,2.5,,2.4,2.6,2.5\n";
    lab.write("r.csv", &("arm,metric,runs,n,mean,std_error,ci_low,ci_high,written\n".to_owned() + rows));
    lab.write("README.md", "## One\n\n2.5\n\n## Two\n\n1.5 and 2.5.\n");
    let Some((code, said)) = run(&lab, &[]) else { return };
    assert_eq!(code, 0, "{said}");
    lab.write("README.md", "## One\n\n2.5\n\n## Two\n\n1.5 and 2.51.\n");
    let (code, said) = run(&lab, &[]).unwrap();
    assert!(code == 2 && said.contains("2.5 does not stand in README.md, Two"), "{code}: {said}");
    let unsaid = results(CLAIMS, (1.0, 0.1), (2.0, 0.1));
    unsaid.write("r.csv", &("arm,metric,runs,n,mean,std_error,ci_low,ci_high,written\n".to_owned() + rows));
    let (code, said) = run(&unsaid, &[]).unwrap();
    assert!(code == 2 && said.contains("a [[record]] is to say where it is from"), "{code}: {said}");
}
