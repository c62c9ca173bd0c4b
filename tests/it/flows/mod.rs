//! One contract for all flows: the inverse inverts, the log-determinant is that of the Jacobian, every parameter
//! learns, the density integrates to 1, samples follow it, and all derivative passes agree with finite differences.

mod densities;

use crate::second_order::difference::{analytic, assert_close, entries, inner, number, numeric};
use candle_core::{DType, Device, Tensor, Var};
use ebm::data::Moments;
use ebm::density::flow::{FLOWS, Flow, Prior, neutra};
use ebm::density::{Context, Density, Energy, Gaussian, MODELS};
use ebm::nets::{Builder, Jet, Params};
use ebm::rng::Key;

const CPU: Device = Device::Cpu;

/// A flow of the registry with settings, on items of a shape.
struct Case {
    name: &'static str,
    keys: &'static str,
    item: &'static [usize],
}

/// Each kind of part occurs: both priors and masks, odd sizes, splits with and without a learned prior.
const CASES: &[Case] = &[
    Case { name: "nice", keys: "hidden = [6]\nactivation = \"softplus\"", item: &[2] },
    Case { name: "nice", keys: "hidden = []\ncouplings = 3\nprior = \"gaussian\"\nmask = \"half\"", item: &[5] },
    Case { name: "nice", keys: "hidden = [4, 4]\nactivation = \"tanh\"\ncouplings = 2", item: &[1, 2, 3] },
    Case { name: "real_nvp", keys: "hidden = [6]\nactivation = \"swish\"\ncouplings = 4", item: &[2] },
    Case {
        name: "real_nvp",
        keys: "hidden = [6]\nactivation = \"tanh\"\ncouplings = 3\nprior = \"logistic\"",
        item: &[2],
    },
    Case {
        name: "real_nvp",
        keys: "hidden = [5]\nactivation = \"softplus\"\ncouplings = 2\nscale_cap = 0.5",
        item: &[2, 2, 2],
    },
    Case { name: "spline", keys: "hidden = [6]\nactivation = \"swish\"\ncouplings = 3\nbins = 5", item: &[2] },
    Case {
        name: "spline",
        keys: "hidden = [5]\nactivation = \"tanh\"\ncouplings = 2\nbins = 3\nbound = 3.0\nprior = \"logistic\"",
        item: &[2],
    },
    Case { name: "spline", keys: "hidden = [4]\nactivation = \"softplus\"\ncouplings = 2\nbins = 2", item: &[1, 2, 2] },
    Case { name: "glow", keys: "stages = 2\nblocks = 2\nchannels = 3\nactivation = \"swish\"", item: &[1, 4, 4] },
    Case {
        name: "glow",
        keys: "stages = 2\nblocks = 1\nchannels = 2\nactivation = \"tanh\"\nlearned_prior = false",
        item: &[1, 4, 2],
    },
    Case { name: "glow", keys: "stages = 2\nblocks = 2\nchannels = 3\nactivation = \"softplus\"", item: &[4, 3, 1] },
];

impl Case {
    fn label(&self) -> String {
        format!("{} on {:?} ({})", self.name, self.item, self.keys.replace('\n', ", "))
    }

    /// New parameters at what they start with.
    fn fresh(&self, dtype: DType) -> (Flow, Params) {
        let row = MODELS.iter().find(|row| row.name == self.name).unwrap();
        let mut table = row.schema.defaults();
        table.extend(self.keys.parse::<toml::Table>().unwrap());
        let builder = Builder::new(Key::new(1), dtype, &CPU);
        let of = |key: u64| Key::new(key).uniform(self.item, DType::F32, &CPU).unwrap();
        let moments = Moments { mean: of(2), std: (of(3) + 0.5).unwrap(), overall_mean: 0.5, overall_std: 1.1 };
        let context = Context { shape: self.item.to_vec(), classes: None, moments: Some(&|| Ok(moments.clone())) };
        let build = FLOWS.iter().find(|(name, _)| *name == self.name).unwrap().1;
        let flow = build(&table, &context, &builder).unwrap();
        (flow, builder.finish())
    }

