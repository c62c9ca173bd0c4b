//! `ebm diagnose` as a user and a script see it.

use std::path::Path;

use crate::harness::Lab;
use ebm::data::file;
use npyz::WriterBuilder as _;
use serde_json::Value;

fn save(path: &Path, shape: &[u64], values: &[f64]) {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn warns(report: &Value, of: &str) -> bool {
    report["warnings"].as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains(of))
}

/// Draws that ArviZ has judged, `[chain][draw]`.
fn judged(name: &str) -> (Vec<Vec<f64>>, Value) {
    let reference: Value = serde_json::from_str(include_str!("../data/arviz.json")).unwrap();
    let case = reference["draws"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap().clone();
    (serde_json::from_value(case["x"].clone()).unwrap(), case)
}

#[test]
fn draws_of_a_file_get_arvizs_numbers_and_warnings_with_remedies() {
    let lab = Lab::new();
    let (x, case) = judged("apart");
    save(&lab.path("x.npy"), &[x.len() as u64, x[0].len() as u64], &x.concat());
    let report = lab.json(&["diagnose", "--samples", "x.npy"]);
    let worst = &report["quantities"]["worst_coordinate"];
    for key in ["rhat", "ess_bulk", "ess_tail"] {
        let (ours, theirs) = (worst[key].as_f64().unwrap(), case[key].as_f64().unwrap());
        assert!((ours - theirs).abs() < 1e-6 * theirs, "{key}: {ours}, ArviZ has {theirs}");
    }
    assert!(warns(&report, "R̂ of coordinate 0 is 1.268") && warns(&report, "--steps"), "{report}");
    assert_eq!(lab.names(), ["x.npy"], "a folder that nobody asked for");
    let text = lab.ok(&["diagnose", "--samples", "x.npy", "--out", "d"]);
    assert!(text.contains("warning: R̂") && text.lines().last() == Some("d"), "{text}");
    for name in
        ["chains.npy", "diagnose.json", "trace_worst.png", "trace_worst.svg", "ranks_worst.png", "ranks_worst.svg"]
    {
        assert!(lab.path("d").join(name).is_file(), "{name}");
    }
}

#[test]
fn good_draws_of_several_numbers_get_no_warning_and_the_worst_is_named() {
    use candle_core::{DType, Device};
    let lab = Lab::new();
    let draws = ebm::rng::Key::new(1).normal((4, 500, 3), DType::F64, &Device::Cpu).unwrap();
    let mut x = draws.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    save(&lab.path("x.npy"), &[4, 500, 3], &x);
    let report = lab.json(&["diagnose", "--samples", "x.npy"]);
    assert_eq!(report["warnings"], Value::Array(vec![]), "{report}");
    assert_eq!((&report["chains"], &report["draws"], &report["dim"]), (&4.into(), &500.into(), &3.into()));
    // The last chain's coordinate 1 lies apart, and a value is no number.
    x[3 * 1500..].iter_mut().skip(1).step_by(3).for_each(|v| *v += 1.0);
    save(&lab.path("x.npy"), &[4, 500, 3], &x);
    let report = lab.json(&["diagnose", "--samples", "x.npy"]);
    assert!(report["worst_coordinate"] == 1 && warns(&report, "coordinate 1"), "{report}");
    x[7] = f64::NAN;
    save(&lab.path("x.npy"), &[4, 500, 3], &x);
    let report = lab.json(&["diagnose", "--samples", "x.npy"]);
    assert!(report["nonfinite_draws"] == 1 && warns(&report, "not finite"), "{report}");
}

#[test]
fn arrays_the_wrong_way_round_and_chains_given_twice_are_warned_of() {
    use candle_core::{DType, Device};
    let lab = Lab::new();
    let draws = ebm::rng::Key::new(1).normal((3, 200), DType::F64, &Device::Cpu).unwrap();
    let x: Vec<Vec<f64>> = draws.to_vec2().unwrap();
    let look = |shape: &[u64], x: &[f64]| {
        save(&lab.path("x.npy"), shape, x);
        lab.json(&["diagnose", "--samples", "x.npy"])
    };
    let good = look(&[3, 200], &x.concat());
    assert!(good["copied_chains"] == 0 && !warns(&good, "transposed") && !warns(&good, "same draws"), "{good}");
    let turned: Vec<f64> = (0..200).flat_map(|i| x.iter().map(move |chain| chain[i])).collect();
    for shape in [&[200, 3][..], &[200, 3, 1]] {
        let report = look(shape, &turned);
        assert!(warns(&report, "200 chains of 3 draws look transposed") && warns(&report, "swapaxes"), "{report}");
    }
    let twice = look(&[4, 200], &[x.concat(), x[1].clone()].concat());
    assert!(twice["copied_chains"] == 1 && warns(&twice, "1 of 4 chains are the same draws"), "{twice}");
    let still = look(&[2, 200], &[0.5; 400]);
    assert!(still["copied_chains"] == 0 && still["stuck_chains"] == 2, "{still}");
}

#[test]
fn draws_beyond_f32_are_written_as_they_were_read() {
    let lab = Lab::new();
    let x: Vec<f64> = (0..200).map(|i| 1_700_000_000.0 + f64::from(i * 7919 % 200) / 8.0).collect();
    save(&lab.path("x.npy"), &[2, 100], &x);
    lab.ok(&["diagnose", "--samples", "x.npy", "--out", "d"]);
    assert_eq!(file::array(&lab.path("d/chains.npy")).unwrap().values, x);
}

const CONFIG: &str = "seed = 1\n[dataset]\nname = \"8gaussians\"\n[model]\nname = \"neural\"\n\
                      net = { name = \"mlp\", hidden = [8] }\n\
                      [method]\nname = \"none\"\n[train]\nsteps = 1\n[sampler]\nname = \"hmc\"\nstep_size = 0.5\n\
                      init = \"data\"\n";

#[test]
fn a_checkpoints_chains_are_written_as_they_were_judged() {
    let lab = Lab::new();
    lab.write("c.toml", CONFIG);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let ckpt = ["diagnose", "--ckpt", "run/checkpoints/last.safetensors", "-q"];
    let plan = ["--chains", "3", "--steps", "120", "--burn-in", "20", "--thin", "2"];
    let report = lab.json(&[&ckpt[..], &plan].concat());
    let folder = lab.path("run/diagnose");
    assert_eq!(report["folder"], "run/diagnose");
    let chains = file::array(&folder.join("chains.npy")).unwrap();
    assert_eq!(chains.shape, [3, 60, 2]);
    for (name, shape) in [("energy", [3, 60]), ("hamiltonian", [3, 60]), ("mode", [3, 60])] {
        assert_eq!(file::array(&folder.join(format!("{name}.npy"))).unwrap().shape, shape);
        assert_eq!(report["arviz"]["sample_stats"][name]["file"], format!("{name}.npy"));
    }
    assert!(report["e_bfmi"].as_f64().unwrap() > 0.0 && report["acceptance"]["acceptance"].as_f64().unwrap() > 0.3);
    assert!(report["base_density"]["pareto_k"].is_f64(), "{report}");
    assert_eq!(report["mode_counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>(), 180);
    let again = lab.json(&["diagnose", "--samples", "run/diagnose/chains.npy"]);
    assert_eq!(again["quantities"]["worst_coordinate"], report["quantities"]["worst_coordinate"]);
    // The same seed gives the same chains, in a new folder; another does not.
    lab.ok(&[&ckpt[..], &plan].concat());
    let read = |dir: &str| crate::harness::read(&lab.path(dir).join("chains.npy"));
    assert_eq!(read("run/diagnose"), read("run/diagnose-1"));
    lab.ok(&[&ckpt[..], &plan, &["--seed", "2", "--out", "other"]].concat());
    assert_ne!(read("run/diagnose"), read("other"));
}

#[test]
fn chains_that_stay_in_their_modes_are_told_of_kernels_that_jump() {
    let lab = Lab::new();
    lab.write("c.toml", CONFIG);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let words = ["diagnose", "--ckpt", "run/checkpoints/last.safetensors", "-q", "--steps", "50", "--burn-in", "0"];
    let short = ["--set", "sampler.step_size=0.001", "--set", "sampler.leapfrog=1"];
    let report = lab.json(&[&words[..], &short].concat());
    assert!(
        report["jumps"] == 0 && warns(&report, "parallel_tempering") && warns(&report, "ESS of the energy"),
        "{report}"
    );
    let tuned = ["--set", "sampler.warm_up=60", "--set", "sampler.target_accept=0.8"];
    let report = lab.json(&[&words[..], &short, &tuned].concat());
    assert!(report["step_size"].as_f64().unwrap() > 0.1, "{report}");
    for name in ["flow_mcmc", "ex2", "isir", "imh", "parallel_tempering", "rwm"] {
        let report = lab.json(&[&words[..], &["--set", &format!("sampler.name={name}")]].concat());
        assert!(report["acceptance"]["acceptance"].as_f64().unwrap() > 0.0, "{name}: {report}");
    }
}

#[test]
fn what_cannot_be_diagnosed_is_refused_with_a_remedy() {
    let lab = Lab::new();
    save(&lab.path("flat.npy"), &[5], &[0.0; 5]);
    lab.write("x.npy", "no array");
    lab.refused(2, &["diagnose"], &["--ckpt", "--samples"]);
    lab.refused(2, &["diagnose", "--samples", "x.npy", "--thin", "0"], &["--thin"]);
    lab.refused(4, &["diagnose", "--samples", "gone.npy"], &["gone.npy", "hint: "]);
    lab.refused(4, &["diagnose", "--samples", "x.npy"], &["x.npy", "no sound .npy file"]);
    lab.refused(4, &["diagnose", "--samples", "flat.npy"], &["[5]", "[chain, draw]"]);
    lab.refused(4, &["diagnose", "--ckpt", "x.npy"], &["x.npy"]);
}

#[test]
fn the_numbers_of_a_row_are_of_one_coordinate() {
    use candle_core::{DType, Device};
    let lab = Lab::new();
    let noise = ebm::rng::Key::new(2).normal((2, 4, 400), DType::F64, &Device::Cpu).unwrap().to_vec3::<f64>().unwrap();
    // Coordinate 0: independent draws, one chain narrower. Coordinate 1: chains that agree and hardly move.
    let apart = |c: usize, t: usize| noise[0][c][t] * if c == 3 { 0.3 } else { 1.0 };
    let walk: Vec<Vec<f64>> = (noise[1].iter())
        .map(|chain| {
            chain
                .iter()
                .scan(0.0, |x, z| {
                    *x = 0.9 * *x + z;
                    Some(*x)
                })
                .collect()
        })
        .collect();
    let cells =
        |of: &dyn Fn(usize, usize) -> Vec<f64>| (0..1600).flat_map(|i| of(i / 400, i % 400)).collect::<Vec<_>>();
    save(&lab.path("both.npy"), &[4, 400, 2], &cells(&|c, t| vec![apart(c, t), walk[c][t]]));
    save(&lab.path("apart.npy"), &[4, 400], &cells(&|c, t| vec![apart(c, t)]));
    save(&lab.path("walk.npy"), &[4, 400], &cells(&|c, t| vec![walk[c][t]]));
    let of = |file: &str| lab.json(&["diagnose", "--samples", file]);
    let (both, apart, walk) = (of("both.npy"), of("apart.npy"), of("walk.npy"));
    for (row, index, alone) in [("worst_coordinate", 0, &apart), ("least_ess_coordinate", 1, &walk)] {
        let (row, alone) = (&both["quantities"][row], &alone["quantities"]["worst_coordinate"]);
        assert_eq!(row["index"], index, "{both}");
        for key in ["rhat", "ess_bulk", "ess_tail", "autocorrelation_time"] {
            assert_eq!(row[key], alone[key], "{key}: {both}");
        }
    }
    assert!(warns(&both, "R̂ of coordinate 0") && warns(&both, "ESS of coordinate 1"), "{both}");
    assert_eq!(walk["quantities"]["least_ess_coordinate"], Value::Null, "one coordinate is the worst in all");
}

#[test]
fn chains_that_never_moved_get_the_advice_that_fits_them() {
    let lab = Lab::new();
    let steps = |chain: usize| (0..60).map(move |t| if chain == 1 { 0.5 } else { f64::from(t * 7 % 13) });
    save(&lab.path("x.npy"), &[3, 60], &(0..3).flat_map(steps).collect::<Vec<_>>());
    let report = lab.json(&["diagnose", "--samples", "x.npy"]);
    // Nobody knows what made the draws of a file.
    assert!(report["stuck_chains"] == 1 && warns(&report, "1 of 3 chains never moved"), "{report}");
    assert!(!warns(&report, "step_size") && !warns(&report, "larger steps"), "{report}");
    lab.write("c.toml", CONFIG);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let ckpt = ["--ckpt", "run/checkpoints/last.safetensors", "-q"];
    let diagnose = |step: &str| {
        let set = format!("sampler.step_size={step}");
        lab.json(&[&["diagnose"], &ckpt[..], &["--steps", "40", "--burn-in", "0", "--set", &set]].concat())
    };
    // Steps that f32 loses are all accepted; such as are far too long are all refused.
    let (lost, wild) = (diagnose("1e-12"), diagnose("1e6"));
    assert!(warns(&lost, "4 of 4 chains never moved, though") && warns(&lost, "larger"), "{lost}");
    assert!(!warns(&lost, "smaller") && lost["accepted_by_chain"][0] == 40, "{lost}");
    assert!(warns(&wild, "4 of 4 chains never moved, for all") && warns(&wild, "smaller"), "{wild}");
    assert!(!warns(&wild, "larger") && wild["accepted_by_chain"] == serde_json::json!([0, 0, 0, 0]), "{wild}");
}

/// Chains in noise are judged by the items that they stand for: those of a flow that has learned four modes are in the
/// modes, and a draw has as many numbers as an item, whatever it is made of.
#[test]
fn chains_in_noise_are_looked_at_as_items() {
    let lab = Lab::new();
    let common =
        "[train]\nsteps = 400\nbatch_size = 128\n[optim]\nlr = 1e-2\n[sampler]\nname = \"mala\"\nspace = \"noise\"\n";
    let flow = "[dataset]\nname = \"mixture\"\noffset = 3.0\n[model]\nname = \"spline\"\n\
                hidden = [16]\n[method]\nname = \"ml\"\n";
    let vae = "[dataset]\nname = \"moons\"\n[model]\nname = \"vae\"\nlatent = 3\n[method]\nname = \"vae\"\n";
    for (name, text) in [("flow", flow), ("vae", vae)] {
        lab.write("c.toml", &format!("{text}{common}"));
        lab.ok(&["-q", "train", "c.toml", "--run-dir", name]);
        let report = lab.json(&["-q", "diagnose", "--ckpt", name, "--steps", "200", "--out", &format!("{name}-d")]);
        assert_eq!(report["dim"], 2, "{report}");
        let file::Array { shape, values } = file::array(&lab.path(&format!("{name}-d/chains.npy"))).unwrap();
        assert_eq!(shape, [4, 200, 2]);
        let beyond = |x: &&[f64]| x.iter().all(|v| (1.5..4.5).contains(&v.abs()));
        let share = values.chunks(2).filter(beyond).count() as f64 / 800.0;
        assert!(name == "vae" || share > 0.7, "{share}");
    }
}
