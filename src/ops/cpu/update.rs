//! The updates in place on the CPU, one pass over memory each, and the sum of a gradient's squares in f64.
//!
//! What an update leaves below [`Real::FAINT`] it sets to 0.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};
use rayon::prelude::*;

use super::{
    access::{Argument, Output, on_floats, output, slice},
    raw::{GRAIN, PARALLEL, map},
    real::Real,
    vector::vectorised,
};
use crate::ops::{Adam, Sgd};

/// The move x - drift·g + std·noise.
///
/// # Errors
/// The arguments differ in length.
pub fn langevin(x: Argument<'_>, g: Argument<'_>, noise: Argument<'_>, drift: f64, std: f64) -> Output {
    on_floats!(x.0, T => {
        let (drift, std) = (T::of(drift), T::of(std));
        let sources = [slice::<T>(x)?, slice(g)?, slice(noise)?];
        output(map(sources, move |[x, g, noise]| [x - drift * g + std * noise])?, x.1.shape())
    })
}

impl Adam {
    fn of<T: Real>(&self) -> Adam<T> {
        let Adam { scale, l2, betas, rest, keep, rate, root, eps } = *self;
        let [scale, l2, keep, rate, root, eps] = [scale, l2, keep, rate, root, eps].map(T::of);
        Adam { scale, l2, betas: betas.map(T::of), rest: rest.map(T::of), keep, rate, root, eps }
    }
}

impl<T: Real> Adam<T> {
    /// The numbers p, m and v of one entry after the step.
    #[inline(always)]
    fn entry(&self, p: T, m: T, v: T, g: T) -> [T; 3] {
        let g = self.scale * g + self.l2 * p;
        let m = self.betas[0] * m + self.rest[0] * g;
        let v = self.betas[1] * v + self.rest[1] * (g * g);
        // v is left alone: where eps is as small, m over a root of 0 would be a leap.
        [(self.keep * p - self.rate * m / (v.root() * self.root + self.eps)).settled(), m.settled(), v]
    }

    fn entries(self, p: &mut [T], m: &mut [T], v: &mut [T], g: &[T]) {
        vectorised!({
            for (((p, m), v), &g) in p.iter_mut().zip(m).zip(v).zip(g) {
                [*p, *m, *v] = self.entry(*p, *m, *v, g);
            }
        });
    }
}

impl Sgd {
    fn entries<T: Real>(&self, p: &mut [T], b: &mut [T], g: &[T]) {
        let Sgd { nesterov, .. } = *self;
        let [lr, momentum, decay, scale] = [self.lr, self.momentum, self.weight_decay, self.scale].map(T::of);
        vectorised!({
            for ((p, b), &g) in p.iter_mut().zip(b).zip(g) {
                let g = scale * g + decay * *p;
                *b = (momentum * *b + g).settled();
                *p = (*p - lr * if nesterov { g + momentum * *b } else { *b }).settled();
            }
        });
    }
}

/// Moves p along -m̂/(√v̂ + eps), with m̂ and v̂ the corrected moments, and updates m and v, all in place. Returns Σ
/// g², taken while g is in the cache.
///
/// # Errors
/// A tensor is not contiguous, or on another device.
pub fn adam(p: &Var, m: &Var, v: &Var, g: &Tensor, numbers: &Adam) -> Result<f64> {
    let g = g.contiguous()?;
    let (storage, layout) = g.storage_and_layout();
    let Storage::Cpu(g) = &*storage else { bail!("a gradient on another device") };
    on_floats!(g, T => {
        let (g, k) = (slice::<T>((g, layout))?, numbers.of::<T>());
        let mut parts: Vec<f64> = Vec::new();
        edit3([p, m, v], &mut |p, m, v| {
            let chunks = p.par_chunks_mut(GRAIN).zip(m.par_chunks_mut(GRAIN)).zip(v.par_chunks_mut(GRAIN));
            let chunks = chunks.zip(g.par_chunks(GRAIN)).with_min_len(PARALLEL / GRAIN);
            let moved = chunks.map(|(((p, m), v), g)| {
                k.entries(p, m, v, g);
                squares(g)
            });
            parts = moved.collect();
        })?;
        Ok(parts.iter().sum())
    })
}

