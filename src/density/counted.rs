//! The meter of a run: the number of evaluations of its energy.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Tensor;

use super::Energy;
use crate::Result;
use crate::metrics::Spent;

/// The two counters that all views of one model share, energies alone and gradients, both in items.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<[AtomicU64; 2]>);

thread_local! {
    /// What this thread sets aside instead of counting it.
    static ASIDE: RefCell<Option<SetAside>> = const { RefCell::new(None) };
}

/// The evaluations of a step that was recorded, to be counted as often as it is done.
#[derive(Default)]
pub struct SetAside(Vec<(Meter, [u64; 2])>);

impl SetAside {
    /// The result of `step`, and its evaluations, none of which is counted yet.
    pub fn of<R>(step: impl FnOnce() -> R) -> (R, Self) {
        ASIDE.set(Some(SetAside::default()));
        let result = step();
        (result, ASIDE.take().unwrap_or_default())
    }

    /// Counts them on the meters that would have.
    pub fn count(&self) {
        self.0.iter().for_each(|(meter, [values, gradients])| meter.add(*values, *gradients));
    }
}

impl Meter {
    fn add(&self, values: u64, gradients: u64) {
        let aside = ASIDE.with_borrow_mut(|aside| {
            aside.as_mut().map(|aside| aside.0.push((self.clone(), [values, gradients]))).is_some()
        });
        if aside {
            return;
        }
        for (counter, n) in self.0.iter().zip([values, gradients]) {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The counts so far.
    pub fn read(&self) -> Spent {
        let [values, gradients] = &*self.0;
        Spent { values: values.load(Ordering::Relaxed), gradients: gradients.load(Ordering::Relaxed) }
    }

    /// The counts so far, after which the meter begins at zero again.
    pub fn take(&self) -> Spent {
        let [values, gradients] = &*self.0;
        Spent { values: values.swap(0, Ordering::Relaxed), gradients: gradients.swap(0, Ordering::Relaxed) }
    }

    /// Counts an evaluation of the energies of `items`, which is differentiated by the weights afterwards if `live`.
    pub(super) fn value(&self, items: &Tensor, live: bool) -> Result<()> {
        let n = items.dim(0)? as u64;
        if live {
            self.add(0, n);
        } else {
            self.add(n, 0);
        }
        Ok(())
    }

    /// Counts `derivatives` in x of the energies of `items`, and one more by the weights if `live`.
    pub(super) fn derivatives(&self, items: &Tensor, derivatives: usize, live: bool) -> Result<()> {
        self.add(0, (items.dim(0)? * (derivatives + usize::from(live))) as u64);
        Ok(())
    }
}

/// An energy whose evaluations a [`Meter`] counts, in items.
///
/// The energy alone counts as one value. A gradient, or a slope or curvature along one direction, counts as one
/// gradient, and the value that comes with it does not count; a Laplacian in D dimensions counts as 1 + D gradients. A
/// *live* energy is evaluated for a loss that will be differentiated by its weights: that counts as one gradient more,
/// and its value alone, which comes with that gradient, does not count.
pub struct Counted<E> {
    energy: E,
    meter: Meter,
    live: bool,
}

impl<E: Energy> Counted<E> {
    /// The energy `energy`, not live, counted from zero.
    pub fn new(energy: E) -> Self {
        Counted { energy, meter: Meter::default(), live: false }
    }

    /// The energy `energy`, counted on a meter that others share.
    pub(super) fn on(energy: E, meter: &Meter, live: bool) -> Self {
        Counted { energy, meter: meter.clone(), live }
    }

    /// Another energy, counted on the same meter and not live.
    pub fn beside<F: Energy>(&self, energy: F) -> Counted<F> {
        Counted::on(energy, &self.meter, false)
    }

    /// The counts so far.
    pub fn spent(&self) -> Spent {
        self.meter.read()
    }
}

impl<E: Energy> Energy for Counted<E> {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.meter.value(x, self.live)?;
        self.energy.energy(x)
    }

    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.meter.derivatives(x, 1, self.live)?;
        self.energy.grad(x)
    }

    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        self.meter.derivatives(x, 1, self.live)?;
        self.energy.directional(x, v)
    }

    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        self.meter.derivatives(x, 1, self.live)?;
        self.energy.curvature(x, v)
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        self.meter.derivatives(x, 1 + x.elem_count() / x.dim(0)?.max(1), self.live)?;
        self.energy.laplacian(x)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::density::Gaussian;

    /// A question to a counted energy.
    type Ask<'a> = &'a dyn Fn(&Counted<&Gaussian>);

    #[test]
    fn what_is_set_aside_is_counted_as_often_as_it_is_done() {
        let normal = Gaussian::standard(2, DType::F32, &Device::Cpu).unwrap();
        let energy = Counted::new(&normal);
        let above = energy.beside(&energy);
        let x = Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
        let (result, aside) = SetAside::of(|| above.grad(&x));
        assert!(result.is_ok() && energy.spent() == Spent::default());
        aside.count();
        aside.count();
        assert_eq!(energy.spent(), Spent { values: 0, gradients: 12 });
        above.energy(&x).unwrap();
        assert_eq!(energy.spent(), Spent { values: 6, gradients: 12 });
    }

    #[test]
    fn every_function_counts_item_by_item() {
        let normal = Gaussian::standard(3, DType::F64, &Device::Cpu).unwrap();
        let x = Tensor::zeros((5, 3), DType::F64, &Device::Cpu).unwrap();
        let spent = |live, f: &dyn Fn(&Counted<&Gaussian>)| {
            let meter = Meter::default();
            f(&Counted::on(&normal, &meter, live));
            let Spent { values, gradients } = meter.take();
            assert_eq!(meter.read(), Spent::default());
            (values, gradients)
        };
        let functions: [(Ask, [u64; 4]); 5] = [
            (&|e| drop(e.energy(&x).unwrap()), [5, 0, 0, 5]),
            (&|e| drop(e.grad(&x).unwrap()), [0, 5, 0, 10]),
            (&|e| drop(e.directional(&x, &x).unwrap()), [0, 5, 0, 10]),
            (&|e| drop(e.curvature(&x, &x).unwrap()), [0, 5, 0, 10]),
            (&|e| drop(e.laplacian(&x).unwrap()), [0, 20, 0, 25]),
        ];
        for (f, want) in functions {
            let (still, live) = (spent(false, f), spent(true, f));
            assert_eq!([still.0, still.1, live.0, live.1], want);
        }
    }
}
