use candle_core::{DType, Device, Tensor};

use super::*;
use crate::density::{Context, Density, Rbm, RbmConfig, RbmInit, slope_of_grad};
use crate::math::Grid;
use crate::nets::Builder;
use crate::rng::Key;

const CPU: Device = Device::Cpu;

/// An energy raised by a constant, so that log Z falls by it.
struct Raised<'a>(&'a dyn Energy, f64);

impl Energy for Raised<'_> {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok((self.0.energy(x)? + self.1)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.0.grad(x)?;
        Ok(((energy + self.1)?, grad))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
        unreachable!("no transition asks for it")
    }

    fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        unreachable!("no transition asks for it")
    }
}

/// E(x, y) = 2(x² - 1)² + (y - x)²/2: two wells.
struct Wells;

impl Energy for Wells {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.grad(x)?.0)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (a, b) = (x.narrow(1, 0, 1)?, x.narrow(1, 1, 1)?);
        let (well, tilt) = ((a.sqr()? - 1.0)?, (&b - &a)?);
        let energy = ((well.sqr()? * 2.0)? + (tilt.sqr()? * 0.5)?)?.squeeze(1)?;
        let slope = (((&a * &well)? * 8.0)? - &tilt)?;
        Ok((energy, Tensor::cat(&[slope, tilt], 1)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
        unreachable!("no transition asks for it")
    }

    fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        unreachable!("no transition asks for it")
    }
}

fn config(keys: &str) -> AnnealConfig {
    let mut table = crate::config::Schema::of::<AnnealConfig>().defaults();
    table.extend(keys.parse::<toml::Table>().unwrap());
    crate::config::decode(&table).unwrap()
}

fn normal(dim: usize) -> Gaussian {
    Gaussian::standard(dim, DType::F64, &CPU).unwrap()
}

fn gaussian(dim: usize, mean: f64, std: f64) -> Gaussian {
    Gaussian::new(&[dim], mean, std, &Builder::new(Key::new(0), DType::F64, &CPU)).unwrap()
}

/// An RBM with strong weights, in f64.
fn rbm() -> Rbm {
    let keys = RbmConfig { hidden: 4, init: RbmInit::Paper, ..RbmConfig::default() };
    let context = Context { shape: vec![6], classes: None, moments: None };
    Rbm::new(&keys, &context, &Builder::new(Key::new(2), DType::F64, &CPU)).unwrap()
}

/// log Z of the RBM, by its own sum over the states of the hidden units.
fn exact(rbm: &Rbm) -> f64 {
    let x = Tensor::zeros((1, 6), DType::F64, &CPU).unwrap();
    let value = |t: Tensor| t.squeeze(0).unwrap().to_scalar::<f64>().unwrap();
    -value(rbm.energy(&x).unwrap()) - value(rbm.log_prob(&x).unwrap())
}

/// Coordinates fitted to draws of the RBM.
fn fitted(rbm: &Rbm) -> Coordinates {
    Coordinates::of_items(&rbm.sample(Key::new(3), 2000).unwrap(), true, 1.1).unwrap()
}

fn check(name: &str, estimate: f64, error: f64, truth: f64, within: f64) {
    let (off, z) = (estimate - truth, (estimate - truth) / error);
    assert!(z.abs() < 3.0 && off.abs() < within, "{name}: {estimate} for {truth}, z = {z}");
}

#[test]
fn the_normaliser_of_a_gaussian_from_a_wider_one() {
    let (base, inner) = (gaussian(5, 0.0, 2.0), gaussian(5, 0.5, 0.6));
    let target = Raised(&inner, 3.0);
    for transition in ["hmc", "mala"] {
        for spacing in ["linear", "sigmoid"] {
            let keys = config(&format!("temperatures = 300\ntransition = \"{transition}\"\nspacing = \"{spacing}\""));
            let path = Annealing::new(&base, &target, &keys, Key::new(1)).unwrap();
            let origin = ChainStart { x: inner.sample(Key::new(5), 100).unwrap(), exact: true };
            let found = Bracket::new(&path, &keys, Some(&origin), Key::new(2)).unwrap();
            let name = format!("{transition}, {spacing}");
            check(&name, found.log_z(), found.up.log_weights.std_error(), -3.0, 0.2);
            let down = found.down.as_ref().unwrap();
            check(&name, found.log_z_reverse().unwrap(), down.log_weights.std_error(), -3.0, 0.2);
            let draws = found.at_once.as_ref().unwrap();
            check(&name, draws.log_mean(), draws.std_error(), -3.0, 0.2);
            assert_eq!(found.doubts(), [""; 0], "{name}");
            let accept = stats::mean(&found.up.accept);
            assert!((accept - 0.65).abs() < 0.12, "{name}: acceptance {accept}");
        }
    }
}

