//! What is done with a checkpoint: samples, probes, the beginning of another run.

use super::*;

#[test]
fn samples_in_every_form() {
    let lab = lab_with_run(&bare("ml_grid", 5));
    let forms = ["--n", "7", "--steps", "10", "--out", "x.png", "--save-npy", "x.npy", "--gif", "x.gif"];
    let told = lab.ok(&[&["-q", "sample", "--ckpt", LAST], &forms[..]].concat());
    assert!(told.contains("7 samples, 10 steps") && told.ends_with("x.png\n"), "{told}");
    image::load_from_memory(&read(&lab.path("x.png"))).unwrap();
    let npy = read(&lab.path("x.npy"));
    let array = npyz::NpyFile::new(&npy[..]).unwrap();
    assert_eq!(array.shape(), [7, 2]);
    let values: Vec<f32> = array.into_vec().unwrap();
    assert!(values.len() == 14 && values.iter().all(|v| v.is_finite()) && values[0] != values[2]);
    let gif = image::codecs::gif::GifDecoder::new(Cursor::new(read(&lab.path("x.gif")))).unwrap();
    assert_eq!(gif.into_frames().collect_frames().unwrap().len(), 11, "every step and the end");
    // The same seed draws the same samples, another one others; a picture that exists is not overwritten.
    for (seed, same) in [("0", true), ("1", false)] {
        lab.ok(&["-q", "sample", "--ckpt", LAST, "--n", "7", "--steps", "10", "--seed", seed, "--save-npy", "y.npy"]);
        assert_eq!(read(&lab.path("y.npy")) == npy, same, "seed {seed}");
    }
    assert!(lab.path("run/samples/sample-last.png").exists() && lab.path("run/samples/sample-last-1.png").exists());
}

/// A value that nothing reads is no answer to what was asked, and `eval --keep` would write it down as a setting.
#[test]
fn keys_of_training_are_refused_for_a_trained_model() {
    let lab = lab_with_run(&bare("ml_grid", 5));
    for (words, set) in [
        (&["sample", "--ckpt", LAST][..], "optim.lr=0.5"),
        (&["sample", "--ckpt", LAST], "optim={name=\"sgd\"}"),
        (&["eval", "--ckpt", LAST, "--probe", "likelihood", "--keep"], "train.batch_size=7"),
        (&["export", LAST, "--to", "x"], "train.ema=0.9"),
        (&["diagnose", "--ckpt", LAST], "guard.enabled=false"),
        (&["sample", "--ckpt", LAST], "'optim' . lr = 0.5"),
    ] {
        let words = [words, &["--set", set]].concat();
        lab.refused(2, &words, &["is read by training alone", "train CONFIG --from CKPT"]);
    }
    assert!(!lab.path("run/evaluations.jsonl").exists());
    // Two say how a device computes, whatever it computes.
    for set in ["train.precision=\"tf32\"", "train.layout=\"channels_first\""] {
        lab.ok(&["sample", "--ckpt", LAST, "--n", "2", "--steps", "1", "--set", set]);
    }
}

#[test]
fn a_checkpoint_is_sampled_without_data_from_anywhere() {
    let digits = bare("lsd", 3).replace("\"moons\"", "\"digits\"\ntransform = \"logit\"");
    for (config, shape) in [(bare("lsd", 3), &[3, 2][..]), (digits, &[3, 1, 8, 8])] {
        let lab = lab_with_run(&config);
        let elsewhere = Lab::new();
        std::fs::copy(lab.path(LAST), elsewhere.path("model.safetensors")).unwrap();
        drop(lab);
        for init in ["normal", "uniform"] {
            let set = format!("sampler.init={init}");
            let words = [
                "sample",
                "--ckpt",
                "model.safetensors",
                "--n",
                "3",
                "--steps",
                "2",
                "--save-npy",
                "x.npy",
                "--set",
                &set,
            ];
            let found = outcome(elsewhere.command(&words).env("EBM_DATA", "/nowhere"));
            assert_eq!(found.code, Some(0), "{}", found.stderr);
            let npy = read(&elsewhere.path("x.npy"));
            let want: Vec<u64> = shape.to_vec();
            assert_eq!(npyz::NpyFile::new(&npy[..]).unwrap().shape(), want);
        }
        assert!(elsewhere.path("sample-model.png").exists());
    }
}

