//! Noise spaces, and densities that tilt a VAE.

use super::*;

/// The potential of a network that tilts a VAE, in the space named; and the same with the VAE alone.
fn tilted(base: &str) -> Model {
    let base = base.trim_end().replace('\n', ", ");
    let spec =
        section("tilted", &format!("net = {{ name = \"mlp\", hidden = [6] }}\nbase = {{ name = \"vae\", {base} }}"));
    let context = Context { shape: vec![2], classes: None, moments: None };
    Model::new(&spec, &context, Key::new(6), DType::F64, &CPU).unwrap()
}

#[test]
fn the_potential_of_a_noise_space_has_the_right_gradient() {
    for space in [Space::Noise, Space::Joint] {
        for noise in ["network", "shared", "fixed"] {
            let model = tilted(&BENT.replace("network", noise));
            let potential = || Potential::new(model.noise_space(space).unwrap(), boxed(model.tilt())).unwrap();
            let at = potential().space().start(Key::new(1), 3).unwrap();
            assert_eq!(at.dims(), &[3, 8]);
            let (value, grad) = potential().grad(&at).unwrap();
            assert_eq!(list(&value), list(&potential().energy(&at).unwrap()));
            let flat = list(&at);
            for (i, slope) in list(&grad).into_iter().enumerate() {
                let total = |h: f64| {
                    let mut moved = flat.clone();
                    moved[i] += h;
                    let at = Tensor::from_vec(moved, (3, 8), &CPU).unwrap();
                    list(&potential().energy(&at).unwrap()).iter().sum::<f64>()
                };
                let h = 1e-3;
                let difference = (8.0 * (total(h) - total(-h)) - (total(2.0 * h) - total(-2.0 * h))) / (12.0 * h);
                assert!(
                    (difference - slope).abs() < 1e-7 * (1.0 + slope.abs()),
                    "{space:?}, {noise}: {difference} {slope}"
                );
            }
        }
    }
}

/// With nothing that tilts, chains in noise space keep N(0, I) and chains in joint space keep the VAE's draws.
#[test]
fn chains_without_a_tilt_keep_the_base() {
    let vae = vae(&BENT.replace("network", "shared"), &[2]);
    for (space, step_size) in [(Space::Noise, 0.6), (Space::Joint, 0.15)] {
        let potential = Potential::new(vae.noise_space(space).unwrap(), None).unwrap();
        let start = potential.space().start(Key::new(1), 4000).unwrap();
        let (kernel, mut chain) = (Mala { step_size, scale: None }, Chain::at(&start));
        for step in 0..60 {
            chain = kernel.step(Key::new(2).at(step), &Target::new(&potential), &chain).unwrap().0;
        }
        let fresh = potential.space().start(Key::new(3), 4000).unwrap();
        let squares = |t: &Tensor| t.sqr().unwrap();
        for of in [Tensor::clone, squares] {
            let (end, want) = (
                of(&chain.x).t().unwrap().to_vec2::<f64>().unwrap(),
                of(&fresh).t().unwrap().to_vec2::<f64>().unwrap(),
            );
            for (d, (a, b)) in end.iter().zip(&want).enumerate() {
                let z = (mean(a) - mean(b)) / ((std(a).powi(2) + std(b).powi(2)) / 4000.0).sqrt();
                assert!(z.abs() < 4.0, "{space:?}, coordinate {d}: z = {z}");
            }
        }
    }
}

/// Draws of a linear VAE at temperature t: variance t² (Σ_l w_l² + σ²) in every coordinate, without σ² for the means.
#[test]
fn draws_at_a_temperature_and_means_have_the_variances_they_should() {
    const N: usize = 20_000;
    let model = Model::new(
        &section("vae", &format!("latent = 2\nsigma = 0.5\nnoise = \"fixed\"\n{LINEAR}")),
        &Context { shape: vec![3], classes: None, moments: None },
        Key::new(6),
        DType::F64,
        &CPU,
    )
    .unwrap();
    let data = Data::open(&Spec::of_text(ebm::data::schemas, "moons", "").unwrap(), 1, &CPU).unwrap();
    let origin = Tensor::zeros((1, 2), DType::F64, &CPU).unwrap();
    let decoder = model.vae().unwrap().decoder();
    let b = list(&decoder.mean(&origin).unwrap());
    let w = decoder.mean(&Tensor::eye(2, DType::F64, &CPU).unwrap()).unwrap().to_vec2::<f64>().unwrap();
    for (keys, t, sigma) in
        [("", 1.0, 0.5), ("temperature = 0.6", 0.6, 0.5), ("temperature = 0.6\nmeans = true", 0.6, 0.0)]
    {
        let keys_of_noise = format!("space = \"noise\"\nsteps = 0\n{keys}");
        let spec = Spec::of_text(ebm::samplers::schemas, "langevin", &keys_of_noise).unwrap();
        let sampler = Sampler::new(&spec).unwrap();
        let start = sampler.start(Key::new(8), &model, None, &data, N).unwrap();
        let items = sampler.items(&Target::of(&model), &start).unwrap().t().unwrap().to_vec2::<f64>().unwrap();
        for (i, column) in items.iter().enumerate() {
            let of_z: f64 = w.iter().map(|row| (row[i] - b[i]).powi(2)).sum();
            let want = t * t * (of_z + sigma * sigma);
            let z = (std(column).powi(2) / want - 1.0) / (2.0 / N as f64).sqrt();
            assert!(z.abs() < 4.0, "{keys}: variance of coordinate {i}: z = {z}");
        }
    }
}

