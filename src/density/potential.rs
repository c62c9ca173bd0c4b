//! A potential over a temperature, E = V/T, as methods that learn a velocity -∇V have it.

use std::sync::Arc;

use candle_core::Tensor;

use super::{
    ANY_ITEMS, Capabilities, Energy, Form, ModelRow, NetPotential, OfNet, PotentialForm, laplacian_along_axes,
};
use crate::config::{Schema, decode, rule};
use crate::nets::{Jet, Network, Pass};
use crate::{Result, rng::Key};

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
        let item = &context.shape;
        let net = Network::new(&net, &form.io(item, item), &builder.sub("net"))?;
        let net = Arc::new(NetPotential::new(net, form, item));
        Ok(Box::new(OfPotential { net, factor: scale / temperature, pass: Pass::EVAL }))
    },
};

/// The energy s V(x)/T.
struct OfPotential {
    net: Arc<NetPotential>,
    /// s/T.
    factor: f64,
    pass: Pass<'static>,
}

impl Energy for OfPotential {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        Ok((self.net.value(x, self.pass)? * self.factor)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (value, grad) = self.net.grad(x, None, self.pass)?;
        Ok(((value * self.factor)?, (grad * self.factor)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let [value, slope] = self.net.jvp(&Jet::new(x, v)?, self.pass)?;
        Ok(((value * self.factor)?, (slope * self.factor)?))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [value, slope, bend] = self.net.curve(x, v, self.pass)?;
        Ok([(value * self.factor)?, (slope * self.factor)?, (bend * self.factor)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for OfPotential {
    fn form(&self) -> Option<Form<'_>> {
        let of_net = OfNet::Potential(self.net.form(), self.factor);
        Some(Form { net: Some(self.net.net()), of_net, normal: None, ladder: None })
    }

    fn in_training(&self, key: Key) -> Option<Box<dyn Capabilities>> {
        let net = self.net.clone();
        Some(Box::new(OfPotential { net, pass: Pass::train(key), factor: self.factor }))
    }

    fn after_update(&self) -> Result<()> {
        self.net.net().power_iterate()
    }

    fn calibrate(&self, items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        self.net.net().calibrate(items)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::config::Spec;
    use crate::density::{Context, Model};
    use crate::ops;

    /// Derivatives against differences, of every form.
    #[test]
    fn slopes_and_curvatures_are_those_of_the_energy() {
        for form in ["scalar", "dot", "square"] {
            let keys = format!("form = \"{form}\"\nscale = 2.0\nnet = {{ name = \"mlp\", hidden = [5] }}");
            let spec = Spec::of_text(crate::density::schemas, "potential", &keys).unwrap();
            let context = Context { shape: vec![3], classes: None, moments: None };
            let model = Model::new(&spec, &context, Key::new(1), DType::F64, &Device::Cpu).unwrap();
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
