//! The numbers that a step reports: they are collected on the device and read at its end, in one transfer.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::metrics::{Metrics, Number, Unit};
use crate::samplers::Trace;

/// The norm of the loss's gradient.
pub(in crate::methods) const GRAD_NORM: Number =
    Number::norm("grad_norm", "Euclidean norm of the loss's gradient in all weights that learn, before clipping")
        .lead();

/// The acceptance of the chains.
pub(in crate::methods) const ACCEPTANCE: Number =
    Number::new("acceptance", Unit::Share, "share of the chains' proposals that were accepted")
        .chain()
        .when("a kernel that accepts or rejects");

/// The chains that a mean acceptance hides.
pub(in crate::methods) const FROZEN: Number =
    Number::new("frozen", Unit::Share, "share of the chains that did not move in the step's run")
        .lower()
        .chain()
        .when("a kernel that accepts or rejects");

/// The mean energy of the data.
pub(in crate::methods) const ENERGY: Number = Number::new("energy", Unit::Nats, "mean energy of the batch");

/// A number of a step: on the host, or a scalar that is still on the device.
pub(in crate::methods) enum Reading {
    /// A number on the host.
    Host(f64),
    /// A scalar on the device, in f64.
    Device(Tensor),
}

impl From<f64> for Reading {
    fn from(value: f64) -> Self {
        Reading::Host(value)
    }
}

impl From<Tensor> for Reading {
    fn from(value: Tensor) -> Self {
        Reading::Device(value)
    }
}

/// The named numbers of a step in the order in which they were set: [`Metrics`] that the host has not read yet.
#[derive(Default)]
pub(in crate::methods) struct Readings(Vec<(String, Reading)>);

impl Readings {
    /// An empty list of numbers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name`; tensors come from [`scalar`] or [`mean`].
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Reading>) {
        self.0.push((name.into(), value.into()));
    }

    /// Sets `name` and returns the list, to be chained.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Reading>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets [`ACCEPTANCE`] and [`FROZEN`] of chains that reject, for which the host has waited already.
    ///
    /// # Errors
    /// The device's own.
    pub fn set_chains(&mut self, trace: &Trace) -> Result<()> {
        if let Some(accept) = trace.accept {
            self.set(ACCEPTANCE.name, accept);
            self.set(FROZEN.name, trace.frozen()?.share());
        }
        Ok(())
    }

    /// Reads all scalars in one transfer.
    ///
    /// # Errors
    /// The device fails, or a tensor is no scalar in f64.
    pub fn read(self) -> Result<Metrics> {
        let on_device = |(_, reading): &(String, Reading)| match reading {
            Reading::Host(_) => None,
            Reading::Device(scalar) => Some(scalar.clone()),
        };
        let scalars: Vec<Tensor> = self.0.iter().filter_map(on_device).collect();
        let mut read = match scalars.is_empty() {
            true => Vec::new(),
            false => Tensor::stack(&scalars, 0)?.to_vec1::<f64>()?,
        }
        .into_iter();
        let value = |(name, reading)| match reading {
            Reading::Host(value) => Some((name, value)),
            Reading::Device(_) => read.next().map(|value| (name, value)),
        };
        Ok(self.0.into_iter().filter_map(value).collect())
    }
}

impl<S: Into<String>, R: Into<Reading>> Extend<(S, R)> for Readings {
    fn extend<I: IntoIterator<Item = (S, R)>>(&mut self, rows: I) {
        rows.into_iter().for_each(|(name, value)| self.set(name, value));
    }
}

impl IntoIterator for Readings {
    type Item = (String, Reading);
    type IntoIter = std::vec::IntoIter<(String, Reading)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The present value of a scalar, in f64 and without a graph, for [`Readings`].
pub(in crate::methods) fn scalar(t: &Tensor) -> Result<Tensor> {
    Ok(t.detach().to_dtype(DType::F64)?)
}

/// The mean of energies `[B]` or losses in f64, without a graph, for [`Readings`].
pub(in crate::methods) fn mean(t: &Tensor) -> Result<Tensor> {
    // On a GPU candle would upload the list of its dimensions, which is empty, and the driver refuses.
    if t.rank() == 0 {
        return scalar(t);
    }
    Ok(t.detach().to_dtype(DType::F64)?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn numbers_are_read_in_order_and_as_they_were() {
        let weight = candle_core::Var::new(1.5f32, &Device::Cpu).unwrap();
        let mut readings = Readings::new().with("loss", scalar(&weight).unwrap()).with("rate", 0.25);
        crate::ops::assign(&weight, &Tensor::new(2.5f32, &Device::Cpu).unwrap()).unwrap();
        readings.extend([("mean", mean(&Tensor::new(&[1.0f32, 2.0, 6.0], &Device::Cpu).unwrap()).unwrap())]);
        readings.extend(Metrics::new().with("rate", 0.5));
        let read = readings.read().unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [("loss", 1.5), ("rate", 0.5), ("mean", 3.0)]);
        assert!(Readings::new().read().unwrap().is_empty());
    }
}
