//! The element-wise non-linearities as layers.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Builder, Curve, Gradients, Init, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::ops::{Activation, activate, activate_curve, activate_jet, activate_pullback, repeated};
use crate::{Error, Result};

/// The names by which a configuration chooses a non-linearity σ: ℝ → ℝ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonlinearName {
    /// Swish, u·sigmoid(u), also called SiLU.
    Swish,
    /// Softplus, log(1 + eᵘ).
    Softplus,
    /// The leaky rectifier, max(u, 0.2 u), with the slope that the image EBMs of the literature use.
    LeakyRelu,
    /// The hyperbolic tangent, tanh u.
    Tanh,
    /// The rectifier, max(u, 0).
    Relu,
    /// The exponential linear unit: u for u > 0, else eᵘ - 1.
    Elu,
    /// The sigmoid, 1 / (1 + e⁻ᵘ).
    Sigmoid,
}

impl NonlinearName {
    /// Every name.
    const ALL: [NonlinearName; 7] = [
        NonlinearName::Swish,
        NonlinearName::Softplus,
        NonlinearName::LeakyRelu,
        NonlinearName::Tanh,
        NonlinearName::Relu,
        NonlinearName::Elu,
        NonlinearName::Sigmoid,
    ];

    /// The name as a value of a configuration, if `function` has one.
    fn written(function: Activation) -> Option<toml::Value> {
        let name = Self::ALL.into_iter().find(|name| name.function() == function)?;
        toml::Value::try_from(name).ok()
    }

    /// The function that the name stands for.
    pub fn function(self) -> Activation {
        match self {
            NonlinearName::Swish => Activation::Swish,
            NonlinearName::Softplus => Activation::Softplus,
            NonlinearName::LeakyRelu => Activation::LeakyRelu(0.2),
            NonlinearName::Tanh => Activation::Tanh,
            NonlinearName::Relu => Activation::Relu,
            NonlinearName::Elu => Activation::Elu(1.0),
            NonlinearName::Sigmoid => Activation::Sigmoid,
        }
    }
}

/// The layer y = σ(h) for h of any shape, or swish with a learned β for each unit.
#[derive(Clone)]
pub enum Nonlinear {
    /// A fixed function σ.
    Fixed(Activation),
    /// Swish with a learned β `[D]` of any sign: y = h·sigmoid(βh) for h `[B, D]`, as in the released code of LSD.
    /// With z = βh and s = swish, ∂y/∂h = sigmoid(z) + z·sigmoid'(z) = s'(z): every derivative is one of swish, and
    /// nothing is divided by β.
    LearnedSwish {
        /// The learned β, `[D]`.
        beta: Tensor,
    },
}

impl Nonlinear {
    /// The non-linearity called `name`. `learned` gives swish a weight β `[units]`, initially 1.
    ///
    /// # Errors
    /// `learned` is asked for with anything but swish.
    pub fn new(builder: &Builder, name: NonlinearName, units: usize, learned: bool) -> Result<Self> {
        match (name, learned) {
            (_, false) => Ok(Nonlinear::Fixed(name.function())),
            (NonlinearName::Swish, true) => {
                Ok(Nonlinear::LearnedSwish { beta: builder.weight("beta", &[units], Init::Constant(1.0))? })
            }
            _ => Err(Error::config(
                "`learned_beta` belongs to swish: set `activation = \"swish\"` or `learned_beta = false`",
            )
            .at("learned_beta")),
        }
    }
}

impl Layer for Nonlinear {
    fn forward(&self, h: &Tensor, _: Pass) -> Result<Tensor> {
        match self {
            Nonlinear::Fixed(act) => activate(*act, h),
            Nonlinear::LearnedSwish { beta } => Ok((h * activate(Activation::Sigmoid, &scaled(h, beta)?)?)?),
        }
    }

    fn vjp<'a>(&'a self, h: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let y = self.forward(h, pass)?;
        let (act, z) = match self {
            Nonlinear::Fixed(act) => (*act, h.clone()),
            Nonlinear::LearnedSwish { beta } => (Activation::Swish, scaled(h, beta)?),
        };
        Ok((y, Box::new(move |g| activate_pullback(act, &z, g))))
    }

    fn jvp(&self, h: &Jet, pass: Pass) -> Result<Jet> {
        match self {
            Nonlinear::Fixed(act) => h.linear(|hh| activate_jet(*act, hh)),
            Nonlinear::LearnedSwish { beta } => {
                let value = h.value()?;
                let z = scaled(&value, beta)?;
                Jet::new(&self.forward(&value, pass)?, &activate_pullback(Activation::Swish, &z, &h.tangent()?)?)
            }
        }
    }

    fn record(&self, h: &Tensor, pass: Pass, tape: &mut Tape) -> Result<Tensor> {
        match self {
            Nonlinear::Fixed(act) => {
                tape.push(h.clone());
                activate(*act, h)
            }
            Nonlinear::LearnedSwish { .. } => tape.record_graph(h, |h| self.forward(h, pass)),
        }
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, grads: &mut Gradients, wanted: bool) -> Result<Option<Tensor>> {
        let pulled = match self {
            Nonlinear::Fixed(act) => {
                let h = tape.pop()?;
                wanted.then(|| activate_pullback(*act, &h, g)).transpose()
            }
            Nonlinear::LearnedSwish { .. } => tape.reverse_graph(g, grads).map(Some),
        };
        Ok(pulled?.filter(|_| wanted))
    }

    fn activation(&self) -> Option<Activation> {
        match self {
            Nonlinear::Fixed(act) => Some(*act),
            Nonlinear::LearnedSwish { .. } => None,
        }
    }

    /// The curve of the product of h and sigmoid(βh), which needs no division by β either.
    fn curve(&self, h: &Curve, _: Pass) -> Result<Curve> {
        let along = |act, h: &Curve| Ok(Curve::bent(activate_curve(act, h.stacked(), h.blocks())?));
        match self {
            Nonlinear::Fixed(act) => along(*act, h),
            Nonlinear::LearnedSwish { beta } => {
                h.times(&along(Activation::Sigmoid, &h.linear(|hh| scaled(hh, beta))?)?)
            }
        }
    }

    fn list(&self) -> Result<LayerList> {
        let function = match self {
            Nonlinear::Fixed(act) => *act,
            Nonlinear::LearnedSwish { .. } => Activation::Swish,
        };
        let name = NonlinearName::written(function)
            .ok_or_else(|| Error::Other(format!("the non-linearity {function:?} has no name in a list of layers")))?;
        Ok(match self {
            Nonlinear::Fixed(_) => LayerList::of("activation", &[("function", name)], &[]),
            Nonlinear::LearnedSwish { beta } => {
                let keys = [("function", name), ("learned_beta", true.into())];
                LayerList::of("activation", &keys, &[("beta", beta)])
            }
        })
    }
}

/// The argument z = βh of the sigmoid, `[B, D]`.
fn scaled(h: &Tensor, beta: &Tensor) -> Result<Tensor> {
    Ok((h * repeated(beta, h.dim(0)?)?)?)
}
