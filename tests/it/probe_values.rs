//! Numbers of probes against values that are known in closed form, or by another way.

use serde_json::Value;

use crate::harness::Lab;

/// The numbers of the last line of a run.
fn numbers(config: &str) -> impl Fn(&str) -> f64 + use<> {
    let lab = Lab::new();
    lab.write("c.toml", config);
    let run: Value = lab.json(&["-q", "train", "c.toml", "--run-dir", "run"]);
    move |name| run["metrics"][name].as_f64().unwrap_or_else(|| panic!("no number {name} in {run}"))
}

/// Data N(0, v I) and a model N(0, s² I) in d dimensions: J = E[½|∇E|² - ΔE] = d v / (2 s⁴) - d / s².
#[test]
fn the_score_matching_objective_of_a_gaussian_is_the_closed_form() {
    for more in ["", "exact_trace_dim = 0\n"] {
        let found = numbers(&format!(
            "[dataset]\nname = \"gaussian\"\ndim = 3\nstd = 0.5\n[model]\nname = \"gaussian\"\nstd = 2.0\n\
             [method]\nname = \"none\"\n[train]\nsteps = 1\n[[probe]]\nname = \"score_matching\"\nevery = 1\n{more}"
        ));
        let known = 3.0 * 0.25 / (2.0 * 16.0) - 3.0 / 4.0;
        let z = (found("sm") - known) / found("sm_se");
        assert!(z.abs() < 4.0 && found("sm_se") < 1e-3, "{} against {known}, z = {z}", found("sm"));
    }
}

/// ELBO < importance-weighted bound ≤ log p(x), which a VAE with one latent coordinate knows by quadrature over z.
#[test]
fn the_bounds_of_a_vae_lie_below_its_likelihood_and_the_weighted_one_comes_near() {
    let found = numbers(
        "seed = 3\n[dataset]\nname = \"mixture\"\n[model]\nname = \"vae\"\nlatent = 1\nnodes = 64\n\
         encoder = { name = \"mlp\", hidden = [16] }\ndecoder = { name = \"mlp\", hidden = [16] }\n\
         [method]\nname = \"vae\"\n[optim]\nlr = 0.01\n[train]\nsteps = 100\nbatch_size = 64\n\
         [[probe]]\nname = \"nll\"\nevery = 100\npoints = 64\nitems = 300\n\
         [[probe]]\nname = \"bound\"\nevery = 100\nitems = 300\nparticles = 200\n",
    );
    let (elbo, weighted, exact) = (found("vae_elbo"), found("vae_ll"), found("test_ll"));
    assert!(elbo < weighted && weighted < exact + 1e-3, "{elbo}, {weighted}, {exact}");
    assert!(exact - weighted < 0.05, "200 particles leave a gap of {} nats", exact - weighted);
    assert!(found("vae_kl_0") > 0.0);
}

/// KL(data, ·) on the grid is what the mean log-likelihood of test items lacks of the truth's.
#[test]
fn divergences_of_teaching_agree_with_likelihoods_of_test_items() {
    let found = numbers(
        "seed = 3\n[dataset]\nname = \"mixture\"\n[model]\nbase = \"diagonal\"\n\
         net = { name = \"mlp\", hidden = [16] }\n\
         [method]\nname = \"vae_sampler\"\nsampler.steps = 3\nvae_optim = { name = \"adam\", lr = 0.02 }\n\
         vae = { name = \"vae\", latent = 1, nodes = 96, encoder = { name = \"mlp\", hidden = [16] }, \
         decoder = { name = \"mlp\", hidden = [16] } }\n[optim]\nlr = 0.0001\n[train]\nsteps = 100\nbatch_size = 64\n\
         [[probe]]\nname = \"nll\"\nevery = 100\npoints = 80\nitems = 2000\n\
         [[probe]]\nname = \"teaching\"\nevery = 100\npoints = 80\nitems = 2000\n",
    );
    let lacking = found("true_ll") - found("test_ll");
    assert!((found("kl_data_model") - lacking).abs() < 4.0 * found("test_ll_se"), "{lacking}");
    let lacking = found("true_ll") - found("generator_ll");
    assert!(lacking > 1.0 && (found("kl_data_generator") / lacking - 1.0).abs() < 0.01, "{lacking}");
    assert!((found("generator_mass") - 1.0).abs() < 1e-3);
    assert!(found("kl_model_generator") > 0.1 && found("kl_generator_model") > 0.1);
}

/// An untrained generator draws the same for every class; noiseless steps down E(x|y) = -f(x)[y] reach the class asked
/// for.
#[test]
fn chains_on_the_conditional_energy_give_the_label_that_was_asked_for() {
    let found = numbers(
        "seed = 3\n[dataset]\nname = \"digits\"\nflatten = true\n\
         [model]\nname = \"classifier\"\nnet = { name = \"mlp\", hidden = [8] }\n\
         [method]\nname = \"vae_sampler\"\ncondition = \"class\"\nsampler.steps = 2\n\
         [sampler]\nname = \"sgld\"\ndrift = 4.0\nnoise = 0.0\nsteps = 100\n\
         [train]\nsteps = 1\n[[probe]]\nname = \"conditional\"\nevery = 1\nn = 200\n",
    );
    let (drawn, revised) = (found("label_accuracy_drawn"), found("label_accuracy"));
    assert!((drawn - 0.1).abs() < 0.08 && revised > 0.95, "{drawn}, then {revised}");
}

/// The classifier that ships with the program, by itself and as the judge of samples that are nothing but noise.
#[test]
fn the_shipped_classifier_reads_test_digits_and_is_not_sure_of_noise() {
    let found = numbers(
        "[dataset]\nname = \"digits\"\ntransform = \"scaled\"\nnoise = 0.03\n\
         [model]\nname = \"gaussian\"\n[method]\nname = \"none\"\n[sampler]\nname = \"exact\"\n[train]\nsteps = 1\n\
         [[probe]]\nname = \"class_balance\"\nn = 300\nclassifier = \"digits\"\n",
    );
    assert!(found("class_sure_real") > 0.85 && found("class_tv_real") < 0.15, "{}", found("class_sure_real"));
    assert!(found("class_sure") < found("class_sure_real") - 0.2, "{}", found("class_sure"));
    let lab = Lab::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits/classifier.safetensors");
    let eval: Value = lab.json(&["-q", "eval", "--ckpt", shipped, "--probe", "accuracy"]);
    assert!(eval.to_string().contains("\"test_accuracy\":0.97"), "{eval}");
    let auc = eval["metrics"]["test_auc"].as_f64().unwrap();
    assert!(auc > 0.995 && auc < 1.0, "{eval}");
    // One item is of one class, against which there is no other.
    let one: Value = lab.json(&["-q", "eval", "--ckpt", shipped, "--probe", "accuracy", "--set", "accuracy.items=1"]);
    assert!(one["metrics"]["test_accuracy"].is_number() && one["metrics"]["test_auc"].is_null(), "{one}");
}
