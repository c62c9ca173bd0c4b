//! Optimiser updates in place, one pass over memory each; and the norm of a gradient in f64.
//!
//! Weights that no gradient holds shrink under weight decay, and averages of them, down to subnormal numbers, which made
//! the matrix products of a whole network four times slower. So what an update on the CPU leaves below
//! [`Real::FAINT`] it sets to 0. A GPU computes with such numbers as fast as with others.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};
use rayon::prelude::*;

use super::{
    access::{on_floats, served, slice},
    raw::{GRAIN, PARALLEL},
    real::Real,
};

/// The numbers of one Adam step; what each means is said at [`crate::optim`].
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Step size.
    pub lr: f64,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Decay the weights directly (AdamW) instead of through the gradient.
    pub decoupled: bool,
    /// How many steps were taken, this one included: at least 1.
    pub step: u64,
    /// The gradient is multiplied by this first.
    pub scale: f64,
}

/// The numbers of one step of gradient descent with momentum.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Step size.
    pub lr: f64,
    /// Decay of the velocity.
    pub momentum: f64,
    /// Look ahead along the new velocity.
    pub nesterov: bool,
    /// Weight decay, through the gradient.
    pub weight_decay: f64,
    /// The gradient is multiplied by this first.
    pub scale: f64,
}

/// (ĝ, p to start from): weight decay through the gradient or beside it.
#[derive(Clone, Copy)]
struct AdamNumbers<T> {
    keep: T,
    l2: T,
    scale: T,
    betas: [T; 2],
    rest: [T; 2],
    rate: T,
    root: T,
    eps: T,
}

impl Adam {
    fn numbers<T: Real>(&self) -> AdamNumbers<T> {
        let Adam { lr, betas, eps, weight_decay, decoupled, step, scale } = *self;
        let correction = betas.map(|beta| 1.0 - beta.powf(step as f64));
        AdamNumbers {
            keep: T::of(if decoupled { 1.0 - lr * weight_decay } else { 1.0 }),
            l2: T::of(if decoupled { 0.0 } else { weight_decay }),
            scale: T::of(scale),
            betas: betas.map(T::of),
            rest: betas.map(|beta| T::of(1.0 - beta)),
            rate: T::of(lr / correction[0]),
            root: T::of(1.0 / correction[1].sqrt()),
            eps: T::of(eps),
        }
    }
}

impl<T: Real> AdamNumbers<T> {
    /// p, m, v after one step.
    #[inline(always)]
    fn entry(&self, p: T, m: T, v: T, g: T) -> [T; 3] {
        let g = self.scale * g + self.l2 * p;
        let m = self.betas[0] * m + self.rest[0] * g;
        let v = self.betas[1] * v + self.rest[1] * (g * g);
        // v is left alone: where eps is as small, m over a root of 0 would be a leap.
        [(self.keep * p - self.rate * m / (v.root() * self.root + self.eps)).settled(), m.settled(), v]
    }
}

/// Moves p along -m̂/(√v̂ + eps) and updates its moments m and v, all in place; Σ g², taken while g is in the cache.
pub fn adam(p: &Var, m: &Var, v: &Var, g: &Tensor, numbers: &Adam) -> Result<f64> {
    same_shapes(&[p.as_tensor(), m, v, g])?;
    if !served(&[p, m, v, g]) {
        adam_composed(p, m, v, g, numbers)?;
        return sum_of_squares(g);
    }
    let g = g.contiguous()?;
    let (storage, layout) = g.storage_and_layout();
    let Storage::Cpu(g) = &*storage else { bail!("a gradient on another device") };
    on_floats!(g, T => {
        let (g, k) = (slice::<T>(g, layout)?, numbers.numbers::<T>());
        let mut parts: Vec<f64> = Vec::new();
        edit(p, &mut |p: &mut [T]| edit(m, &mut |m: &mut [T]| edit(v, &mut |v: &mut [T]| {
            let chunks = p.par_chunks_mut(GRAIN).zip(m.par_chunks_mut(GRAIN)).zip(v.par_chunks_mut(GRAIN));
            let chunks = chunks.zip(g.par_chunks(GRAIN)).with_min_len(PARALLEL / GRAIN);
            parts = chunks.map(|(((p, m), v), g)| {
                pulp::Arch::new().dispatch(#[inline(always)] || {
                    for (((p, m), v), &g) in p.iter_mut().zip(m.iter_mut()).zip(v.iter_mut()).zip(g) {
                        [*p, *m, *v] = k.entry(*p, *m, *v, g);
                    }
                });
                squares(g)
            }).collect();
            Ok(())
        })))?;
        Ok(parts.iter().sum())
    })
}

/// [`adam`] composed of candle's operations.
pub fn adam_composed(p: &Var, m: &Var, v: &Var, g: &Tensor, numbers: &Adam) -> Result<()> {
    let k = numbers.numbers::<f64>();
    let p0 = p.detach();
    let g = ((g.detach() * k.scale)? + (&p0 * k.l2)?)?;
    let m1 = ((m.detach() * k.betas[0])? + (&g * k.rest[0])?)?;
    let v1 = ((v.detach() * k.betas[1])? + (g.sqr()? * k.rest[1])?)?;
    let step = ((&m1 * k.rate)? / ((v1.sqrt()? * k.root)? + k.eps)?)?;
    p.set(&((&p0 * k.keep)? - step)?)?;
    m.set(&m1)?;
    v.set(&v1)
}