#[test]
fn the_weights_have_the_mean_z_exactly() {
    // With 3 temperatures the weights are wide, and the mean over many independent walks is Z nonetheless.
    let (base, inner) = (gaussian(2, 0.0, 1.0), gaussian(2, 0.3, 0.8));
    let keys = config("temperatures = 3\nleapfrog = 2\nspacing = \"linear\"");
    let path = Annealing::new(&base, &inner, &keys, Key::new(1)).unwrap();
    let up = path.up(Key::new(2), 40_000).unwrap().log_weights;
    check("up", up.log_mean(), up.std_error(), 0.0, 0.02);
    let down = path.down(Key::new(3), &inner.sample(Key::new(4), 40_000).unwrap()).unwrap().log_weights;
    check("down", -down.log_mean(), down.std_error(), 0.0, 0.02);
    assert!(up.effective() < 0.9 * 40_000.0, "{}", up.effective());
}

#[test]
fn the_normaliser_of_an_rbm_against_all_its_states() {
    let (rbm, base) = (rbm(), normal(6));
    let coordinates = fitted(&rbm);
    let target = Affine { energy: &rbm, coordinates: &coordinates };
    let keys = config("temperatures = 400\nchains = 200");
    let path = Annealing::new(&base, &target, &keys, Key::new(1)).unwrap();
    let x = coordinates.of(&rbm.sample(Key::new(4), 200).unwrap()).unwrap();
    let found = Bracket::new(&path, &keys, Some(&ChainStart { x, exact: true }), Key::new(2)).unwrap();
    let truth = exact(&rbm);
    check("up", found.log_z(), found.up.log_weights.std_error(), truth, 0.2);
    let down = &found.down.as_ref().unwrap().log_weights;
    check("down", found.log_z_reverse().unwrap(), down.std_error(), truth, 0.2);
    assert_eq!(found.doubts(), [""; 0]);
}

#[test]
fn the_normaliser_of_two_wells_against_a_grid() {
    let grid = Grid::new([[-4.0, 4.0], [-7.0, 7.0]], 600);
    let points = grid.points([0.5, 0.5], &CPU).unwrap().to_dtype(DType::F64).unwrap();
    let minus_e = Wells.energy(&points).unwrap().neg().unwrap().to_vec1::<f64>().unwrap();
    let truth = grid.log_integral(&minus_e);
    assert!(grid.edge_mass(&minus_e) < 1e-9 && (grid.log_integral_of_half(&minus_e) - truth).abs() < 1e-6);
    let base = gaussian(2, 0.0, 1.5);
    let keys = config("temperatures = 200\nreverse = 0\nchains = 300");
    let path = Annealing::new(&base, &Wells, &keys, Key::new(1)).unwrap();
    let found = Bracket::new(&path, &keys, None, Key::new(2)).unwrap();
    check("wells", found.log_z(), found.up.log_weights.std_error(), truth, 0.1);
    assert!(found.log_z_reverse().is_none() && found.down.is_none());
    // The ends of the chains are at the target: both wells, as deep.
    let right = found.up.x.narrow(1, 0, 1).unwrap().gt(0.0).unwrap().to_dtype(DType::F64).unwrap();
    let share: f64 = right.mean_all().unwrap().to_scalar().unwrap();
    assert!(((share - 0.5) / (0.25f64 / 300.0).sqrt()).abs() < 4.0, "{share}");
}

/// Up and down from exact draws, of `temperatures`: means and standard errors over independent walks.
fn bracket(temperatures: usize) -> [(f64, f64); 2] {
    let (rbm, base) = (rbm(), gaussian(6, 0.0, 2.0));
    let keys = config(&format!("temperatures = {temperatures}\nchains = 10\nreverse = 10\ndraws = 0"));
    let path = Annealing::new(&base, &rbm, &keys, Key::new(1)).unwrap();
    let one = |i: u64| {
        let key = Key::new(9).at(i);
        let x = rbm.sample(key.with("x"), 10).unwrap();
        let found = Bracket::new(&path, &keys, Some(&ChainStart { x, exact: true }), key).unwrap();
        (found.log_z(), found.log_z_reverse().unwrap())
    };
    let (up, down): (Vec<f64>, Vec<f64>) = (0..30).map(one).unzip();
    [up, down].map(|v| (stats::mean(&v), stats::std_error(&v)))
}

#[test]
fn the_truth_lies_between_up_and_down_and_more_temperatures_narrow_the_bracket() {
    let truth = exact(&rbm());
    let widths = [8, 16, 64].map(|temperatures| {
        let [(up, up_se), (down, down_se)] = bracket(temperatures);
        assert!((up - truth) / up_se < 3.0, "{temperatures}: {up} above {truth}");
        assert!((truth - down) / down_se < 3.0, "{temperatures}: {down} below {truth}");
        (down - up, up_se.hypot(down_se))
    });
    for pair in widths.windows(2) {
        let z = (pair[0].0 - pair[1].0) / pair[0].1.hypot(pair[1].1);
        assert!(z > 2.0, "{widths:?}");
    }
    assert!(widths[0].0 > 0.1, "too easy to say anything: {widths:?}");
}