#[test]
fn every_key_of_eval_lsd_is_read_those_of_the_critic_too() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("ml_grid", 1));
    let with = |more: &[&str]| {
        let words = ["-q", "eval-lsd", "--config", "c.toml", "--eval", "items=100", "--eval", "epochs=2"];
        lab.json(&[&words[..], more].concat())["results"][0].clone()
    };
    let found = |set| with(&["--eval", set]);
    let plain = found("batch_size=128");
    assert_eq!(plain, found("batch_size=128"));
    for set in [
        "epochs=3",
        "batch_size=20",
        "lambda=1.0",
        "noise=rademacher",
        "items=90",
        "train_items=40",
        "sigma=mean",
        "exact_trace_dim=1",
        "critic.hidden=[8]",
        "critic.activation=tanh",
        "critic={name=\"mlp\",hidden=[8]}",
        "critic_optim.lr=0.1",
        "critic_optim.name=sgd",
    ] {
        assert_ne!(plain, found(set), "{set}");
    }
    let other = with(&["--seed", "5"]);
    assert_ne!(plain, other);
    assert_eq!(other, with(&["--set", "seed=5"]));
}

#[test]
fn a_critic_that_was_still_getting_better_is_told_of() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    let mut outcomes = Vec::new();
    for seed in 0..8 {
        let words = format!("eval-lsd --ckpt {LAST} --json --eval items=100 --eval epochs=2 --seed {seed}");
        let found = lab.run(&words.split(' ').collect::<Vec<_>>());
        let table: Value = serde_json::from_str(&found.stdout).unwrap();
        let last = table["results"][0]["score"]["epoch"] == 2;
        assert_eq!(found.stderr.contains("more than epochs = 2 would find more"), last, "{}", found.stderr);
        outcomes.push(last);
    }
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
    let told = lab.run(&["eval", "--ckpt", LAST, "--probe", "lsd", "--set", "lsd.epochs=1", "--set", "lsd.items=100"]);
    assert!(!told.stderr.contains("would find more"), "one pass is a choice: {}", told.stderr);
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn eval_lsd_ranks_a_trained_model_before_an_untrained_one() {
    let config = bare("ml_grid", 150).replace("[8, 8]", "[16, 16]").replace("points = 16", "points = 32");
    let lab = lab_with_run(&(config + "[optim]\nlr = 0.01\n"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "young", "--set", "train.steps=1"]);
    let young = "young/checkpoints/last.safetensors";
    let keys = ["epochs=15", "items=2000", "batch_size=100", "critic.hidden=[32]", "critic_optim.lr=0.01"];
    let mut words = vec!["-q", "eval-lsd", "--ckpt", young, "--ckpt", LAST];
    keys.iter().for_each(|key| words.extend(["--eval", key]));
    let table = lab.json(&words);
    let rows = table["results"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let of = |i: usize| (rows[i]["rank"].as_u64(), rows[i]["checkpoint"].as_str(), rows[i]["step"].as_u64());
    assert_eq!((of(0), of(1)), ((Some(1), Some(LAST), Some(150)), (Some(2), Some(young), Some(1))), "{table:#}");
    let number = |i: usize, key: &str| rows[i][key].as_f64().unwrap_or_else(|| panic!("no {key} in {table:#}"));
    assert!(number(0, "std_error") > 0.0 && number(1, "std_error") > 0.0);
    let z = (number(1, "lsd") - number(0, "lsd")) / number(0, "std_error").hypot(number(1, "std_error"));
    assert!(z > 2.0, "z = {z}: {} and {}", rows[0], rows[1]);
    assert_eq!((&rows[0]["above_best"], &rows[1]["above_best"]["below_error"]), (&Value::Null, &false.into()));
    // A checkpoint is no better than itself.
    words[3] = LAST;
    words.extend(["--eval", "epochs=1", "--eval", "items=100"]);
    assert!(lab.ok(&words).contains("rank 2: the difference to rank 1 is below its error, 0.0000"));
    lab.refused(2, &["eval-lsd", "--ckpt", LAST, "--eval", "epoch=3"], &["did you mean `epochs`?"]);
}

#[test]
fn eval_runs_one_probe_on_a_checkpoint() {
    let config =
        bare("ml_grid", 20) + "[[probe]]\nname = \"ais\"\nevery = 20\ntemperatures = 4\nchains = 6\nraise_items = 0\n";
    let lab = lab_with_run(&config);
    let probe = ["eval", "--ckpt", LAST, "--probe", "ais"];
    let found = lab.json(&probe);
    // The keys of the run's own probe, and so its numbers.
    let (_, log) = lab.result("run");
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let name = "ais/log_z";
    let logged = last.as_object().unwrap().iter().find(|(key, _)| key.ends_with(name));
    assert_eq!(found["metrics"][name], *logged.unwrap_or_else(|| panic!("{last}")).1);
    assert_eq!((&found["probe"], &found["step"]), (&"ais".into(), &20.into()));
    // --set with the probe's name is for its keys, any other for the experiment's.
    let other = ["--set", "ais.temperatures=8", "--set", "sampler.steps=3", "--seed", "5", "--pictures", "seen"];
    let changed = lab.json(&[&probe[..], &other[..]].concat());
    assert_ne!(changed["metrics"]["ais/energy_gradients"], found["metrics"]["ais/energy_gradients"]);
    assert_eq!(changed["seed"], 5);
    image::load_from_memory(&read(&lab.path(changed["pictures"][0].as_str().unwrap()))).unwrap();
    assert!(lab.ok(&["-q", "eval", "--ckpt", LAST, "--probe", "nll", "--set", "nll.points=32"]).contains("test_ll"));
    lab.refused(2, &["eval", "--ckpt", LAST, "--probe", "aiss"], &["no probe `aiss`", "choose from nll"]);
    lab.refused(2, &["eval", "--ckpt", LAST, "--probe", "ais", "--set", "ais.chians=4"], &["chians", "chains"]);
    lab.refused(4, &["eval", "--ckpt", "c.toml", "--probe", "ais"], &["c.toml"]);
}

/// What `eval --keep` found is a number of the run at that step, for `compare`, `ls` and `report`, and nothing else of
/// the run changes. Other keys are told of; a run that goes on from before the step forgets it.
#[test]
fn what_eval_keeps_is_a_number_of_the_run() {
    let lab = Lab::new();
    lab.write("c.toml", &(bare("ml_grid", 20) + "checkpoint_every = 10\nkeep_every = 10\n"));
    let of = |run: &str, points: &str| {
        let set = format!("nll.points={points}");
        let words = ["-q", "eval", "--ckpt", run, "--probe", "nll", "--keep", "--set", &set];
        let told = lab.json(&words);
        assert!(told["kept"].as_str().unwrap().ends_with("evaluations.jsonl"), "{told}");
        told["metrics"]["test_ll"].as_f64().unwrap()
    };
    let [mut ends, mut middles] = [vec![], vec![]];
    for seed in ["0", "1"] {
        let run = format!("runs/{seed}");
        lab.ok(&["-q", "train", "c.toml", "--set", &format!("seed={seed}"), "--run-dir", &run]);
        let before = (lab.result(&run), read(&lab.path(&run).join("manifest.json")));
        of(&run, "16");
        ends.push(of(&run, "32"));
        middles.push(of(&format!("{run}/checkpoints/step-00000010.safetensors"), "32"));
        assert!(before == (lab.result(&run), read(&lab.path(&run).join("manifest.json"))));
    }
    let compared = |more: &[&str]| {
        let words = ["-q", "compare", "runs", "--by", "method", "--metric", "eval/test_ll"];
        lab.json(&[&words, more].concat())
    };
    let mean = |told: &Value| told["groups"][0]["metrics"]["eval/test_ll"]["mean"].as_f64().unwrap();
    let near = |told: &Value, values: &[f64]| (mean(told) - (values[0] + values[1]) / 2.0).abs() < 1e-12;
    let told = compared(&[]);
    let again = "`eval/test_ll` was found with several values of nll.points: the newest counts; --by nll.points tells \
                 them apart";
    assert!(near(&told, &ends) && told["notes"] == serde_json::json!([again]), "{told} {ends:?}");
    assert!(near(&compared(&["--at", "10"]), &middles) && middles != ends);
    let best = ends[0].max(middles[0]) + ends[1].max(middles[1]);
    assert!((2.0 * mean(&compared(&["--at", "max"])) - best).abs() < 1e-12);
    let listed: Value = lab.json(&["ls", "runs", "--columns", "eval/test_ll", "--filter", "seed = 1"]);
    assert!(listed.to_string().contains(&ends[1].to_string()), "{listed}");
    lab.ok(&["-q", "report", "runs", "--out", "page.html"]);
    assert!(String::from_utf8(read(&lab.path("page.html"))).unwrap().contains("eval/test_ll"));
    of("runs/1", "64");
    let told = compared(&[]).to_string();
    assert!(told.contains("not found in one way: nll.points is 32 in 1, 64 in 1"), "{told}");
    lab.ok(&["-q", "export", "runs/1", "--to", "model"]);
    let card = String::from_utf8(read(&lab.path("model/README.md"))).unwrap();
    assert!(card.contains("| `eval/test_ll` ↑ | "), "{card}");
    // From step 10 on it becomes another run.
    std::fs::remove_file(lab.path("runs/1/checkpoints/step-00000020.safetensors")).unwrap();
    std::fs::remove_file(lab.path("runs/1/checkpoints/last.safetensors")).unwrap();
    lab.ok(&["-q", "resume", "runs/1"]);
    let left = String::from_utf8(read(&lab.path("runs/1/evaluations.jsonl"))).unwrap();
    assert!(left.lines().count() == 1 && left.contains("\"step\":10,"), "{left}");
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "runs/1", "--overwrite"]);
    assert!(!lab.path("runs/1/evaluations.jsonl").exists());
}