/// Moves p along minus the velocity b, both in place. Returns Σ g², taken while g is in the cache.
///
/// # Errors
/// A tensor is not contiguous, or on another device.
pub fn sgd(p: &Var, b: &Var, g: &Tensor, numbers: &Sgd) -> Result<f64> {
    let g = g.contiguous()?;
    let (storage, layout) = g.storage_and_layout();
    let Storage::Cpu(g) = &*storage else { bail!("a gradient on another device") };
    on_floats!(g, T => {
        let g = slice::<T>((g, layout))?;
        let mut parts: Vec<f64> = Vec::new();
        edit2([p, b], &mut |p, b| {
            let chunks = p.par_chunks_mut(GRAIN).zip(b.par_chunks_mut(GRAIN)).zip(g.par_chunks(GRAIN));
            let moved = chunks.with_min_len(PARALLEL / GRAIN).map(|((p, b), g)| {
                numbers.entries(p, b, g);
                squares(g)
            });
            parts = moved.collect();
        })?;
        Ok(parts.iter().sum())
    })
}

/// Adds weight·(b - a) to a, in place.
///
/// # Errors
/// A tensor is not contiguous, or on another device.
pub fn lerp(a: &Var, b: &Tensor, weight: f64) -> Result<()> {
    let (storage, layout) = b.storage_and_layout();
    let Storage::Cpu(b) = &*storage else { bail!("an average on another device") };
    on_floats!(b, T => {
        let (b, weight) = (slice::<T>((b, layout))?, T::of(weight));
        edit(a, &mut |a: &mut [T]| {
            let chunks = a.par_chunks_mut(GRAIN).zip(b.par_chunks(GRAIN)).with_min_len(PARALLEL / GRAIN);
            chunks.for_each(|(a, b)| {
                for (a, &b) in a.iter_mut().zip(b) {
                    *a = (*a + weight * (b - *a)).settled();
                }
            });
            Ok(())
        })
    })
}

/// The sum of squares Σ x² in f64, added in a fixed order.
///
/// # Errors
/// A tensor is not contiguous, or on another device.
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(x) = &*storage else { bail!("a tensor on another device") };
    on_floats!(x, T => {
        let chunks = slice::<T>((x, layout))?.par_chunks(GRAIN).with_min_len(PARALLEL / GRAIN);
        let parts: Vec<f64> = chunks.map(squares).collect();
        Ok(parts.iter().sum())
    })
}

fn squares<T: Real>(x: &[T]) -> f64 {
    vectorised!({
        let mut lanes = [0f64; 32];
        let chunks = x.chunks_exact(32);
        let rest: f64 = chunks.remainder().iter().map(|x| x.to_f64() * x.to_f64()).sum();
        for x in chunks {
            for (lane, x) in lanes.iter_mut().zip(x) {
                *lane += x.to_f64() * x.to_f64();
            }
        }
        lanes.iter().sum::<f64>() + rest
    })
}

/// A change of the entries of a tensor in their place.
type Change<'a, T> = dyn FnMut(&mut [T]) -> Result<()> + 'a;

/// Applies f to the entries of a contiguous tensor on the CPU.
fn edit<T: Real>(t: &Tensor, f: &mut Change<'_, T>) -> Result<()> {
    struct Edit<'a, 'b, T>(RefCell<&'a mut Change<'b, T>>);

    impl<T: Real> InplaceOp1 for Edit<'_, '_, T> {
        fn name(&self) -> &'static str {
            "update in place"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let entries = T::entries_mut(storage).zip(layout.contiguous_offsets());
            match entries.and_then(|(entries, (from, to))| entries.get_mut(from..to)) {
                Some(entries) => (self.0.borrow_mut())(entries),
                None => bail!("an update in place needs contiguous entries of one type, got {layout:?}"),
            }
        }
    }

    t.inplace_op1(&Edit(RefCell::new(f)))
}

/// Applies f to the entries of two tensors at once.
fn edit2<T: Real>([a, b]: [&Tensor; 2], f: &mut dyn FnMut(&mut [T], &mut [T])) -> Result<()> {
    edit(a, &mut |a| {
        edit(b, &mut |b| {
            f(a, b);
            Ok(())
        })
    })
}

/// A change of the entries of three tensors in their place.
type Edit3<'a, T> = dyn FnMut(&mut [T], &mut [T], &mut [T]) + 'a;

/// Applies f to the entries of three tensors at once.
fn edit3<T: Real>([a, b, c]: [&Tensor; 3], f: &mut Edit3<T>) -> Result<()> {
    edit(a, &mut |a| edit2([b, c], &mut |b, c| f(a, b, c)))
}