#[test]
fn raise_lies_below_the_log_likelihood_and_comes_near_it() {
    let (rbm, base) = (rbm(), normal(6));
    // A base far too broad, so that there is something to see.
    let coordinates = Coordinates::of_items(&rbm.sample(Key::new(3), 2000).unwrap(), true, 4.0).unwrap();
    let target = Affine { energy: &rbm, coordinates: &coordinates };
    let x = rbm.sample(Key::new(6), 60).unwrap();
    let list = |t: Tensor| t.to_vec1::<f64>().unwrap();
    let (minus_e, truth) = (list(rbm.energy(&x).unwrap().neg().unwrap()), list(rbm.log_prob(&x).unwrap()));
    let gap = |temperatures: usize, chains: usize| {
        let keys = config(&format!("temperatures = {temperatures}"));
        let path = Annealing::new(&base, &target, &keys, Key::new(1)).unwrap();
        let bounds = raise(&path, &coordinates.of(&x).unwrap(), &minus_e, chains, Key::new(7)).unwrap();
        let gaps: Vec<f64> = truth.iter().zip(&bounds).map(|(t, b)| t - b).collect();
        (stats::mean(&gaps), stats::std_error(&gaps))
    };
    let (few, many) = (gap(10, 5), gap(200, 20));
    assert!(few.0 / few.1 > -3.0 && many.0 / many.1 > -3.0, "{few:?} {many:?}");
    assert!(few.0 > many.0 + 2.0 * few.1 && many.0 < 0.2, "{few:?} {many:?}");
}

#[test]
fn what_goes_wrong_is_said() {
    // One temperature between densities that hardly overlap: few weights count.
    let (base, far) = (normal(4), gaussian(4, 6.0, 0.3));
    let keys = config("temperatures = 1\nleapfrog = 1\ndraws = 0");
    let path = Annealing::new(&base, &far, &keys, Key::new(1)).unwrap();
    let origin = ChainStart { x: far.sample(Key::new(2), 50).unwrap(), exact: true };
    let found = Bracket::new(&path, &keys, Some(&origin), Key::new(3)).unwrap();
    let doubts = found.doubts().join("\n");
    assert!(doubts.contains("weights count") && doubts.contains("nats apart"), "{doubts}");
    assert!(doubts.contains("raise `temperatures`") && found.metrics(Key::new(0)).get("trusted") == Some(0.0));
    // Chains that begin elsewhere than at the model.
    let origin = ChainStart { x: Tensor::zeros((50, 4), DType::F64, &CPU).unwrap(), exact: false };
    let doubts = Bracket::new(&path, &keys, Some(&origin), Key::new(3)).unwrap().doubts().join("\n");
    assert!(doubts.contains("do not begin at the model"), "{doubts}");
    let broken = Raised(&far, f64::NAN);
    let path = Annealing::new(&base, &broken, &keys, Key::new(1)).unwrap();
    assert_eq!(path.up(Key::new(1), 5).err().map(|e| e.exit_code()), Some(3));
}

#[test]
fn energies_are_counted() {
    let (base, inner) = (normal(3), gaussian(3, 0.0, 0.5));
    let target = Counted::new(&inner);
    let keys = config("temperatures = 7\nleapfrog = 4\npilot = 5");
    let path = Annealing::new(&base, &target, &keys, Key::new(1)).unwrap();
    let spent = |gradients, values| assert_eq!(target.spent(), Spent { values, gradients });
    spent(7 * 5 * (1 + 4), 0);
    path.up(Key::new(2), 11).unwrap();
    spent(7 * (5 + 11) * (1 + 4), 0);
    path.down(Key::new(2), &inner.sample(Key::new(2), 3).unwrap()).unwrap();
    spent(7 * (5 + 11 + 3) * (1 + 4), 3);
    path.at_once(Key::new(2), 100).unwrap();
    spent(7 * (5 + 11 + 3) * (1 + 4), 3 + 100);
    assert_eq!(path.steps().len(), 7);
}

/// An RBM of the data set `rbm` in f64, with strong weights.
fn paper(visible: usize, hidden: usize, seed: u64) -> Rbm {
    let keys = RbmConfig { hidden, init: RbmInit::Paper, matrix_seed: seed, ..RbmConfig::default() };
    let context = Context { shape: vec![visible], classes: None, moments: None };
    Rbm::new(&keys, &context, &Builder::new(Key::new(seed), DType::F64, &CPU)).unwrap()
}

