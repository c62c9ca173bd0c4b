//! A classifier read as an energy (Grathwohl et al. 2020, "Your classifier is secretly an energy based model").

use std::sync::Arc;

use candle_core::{D, Tensor};

use super::{ANY_ITEMS, Capabilities, Energy, Form, ModelRow, OfNet, laplacian_along_axes, laplacian_axis_by_axis};
use crate::config::{Schema, decode};
use crate::nets::{Io, Jet, Network, Pass};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the model `classifier`.
    pub struct ClassifierConfig {
        /// K, the number of classes; 0 takes the data set's.
        classes: usize = 0;
    }
    parts {
        /// The network f: item -> K logits.
        net: "mlp" of crate::nets::schemas;
    }
}

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "classifier",
    about: "E(x) = -log Σ_y exp f(x)[y]: a classifier whose logits also give p(x); p(y|x) is their softmax",
    cite: "Grathwohl, Wang, Jacobsen, Duvenaud, Norouzi, Swersky 2020, \"Your classifier is secretly an energy based \
           model and you should treat it like one\", ICLR, eq. 6-7; arXiv 1912.03263",
    schema: Schema::of::<ClassifierConfig>(),
    init: &[("dataset", "digits")],
    example: "",
    items: ANY_ITEMS,
    build: |table, context, builder| {
        let config: ClassifierConfig = decode(table)?;
        let classes = if config.classes > 0 { config.classes } else { context.classes.unwrap_or(0) };
        if classes < 2 {
            return Err(Error::config(format!(
                "model `classifier` needs two classes or more, and the data set gives {classes}"
            ))
            .at("classes")
            .hint("choose a labelled data set, or set `model.classes`"));
        }
        if let Some(labels) = context.classes.filter(|labels| *labels > classes) {
            let what = format!("`model.classes = {classes}`, and the data set has {labels} classes");
            return Err(Error::config(what)
                .at("classes")
                .hint(format!("--set model.classes={labels}, or 0 for those of the data")));
        }
        let io = Io { input: context.shape.clone(), output: vec![classes] };
        let net = Network::new(&config.net, &io, &builder.sub("net"))?;
        Ok(Box::new(Classifier { net: Arc::new(net), pass: Pass::EVAL }))
    },
};

/// The energy of a classifier with logits f(x), `E(x) = -log Σ_y exp f(x)[y]`, with `log p(y|x) = f(x)[y] + E(x)`
/// (Grathwohl et al. 2020, "Your classifier is secretly an energy based model").
pub struct Classifier {
    net: Arc<Network>,
    pass: Pass<'static>,
}

/// The energy -log Σ exp of logits: `[B, K]` -> `[B]`.
pub fn energy_of(logits: &Tensor) -> Result<Tensor> {
    Ok(logits.log_sum_exp(D::Minus1)?.neg()?)
}

/// The probabilities p(y|x) of logits, `[B, K]`.
fn softmax(logits: &Tensor) -> Result<Tensor> {
    Ok(candle_nn::ops::softmax(logits, D::Minus1)?)
}

impl Classifier {
    /// The logits, and the slope of the energy along v.
    fn along(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 2]> {
        let jet = self.net.jvp(&Jet::new(x, v)?, self.pass)?;
        let logits = jet.value()?;
        let slope = (softmax(&logits)? * jet.tangent()?)?.sum(D::Minus1)?.neg()?;
        Ok([logits, slope])
    }
}

impl Energy for Classifier {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        energy_of(&self.net.forward(x, self.pass)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (logits, pull) = self.net.vjp(x, self.pass)?;
        Ok((energy_of(&logits)?, pull(&softmax(&logits)?.neg()?)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let [logits, slope] = self.along(x, v)?;
        Ok((energy_of(&logits)?, slope))
    }

    /// The curvature along v: with z(t) = f(x + tv) and p its softmax, -(log Σ exp z)″ = -(p·z″ + p·z′² - (p·z′)²).
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [logits, first, second] = self.net.curve(x, v, self.pass)?;
        let p = softmax(&logits)?;
        let mean = |of: &Tensor| -> Result<Tensor> { Ok((&p * of)?.sum(D::Minus1)?) };
        let (slope, square) = (mean(&first)?, mean(&(first.sqr()? + second)?)?);
        Ok([energy_of(&logits)?, slope.neg()?, (slope.sqr()? - square)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for Classifier {
    fn logits(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.net.forward(x, self.pass).map(Some)
    }

    fn logits_along(&self, x: &Tensor, v: &Tensor) -> Result<Option<[Tensor; 2]>> {
        self.along(x, v).map(Some)
    }

    fn features(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.net.features(x)
    }

    fn form(&self) -> Option<Form<'_>> {
        Some(Form { net: Some(&*self.net), of_net: OfNet::Logits, normal: None, ladder: None })
    }

    fn given(&self, y: &Tensor) -> Option<Box<dyn Energy>> {
        Some(Box::new(OfClass { net: self.net.clone(), y: y.clone(), pass: self.pass }))
    }

    fn in_training(&self, key: Key) -> Option<Box<dyn Capabilities>> {
        Some(Box::new(Classifier { net: self.net.clone(), pass: Pass::train(key) }))
    }

    fn after_update(&self) -> Result<()> {
        self.net.power_iterate()
    }

    fn calibrate(&self, items: &dyn Fn() -> Result<Tensor>) -> Result<()> {
        self.net.calibrate(items)
    }
}

/// The energy of x within a class, E(x|y) = -f(x)[y], so that p(x|y) ∝ exp(f(x)[y]), with one label an item.
struct OfClass {
    net: Arc<Network>,
    y: Tensor,
    pass: Pass<'static>,
}

impl OfClass {
    /// The entries -v[y] of values `[B, K]` at the labels, `[B]`.
    fn pick(&self, v: &Tensor) -> Result<Tensor> {
        Ok(v.gather(&self.y.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?)
    }
}

impl Energy for OfClass {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.pick(&self.net.forward(x, self.pass)?)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (logits, pull) = self.net.vjp(x, self.pass)?;
        let classes = Tensor::arange(0u32, logits.dim(1)? as u32, logits.device())?;
        let minus_one = self.y.unsqueeze(1)?.broadcast_eq(&classes.unsqueeze(0)?)?.to_dtype(logits.dtype())?.neg()?;
        Ok((self.pick(&logits)?, pull(&minus_one)?))
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let jet = self.net.jvp(&Jet::new(x, v)?, self.pass)?;
        Ok((self.pick(&jet.value()?)?, self.pick(&jet.tangent()?)?))
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let [logits, first, second] = self.net.curve(x, v, self.pass)?;
        Ok([self.pick(&logits)?, self.pick(&first)?, self.pick(&second)?])
    }

    /// The Laplacian by one axis a pass, since the labels belong to the rows.
    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_axis_by_axis(self, x)
    }
}
