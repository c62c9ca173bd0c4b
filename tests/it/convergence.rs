//! Diagnostics of chains against ArviZ, on stored draws.
//!
//! `tests/data/arviz.json` holds what ArviZ 0.23.4 (NumPy 2.4.6, SciPy 1.17.1) says, as written by
//! `scripts/arviz_reference.py`.

use ebm::math::convergence::{Draws, autocorrelation, bfmi, psis};
use serde_json::Value;

fn reference() -> Value {
    serde_json::from_str(include_str!("../data/arviz.json")).unwrap()
}

/// JSON has neither NaN nor infinity: they are `null` and `"inf"` there.
fn number(v: &Value) -> f64 {
    if v == "inf" { f64::INFINITY } else { v.as_f64().unwrap_or(f64::NAN) }
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(number).collect()
}

fn draws(case: &Value) -> Draws {
    Draws::new(case["x"].as_array().unwrap().iter().map(numbers).collect())
}

/// Same to 1e-6, relative where it is large; NaN is NaN.
fn agree(what: &str, case: &Value, ours: f64, theirs: f64) {
    let same = (ours.is_nan() && theirs.is_nan()) || ours == theirs;
    let close = (ours - theirs).abs() <= 1e-6 * theirs.abs().max(1.0);
    assert!(same || close, "{what} of `{}`: {ours}, ArviZ has {theirs}", case["name"]);
}

#[test]
fn rhat_and_effective_sizes_are_arvizs() {
    let reference = reference();
    let cases = reference["draws"].as_array().unwrap();
    assert!(cases.len() >= 14);
    for case in cases {
        let x = draws(case);
        agree("R̂", case, x.rhat(), number(&case["rhat"]));
        agree("bulk ESS", case, x.ess_bulk(), number(&case["ess_bulk"]));
        agree("tail ESS", case, x.ess_tail(), number(&case["ess_tail"]));
        agree("ESS of the mean", case, x.ess_mean(), number(&case["ess_mean"]));
    }
}

#[test]
fn energies_and_autocorrelations_are_arvizs_where_a_chain_moves() {
    for case in reference()["draws"].as_array().unwrap() {
        let x = draws(case);
        for (chain, theirs) in x.chains().iter().zip(numbers(&case["bfmi"])) {
            // Of a chain that never moved ArviZ divides two rounding errors; it is undefined here.
            let still = chain.iter().all(|v| *v == chain[0]);
            agree("E-BFMI", case, bfmi(chain), if still { f64::NAN } else { theirs });
        }
        let first = &x.chains()[0];
        if first.iter().any(|v| *v != first[0]) {
            for (ours, theirs) in autocorrelation(first, 2).into_iter().zip(numbers(&case["autocorrelation"])) {
                agree("autocorrelation", case, ours, theirs);
            }
        }
    }
}

#[test]
fn smoothed_weights_are_arvizs() {
    let reference = reference();
    let cases = reference["weights"].as_array().unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let ours = psis(&numbers(&case["log_weights"]), number(&case["efficiency"]));
        agree("k̂", case, ours.k, number(&case["k"]));
        for (ours, theirs) in ours.log_weights.iter().zip(numbers(&case["smoothed"])) {
            agree("a smoothed weight", case, *ours, theirs);
        }
    }
}

#[test]
fn nothing_and_odd_things_are_undefined_and_do_not_panic() {
    let nan = f64::NAN;
    for chains in [vec![], vec![vec![]], vec![vec![1.0]], vec![vec![nan; 9]; 3]] {
        let x = Draws::new(chains.clone());
        let found = [x.rhat(), x.ess_bulk(), x.ess_tail(), x.ess_mean()];
        assert!(found.iter().all(|v| v.is_nan()), "{chains:?}: {found:?}");
    }
    let apart = Draws::new(vec![vec![f64::INFINITY; 8], vec![0.0; 8]]);
    assert_eq!((apart.rhat(), apart.stuck()), (f64::INFINITY, 2));
    assert_eq!(apart.ranks().chains(), [[12.5; 8], [4.5; 8]]);
    assert!(Draws::new(vec![]).rhat().is_nan() && bfmi(&[]).is_nan() && psis(&[], 1.0).k.is_nan());
    assert!(psis(&[0.0, nan, 1.0], 1.0).k.is_nan() && psis(&[f64::NEG_INFINITY; 9], 1.0).k.is_nan());
    // A NaN must not become a fictitious size.
    assert!(Draws::new(vec![vec![0.0, 1.0, nan, 2.0, 0.5, 0.25]; 2]).ess_bulk().is_nan());
}
