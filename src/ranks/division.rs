//! A batch in parts: who computes which, what all get of it, and how gradients are summed.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Tensor, Var};

use super::group::{Group, alone, here};
use crate::{Error, Result, ops};

/// The division of the items of a batch into the parts of a group: part p of P has the items from ⌊pN/P⌋ to
/// ⌊(p+1)N/P⌋.
#[derive(Clone)]
pub struct Division {
    group: Arc<Group>,
    items: usize,
}

/// A tensor `[N, ..]` with the rows of each part of this rank. Where it is tracked, these are variables of their own.
pub struct Slices {
    whole: Tensor,
    rows: Vec<Tensor>,
}

impl Slices {
    /// The rows of this rank's part number i, from 0.
    pub fn rows(&self, i: usize) -> Result<&Tensor> {
        self.rows.get(i).ok_or_else(|| Error::Other(format!("a rank has no part number {i}")))
    }
}

impl Division {
    /// The division of a batch of so many items, where this thread divides and each part gets one.
    pub fn of(items: usize) -> Option<Self> {
        let group = here()?;
        (items >= group.parts).then_some(Division { group, items })
    }

    /// The parts of this rank, by their numbers among all.
    pub fn own(&self) -> Range<usize> {
        self.parts_of(self.group.rank())
    }

    fn parts_of(&self, rank: usize) -> Range<usize> {
        let share = self.group.parts / self.group.ranks();
        rank * share..(rank + 1) * share
    }

    /// The items of some parts that follow each other.
    fn items_of(&self, parts: Range<usize>) -> Range<usize> {
        let from = |part: usize| part * self.items / self.group.parts;
        from(parts.start)..from(parts.end)
    }

    /// The rows of this rank's parts of a tensor `[N, ..]`.
    ///
    /// # Errors
    /// It has other items.
    pub fn split(&self, whole: &Tensor) -> Result<Slices> {
        if whole.dim(0)? != self.items {
            let have = whole.dims();
            return Err(Error::Other(format!("a batch of {} items is divided, but there is {have:?}", self.items)));
        }
        let rows = |part: usize| {
            let items = self.items_of(part..part + 1);
            let rows = whole.narrow(0, items.start, items.len())?;
            Ok(if whole.track_op() { Var::from_tensor(&rows.detach())?.into_inner() } else { rows })
        };
        Ok(Slices { whole: whole.clone(), rows: self.own().map(rows).collect::<Result<_>>()? })
    }

    /// What f makes of the rows of each part of this rank, with nothing divided inside; f is given the number of the
    /// part among all, and that among the rank's own.
    ///
    /// # Errors
    /// f fails.
    pub fn each<R>(&self, f: impl Fn(usize, usize) -> Result<R>) -> Result<Vec<R>> {
        let _alone = alone();
        self.own().enumerate().map(|(i, part)| f(part, i)).collect()
    }