/// A tilt by a linear f moves a Gaussian base by a known amount: p₀ = N(b, C), f = w·x + c gives N(b - C w, C).
#[test]
fn importance_and_chains_agree_on_a_tilted_linear_vae() {
    let base = format!("latent = 2, sigma = 0.5, {}", LINEAR.trim_end().replace('\n', ", "));
    let spec =
        section("tilted", &format!("net = {{ name = \"mlp\", hidden = [] }}\nbase = {{ name = \"vae\", {base} }}"));
    let context = Context { shape: vec![2], classes: None, moments: None };
    let model = Model::new(&spec, &context, Key::new(6), DType::F64, &CPU).unwrap();
    let origin = Tensor::zeros((1, 2), DType::F64, &CPU).unwrap();
    let slope = list(&model.tilt().unwrap().grad(&origin).unwrap().1);
    let decoder = model.vae().unwrap().decoder();
    let b = list(&decoder.mean(&origin).unwrap());
    let w = decoder.mean(&Tensor::eye(2, DType::F64, &CPU).unwrap()).unwrap().to_vec2::<f64>().unwrap();
    let c = |i: usize, j: usize| {
        (0..2).map(|l| (w[l][i] - b[i]) * (w[l][j] - b[j])).sum::<f64>() + if i == j { 0.25 } else { 0.0 }
    };
    let want: Vec<f64> = (0..2).map(|i| b[i] - c(i, 0) * slope[0] - c(i, 1) * slope[1]).collect();
    let potential = Potential::new(model.noise_space(Space::Noise).unwrap(), boxed(model.tilt())).unwrap();
    let kernel = Mala { step_size: 0.8, scale: None };
    let mut chain =
        kernel.init(&Target::new(&potential), &potential.space().start(Key::new(1), 8000).unwrap()).unwrap();
    for step in 0..60 {
        chain = kernel.step(Key::new(2).at(step), &Target::new(&potential), &chain).unwrap().0;
    }
    let x = potential.space().push(&chain.x).unwrap().t().unwrap().to_vec2::<f64>().unwrap();
    let draws = model.base_sample(Key::new(4), 40_000).unwrap().unwrap();
    let weights: Vec<f64> = list(&model.residual(&draws).unwrap()).iter().map(|f| (-f).exp()).collect();
    let draws = draws.t().unwrap().to_vec2::<f64>().unwrap();
    for d in 0..2 {
        let z = (mean(&x[d]) - want[d]) / (std(&x[d]) / 8000f64.sqrt());
        assert!(z.abs() < 4.0, "chains, coordinate {d}: z = {z}");
        let weighted = draws[d].iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>() / weights.iter().sum::<f64>();
        assert!((weighted - want[d]).abs() < 0.03, "importance, coordinate {d}: {weighted}, want {}", want[d]);
    }
}

/// log Z of a tilted VAE from its noise, against the grid: exp(-f) times its density, known by quadrature.
#[test]
fn annealing_in_noise_space_finds_log_z() {
    let spec = section(
        "tilted",
        "net = { name = \"mlp\", hidden = [6] }\nbase = { name = \"vae\", latent = 2, sigma = 0.4, encoder = { name \
         = \"mlp\", hidden = [6] }, decoder = { name = \"mlp\", hidden = [6] } }",
    );
    let context = Context { shape: vec![2], classes: None, moments: None };
    let model = Model::new(&spec, &context, Key::new(6), DType::F32, &CPU).unwrap();
    let scaled = Eightfold(model.tilt().unwrap());
    let grid = Grid::new([[-5.0, 5.0], [-5.0, 5.0]], 100);
    let points = grid.points([0.5, 0.5], &CPU).unwrap();
    let f = list(&scaled.energy(&points).unwrap());
    let base = list(&model.vae().unwrap().log_prob(&points).unwrap());
    let exact = grid.log_integral(&base.iter().zip(&f).map(|(b, f)| b - f).collect::<Vec<_>>());
    assert!(exact.abs() > 0.3, "a tilt that does little tests little: log Z = {exact}");
    let potential = Potential::new(model.noise_space(Space::Noise).unwrap(), Some(Box::new(scaled))).unwrap();
    let config = AnnealConfig { temperatures: 30, chains: 150, reverse: 0, draws: 4000, ..AnnealConfig::default() };
    let path = Annealing::new(potential.normal().unwrap(), &potential, &config, Key::new(1)).unwrap();
    let bracket = Bracket::new(&path, &config, None, Key::new(2)).unwrap();
    let se = bracket.metrics(Key::new(3)).get("log_z_se").unwrap();
    assert!(
        se < 0.05 && (bracket.log_z() - exact).abs() < 3.0 * se + 1e-3,
        "{} ± {se}, exact {exact}",
        bracket.log_z()
    );
}