    /// Every parameter moved at random: nothing vanishes because a layer starts at zero.
    fn random(&self, dtype: DType) -> (Flow, Params) {
        let (flow, params) = self.fresh(dtype);
        for (name, var) in &params.weights {
            let noise = Key::new(4).with(name).normal(var.dims(), dtype, &CPU).unwrap();
            ebm::ops::assign(var, &(var.as_tensor() + noise.affine(0.3, 0.0).unwrap()).unwrap()).unwrap();
        }
        (flow, params)
    }

    fn batch(&self, n: usize, dtype: DType, key: u64) -> Tensor {
        Key::new(key).normal([&[n], self.item].concat(), dtype, &CPU).unwrap()
    }

    fn dim(&self) -> usize {
        self.item.iter().product()
    }
}

fn planar() -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(|case| case.item == [2])
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    let difference = (a - b).unwrap().abs().unwrap().to_dtype(DType::F64).unwrap();
    difference.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn every_flow_of_the_registry_is_here() {
    for (name, _) in FLOWS {
        assert!(CASES.iter().any(|case| case.name == *name), "{name} is not tested");
        assert!(MODELS.iter().any(|row| row.name == *name), "{name} is no model");
    }
}

#[test]
fn the_inverse_inverts() {
    for case in CASES {
        for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F64, 1e-11)] {
            let (flow, _) = case.random(dtype);
            let (x, z) = (case.batch(50, dtype, 5), Key::new(6).normal((50, case.dim()), dtype, &CPU).unwrap());
            let there = flow.body().forward(&x).unwrap().0;
            let error = largest(&flow.body().inverse(&there).unwrap(), &x);
            assert!(error < tolerance, "{}: x comes back {error:.1e} away", case.label());
            let back = flow.body().inverse(&z).unwrap();
            let error = largest(&flow.body().forward(&back).unwrap().0, &z);
            assert!(error < tolerance, "{}: z comes back {error:.1e} away", case.label());
        }
    }
}

/// The defaults, wide networks and ReLU included, in f32.
#[test]
fn the_inverse_inverts_at_the_defaults() {
    for (name, item) in [("nice", &[64][..]), ("real_nvp", &[2]), ("spline", &[3]), ("glow", &[1, 8, 8])] {
        let case = Case { name, keys: "", item };
        let (flow, params) = case.fresh(DType::F32);
        for (name, var) in &params.weights {
            let noise = Key::new(4).with(name).normal(var.dims(), DType::F32, &CPU).unwrap();
            ebm::ops::assign(var, &(var.as_tensor() + noise.affine(0.02, 0.0).unwrap()).unwrap()).unwrap();
        }
        let x = case.batch(20, DType::F32, 5);
        let z = flow.body().forward(&x).unwrap().0;
        let error = largest(&flow.body().inverse(&z).unwrap(), &x);
        assert!(error < 1e-4, "{name}: {error:.1e}");
    }
}

/// The log-determinant against the determinant of the Jacobian, whose columns are the tangents of unit vectors; these
/// against finite differences.
#[test]
fn the_log_determinant_is_that_of_the_jacobian() {
    for case in CASES {
        let (flow, _) = case.random(DType::F64);
        let (x, d) = (case.batch(1, DType::F64, 7), case.dim());
        let (_, log_det) = flow.body().forward(&x).unwrap();
        let columns: Vec<f64> = (0..d)
            .flat_map(|i| {
                let unit =
                    Tensor::eye(d, DType::F64, &CPU).unwrap().narrow(0, i, 1).unwrap().reshape(x.dims()).unwrap();
                let (jet, _) = flow.body().jvp(&Jet::new(&x, &unit).unwrap()).unwrap();
                let tangent = entries(&jet.tangent().unwrap());
                let at = |h: f64| flow.body().forward(&(&x + (&unit * h).unwrap()).unwrap()).unwrap();
                let slope = |a: &Tensor, b: &Tensor| entries(&((a - b).unwrap() / 2e-5).unwrap());
                let (up, down) = (at(1e-5), at(-1e-5));
                assert_close(&format!("{}: column {i}", case.label()), &tangent, &slope(&up.0, &down.0));
                tangent
            })
            .collect();
        let jacobian = nalgebra::DMatrix::from_vec(d, d, columns);
        assert_close(&case.label(), &entries(&log_det), &[jacobian.determinant().abs().ln()]);
    }
}

