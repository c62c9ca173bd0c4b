//! The passes of a network over a batch that several ranks share.

use candle_core::Tensor;

use super::{Curve, Jet, Layer, Params, Pass, Pullback};
use crate::ranks::{Division, Slices};
use crate::{Error, Result};

/// The layers of a network whose passes are divided, and its weights.
pub(super) struct Divided<'a> {
    root: &'a dyn Layer,
    division: Division,
    weights: Vec<Tensor>,
}

impl<'a> Divided<'a> {
    /// The network for batches of so many items, where these are divided.
    pub(super) fn of(root: &'a dyn Layer, params: &Params, items: usize) -> Option<Self> {
        let division = Division::of(items)?;
        let weights = params.weights.values().map(|var| var.as_tensor().clone()).collect();
        Some(Divided { root, division, weights })
    }

    /// What f makes of inputs `[B, ..]` by passes of the whole network over each part.
    pub(super) fn map(
        &self,
        inputs: &[&Tensor],
        pass: Pass,
        f: impl Fn(&[&Tensor], Pass) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let level = self.level(pass)?;
        let inputs = inputs.iter().map(|whole| self.division.split(whole)).collect::<Result<Vec<_>>>()?;
        let outputs = self.division.each(|part, i| {
            let rows = inputs.iter().map(|input| input.rows(i)).collect::<Result<Vec<_>>>()?;
            f(&rows, of_part(pass, part, level.as_ref().map(|level| level.rows(i)).transpose()?))
        })?;
        self.division.join(&inputs.iter().collect::<Vec<_>>(), &self.weights, outputs)
    }

    /// [`Layer::vjp`]: the parts' pull-backs wait until they are asked.
    pub(super) fn vjp(self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let level = self.level(pass)?;
        let x = self.division.split(x)?;
        let root = self.root;
        let passed = self.division.each(|part, i| {
            let pass = of_part(pass, part, level.as_ref().map(|level| level.rows(i)).transpose()?);
            root.vjp(x.rows(i)?, pass)
        })?;
        let (values, pulls): (Vec<_>, Vec<_>) = passed.into_iter().map(|(y, pull)| (vec![y], pull)).unzip();
        let y = only(self.division.join(&[&x], &self.weights, values)?)?;
        let pull = move |g: &Tensor| {
            let g = self.division.split(g)?;
            let pulled = self.division.each(|_, i| match pulls.get(i) {
                Some(pull) => Ok(vec![pull(g.rows(i)?)?]),
                None => Ok(Vec::new()),
            })?;
            only(self.division.join(&[&x, &g], &self.weights, pulled)?)
        };
        Ok((y, Box::new(pull)))
    }

    /// [`Layer::jvp`].
    pub(super) fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        let all = self.map(&[&x.value()?, &x.tangent()?], pass, |x, pass| {
            let [value, tangent] = x else { return Ok(Vec::new()) };
            let y = self.root.jvp(&Jet::new(value, tangent)?, pass)?;
            Ok(vec![y.value()?, y.tangent()?])
        })?;
        let [value, tangent] = <[Tensor; 2]>::try_from(all).map_err(|_| lost())?;
        Jet::new(&value, &tangent)
    }

    /// [`Layer::curve`].
    pub(super) fn curve(&self, x: &Tensor, v: &Tensor, pass: Pass) -> Result<[Tensor; 3]> {
        let all = self.map(&[x, v], pass, |x, pass| {
            let [x, v] = x else { return Ok(Vec::new()) };
            let y = self.root.curve(&Curve::line(x, v)?, pass)?;
            Ok(vec![y.value()?, y.first()?, y.second()?])
        })?;
        all.try_into().map_err(|_| lost())
    }

    fn level(&self, pass: Pass) -> Result<Option<Slices>> {
        pass.level.map(|level| self.division.split(level)).transpose()
    }
}

/// The pass over a part: with masks of its own, and the noise levels of its items.
fn of_part<'b>(pass: Pass, part: usize, level: Option<&'b Tensor>) -> Pass<'b> {
    let dropout = pass.dropout.map(|key| key.with("part").at(part as u64));
    Pass { dropout, level, level_moves: pass.level_moves }
}

/// The one tensor of a list.
pub(super) fn only(all: Vec<Tensor>) -> Result<Tensor> {
    all.into_iter().next().ok_or_else(lost)
}

/// The one input of a pass.
pub(super) fn one<'b>(all: &[&'b Tensor]) -> Result<&'b Tensor> {
    all.first().copied().ok_or_else(lost)
}

fn lost() -> Error {
    Error::Other("a divided pass has lost a tensor".into())
}

#[cfg(test)]
mod tests;