    /// The tensors `[N, ..]` that f makes of tensors `[N, ..]` with the same items, part by part. They are tracked
    /// where the parts' own are, as functions of `weights` and of those tensors that are tracked.
    ///
    /// # Errors
    /// f fails, or a rank has gone.
    pub fn map(
        &self,
        inputs: &[&Tensor],
        weights: &[Tensor],
        f: impl Fn(usize, &[&Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let inputs = inputs.iter().map(|whole| self.split(whole)).collect::<Result<Vec<_>>>()?;
        let outputs = self.each(|part, i| {
            let rows = inputs.iter().map(|input| input.rows(i)).collect::<Result<Vec<_>>>()?;
            f(part, &rows)
        })?;
        self.join(&inputs.iter().collect::<Vec<_>>(), weights, outputs)
    }

    /// The tensors `[N, ..]` whose rows are those of the parts' outputs, on all ranks. Where a part's are tracked, they
    /// are functions of `weights` and of the inputs.
    ///
    /// # Errors
    /// A rank has gone; the outputs depend on something else.
    pub fn join(&self, inputs: &[&Slices], weights: &[Tensor], outputs: Vec<Vec<Tensor>>) -> Result<Vec<Tensor>> {
        let first = outputs.first().map_or(&[][..], |part| part);
        if first.windows(2).any(|pair| pair[0].dtype() != pair[1].dtype()) {
            let one = |j: usize| {
                let column = outputs.iter().map(|part| part.get(j).cloned().into_iter().collect()).collect();
                self.join(inputs, weights, column)
            };
            return Ok((0..first.len()).map(one).collect::<Result<Vec<_>>>()?.concat());
        }
        let shapes: Vec<Vec<usize>> = first.iter().map(|y| y.dims().to_vec()).collect();
        let flat = outputs.iter().map(|part| side_by_side(part)).collect::<Result<Vec<_>>>()?;
        let joint = self.gather(&flat.iter().map(Tensor::detach).collect::<Vec<_>>())?;
        let joint = if flat.iter().any(Tensor::track_op) {
            let tracked: Vec<usize> = (0..inputs.len()).filter(|&j| inputs[j].whole.track_op()).collect();
            let wholes = tracked.iter().map(|&j| inputs[j].whole.clone());
            let arguments: Vec<Tensor> = weights.iter().cloned().chain(wholes).collect();
            if arguments.is_empty() {
                return Err(Error::Other("a divided pass depends on what it does not name".into()));
            }
            let pulled = Pulled {
                division: self.clone(),
                outputs: flat,
                weights: weights.to_vec(),
                inputs: tracked.iter().map(|&j| (inputs[j].rows.clone(), inputs[j].whole.dims().to_vec())).collect(),
            };
            ops::node(&joint, &arguments, move |g| pulled.gradients(&g.detach()))?
        } else {
            joint
        };
        let mut from = 0;
        let one = |shape: &Vec<usize>| {
            let size: usize = shape.iter().skip(1).product();
            let y = joint.narrow(1, from, size)?;
            from += size;
            Ok(y.reshape([&[self.items], &shape[1..]].concat())?)
        };
        shapes.iter().map(one).collect()
    }

    /// The rows of all parts, `[N, K]`, from those of this rank's.
    fn gather(&self, own: &[Tensor]) -> Result<Tensor> {
        let own = Tensor::cat(own, 0)?;
        let width = own.elem_count() / own.dim(0)?.max(1);
        let ranks = self.group.ranks();
        let counts: Vec<usize> = (0..ranks).map(|rank| self.items_of(self.parts_of(rank)).len() * width).collect();
        let all = self.group.comm.exchange(&vec![own.flatten_all()?; ranks], &counts)?;
        Ok(Tensor::cat(&all, 0)?.reshape((self.items, width))?)
    }

    /// The sum `[W]` over all parts, one after the other, from the terms of this rank's. Where there are enough
    /// numbers, each rank sums a piece of them.
    fn sum(&self, own: &[Tensor]) -> Result<Tensor> {
        let length = own.first().map_or(0, Tensor::elem_count);
        let (ranks, share) = (self.group.ranks(), own.len());
        if length < ranks {
            let own = Tensor::cat(own, 0)?;
            let terms = self.group.comm.exchange(&vec![own; ranks], &vec![share * length; ranks])?;
            return folded(&terms, length);
        }
        let piece = |rank: usize| rank * length / ranks..(rank + 1) * length / ranks;
        let to = (0..ranks).map(|rank| {
            let terms = own.iter().map(|term| term.narrow(0, piece(rank).start, piece(rank).len()));
            Ok(Tensor::cat(&terms.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
        });
        let mine = piece(self.group.rank()).len();
        let terms = self.group.comm.exchange(&to.collect::<Result<Vec<_>>>()?, &vec![share * mine; ranks])?;
        let counts: Vec<usize> = (0..ranks).map(|rank| piece(rank).len()).collect();
        Ok(Tensor::cat(&self.group.comm.exchange(&vec![folded(&terms, mine)?; ranks], &counts)?, 0)?)
    }
}

/// What a divided pass keeps for its reverse.
struct Pulled {
    division: Division,
    /// The outputs of this rank's parts side by side, `[n, K]`, with candle's graph behind them.
    outputs: Vec<Tensor>,
    weights: Vec<Tensor>,
    /// The tracked inputs: rows part by part, and the shape of the whole.
    inputs: Vec<(Vec<Tensor>, Vec<usize>)>,
}

impl Pulled {
    /// The gradients for the weights and then for the inputs, from that for the outputs, `[N, K]`.
    fn gradients(&self, g: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let g = self.division.split(g)?;
        let pull = |(i, y): (usize, &Tensor)| Ok((y * g.rows(i)?)?.sum_all()?.backward()?);
        let stores = self.outputs.iter().enumerate().map(pull).collect::<Result<Vec<_>>>()?;
        // A weight that has a gradient in one part has it in all: they are the same pass.
        let touched = |w: &Tensor| stores.first().is_some_and(|store| store.get(w).is_some());
        let touched: Vec<bool> = self.weights.iter().map(touched).collect();
        let named: Vec<&Tensor> = self.weights.iter().zip(&touched).filter_map(|(w, t)| t.then_some(w)).collect();
        let mut all: Vec<Option<Tensor>> = vec![None; self.weights.len()];
        if !named.is_empty() {
            let terms = stores.iter().map(|store| {
                let each = named.iter().map(|w| match store.get(w) {
                    Some(g) => g.detach().flatten_all(),
                    None => w.zeros_like()?.detach().flatten_all(),
                });
                Ok(Tensor::cat(&each.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
            });
            let sum = self.division.sum(&terms.collect::<Result<Vec<_>>>()?)?;
            let mut from = 0;
            for (slot, w) in all.iter_mut().zip(&self.weights).zip(&touched).filter_map(|(pair, t)| t.then_some(pair)) {
                *slot = Some(sum.narrow(0, from, w.elem_count())?.reshape(w.dims())?);
                from += w.elem_count();
            }
        }
        for (rows, shape) in &self.inputs {
            let each = rows.iter().zip(&stores).map(|(x, store)| match store.get(x) {
                Some(g) => in_rows(&g.detach()),
                None => in_rows(&x.zeros_like()?.detach()),
            });
            let whole = self.division.gather(&each.collect::<Result<Vec<_>>>()?)?;
            all.push(Some(whole.reshape(shape.as_slice())?));
        }
        Ok(all)
    }
}

/// The sum of terms of so many numbers, which lie one behind the other.
fn folded(terms: &[Tensor], numbers: usize) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for terms in terms {
        for from in (0..terms.elem_count()).step_by(numbers.max(1)) {
            let term = terms.narrow(0, from, numbers)?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
    }
    sum.ok_or_else(|| Error::Other("a sum over no parts".into()))
}

/// A tensor `[n, ..]` as one of `[n, K]`.
fn in_rows(t: &Tensor) -> Result<Tensor> {
    Ok(if t.rank() == 1 { t.unsqueeze(1)? } else { t.flatten_from(1)? })
}

/// Tensors `[n, ..]` as one of `[n, K]`.
fn side_by_side(tensors: &[Tensor]) -> Result<Tensor> {
    Ok(Tensor::cat(&tensors.iter().map(in_rows).collect::<Result<Vec<_>>>()?, 1)?)
}
