//! Probes through the front door: what they find on the shipped digits, and what they refuse.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::DType;
use ebm::data::Split;
use ebm::math::stats;
use ebm::methods::StepContext;
use ebm::metrics::Metrics;
use ebm::probes::Subject;
use ebm::rng::Key;
use ebm::run::{Experiment, Trainer};
use ebm::store::{Checkpoint, checkpoint};

const DIGITS: &str = "[dataset]\nname = \"digits\"\n[model]\nname = \"classifier\"\n\
                      net = { name = \"mlp\", hidden = [8] }\n\
                      [method]\nname = \"none\"\n[sampler]\nname = \"sgld\"\nsteps = 2\n[train]\nsteps = 1\n";

pub fn experiment(text: &str, seed: u64) -> Experiment {
    Experiment::parse("probes.toml", text, &[format!("seed={seed}")]).unwrap()
}

/// What the first probe of the experiment finds on the model as it is before training.
pub fn found(experiment: &Experiment) -> ebm::Result<Metrics> {
    let (data, sampler) = (experiment.data()?, experiment.sampler()?);
    let model = experiment.model(&data)?.frozen()?;
    let key = experiment.key().with("probe");
    let subject = Subject { model: &model, proposal: None, data: &data, sampler: &sampler, key };
    Ok(experiment.probes()?[0].look(&subject)?.metrics)
}

/// A checkpoint of the untrained model of an experiment.
fn stored(folder: &Path, text: &str) -> PathBuf {
    let experiment = experiment(text, 5);
    let data = experiment.data().unwrap();
    let weights = experiment.model(&data).unwrap().params().tensors();
    let tensors = weights.into_iter().map(|(name, tensor)| (format!("method.model.{name}"), tensor)).collect();
    let meta = BTreeMap::from([("data".to_owned(), serde_json::to_string(&data.stamp()).unwrap())]);
    let path = folder.join("model.safetensors");
    Checkpoint { step: 1, config: experiment.resolved.to_toml(), meta, tensors }.save(&path).unwrap();
    path
}

#[test]
fn global_moves_propose_from_the_flow_that_was_trained_beside_the_energy() {
    // The flow begins at the data's moments, the base density of the energy stands elsewhere.
    let text = "[dataset]\nname = \"8gaussians\"\n[model]\nname = \"neural\"\nbase = \"diagonal\"\n\
                net = { name = \"mlp\", hidden = [8] }\n[method]\nname = \"flow_mcmc\"\nwalkers = 8\n\
                flow = { name = \"real_nvp\", couplings = 2, hidden = [8] }\n[sampler]\nname = \"imh\"\nsteps = 20\n\
                [train]\nsteps = 1\n";
    let experiment = experiment(text, 1);
    let (data, sampler) = (experiment.data().unwrap(), experiment.sampler().unwrap());
    let method = experiment.method(&data).unwrap();
    let proposal = experiment.proposal(&data, &method.state().unwrap()).unwrap().unwrap();
    let model = method.model();
    let (x, key) = (data.all(Split::Test, 50).unwrap().x, Key::new(1));
    let subject = |proposal| Subject { model, proposal, data: &data, sampler: &sampler, key };
    let log_q = |subject: &Subject| {
        let log_q = subject.target().proposal().unwrap().log_prob(&x).unwrap();
        log_q.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()
    };
    let (with, without) = (subject(Some(&*proposal)), subject(None));
    let flow = proposal.log_density(&x).unwrap().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(log_q(&with), flow);
    assert_ne!(log_q(&without), flow);
    // The same chains accept another number of draws, and stay where the energy has them.
    let (by_flow, by_base) = (with.trace(key, 100).unwrap(), without.trace(key, 100).unwrap());
    assert_ne!(by_flow.accept, by_base.accept);
    assert!(by_flow.accept.unwrap() > 0.05, "{:?}", by_flow.accept);
}