/// From the moments alone, couplings being the identity at first, every actnorm starts where a first batch would put
/// it: the latent coordinates of the data have the prior's mean and standard deviation, channel by channel.
#[test]
fn a_flow_starts_at_the_datas_moments() {
    for case in CASES.iter().filter(|case| case.item.len() == 1) {
        let (flow, _) = case.fresh(DType::F64);
        let of = |key: u64| Key::new(key).uniform(case.item, DType::F32, &CPU).unwrap().to_dtype(DType::F64).unwrap();
        let (mean, std) = (of(2), (of(3) + 0.5).unwrap());
        for sign in [-1.0, 0.0, 1.0] {
            let x = (&mean + (&std * sign).unwrap()).unwrap().unsqueeze(0).unwrap();
            let z = entries(&flow.body().forward(&x).unwrap().0);
            let off = z.iter().map(|z| (z - sign * flow.prior().std()).abs()).fold(0.0, f64::max);
            assert!(off < 1e-6, "{}: {off}", case.label());
        }
    }
}

/// The reverse pass of the inverse, x̄·∂x/∂z, and the gradient of an energy in latent coordinates, against differences.
#[test]
fn the_inverse_has_a_reverse_pass() {
    for case in CASES {
        let (flow, _) = case.random(DType::F64);
        let z = Var::from_tensor(&Key::new(6).normal((2, case.dim()), DType::F64, &CPU).unwrap()).unwrap();
        let along = case.batch(2, DType::F64, 11);
        let (x, pull) = flow.body().inverse_vjp(&z.as_detached_tensor()).unwrap();
        assert!(largest(&x, &flow.body().inverse(&z).unwrap()) < 1e-12, "{}", case.label());
        let slope = numeric(&z, &|| inner(&flow.body().inverse(&z.as_detached_tensor())?, &along));
        assert_close(&case.label(), &entries(&pull(&along).unwrap()), &slope);
        let target = Gaussian::new(case.item, 0.4, 1.3, &Builder::new(Key::new(0), DType::F64, &CPU)).unwrap();
        let latent = neutra(&target, &flow).unwrap();
        let (value, grad) = latent.grad(&z.as_detached_tensor()).unwrap();
        // E(T(z)) + log|det ∂z/∂x| at T(z).
        let want = (target.energy(&x).unwrap() + flow.body().forward(&x).unwrap().1).unwrap();
        assert_close(&format!("{}: potential", case.label()), &entries(&value), &entries(&want));
        assert_close(
            &format!("{}: potential alone", case.label()),
            &entries(&latent.energy(&z).unwrap()),
            &entries(&want),
        );
        let slope = numeric(&z, &|| Ok(latent.energy(&z.as_detached_tensor())?.sum_all()?));
        assert_close(&format!("{}: slope", case.label()), &entries(&grad), &slope);
    }
}

/// ∇x E and v·∇x E agree, and so do their gradients with differences, in every parameter and in x; none is cut off.
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn all_derivatives_are_those_of_the_energy() {
    for case in CASES {
        let (flow, params) = case.random(DType::F64);
        let x = candle_core::Var::from_tensor(&case.batch(2, DType::F64, 8)).unwrap();
        let (v, score) = (case.batch(2, DType::F64, 9), Key::new(10).normal(2, DType::F64, &CPU).unwrap());
        let mut vars = params.weights.clone();
        vars.insert("x".into(), x.clone());
        let energy = || inner(&score, &flow.energy(&x)?);
        let by_grad = || {
            let (energy, grad) = flow.grad(&x)?;
            Ok((inner(&score, &energy)? + inner(&grad, &v)?)?)
        };
        let by_tangent = || {
            let (energy, slope) = flow.directional(&x, &v)?;
            Ok((inner(&score, &energy)? + slope.sum_all()?)?)
        };
        let by_curve = || {
            let [energy, slope, bend] = flow.curvature(&x, &v)?;
            Ok((inner(&score, &energy)? + (slope.sum_all()? + inner(&score, &bend)?)?)?)
        };
        let [energy_along, slope_along, bend_along] = flow.curvature(&x, &v).unwrap();
        let (energy_there, slope_there) = flow.directional(&x, &v).unwrap();
        assert_close(&case.label(), &entries(&energy_along), &entries(&energy_there));
        assert_close(&case.label(), &entries(&slope_along), &entries(&slope_there));
        let slope_at = |h: f64| flow.directional(&(x.as_tensor() + (&v * h)?)?, &v).map(|(_, slope)| slope);
        let bend = ((slope_at(1e-5).unwrap() - slope_at(-1e-5).unwrap()).unwrap() / 2e-5).unwrap();
        assert_close(&case.label(), &entries(&bend_along), &entries(&bend));
        let gap = number(&by_grad().unwrap()) - number(&by_tangent().unwrap());
        assert!(gap.abs() < 1e-9, "{}: {gap}", case.label());
        let (_, grad) = flow.grad(&x).unwrap();
        assert_close(&case.label(), &entries(&grad), &numeric(&x, &|| flow.energy(&x)?.sum_all().map_err(Into::into)));
        let losses: [(&str, &dyn Fn() -> ebm::Result<Tensor>); 4] =
            [("energy", &energy), ("gradient", &by_grad), ("tangent", &by_tangent), ("curve", &by_curve)];
        for (what, loss) in losses {
            for (name, gradient) in analytic(&vars, &loss().unwrap()) {
                let label = format!("{}: {what}, {name}", case.label());
                assert!(gradient.iter().any(|g| g.abs() > 1e-9), "{label} has no gradient");
                assert_close(&label, &gradient, &numeric(&vars[&name], loss));
            }
        }
    }
}