/// Moves p along minus the velocity b, both in place; Σ g², taken while g is in the cache.
pub fn sgd(p: &Var, b: &Var, g: &Tensor, numbers: &Sgd) -> Result<f64> {
    same_shapes(&[p.as_tensor(), b, g])?;
    if !served(&[p, b, g]) {
        sgd_composed(p, b, g, numbers)?;
        return sum_of_squares(g);
    }
    let g = g.contiguous()?;
    let (storage, layout) = g.storage_and_layout();
    let Storage::Cpu(g) = &*storage else { bail!("a gradient on another device") };
    on_floats!(g, T => {
        let g = slice::<T>(g, layout)?;
        let Sgd { nesterov, .. } = *numbers;
        let [lr, momentum, decay, scale] =
            [numbers.lr, numbers.momentum, numbers.weight_decay, numbers.scale].map(T::of);
        let mut parts: Vec<f64> = Vec::new();
        edit(p, &mut |p: &mut [T]| edit(b, &mut |b: &mut [T]| {
            let chunks = p.par_chunks_mut(GRAIN).zip(b.par_chunks_mut(GRAIN)).zip(g.par_chunks(GRAIN));
            parts = chunks.with_min_len(PARALLEL / GRAIN).map(|((p, b), g)| {
                pulp::Arch::new().dispatch(#[inline(always)] || {
                    for ((p, b), &g) in p.iter_mut().zip(b.iter_mut()).zip(g) {
                        let g = scale * g + decay * *p;
                        *b = (momentum * *b + g).settled();
                        *p = (*p - lr * if nesterov { g + momentum * *b } else { *b }).settled();
                    }
                });
                squares(g)
            }).collect();
            Ok(())
        }))?;
        Ok(parts.iter().sum())
    })
}

/// [`sgd`] composed of candle's operations.
pub fn sgd_composed(p: &Var, b: &Var, g: &Tensor, numbers: &Sgd) -> Result<()> {
    let p0 = p.detach();
    let g = ((g.detach() * numbers.scale)? + (&p0 * numbers.weight_decay)?)?;
    let b1 = ((b.detach() * numbers.momentum)? + &g)?;
    let step = if numbers.nesterov { (g + (&b1 * numbers.momentum)?)? } else { b1.clone() };
    p.set(&(p0 - (step * numbers.lr)?)?)?;
    b.set(&b1)
}

/// a += weight·(b - a), in place.
pub fn lerp(a: &Var, b: &Tensor, weight: f64) -> Result<()> {
    same_shapes(&[a.as_tensor(), b])?;
    let b = b.detach().contiguous()?;
    if !served(&[a, &b]) {
        let a0 = a.detach();
        return a.set(&(&a0 + ((&b - &a0)? * weight)?)?);
    }
    let (storage, layout) = b.storage_and_layout();
    let Storage::Cpu(b) = &*storage else { bail!("an average on another device") };
    on_floats!(b, T => {
        let (b, weight) = (slice::<T>(b, layout)?, T::of(weight));
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

/// Σ x² in f64, added in a fixed order.
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    let x = x.detach().contiguous()?;
    if !served(&[&x]) {
        return x.to_dtype(candle_core::DType::F64)?.sqr()?.sum_all()?.to_scalar();
    }
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(x) = &*storage else { bail!("a tensor on another device") };
    on_floats!(x, T => {
        let chunks = slice::<T>(x, layout)?.par_chunks(GRAIN).with_min_len(PARALLEL / GRAIN);
        let parts: Vec<f64> = chunks.map(squares).collect();
        Ok(parts.iter().sum())
    })
}

fn squares<T: Real>(x: &[T]) -> f64 {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut lanes = [0f64; 32];
            let chunks = x.chunks_exact(32);
            let rest: f64 = chunks.remainder().iter().map(|x| x.to_f64() * x.to_f64()).sum();
            for x in chunks {
                for (lane, x) in lanes.iter_mut().zip(x) {
                    *lane += x.to_f64() * x.to_f64();
                }
            }
            lanes.iter().sum::<f64>() + rest
        },
    )
}

fn same_shapes(tensors: &[&Tensor]) -> Result<()> {
    let Some((first, others)) = tensors.split_first() else { return Ok(()) };
    for (i, other) in others.iter().enumerate() {
        if other.dims() != first.dims() {
            bail!("update of shape {:?} with a tensor of shape {:?}", first.dims(), other.dims());
        }
        // Locking one storage for reading and for writing would wait for ever.
        if tensors.iter().take(i + 1).any(|t| address(t) == address(other)) {
            bail!("update in place of tensors that share their storage");
        }
    }
    Ok(())
}

fn address(t: &Tensor) -> usize {
    std::ptr::from_ref(&*t.storage_and_layout().0).addr()
}

/// Changes entries where they are.
type Change<'a, T> = dyn FnMut(&mut [T]) -> Result<()> + 'a;

/// Lets f change the entries of a contiguous tensor on the CPU.
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
