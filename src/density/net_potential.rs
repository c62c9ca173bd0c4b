//! A number an item from a network: its own, or one made of what it gives for the item.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::by_row;
use crate::nets::{Io, Jet, Network, Pass};
use crate::{Result, ops};

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

impl PotentialForm {
    /// The shapes of the network for items of the shape `item`, which it reads as `input`.
    pub fn io(self, input: &[usize], item: &[usize]) -> Io {
        match self {
            PotentialForm::Scalar => Io::scalar(input),
            PotentialForm::Dot | PotentialForm::Square => Io { input: input.to_vec(), output: item.to_vec() },
        }
    }
}

/// The potential V(x) of a network. What a network from items to items gives is part of the gradient itself (Salimans &
/// Ho 2021, "Should EBMs model the energy or the score?"; Wang & Du 2025, "Equilibrium Matching").
///
/// # Shapes
/// x `[B, C + F, ..]`, items `[B, C, ..]` with F channels beside them that no derivative is asked for; V `[B]`.
pub struct NetPotential {
    net: Network,
    form: PotentialForm,
    /// C.
    channels: usize,
}

impl NetPotential {
    /// The potential of a network with the shapes of [`PotentialForm::io`], for items of the shape `item`.
    pub fn new(net: Network, form: PotentialForm, item: &[usize]) -> Self {
        NetPotential { net, form, channels: item.first().copied().unwrap_or(1) }
    }

    /// The network.
    pub fn net(&self) -> &Network {
        &self.net
    }

    /// The way from the network to the potential.
    pub fn form(&self) -> PotentialForm {
        self.form
    }

    /// V at x.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn value(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        self.of(x, &self.net.forward(x, pass)?)
    }

    /// V, and the gradient of Σ w V in the items, `[B, C, ..]`, for weights w `[B]`, or 1; both are differentiable in
    /// the parameters.
    ///
    /// # Errors
    /// As [`Network::vjp`].
    pub fn grad(&self, x: &Tensor, weight: Option<&Tensor>, pass: Pass) -> Result<(Tensor, Tensor)> {
        let (y, pull) = self.net.vjp(x, pass)?;
        let weighed = |t: &Tensor| weight.map_or_else(|| Ok(t.clone()), |w| by_row(t, w));
        let of_item = |cotangent: &Tensor| self.item(&pull(cotangent)?);
        let grad = match self.form {
            PotentialForm::Scalar => of_item(&weight.map_or_else(|| y.ones_like(), |w| Ok(w.clone()))?)?,
            PotentialForm::Dot => (of_item(&weighed(&self.item(x)?)?)? + weighed(&y)?)?.neg()?,
            PotentialForm::Square => of_item(&weighed(&y)?)?,
        };
        Ok((self.of(x, &y)?, grad))
    }

    /// V, and -2 w f under [`PotentialForm::Dot`], `[B, C, ..]`: the gradient of w V wherever f is a gradient and
    /// f(ax) = a f(x), without a derivative in x. `None` for other forms.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn field(&self, x: &Tensor, weight: &Tensor, pass: Pass) -> Result<Option<(Tensor, Tensor)>> {
        if self.form != PotentialForm::Dot {
            return Ok(None);
        }
        let y = self.net.forward(x, pass)?;
        Ok(Some((self.of(x, &y)?, by_row(&y, weight)?.affine(-2.0, 0.0)?)))
    }

    /// V and its tangent.
    ///
    /// # Errors
    /// As [`Network::jvp`].
    pub fn jvp(&self, x: &Jet, pass: Pass) -> Result<[Tensor; 2]> {
        let jet = self.net.jvp(x, pass)?;
        let (at, y, first) = (x.value()?, jet.value()?, jet.tangent()?);
        Ok([self.of(&at, &y)?, self.slope([&at, &x.tangent()?], [&y, &first])?])
    }

    /// V, its slope and its curvature along v.
    ///
    /// # Errors
    /// As [`Network::curve`].
    pub fn curve(&self, x: &Tensor, v: &Tensor, pass: Pass) -> Result<[Tensor; 3]> {
        let [y, first, second] = self.net.curve(x, v, pass)?;
        let bend = match self.form {
            PotentialForm::Scalar => second,
            PotentialForm::Dot => {
                let [x, v] = [self.item(x)?, self.item(v)?];
                (ops::dot(&second, &x)? + (ops::dot(&first, &v)? * 2.0)?)?.neg()?
            }
            PotentialForm::Square => (ops::dot(&first, &first)? + ops::dot(&y, &second)?)?,
        };
        Ok([self.of(x, &y)?, self.slope([x, v], [&y, &first])?, bend])
    }

    /// The channels of the items.
    fn item(&self, x: &Tensor) -> Result<Tensor> {
        if x.dim(1)? == self.channels { Ok(x.clone()) } else { Ok(x.narrow(1, 0, self.channels)?) }
    }

    /// V from the network's output at x.
    fn of(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        Ok(match self.form {
            PotentialForm::Scalar => y.clone(),
            PotentialForm::Dot => ops::dot(y, &self.item(x)?)?.neg()?,
            PotentialForm::Square => (ops::dot(y, y)? * 0.5)?,
        })
    }

    /// v·∇V from the network's output and its tangent along v.
    fn slope(&self, [x, v]: [&Tensor; 2], [y, first]: [&Tensor; 2]) -> Result<Tensor> {
        Ok(match self.form {
            PotentialForm::Scalar => first.clone(),
            PotentialForm::Dot => (ops::dot(first, &self.item(x)?)? + ops::dot(y, &self.item(v)?)?)?.neg()?,
            PotentialForm::Square => ops::dot(y, first)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::config::Spec;
    use crate::nets::{self, Builder};
    use crate::rng::Key;

    /// f(x) = Ax with a symmetric A is the gradient of ½⟨Ax, x⟩ and linear; with another A it is no gradient.
    #[test]
    fn the_field_is_the_gradient_of_a_linear_gradient() {
        let linear = Spec::of_text(nets::schemas, "mlp", "hidden = []").unwrap();
        let key = Key::new(1);
        let potential = |form: PotentialForm, symmetric: bool| {
            let builder = Builder::new(key, DType::F64, &Device::Cpu);
            let net = Network::new(&linear, &form.io(&[3], &[3]), &builder).unwrap();
            for (name, weight) in builder.finish().weights {
                let a = key.with("a").normal(weight.dims().to_vec(), DType::F64, &Device::Cpu).unwrap();
                let a = if name.ends_with("bias") { a.zeros_like().unwrap() } else { a };
                let a = if symmetric && a.rank() == 2 { (a.t().unwrap() + &a).unwrap() } else { a };
                ops::assign(&weight, &a.contiguous().unwrap()).unwrap();
            }
            NetPotential::new(net, form, &[3])
        };
        let [x, w] = [vec![5, 3], vec![5]].map(|shape| key.with("x").normal(shape, DType::F64, &Device::Cpu).unwrap());
        let apart = |symmetric| {
            let dot = potential(PotentialForm::Dot, symmetric);
            let (value, field) = dot.field(&x, &w, Pass::EVAL).unwrap().unwrap();
            let (same, grad) = dot.grad(&x, Some(&w), Pass::EVAL).unwrap();
            let most =
                |a: &Tensor, b: &Tensor| (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(most(&value, &same) < 1e-12);
            most(&field, &grad)
        };
        assert!(apart(true) < 1e-12 && apart(false) > 0.1, "{} and {}", apart(true), apart(false));
        assert!(potential(PotentialForm::Square, true).field(&x, &w, Pass::EVAL).unwrap().is_none());
    }
}
