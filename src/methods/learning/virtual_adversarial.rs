//! Virtual adversarial training: p(y|x) is kept from changing where it would change most.

use candle_core::{D, Tensor};

use super::supervised;
use crate::config::rule;
use crate::density::Model;
use crate::metrics::{Number, Unit};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of virtual adversarial training.
    pub struct VirtualAdversarialConfig {
        /// Weight of mean KL(p(y|x) ‖ p(y|x + r)) over all items, labelled or not, with r the shift of an item that
        /// changes p(y|x) most: virtual adversarial training (Miyato et al. 2018: 1). 0 leaves it out.
        vat: f64 = 0.0, rule::non_negative;
        /// ε, the Euclidean length of r, in model space.
        vat_eps: f64 = 3.0, rule::positive;
        /// ξ, how far from the item the slope that r follows is taken.
        vat_xi: f64 = 10.0, rule::positive;
        /// Steps of the power iteration that finds r.
        vat_iterations: usize = 1, rule::at_least(1);
    }
}

/// The term's number.
pub(in crate::methods) const VAT: Number =
    Number::new("vat", Unit::Nats, "mean KL(p(y|x) ‖ p(y|x + r)), r the shift that changes p(y|x) most")
        .lower()
        .when("vat > 0");

/// The mean of KL(p(y|x) ‖ p(y|x + r)) over items, with |r| = ε along the direction that raises it most (Miyato,
/// Maeda, Koyama & Ishii 2018, "Virtual adversarial training", eq. 5-11). It needs no labels, and p(y|x) is held in it.
pub(in crate::methods) struct VirtualAdversarial(VirtualAdversarialConfig);

impl VirtualAdversarial {
    /// The term, if it has a weight.
    pub fn new(config: VirtualAdversarialConfig) -> Option<Self> {
        (config.vat > 0.0).then_some(VirtualAdversarial(config))
    }

    /// w, the weight of the term.
    pub fn weight(&self) -> f64 {
        self.0.vat
    }

    /// The term without its weight, a scalar, for items x whose logits `[B, K]` on the live model are known; `still` is
    /// the same function without a graph. One pass of the live model, and a gradient of the other for each iteration.
    ///
    /// # Errors
    /// The model is no classifier.
    pub fn loss(&self, key: Key, [live, still]: [&Model; 2], x: &Tensor, logits: &Tensor) -> Result<Tensor> {
        let log_p = candle_nn::ops::log_softmax(&logits.detach(), D::Minus1)?;
        let shifted = (x + self.shift(key, still, x, &log_p)?)?;
        divergence(&log_p, &supervised::logits(live, &shifted)?)
    }

    /// r, as x: ε times the unit vector along the slope of the divergence at x + ξd, with d a random unit vector or
    /// what the iteration before has found. An item whose p(y|x) does not change at all has r = 0.
    fn shift(&self, key: Key, still: &Model, x: &Tensor, log_p: &Tensor) -> Result<Tensor> {
        let mut d = unit(&key.normal(x.dims(), x.dtype(), x.device())?)?;
        for _ in 0..self.0.vat_iterations {
            let at = (x + (d * self.0.vat_xi)?)?;
            d = unit(&supervised::slope_of_logits(still, &at, |logits| divergence(log_p, logits))?)?;
        }
        Ok((d * self.0.vat_eps)?)
    }
}

/// Mean KL(p ‖ q) over items, a scalar, of log p `[B, K]`, and of q by its logits.
fn divergence(log_p: &Tensor, logits: &Tensor) -> Result<Tensor> {
    let log_q = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    Ok((log_p.exp()? * (log_p - log_q)?)?.sum(D::Minus1)?.mean_all()?)
}

