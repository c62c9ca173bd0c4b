//! Annealed importance sampling against what is known of the normaliser.

use ebm::metrics::Metrics;

use crate::probes::{experiment, found};

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn annealing_agrees_with_the_grid_from_either_base() {
    let text = "[dataset]\nname = \"8gaussians\"\n[model]\nnet = { name = \"mlp\", hidden = [16, 16] }\n\
                [method]\nname = \"none\"\n[sampler]\nname = \"mala\"\nsteps = 200\nstep_size = 1.0\n[train]\n\
                steps = 1\n";
    let probe = |keys: &str| found(&experiment(&format!("{text}[[probe]]\n{keys}\n"), 4)).unwrap();
    let grid = probe("name = \"nll\"\nsamples = 0\nitems = 10000");
    let of = |m: &Metrics, name: &str| m.get(name).unwrap();
    for base in ["data", "model"] {
        let found = probe(&format!("name = \"ais\"\nbase = \"{base}\"\ntemperatures = 100\nchains = 200"));
        let ais = |name: &str| of(&found, &format!("ais/{name}"));
        for side in ["log_z", "log_z_reverse", "sis_log_z"] {
            let (off, se) = (ais(side) - of(&grid, "grid_log_z"), ais(&format!("{side}_se")));
            assert!(off.abs() < 3.0 * se && se < 0.05, "{base}, {side}: {off} ± {se}");
        }
        // The same test items, so that the log-likelihoods differ by log Z alone.
        let off = ais("test_ll") - of(&grid, "test_ll") + ais("log_z") - of(&grid, "grid_log_z");
        assert!(off.abs() < 1e-4, "{off}");
        assert_eq!((ais("trusted"), ais("reverse_exact")), (1.0, 0.0));
        assert!(ais("energy_gradients") > 100.0 * 200.0 * 6.0 && ais("raise_gap").abs() < 0.5, "{found:?}");
    }
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn annealing_knows_what_the_model_knows() {
    let text = "[dataset]\nname = \"rbm\"\nvisible = 5\nhidden = 3\n[model]\nname = \"rbm\"\nhidden = 3\n\
                init = \"paper\"\n\
                [method]\nname = \"none\"\n[sampler]\nname = \"gibbs\"\n[train]\nsteps = 1\n[[probe]]\nname = \"ais\"\n\
                temperatures = 200\n";
    let found = found(&experiment(text, 3)).unwrap();
    let ais = |name: &str| found.get(&format!("ais/{name}")).unwrap();
    assert_eq!((ais("reverse_exact"), ais("trusted")), (1.0, 1.0));
    for side in ["log_z", "log_z_reverse", "sis_log_z"] {
        let z = (ais(side) - ais("log_z_exact")) / ais(&format!("{side}_se"));
        assert!(z.abs() < 3.0, "{side}: z = {z}");
    }
    assert!(ais("log_z_low") < ais("log_z") && ais("log_z") < ais("log_z_high") && ais("test_ll_low") < ais("test_ll"));
}
