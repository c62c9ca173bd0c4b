//! The class that draws are asked of.

use candle_core::Tensor;

use super::usage;
use crate::data::Data;
use crate::density::{Counted, Energy, Model, Proposal};
use crate::math::Numeral;
use crate::{Error, Result, rng::Key};

/// The number of a class that is named as the files name it, or by its number from 0 where no class is called a number.
///
/// # Errors
/// No class of the data set.
pub fn numbered(class: &str, data: &Data) -> Result<u32> {
    let (names, count) = (data.class_names(), data.spec().classes.unwrap_or(0));
    let named = names.iter().position(|name| name == class).map(|place| place as u32);
    let numbers = names.iter().any(|name| Numeral::parse(name).is_some());
    let counted = class.parse().ok().filter(|number: &u32| (*number as usize) < count && !numbers);
    named.or(counted).ok_or_else(|| {
        let hint = match names {
            [] => "--class counts from 0".to_owned(),
            names if numbers => format!("they are {}", names.join(", ")),
            names => format!("they are {}, or count from 0", names.join(", ")),
        };
        usage(format!("--class {class}: the data set has {count} classes"), hint)
    })
}

/// n draws of a class: those that the proposal makes for it, or else those of all its draws that a label drawn from
/// p(y|x) says are of it.
///
/// # Errors
/// A model without classes; fewer draws of the class than n among many.
pub fn of_class(class: u32, proposal: &dyn Proposal, model: &Model, n: usize, key: Key) -> Result<Tensor> {
    /// As many draws as there are samples, so many times.
    const ROUNDS: u64 = 200;
    let (mut found, mut have) = (Vec::new(), 0);
    for key in (0..ROUNDS).map(|round| key.at(round)) {
        let (x, y) = match proposal.draw_labelled(key, n)? {
            Some(pair) => pair,
            None => {
                let x = proposal.draw(key, n)?;
                let logits =
                    model.logits(&x)?.ok_or_else(|| usage("this model has no classes", "leave out --class"))?;
                // The largest of logits with Gumbel noise is a draw from their softmax.
                let noise = key.with("labels").uniform(logits.dims(), logits.dtype(), logits.device())?;
                let y = (logits - noise.log()?.neg()?.log()?)?.argmax(1)?;
                (x, y)
            }
        };
        let labels: Vec<u32> = y.to_vec1()?;
        let places = labels.iter().enumerate().filter(|(_, label)| **label == class).map(|(i, _)| i as u32);
        let places: Vec<u32> = places.take(n - have).collect();
        if !places.is_empty() {
            have += places.len();
            found.push(x.index_select(&Tensor::new(places, x.device())?, 0)?);
        }
        if have == n {
            return Ok(Tensor::cat(&found, 0)?);
        }
    }
    let what = format!("{have} of {} draws of what the method keeps are of class {class}", ROUNDS * n as u64);
    Err(Error::config(what).hint("fewer by --n, or chains that start elsewhere: --set sampler.init=normal"))
}

/// The energy of n items within a class.
///
/// # Errors
/// A model without classes.
pub fn within(class: u32, model: &Model, data: &Data, n: usize) -> Result<Counted<Box<dyn Energy>>> {
    let y = Tensor::full(class, n, data.device())?;
    let lacks = || usage("this model has no classes, so --class means nothing to it", "a `classifier` has them");
    model.given(&y).ok_or_else(lacks)
}