#[test]
fn a_global_move_may_rely_on_the_flow_of_its_method_alone() {
    let with = |method: &str| {
        let text = format!(
            "[dataset]\nname = \"8gaussians\"\n[model]\nname = \"neural\"\nbase = \"none\"\n\
             net = {{ name = \"mlp\", hidden = [8] }}\n[method]\n{method}\n[sampler]\nname = \"imh\"\nsteps = 20\n\
             [train]\nsteps = 1\n"
        );
        Trainer::new(experiment(&text, 1)).map(drop)
    };
    with("name = \"flow_mcmc\"\nwalkers = 8\nflow = { name = \"real_nvp\", couplings = 2, hidden = [8] }").unwrap();
    let refused = with("name = \"pcd\"").unwrap_err();
    assert!(refused.exit_code() == 2 && refused.to_string().contains("base"), "{refused}");
}

#[test]
fn a_label_is_put_before_what_a_probe_finds() {
    let probe = format!("{DIGITS}[[probe]]\nname = \"accuracy\"\n");
    let (plain, labelled) =
        (found(&experiment(&probe, 1)), found(&experiment(&format!("{probe}label = \"mine\"\n"), 1)));
    let renamed: Vec<_> = plain.unwrap().into_iter().map(|(name, value)| (format!("mine_{name}"), value)).collect();
    assert_eq!(labelled.unwrap().into_iter().collect::<Vec<_>>(), renamed);
}

#[test]
fn accuracy_is_the_share_of_right_answers_and_robustness_begins_there() {
    let plain = experiment(&format!("{DIGITS}[[probe]]\nname = \"accuracy\"\n"), 1);
    let metrics = found(&plain).unwrap();
    let data = plain.data().unwrap();
    let batch = data.all(Split::Test, 10_000).unwrap();
    let logits = plain.model(&data).unwrap().logits(&batch.x).unwrap().unwrap();
    let right = logits.argmax(1).unwrap().eq(&batch.y.unwrap()).unwrap().to_dtype(DType::F64).unwrap();
    let share: f64 = right.mean_all().unwrap().to_scalar().unwrap();
    assert!((metrics.get("test_accuracy").unwrap() - share).abs() < 1e-12);
    let attacked = "[[probe]]\nname = \"robustness\"\nitems = 0\nsteps = 5\neps = [0.3, 0.01]\nstep_size = 0.3\n";
    let curve = found(&experiment(&format!("{DIGITS}{attacked}"), 1)).unwrap();
    let rows: Vec<(&str, f64)> = curve.iter().collect();
    assert_eq!(rows.iter().map(|r| r.0).collect::<Vec<_>>(), ["robust_linf_0", "robust_linf_0.01", "robust_linf_0.3"]);
    assert!((rows[0].1 - share).abs() < 1e-12 && rows[0].1 >= rows[1].1 && rows[1].1 > rows[2].1, "{rows:?}");
}

#[test]
fn a_stored_classifier_judges_samples_and_leaves_its_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let path = stored(folder.path(), DIGITS);
    let sum = checkpoint::sha256(&std::fs::read(&path).unwrap());
    let digits = |metrics: &Metrics, name: &str| format!("{:012x}", metrics.get(name).unwrap() as u64);
    // Another space than the classifier's: flattened, in [0, 1].
    let other = DIGITS.replace("name = \"digits\"\n", "name = \"digits\"\ntransform = \"unit\"\nflatten = true\n");
    let probe = |keys: &str| found(&experiment(&format!("{other}[[probe]]\n{keys}"), 2));
    let quality = probe(&format!("name = \"frechet\"\nn = 50\nfeatures = {path:?}\n")).unwrap();
    assert_eq!(digits(&quality, "features_sha"), sum[..12]);
    assert_eq!(quality.get("frechet_items"), Some(50.0));
    let plain = probe("name = \"frechet\"\nn = 50\n").unwrap();
    assert!(plain.get("features_sha").is_none() && plain.get("frechet") != quality.get("frechet"));
    let modes = probe(&format!("name = \"modes\"\nn = 50\nclassifier = {path:?}\n")).unwrap();
    assert_eq!(digits(&modes, "classifier_sha"), sum[..12]);
    assert!((1.0..=10.0).contains(&modes.get("modes").unwrap()));
}