/// `sets` brackets of `chains` chains each way for one RBM: walks on one path, dealt out.
fn brackets(rbm: &Rbm, visible: usize, keys: &str, [sets, chains]: [usize; 2], key: Key) -> Vec<Bracket> {
    let base = normal(visible);
    let draws = |name: &str, n: usize| rbm.sample(key.with(name), n).unwrap();
    let coordinates = Coordinates::of_items(&draws("data", 2000), true, 1.1).unwrap();
    let target = Affine { energy: rbm, coordinates: &coordinates };
    let path = Annealing::new(&base, &target, &config(keys), key).unwrap();
    let up = path.up(key, sets * chains).unwrap();
    let down = path.down(key, &coordinates.of(&draws("origin", sets * chains)).unwrap()).unwrap();
    let part = |walk: &Walk, i: usize| Walk {
        x: walk.x.clone(),
        log_weights: crate::math::LogWeights(walk.log_weights.0[i * chains..(i + 1) * chains].to_vec()),
        accept: walk.accept.clone(),
        course: walk.course.clone(),
    };
    (0..sets).map(|i| Bracket::of(part(&up, i), Some((part(&down, i), true)), None)).collect()
}

/// How many intervals hold the truth: of both ways, of the way up alone, and of the way up where it is trusted, with
/// the number of those.
fn covered(all: &[(Bracket, f64)]) -> [usize; 4] {
    let holds = |(low, high): (f64, f64), truth: f64| low <= truth && truth <= high;
    let alone = |b: &Bracket| Bracket::of(b.up.clone(), None, None);
    let both = all.iter().filter(|(b, truth)| holds(b.interval(Key::new(1)), *truth)).count();
    let up: Vec<(bool, bool)> = all
        .iter()
        .map(|(b, truth)| (holds(alone(b).interval(Key::new(1)), *truth), alone(b).doubts().is_empty()))
        .collect();
    let count = |keep: fn(&(bool, bool)) -> bool| up.iter().filter(|one| keep(one)).count();
    [both, count(|one| one.0), count(|one| one.0 && one.1), count(|one| one.1)]
}

/// 95 % within what `n` trials can tell, at four standard errors, and 3 % for an error of the interval itself.
fn holds_95(name: &str, hits: usize, n: usize) {
    let (low, high) = stats::wilson(hits, n, 4.0);
    assert!(high > 0.95 && low < 0.98, "{name}: {hits} of {n}");
}

#[test]
fn the_interval_holds_log_z_of_rbms_as_often_as_it_says() {
    // Few temperatures, so that most of these weights do not count.
    let mut all = Vec::new();
    for seed in 0..4 {
        let rbm = paper(12, 6, seed);
        let truth = rbm.log_z_exact().unwrap().to_scalar::<f64>().unwrap();
        let found = brackets(&rbm, 12, "temperatures = 8\npilot = 32", [60, 50], Key::new(11).at(seed));
        all.extend(found.into_iter().map(|bracket| (bracket, truth)));
    }
    let [both, up, believed, trusted] = covered(&all);
    let count = |share: f64| all.iter().filter(|(b, _)| b.up.log_weights.effective() < share * 50.0).count();
    assert!(count(0.5) > 24, "too easy to say anything: {} of {}", count(0.5), all.len());
    holds_95("both ways", both, all.len());
    holds_95("up", up, all.len());
    holds_95("up, trusted", believed, trusted);
}

#[test]
#[ignore = "an hour: 100 RBMs of each size"]
fn the_interval_holds_log_z_of_a_hundred_rbms() {
    let mut found = Vec::new();
    for [visible, hidden, temperatures, rbms] in
        [[20, 8, 20, 100], [20, 8, 200, 100], [50, 8, 200, 100], [50, 8, 1000, 100], [784, 20, 1000, 10]]
    {
        let keys = format!("temperatures = {temperatures}");
        let each = |seed: u64| {
            let rbm = paper(visible, hidden, seed);
            let truth = rbm.log_z_exact().unwrap().to_scalar::<f64>().unwrap();
            let found = brackets(&rbm, visible, &keys, [4, 50], Key::new(12).at(seed));
            found.into_iter().map(move |bracket| (bracket, truth))
        };
        let all: Vec<(Bracket, f64)> = (0..rbms as u64).flat_map(each).collect();
        found.push((format!("{visible}x{hidden}, K = {temperatures}"), all.len(), covered(&all)));
        println!("{:?}", found.last().unwrap());
    }
    for (name, n, [both, up, believed, trusted]) in found {
        for (way, hits, n) in [("both ways", both, n), ("up", up, n), ("up, trusted", believed, trusted)] {
            holds_95(&format!("{name}, {way}"), hits, n);
        }
    }
}
