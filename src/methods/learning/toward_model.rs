//! A base density that goes on learning from the energy that tilts it (Xiao et al. 2021, table 4: an ablation).

use candle_core::Tensor;

use crate::density::{Energy as _, Model, Space};
use crate::{Error, Result, rng::Key};

/// A scalar whose gradient in the base's weights θ is that of KL(p_θ ‖ h) for n draws x = T_θ(ε) of the base, with the
/// model h ∝ exp(-f) p_θ held: that of mean f(T_θ(ε)), since KL(p_θ ‖ p_θ') is least at θ' = θ.
///
/// `live` gives draws that follow its weights, `still` the slope of f at them.
///
/// # Errors
/// The model tilts no density with a noise space; a tensor operation fails.
pub(in crate::methods) fn gap(live: &Model, still: &Model, key: Key, n: usize) -> Result<Tensor> {
    let space = live.noise_space(Space::Noise).ok_or_else(|| Error::Other("a base without a noise space".into()))?;
    let x = space.push(&space.start(key, n)?)?;
    let tilt = still.tilt().ok_or_else(|| Error::Other("a model that tilts nothing".into()))?;
    let slope = tilt.grad(&x.detach())?.1.detach();
    Ok(((x * slope)?.sum_all()? / n as f64)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::config::Spec;
    use crate::density::{self, Context};
    use crate::ops;

    const ITEMS: usize = 40;

    fn tilted() -> Model {
        let keys = r#"net = { name = "mlp", hidden = [6], activation = "tanh" }
                      [base]
                      name = "vae"
                      latent = 2
                      encoder = { name = "mlp", hidden = [5] }
                      decoder = { name = "mlp", hidden = [5], activation = "tanh" }"#;
        let spec = Spec::of_text(density::schemas, "tilted", keys).unwrap();
        let context = Context { shape: vec![3], classes: None, moments: None };
        Model::new(&spec, &context, Key::new(1), DType::F64, &Device::Cpu).unwrap()
    }

    /// The mean of f over the same draws, with the weights as they are.
    fn mean_tilt(model: &Model, key: Key) -> f64 {
        let space = model.noise_space(Space::Noise).unwrap();
        let x = space.push(&space.start(key, ITEMS).unwrap()).unwrap();
        model.residual(&x).unwrap().mean_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_gradient_is_that_of_the_mean_tilt_over_draws() {
        let (model, key) = (tilted(), Key::new(2));
        let gradient = gap(&model, &model.frozen().unwrap(), key, ITEMS).unwrap().backward().unwrap();
        let of_decoder = |name: &str| name.starts_with("base.decoder");
        let (mut along, mut found) = (Vec::new(), 0.0);
        for (name, weight) in &model.params().weights {
            match gradient.get(weight) {
                Some(slope) if of_decoder(name) => {
                    found += slope.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
                    along.push((weight, weight.as_tensor().copy().unwrap(), slope.clone()));
                }
                slope => assert!(slope.is_none(), "{name} learns from it"),
            }
        }
        let at = |h: f64| {
            for (weight, before, slope) in &along {
                ops::assign(weight, &(before + (slope * h).unwrap()).unwrap()).unwrap();
            }
            mean_tilt(&model, key)
        };
        let (h, parts) = (1e-4, along.len());
        let slope = (at(h) - at(-h)) / (2.0 * h);
        assert!(parts >= 4 && found > 1e-6 && (slope - found).abs() < 1e-6 * found, "{parts}: {slope} and {found}");
    }
}
