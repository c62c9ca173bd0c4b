//! The residual connection.

use candle_core::Tensor;

use super::{Curve, Gradients, Jet, Layer, LayerList, Pass, Pullback, Tape};
use crate::{Result, ops};

/// The layer y = s(x) + f(x), with s the identity unless f changes the shape (He et al. 2016).
pub struct Residual {
    body: Box<dyn Layer>,
    shortcut: Option<Box<dyn Layer>>,
}

impl Residual {
    /// The layer x + f(x), with f = `body`.
    pub fn new(body: impl Layer + 'static) -> Self {
        Residual { body: Box::new(body), shortcut: None }
    }

    /// The layer s(x) + f(x), with s = `shortcut`.
    pub fn with_shortcut(mut self, shortcut: impl Layer + 'static) -> Self {
        self.shortcut = Some(Box::new(shortcut));
        self
    }
}

impl Layer for Residual {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let y = self.body.forward(x, pass)?;
        match &self.shortcut {
            None => ops::add(x, &y),
            Some(s) => ops::add(&s.forward(x, pass)?, &y),
        }
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let (y, pull) = self.body.vjp(x, pass)?;
        Ok(match &self.shortcut {
            None => (ops::add(x, &y)?, Box::new(move |g| ops::add(g, &pull(g)?))),
            Some(s) => {
                let (z, along) = s.vjp(x, pass)?;
                (ops::add(&z, &y)?, Box::new(move |g| ops::add(&along(g)?, &pull(g)?)))
            }
        })
    }

    fn record(&self, x: &Tensor, pass: Pass, tape: &mut Tape) -> Result<Tensor> {
        let y = self.body.record(x, pass, tape)?;
        match &self.shortcut {
            None => ops::add(x, &y),
            Some(s) => ops::add(&s.record(x, pass, tape)?, &y),
        }
    }

    fn reverse(&self, g: &Tensor, tape: &mut Tape, grads: &mut Gradients, wanted: bool) -> Result<Option<Tensor>> {
        let along = match &self.shortcut {
            None => wanted.then(|| g.clone()),
            Some(s) => s.reverse(g, tape, grads, wanted)?,
        };
        let through = self.body.reverse(g, tape, grads, wanted)?;
        along.zip(through).map(|(along, through)| ops::add(&along, &through)).transpose()
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        let y = self.body.jvp(x, pass)?;
        Ok(Jet::from_stacked(match &self.shortcut {
            None => ops::add(x.stacked(), y.stacked())?,
            Some(s) => ops::add(s.jvp(x, pass)?.stacked(), y.stacked())?,
        }))
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        let y = self.body.curve(x, pass)?;
        match &self.shortcut {
            None => x.plus(&y),
            Some(s) => s.curve(x, pass)?.plus(&y),
        }
    }

    fn power_iterate(&self) -> Result<()> {
        self.body.power_iterate()?;
        self.shortcut.iter().try_for_each(|s| s.power_iterate())
    }

    fn has_weight_norm(&self) -> bool {
        self.body.has_weight_norm() || self.shortcut.iter().any(|s| s.has_weight_norm())
    }

    fn drops(&self) -> bool {
        self.body.drops() || self.shortcut.iter().any(|s| s.drops())
    }

    fn reads_level(&self) -> bool {
        self.body.reads_level() || self.shortcut.iter().any(|s| s.reads_level())
    }

    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.body.calibrate(x)?;
        match &self.shortcut {
            None => ops::add(x, &y),
            Some(s) => ops::add(&s.calibrate(x)?, &y),
        }
    }

    fn list(&self) -> Result<LayerList> {
        let mut lists = vec![("layers", self.body.list()?)];
        if let Some(shortcut) = &self.shortcut {
            lists.push(("shortcut", shortcut.list()?));
        }
        Ok(LayerList::block("residual", lists))
    }
}