#[test]
fn a_perfect_sampler_is_at_the_floor() {
    // Chains that start at training items and do not move are draws from the data.
    let text = "[dataset]\nname = \"8gaussians\"\n[method]\nname = \"none\"\n[sampler]\nname = \"sgld\"\n\
                init = \"data\"\n\
                steps = 0\n[train]\nsteps = 1\n[[probe]]\nname = \"frechet\"\nn = 60\n";
    let rows: Vec<Metrics> = (0..40).map(|seed| found(&experiment(text, seed)).unwrap()).collect();
    for name in ["frechet", "kid", "precision", "recall", "density", "coverage"] {
        let gap = |m: &Metrics| m.get(name).unwrap() - m.get(&format!("{name}_floor")).unwrap();
        let gaps: Vec<f64> = rows.iter().map(gap).collect();
        let z = stats::mean(&gaps) / stats::std_error(&gaps);
        assert!(z.abs() < 4.0, "{name}: z = {z}");
    }
    for (probe, name) in [("mmd", "mmd2"), ("sliced_wasserstein", "sw2")] {
        let text = text.replace("frechet", probe);
        let one = |seed| {
            let m = found(&experiment(&text, seed)).unwrap();
            (m.get(name).unwrap() - m.get(&format!("{name}_floor")).unwrap(), m.get("mmd_p").unwrap_or(0.5))
        };
        let (gaps, p): (Vec<f64>, Vec<f64>) = (0..40).map(one).unzip();
        let z = stats::mean(&gaps) / stats::std_error(&gaps);
        assert!(z.abs() < 4.0, "{name}: z = {z}");
        let z = (stats::mean(&p) - 0.5) / (1.0 / 12.0 / 40.0f64).sqrt();
        assert!(z.abs() < 4.0, "{name}: mean p, z = {z}");
    }
    let modes = text.replace("name = \"frechet\"\nn = 60", "name = \"modes\"\nn = 800");
    let modes = found(&experiment(&modes, 1)).unwrap();
    assert_eq!(modes.get("modes"), Some(8.0));
    let share = 1.0 - (-4.5f64).exp();
    let z = (modes.get("mode_quality").unwrap() - share) / (share * (1.0 - share) / 800.0).sqrt();
    assert!(z.abs() < 4.0, "z = {z}");
}

#[test]
fn copies_of_training_items_are_found_out_and_noise_is_far_from_data() {
    let probe = |sampler: &str, name: &str, keys: &str| {
        let text = DIGITS.replace("name = \"sgld\"\nsteps = 2", sampler);
        let text = format!("{text}[[probe]]\nname = \"{name}\"\n{keys}\n");
        let e = experiment(&text, 3);
        let (data, sampler) = (e.data().unwrap(), e.sampler().unwrap());
        let model = e.model(&data).unwrap().frozen().unwrap();
        let key = e.key().with("probe");
        let subject = Subject { model: &model, proposal: None, data: &data, sampler: &sampler, key };
        e.probes().unwrap()[0].probe.run(&subject).unwrap()
    };
    let copies = "name = \"sgld\"\ninit = \"data\"\nsteps = 0";
    let noise = "name = \"sgld\"\ninit = \"uniform\"\nsteps = 0";
    let of = |sampler| {
        let found = probe(sampler, "memorisation", "n = 150\nshown = 6");
        assert_eq!(found.pictures.len(), 1);
        ["", "_floor"].map(|s| ["ratio", "share"].map(|n| found.metrics.get(&format!("memorised_{n}{s}")).unwrap()))
    };
    let [[ratio, share], [floor_ratio, floor_share]] = of(copies);
    assert!(ratio < 1e-6 && share == 1.0, "{ratio} {share}");
    assert!((floor_ratio - 1.0).abs() < 0.1 && floor_share < 0.05, "{floor_ratio} {floor_share}");
    let [[ratio, share], _] = of(noise);
    assert!(ratio > 1.5 && share == 0.0, "{ratio} {share}");
    for (name, key) in [("mmd", "mmd2"), ("sliced_wasserstein", "sw2")] {
        let gap = |sampler| {
            let m = probe(sampler, name, "n = 150").metrics;
            (m.get(key).unwrap() - m.get(&format!("{key}_floor")).unwrap(), m.get("mmd_p"))
        };
        let ((copies, _), (noise, p)) = (gap(copies), gap(noise));
        assert!(noise > 20.0 * copies.abs() && p.unwrap_or(0.0) < 0.01, "{name}: {copies} and {noise}");
    }
}