/// Each item over its Euclidean length; an item of zeros stays as it is.
fn unit(x: &Tensor) -> Result<Tensor> {
    let rows = x.flatten_from(1)?;
    // By its largest number first: slopes may be so small that their squares are nothing.
    let rows = rows.broadcast_div(&rows.abs()?.max_keepdim(1)?.maximum(f32::MIN_POSITIVE)?)?;
    let length = rows.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(1f32)?;
    Ok(rows.broadcast_div(&length)?.reshape(x.shape())?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::config::Spec;
    use crate::density::{self, Context};

    const D: usize = 5;

    /// Two classes of D numbers by a linear network.
    fn linear() -> Model {
        let keys = "net = { name = \"mlp\", hidden = [] }";
        let context = Context { shape: vec![D], classes: Some(2), moments: None };
        let spec = Spec::of_text(density::schemas, "classifier", keys).unwrap();
        Model::new(&spec, &context, Key::new(1), DType::F64, &Device::Cpu).unwrap()
    }

    fn items(n: usize) -> Tensor {
        Key::new(2).normal((n, D), DType::F64, &Device::Cpu).unwrap()
    }

    fn term(eps: f64, xi: f64) -> VirtualAdversarial {
        let config = VirtualAdversarialConfig { vat: 1.0, vat_eps: eps, vat_xi: xi, vat_iterations: 1 };
        VirtualAdversarial::new(config).unwrap()
    }

    /// With two classes and linear logits p(y|x) depends on a = (w₁ - w₀)·x alone, so that r lies along ±(w₁ - w₀), to
    /// the side on which the random direction lay, and the divergence is that of two Bernoulli variables.
    #[test]
    fn a_linear_classifier_has_the_shift_and_the_divergence_of_the_closed_form() {
        let (model, x, eps) = (linear(), items(40), 0.7);
        let (still, term) = (model.frozen().unwrap(), term(eps, 0.3));
        let margin = |x: &Tensor| -> Vec<f64> {
            let rows = model.logits(x).unwrap().unwrap().to_vec2::<f64>().unwrap();
            rows.iter().map(|row| row[1] - row[0]).collect()
        };
        let origin = margin(&Tensor::zeros((1, D), DType::F64, &Device::Cpu).unwrap())[0];
        let along_axes = margin(&Tensor::eye(D, DType::F64, &Device::Cpu).unwrap());
        let length = along_axes.iter().map(|a| (a - origin).powi(2)).sum::<f64>().sqrt();
        let (logits, key) = (model.logits(&x).unwrap().unwrap(), Key::new(3));
        let log_p = candle_nn::ops::log_softmax(&logits, 1).unwrap();
        let shift = term.shift(key, &still, &x, &log_p).unwrap();
        let (before, after) = (margin(&x), margin(&(&x + &shift).unwrap()));
        let random = margin(&(&x + unit(&key.normal((40, D), DType::F64, &Device::Cpu).unwrap()).unwrap()).unwrap());
        let p = |a: f64| 1.0 / (1.0 + (-a).exp());
        let mut want = Vec::new();
        for ((a, b), along) in before.iter().zip(&after).zip(&random) {
            assert!((b - a - (along - a).signum() * eps * length).abs() < 1e-9, "{a} {b} {along} {length}");
            want.push(p(*a) * (p(*a) / p(*b)).ln() + p(-a) * (p(-a) / p(-b)).ln());
        }
        let found = term.loss(key, [&model, &still], &x, &logits).unwrap().to_scalar::<f64>().unwrap();
        assert!((found - crate::math::stats::mean(&want)).abs() < 1e-12 && found > 1e-3, "{found}");
    }

    /// The gradient in the weights is that of the divergence with p(y|x) and r held.
    #[test]
    fn neither_the_prediction_nor_the_shift_is_differentiated() {
        let (model, x, key) = (linear(), items(6), Key::new(3));
        let (still, term) = (model.frozen().unwrap(), term(0.7, 0.3));
        let logits = model.logits(&x).unwrap().unwrap();
        let found = term.loss(key, [&model, &still], &x, &logits).unwrap().backward().unwrap();
        let log_p = candle_nn::ops::log_softmax(&logits.detach(), 1).unwrap();
        let shifted = (&x + term.shift(key, &still, &x, &log_p).unwrap()).unwrap();
        let want = divergence(&log_p, &model.logits(&shifted).unwrap().unwrap()).unwrap().backward().unwrap();
        for (name, weight) in &model.params().weights {
            let [found, want] = [&found, &want].map(|slopes| slopes.get(weight).unwrap());
            let apart = (found - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(apart < 1e-14, "{name}: {apart}");
        }
    }

    #[test]
    fn lengths_of_tiny_rows_are_one_and_zeros_stay() {
        let x = Tensor::new(&[[3e-30f32, 4e-30], [0.0, 0.0], [-3.0, 4.0]], &Device::Cpu).unwrap();
        let rows = unit(&x).unwrap().to_vec2::<f32>().unwrap();
        for (have, want) in rows.iter().flatten().zip([0.6, 0.8, 0.0, 0.0, -0.6, 0.8]) {
            assert!((have - want).abs() < 1e-6, "{rows:?}");
        }
    }
}