#[test]
fn a_finding_that_cannot_be_kept_is_told_all_the_same() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    std::fs::create_dir(lab.path("run/evaluations.jsonl")).unwrap();
    let told = lab.run(&["-q", "eval", "--ckpt", "run", "--probe", "nll", "--keep"]);
    assert!(told.code == Some(1) && told.stdout.contains("test_ll"), "{:?} {}", told.code, told.stdout);
    assert!(told.stderr.contains("run/evaluations.jsonl"), "{}", told.stderr);
    std::fs::copy(lab.path("run/checkpoints/last.safetensors"), lab.path("alone.safetensors")).unwrap();
    let alone = ["eval", "--ckpt", "alone.safetensors", "--probe", "nll", "--keep"];
    lab.refused(2, &alone, &["alone.safetensors lies in no run's folder"]);
}

/// Weights of a run's last checkpoint below a path, without it.
fn weights_below(lab: &Lab, run: &str, below: &str) -> std::collections::BTreeMap<String, Vec<f32>> {
    let path = lab.path(run).join("checkpoints/last.safetensors");
    let checkpoint = ebm::store::Checkpoint::load(&path, &candle_core::Device::Cpu).unwrap();
    let list = |t: candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    ebm::store::take(&checkpoint.tensors, below).into_iter().map(|(name, t)| (name, list(t))).collect()
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn a_run_can_begin_at_the_vae_of_another() {
    let lab = Lab::new();
    for method in ["vae", "vaebm", "vera"] {
        lab.write(&format!("{method}.toml"), &experiment(method));
    }
    lab.ok(&["-q", "train", "vae.toml", "--run-dir", "vae", "--set", "train.ema=0"]);
    let at = |key: &str| format!("method.{key}=vae/checkpoints/last.safetensors");
    // The base of a tilted model stays as it was found; the generator learns too slowly to move in f32.
    lab.ok(&["-q", "train", "vaebm.toml", "--run-dir", "vaebm", "--set", &at("vae_ckpt")]);
    assert_eq!(weights_below(&lab, "vaebm", "method.model.base"), weights_below(&lab, "vae", "method.model"));
    let generator = "method.generator={ name = \"mlp\", hidden = [6] }";
    let keys = [generator, "method.latent=2", "method.generator_optim.lr=1e-12", &at("generator_ckpt")];
    let words: Vec<&str> = ["-q", "train", "vera.toml", "--run-dir", "vera"]
        .into_iter()
        .chain(keys.into_iter().flat_map(|key| ["--set", key]))
        .collect();
    lab.ok(&words);
    let decoder = weights_below(&lab, "vae", "method.model.decoder.net");
    assert!(!decoder.is_empty());
    assert_eq!(weights_below(&lab, "vera", "method.generator.net"), decoder);
    // Another decoder does not fit, and the message says what to do.
    let wrong = lab.command(&["train", "vera.toml", "--set", &at("generator_ckpt")]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("method.generator"), "{wrong:?}");
}

#[test]
fn a_vae_over_grey_levels_trains_and_is_drawn_from() {
    let lab = Lab::new();
    lab.write(
        "c.toml",
        "[dataset]\nname = \"digits\"\n[model]\nname = \"vae\"\nlatent = 4\nlikelihood = \"discretised_logistic\"\n\
         components = 2\n\
         levels = 17\nparticles = 3\nencoder = { name = \"mlp\", hidden = [16] }\n\
         decoder = { name = \"mlp\", hidden = [16] }\n\
         [method]\nname = \"vae\"\n[sampler]\nname = \"exact\"\n[train]\nsteps = 4\nbatch_size = 16\n\
         [[probe]]\nname = \"bound\"\nevery = 4\nitems = 20\nparticles = 5\n[[probe]]\nname = \"samples\"\nevery = 4\n\
         n = 4\n",
    );
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    assert!(lab.result("run").1.contains("vae_ll"));
    // What needs a slope says so.
    lab.refused(2, &["train", "c.toml", "--set", "sampler.name=mala"], &["no slope", "gaussian"]);
}

#[test]
fn the_checkpoint_of_the_best_step_stays() {
    let lab = Lab::new();
    // A single checkpoint is kept, and none is due at the steps that are looked at.
    let config =
        experiment("ml_grid").replace("keep = 0", "keep = 1").replace("checkpoint_every = 1", "checkpoint_every = 0");
    lab.write("c.toml", &config);
    let said = lab.json(&[
        "-q",
        "train",
        "c.toml",
        "--run-dir",
        "run",
        "--set",
        "train.best=grid_error",
        "--set",
        "train.best_is=min",
    ]);
    let metrics = lab.result("run").1;
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let errors: Vec<_> = lines.filter_map(|m| Some((m["step"].as_u64()?, m["grid_error"].as_f64()?))).collect();
    let least = errors.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap();
    assert!(errors.len() > 2, "{errors:?}");
    let file = lab.path("run/checkpoints/best.safetensors");
    let best = ebm::store::Checkpoint::load(&file, &candle_core::Device::Cpu).unwrap();
    assert_eq!((best.step, said["best"]["step"].as_u64()), (least.0, Some(least.0)));
    assert_eq!(lab.manifest("run")["best"][1]["grid_error"].as_f64(), Some(least.1));
    lab.ok(&["-q", "sample", "--ckpt", file.to_str().unwrap(), "--n", "4", "--out", "x.npy"]);
    // The ending decides the form.
    assert_eq!(npyz::NpyFile::new(&read(&lab.path("x.npy"))[..]).unwrap().shape(), [4, 2]);
    // A name that no probe reports is refused before training, with the nearest that one does.
    let words = ["-q", "train", "c.toml", "--run-dir", "other", "--set", "train.best=test_lll"];
    lab.refused(2, &words, &["no probe of this run reports `test_lll`", "did you mean `test_ll`?", "--set"]);
    assert!(!lab.path("other").exists());
    // So is a metric that no run has and nobody declares; one that is declared may be in later runs.
    lab.refused(2, &["ls", ".", "--sort", "grid_eror"], &["no run has the metric `grid_eror`", "`grid_error`"]);
    assert!(lab.ok(&["ls", ".", "--sort", "grid_error"]).contains("grid_error"));
    assert!(lab.ok(&["ls", ".", "--sort", "amari"]).contains("amari"));
}