/// A checkpoint of a classifier of the digits, trained for a second.
fn trained(folder: &Path) -> PathBuf {
    let text = DIGITS.replace("hidden = [8]", "hidden = [64]").replace("\"none\"", "\"classifier\"");
    let experiment = experiment(&format!("{text}[optim]\nlr = 0.003\n"), 5);
    let data = experiment.data().unwrap();
    let mut method = experiment.method(&data).unwrap();
    for step in 0..400 {
        let batches: Vec<_> = (0..method.batches_per_step() as u64)
            .map(|i| data.batch(Split::Train, step * method.batches_per_step() as u64 + i, 100).unwrap())
            .collect();
        method.step(&StepContext { step, key: Key::new(1).at(step), lr_scale: 1.0 }, &batches).unwrap();
    }
    let state = method.state().unwrap();
    let tensors = state.into_iter().map(|(name, tensor)| (format!("method.{name}"), tensor)).collect();
    let meta = BTreeMap::from([("data".to_owned(), serde_json::to_string(&data.stamp()).unwrap())]);
    let path = folder.join("trained.safetensors");
    Checkpoint { step: 400, config: experiment.resolved.to_toml(), meta, tensors }.save(&path).unwrap();
    path
}

#[test]
fn the_modes_of_stacked_digits_are_counted_by_a_classifier_of_digits() {
    let folder = tempfile::tempdir().unwrap();
    let path = trained(folder.path());
    let of = |init: &str, keys: &str| {
        let text = format!(
            "[dataset]\nname = \"stacked_digits\"\nchannels = 2\nitems = 4000\ntest_items = 2600\n{keys}\
             [model]\nnet = {{ name = \"mlp\", hidden = [8] }}\n[method]\nname = \"none\"\n\
             [sampler]\nname = \"sgld\"\ninit = \"{init}\"\nsteps = 0\n[train]\nsteps = 1\n\
             [[probe]]\nname = \"stacked_modes\"\nclassifier = {path:?}\n"
        );
        found(&experiment(&text, 2)).unwrap()
    };
    for keys in ["", "flatten = true\ntransform = \"unit\"\n"] {
        let copies = of("data", keys);
        let get = |name: &str| copies.get(name).unwrap();
        assert_eq!((get("stacked_n"), get("stacked_n_real")), (2600.0, 2600.0));
        assert_eq!((get("stacked_modes"), get("stacked_modes_real")), (100.0, 100.0));
        assert_eq!(get("stacked_kl_floor"), 99.0 / 5200.0);
        // The digits are not quite as frequent as each other, and the classifier is not perfect.
        for kl in ["stacked_kl", "stacked_kl_real"] {
            assert!(get(kl) > 0.5 * get("stacked_kl_floor") && get(kl) < 4.0 * get("stacked_kl_floor"), "{copies:?}");
        }
        let noise = of("uniform", keys);
        assert!(noise.get("stacked_kl").unwrap() > 4.0 * get("stacked_kl"), "{noise:?}");
    }
}

