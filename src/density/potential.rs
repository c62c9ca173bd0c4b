//! A potential over a temperature, E = V/T, as methods that learn a velocity -∇V have it.

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{ANY_ITEMS, Capabilities, Energy, ModelRow, laplacian_along_axes};
use crate::config::{Schema, decode, rule};
use crate::nets::{Io, Jet, Network, Pass};
use crate::{Result, ops, rng::Key};

/// The way from a network to a potential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PotentialForm {
    /// V = g(x), a number an item.
    #[default]
    Scalar,
    /// V = -⟨f(x), x⟩, f of an item's shape.
    Dot,
    /// V = ½|f(x)|².
    Square,
}

crate::config! {
    /// Keys of the model `potential`.
    pub struct PotentialConfig {
        /// V: scalar (a number of the network), dot (-⟨f(x), x⟩) or square (½|f(x)|²), where f is a network from items
        /// to items. Nothing makes exp(-V/T) integrable.
        form: PotentialForm = PotentialForm::Scalar;
        /// T in E = V/T. Of `energy_matching` that is its `epsilon`.
        temperature: f64 = 0.15, rule::positive;
        /// V is the network's times this (Balcerak et al. on images: 1000).
        scale: f64 = 1.0, rule::positive;
    }
    parts {
        /// The network: item -> scalar, or item -> item.
        net: "mlp" of crate::nets::schemas;
    }
}

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "potential",
    about: "E(x) = V(x)/T without a base density: V a network, or -⟨f(x), x⟩ or ½|f(x)|² of one from items to items",
    cite: "Balcerak et al. 2025, \"Energy Matching\"; arXiv 2504.10612; dot and square: Wang & Du 2025, \"Equilibrium \
           Matching\"; arXiv 2510.02300",
    schema: Schema::of::<PotentialConfig>(),
    init: &[],
    example: "form = \"dot\"",
    items: ANY_ITEMS,
    build: |table, context, builder| {
        let PotentialConfig { form, temperature, scale, net } = decode(table)?;
        let io = match form {
            PotentialForm::Scalar => Io::scalar(&context.shape),
            PotentialForm::Dot | PotentialForm::Square => Io::field(&context.shape),
        };
        let net = Arc::new(Network::new(&net, &io, &builder.sub("net"))?);
        Ok(Box::new(OfPotential { net, form, factor: scale / temperature, pass: Pass::EVAL }))
    },
};

/// The energy s V(x)/T.
struct OfPotential {
    net: Arc<Network>,
    form: PotentialForm,
    /// s/T.
    factor: f64,
    pass: Pass<'static>,
}

impl OfPotential {
    /// E from the network's value at x.
    fn of(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let (v, times) = match self.form {
            PotentialForm::Scalar => (y.clone(), 1.0),
            PotentialForm::Dot => (ops::dot(y, x)?, -1.0),
            PotentialForm::Square => (ops::dot(y, y)?, 0.5),
        };
        Ok(v.affine(times * self.factor, 0.0)?)
    }

    /// v·∇E from the network's value and slope along v.
    fn slope(&self, [x, v]: [&Tensor; 2], [y, first]: [&Tensor; 2]) -> Result<Tensor> {
        let slope = match self.form {
            PotentialForm::Scalar => first.clone(),
            PotentialForm::Dot => (ops::dot(first, x)? + ops::dot(y, v)?)?.neg()?,
            PotentialForm::Square => ops::dot(y, first)?,
        };
        Ok((slope * self.factor)?)
    }
}

impl Energy for OfPotential {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.of(x, &self.net.forward(x, self.pass)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (y, pull) = self.net.vjp(x, self.pass)?;
        let grad = match self.form {
            PotentialForm::Scalar => pull(&y.ones_like()?)?,
            PotentialForm::Dot => (pull(x)? + &y)?.neg()?,
            PotentialForm::Square => pull(&y)?,
        };
        Ok((self.of(x, &y)?, (grad * self.factor)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let jet = self.net.jvp(&Jet::new(x, v)?, self.pass)?;
        let (y, first) = (jet.value()?, jet.tangent()?);
        Ok((self.of(x, &y)?, self.slope([x, v], [&y, &first])?))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [y, first, second] = self.net.curve(x, v, self.pass)?;
        let bend = match self.form {
            PotentialForm::Scalar => second,
            PotentialForm::Dot => (ops::dot(&second, x)? + (ops::dot(&first, v)? * 2.0)?)?.neg()?,
            PotentialForm::Square => (ops::dot(&first, &first)? + ops::dot(&y, &second)?)?,
        };
        Ok([self.of(x, &y)?, self.slope([x, v], [&y, &first])?, (bend * self.factor)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for OfPotential {
    fn in_training(&self, key: Key) -> Option<Box<dyn Capabilities>> {
        let net = self.net.clone();
        Some(Box::new(OfPotential { net, pass: Pass::train(key), form: self.form, factor: self.factor }))
    }

    fn after_update(&self) -> Result<()> {
        self.net.power_iterate()
    }

    fn calibrate(&self, items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        self.net.calibrate(items)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::config::Spec;
    use crate::density::{Context, Model};

    /// Derivatives against differences, of every form.
    #[test]
    fn slopes_and_curvatures_are_those_of_the_energy() {
        for form in ["scalar", "dot", "square"] {
            let keys = format!("form = \"{form}\"\nscale = 2.0\nnet = {{ name = \"mlp\", hidden = [5] }}");
            let mut table = ENTRY.schema.decode(&keys.parse().unwrap()).unwrap();
            table.insert("name".into(), "potential".into());
            let context = Context { shape: vec![3], classes: None, moments: None };
            let model = Model::new(&Spec::new(table), &context, Key::new(1), DType::F64, &Device::Cpu).unwrap();
            let [x, v] =
                ["x", "v"].map(|name| Key::new(2).with(name).normal((4, 3), DType::F64, &Device::Cpu).unwrap());
            let at = |h: f64| model.energy(&(&x + (&v * h).unwrap()).unwrap()).unwrap().to_vec1::<f64>().unwrap();
            let (h, up, here, down) = (1e-4, at(1e-4), at(0.0), at(-1e-4));
            let [_, slope, bend] = model.curvature(&x, &v).unwrap().map(|t| t.to_vec1::<f64>().unwrap());
            let along = ops::dot(&model.grad(&x).unwrap().1, &v).unwrap().to_vec1::<f64>().unwrap();
            let tangent = model.directional(&x, &v).unwrap().1.to_vec1::<f64>().unwrap();
            for i in 0..4 {
                let (first, second) = ((up[i] - down[i]) / (2.0 * h), (up[i] - 2.0 * here[i] + down[i]) / (h * h));
                for have in [slope[i], along[i], tangent[i]] {
                    assert!((have - first).abs() < 1e-5 * (1.0 + first.abs()), "{form}: {have} and {first}");
                }
                assert!((bend[i] - second).abs() < 1e-4 * (1.0 + second.abs()), "{form}: {} and {second}", bend[i]);
            }
        }
    }
}
