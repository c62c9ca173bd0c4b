//! Step sizes and scales that a warm-up tunes.

use super::*;

/// A sampler with a warm-up, by its configuration.
fn warmed(name: &str, keys: &[(&str, toml::Value)]) -> Sampler {
    let row = SAMPLERS.iter().find(|row| row.name == name).unwrap();
    let mut table = row.schema.defaults();
    table.insert("name".into(), name.into());
    keys.iter().for_each(|(k, v)| drop(table.insert((*k).into(), v.clone())));
    Sampler { kernel: (row.build)(&table).unwrap(), config: decode(&table).unwrap(), warm_up: decode(&table).unwrap() }
}

/// N(0, diag(0.1², 1, 5²)) as a Gaussian and a map would make it: E by hand.
struct Stretched;

const SPREAD: [f64; 3] = [0.1, 1.0, 5.0];

impl Energy for Stretched {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok((x.broadcast_div(&Tensor::new(&SPREAD, &CPU)?)?.sqr()?.sum(1)? * 0.5)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.energy(x)?, x.broadcast_div(&Tensor::new(&SPREAD.map(|s| s * s), &CPU)?)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        slope_of_grad(self, x, v)
    }

    fn curvature(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 3]> {
        Err(ebm::Error::Other("not needed".into()))
    }

    fn laplacian(&self, _: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        Err(ebm::Error::Other("not needed".into()))
    }
}

#[test]
fn a_warm_up_meets_its_acceptance_learns_the_scales_and_then_stays_exact() {
    let start = Key::new(1).normal((500, 3), DType::F64, &CPU).unwrap();
    for (name, target) in [("mala", 0.574), ("hmc", 0.8), ("rwm", 0.3)] {
        for first in [0.001, 3.0] {
            let keys = [("step_size", first), ("target_accept", target)].map(|(k, v)| (k, v.into()));
            let more = [("warm_up", 800.into()), ("adapt_mass", true.into()), ("steps", 200.into())];
            // One leapfrog step: with more, the acceptance on a Gaussian rises again where trajectories come round.
            let once = [("leapfrog", 1.into())];
            let own = if name == "hmc" { &once[..] } else { &[] };
            let sampler = warmed(name, &[&keys[..], &more, own].concat());
            let run = || sampler.run(Key::new(2), &Target::new(&Stretched), &start, |_, _| Ok(())).unwrap();
            let trace = run();
            let accept = trace.accept.unwrap();
            assert!((accept - target).abs() < 0.05, "{name} from {first}: acceptance {accept}");
            let tuning = trace.tuning.unwrap();
            let scale = tuning.scale.unwrap().to_vec1::<f64>().unwrap();
            for (found, truth) in scale.iter().zip(SPREAD) {
                assert!((found / truth - 1.0).abs() < 0.1, "{name} from {first}: scales {scale:?}");
            }
            let again = run();
            assert_eq!(rows(&trace.chain.x), rows(&again.chain.x), "{name}: a warm-up is no function of its key");
            for (j, sd) in SPREAD.iter().enumerate() {
                let square: Vec<f64> = rows(&trace.chain.x).iter().map(|x| (x[j] / sd).powi(2)).collect();
                let z = (ebm::math::stats::mean(&square) - 1.0) / ebm::math::stats::std_error(&square);
                assert!(z.abs() < 4.0, "{name}, coordinate {j}: z = {z}");
            }
        }
    }
    // A kernel without a step size takes no notice.
    let kernel = Box::new(Imh { fill: Need::Value });
    let sampler =
        Sampler { kernel, config: ChainConfig::default(), warm_up: WarmUp { warm_up: 5, ..WarmUp::default() } };
    let x = Mixture::new().sample(Key::new(1), 3).unwrap();
    assert!(sampler.run(Key::new(2), &Mixture::new().target(), &x, |_, _| Ok(())).unwrap().tuning.is_none());
}