#[test]
fn what_cannot_be_coupled_is_refused_in_words() {
    let refused = |name: &str, item: &[usize]| {
        let build = FLOWS.iter().find(|(flow, _)| *flow == name).unwrap().1;
        let row = MODELS.iter().find(|row| row.name == name).unwrap();
        let context = Context { shape: item.to_vec(), classes: None, moments: None };
        let builder = Builder::new(Key::new(0), DType::F32, &CPU);
        build(&row.schema.defaults(), &context, &builder).err().unwrap().to_string()
    };
    assert!(refused("nice", &[1]).contains("two parts"));
    assert!(refused("real_nvp", &[1]).contains("[1]"));
    assert!(refused("glow", &[2]).contains("needs images"));
    assert!(refused("glow", &[1, 7, 7]).contains("even height and width"));
}

/// Far outside the box nothing of the spline's formulas may show, not even as a NaN in a gradient.
#[test]
fn a_spline_is_finite_and_the_identity_far_outside_its_box() {
    let case = Case { name: "spline", keys: "hidden = [6]\nactivation = \"swish\"\ncouplings = 1", item: &[2] };
    let (flow, params) = case.random(DType::F64);
    let x = Tensor::new(&[[60.0f64, 80.0], [-70.0, 0.3], [0.2, -90.0], [1e30, 1e30]], &CPU).unwrap();
    let (energy, grad) = flow.grad(&x).unwrap();
    let [_, slope, bend] = flow.curvature(&x, &x.ones_like().unwrap()).unwrap();
    let loss =
        (grad.narrow(0, 0, 3).unwrap().sum_all().unwrap() + slope.narrow(0, 0, 3).unwrap().sum_all().unwrap()).unwrap();
    for t in [&energy, &grad, &slope, &bend, &loss.reshape(1).unwrap()] {
        assert!(entries(t).iter().all(|v| v.is_finite()), "{t}");
    }
    for (name, gradient) in analytic(&params.weights, &loss) {
        assert!(gradient.iter().all(|g| g.is_finite()), "{name}");
    }
    // One coupling between two actnorms: where x leaves the box, z is affine in each coordinate.
    let z = |x: [f64; 2]| entries(&flow.body().forward(&Tensor::new(&[x], &CPU).unwrap()).unwrap().0);
    let (a, b, c) = (z([50.0, 60.0]), z([60.0, 70.0]), z([70.0, 80.0]));
    assert!((0..2).all(|i| (a[i] + c[i] - 2.0 * b[i]).abs() < 1e-9), "{a:?} {b:?} {c:?}");
    let back = flow.body().inverse(&Tensor::new(a.as_slice(), &CPU).unwrap().unsqueeze(0).unwrap()).unwrap();
    assert!(largest(&back, &Tensor::new(&[[50.0f64, 60.0]], &CPU).unwrap()) < 1e-9);
}