#[test]
fn what_is_filled_in_is_judged_against_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let path = trained(folder.path());
    let of = |hole: &str, init: &str| {
        let text = DIGITS.replace("steps = 2", &format!("init = \"{init}\"\nsteps = 0"));
        let probe = format!("name = \"inpainting\"\nhole = \"{hole}\"\nitems = 200\nclassifier = {path:?}\n");
        found(&experiment(&format!("{text}[[probe]]\n{probe}"), 1)).unwrap()
    };
    for hole in ["lower", "left", "centre"] {
        // Filled with pixels of other digits, and with uniform noise, whose pixels differ from each other by 1/12 +
        // 1/12 in mean square and spread by √(1/12).
        let (other, noise) = (of(hole, "data"), of(hole, "uniform"));
        let get = |m: &Metrics, name: &str| m.get(name).unwrap();
        assert!(get(&other, "inpaint_mse_mean") < get(&other, "inpaint_mse"), "{hole}: {other:?}");
        assert!((get(&noise, "inpaint_diversity") - (1.0f64 / 12.0).sqrt()).abs() < 0.02, "{hole}: {noise:?}");
        assert!(get(&other, "inpaint_accuracy_real") > 0.93, "{hole}: {other:?}");
        assert!(get(&other, "inpaint_accuracy") < get(&other, "inpaint_accuracy_real") - 0.05, "{hole}: {other:?}");
    }
}

#[test]
fn what_a_probe_cannot_look_at_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let neural = DIGITS.replace("name = \"classifier\"\n", "");
    let path = stored(folder.path(), &neural);
    let points = neural.replace("digits", "moons");
    let refused = |text: &str, probe: &str, code: i32, says: &str| {
        let error =
            found(&experiment(&format!("{text}[[probe]]\n{probe}\n"), 1)).err().unwrap_or_else(|| panic!("{probe}"));
        assert!(error.exit_code() == code && error.to_string().contains(says), "{probe}: {error}");
    };
    for name in ["accuracy", "robustness"] {
        refused(&neural, &format!("name = \"{name}\""), 2, "needs a model with class logits");
        refused(&points, &format!("name = \"{name}\""), 2, "`moons` has none");
    }
    refused(&points, "name = \"ood\"\nagainst = [\"constant\"]", 2, "needs images");
    refused(&neural, "name = \"ood\"\nagainst = [\"dataset\"]\ndataset = { name = \"moons\" }", 2, "[1, 8, 8]");
    refused(&neural, "name = \"modes\"", 2, "no mixture");
    refused(&points, "name = \"inpainting\"", 2, "are none");
    refused(DIGITS, "name = \"stacked_modes\"", 2, "the data set is `digits`");
    let stacks = neural.replace("name = \"digits\"\n", "name = \"stacked_digits\"\nitems = 50\ntest_items = 50\n");
    refused(&stacks, "name = \"stacked_modes\"", 2, "needs a classifier of single digits");
    refused(&points, "name = \"memorisation\"", 2, "without end");
    refused(DIGITS, "name = \"ais\"\nbase = \"model\"", 2, "tilts no density");
    refused(&neural, "name = \"frechet\"\nneighbours = 500", 2, "lower `neighbours`");
    let empty = DIGITS.replace("name = \"digits\"\n", "name = \"digits\"\ntest = 0\n");
    refused(&empty, "name = \"accuracy\"", 2, "is empty");
    refused(
        &DIGITS.replace("[model]\n", "[model]\nclasses = 5\n"),
        "name = \"accuracy\"",
        2,
        "the data set has 10 classes",
    );
    let files = [("frechet", "features"), ("mmd", "features"), ("modes", "classifier"), ("inpainting", "classifier")];
    for (probe, key) in files {
        let key = format!("name = \"{probe}\"\n{key}");
        refused(DIGITS, &format!("{key} = \"nowhere.safetensors\""), 4, "nowhere.safetensors: cannot be read");
        refused(DIGITS, &format!("{key} = {path:?}"), 4, "`neural` is no classifier");
    }
    // Wrong paths are found before training begins.
    let early = experiment(&format!("{DIGITS}[[probe]]\nname = \"frechet\"\nfeatures = \"nowhere.safetensors\"\n"), 1);
    assert!(early.probes().is_err());
}
