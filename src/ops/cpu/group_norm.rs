//! Group norm on the CPU: group by group, each of which is in the cache for its second pass. Sums go by running sums
//! that are added in a fixed order.

use candle_core::bail;
use rayon::prelude::*;

use super::{
    access::{Argument, Output, on_floats, output, slice},
    raw::by_parts,
    real::Real,
    reduce::add_rows,
    vector::vectorised,
};
use crate::ops::NORM_EPSILON;

/// The running sums of a sum.
const LANES: usize = 32;

/// The numbers below which a second thread costs more than it saves.
const WORTH: usize = 1 << 14;

/// The division of x `[B, C, ..]`: the channels of a group and the numbers of a channel.
#[derive(Clone, Copy)]
struct Groups {
    channels: usize,
    each: usize,
    /// C.
    all: usize,
}

impl Groups {
    fn of(x: Argument<'_>, groups: usize) -> candle_core::Result<Self> {
        match x.1.dims() {
            &[_, all, ref rest @ ..] if groups > 0 && all.is_multiple_of(groups) => {
                Ok(Groups { channels: all / groups, each: rest.iter().product(), all })
            }
            dims => bail!("group norm of shape {dims:?} in {groups} groups"),
        }
    }

    /// The numbers of a group; at least 1, for chunks.
    fn size(self) -> usize {
        (self.channels * self.each).max(1)
    }

    /// The parameters of the channels of group number `i` of the batch.
    fn part<T>(self, i: usize, parameters: &[T]) -> &[T] {
        let from = i * self.channels % self.all.max(1);
        parameters.get(from..from + self.channels).unwrap_or_default()
    }

    /// The numbers of group number `i` of the batch.
    fn numbers<T>(self, i: usize, all: &[T]) -> &[T] {
        all.get(i * self.size()..(i + 1) * self.size()).unwrap_or_default()
    }

    /// The groups that one task takes.
    fn at_once(self) -> usize {
        WORTH.div_ceil(self.size())
    }
}

/// γ∘x̂ + β.
///
/// # Errors
/// As all of these functions: an argument is not contiguous, or the groups do not divide the channels.
pub fn norm(x: Argument<'_>, gain: Argument<'_>, shift: Argument<'_>, groups: usize) -> Output {
    let (at, shape) = (Groups::of(x, groups)?, x.1.shape());
    on_floats!(x.0, T => {
        let (x, gain, shift) = (slice::<T>(x)?, slice::<T>(gain)?, slice::<T>(shift)?);
        let y = each_group(at, x.len(), |i, y| {
            norm_of_group(at.each, y, at.numbers(i, x), [at.part(i, gain), at.part(i, shift)]);
        });
        output(y?, shape)
    })
}

fn norm_of_group<T: Real>(each: usize, y: &mut [T], x: &[T], parameters: [&[T]; 2]) {
    vectorised!({
        let (mean, rate) = moments(x);
        by_channel(
            each,
            y,
            x,
            parameters,
            #[inline(always)]
            move |x, [gain, shift]| (x - mean) * rate * gain + shift,
        );
    });
}

/// J t, or J (γ∘t).
///
/// # Errors
/// As [`norm`].
pub fn jacobian(x: Argument<'_>, t: Argument<'_>, gain: Option<Argument<'_>>, groups: usize) -> Output {
    let (at, shape) = (Groups::of(x, groups)?, x.1.shape());
    on_floats!(x.0, T => {
        let (x, t) = (slice::<T>(x)?, slice::<T>(t)?);
        let ones = vec![T::ONE; if gain.is_none() { at.all } else { 0 }];
        let gain = gain.map_or(Ok(ones.as_slice()), slice::<T>)?;
        let product = each_group(at, x.len(), |i, out| {
            jacobian_of_group(at.each, out, at.numbers(i, x), at.numbers(i, t), at.part(i, gain));
        });
        output(product?, shape)
    })
}

fn jacobian_of_group<T: Real>(each: usize, out: &mut [T], x: &[T], t: &[T], gain: &[T]) {
    vectorised!({
        let (mean, rate) = moments(x);
        by_channel(
            each,
            out,
            t,
            [gain, gain],
            #[inline(always)]
            move |t, [gain, _]| gain * t,
        );
        let n = T::of(1.0 / x.len().max(1) as f64);
        let level = total(
            out,
            x,
            #[inline(always)]
            move |t, _| t,
        ) * n;
        let along = total(
            out,
            x,
            #[inline(always)]
            move |t, x| t * (x - mean),
        ) * (rate * rate * n);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = rate * (*out - level - (x - mean) * along);
        }
    });
}

/// New numbers, made group by group by f, which is given the number of the group and its place.
fn each_group<T: Real>(
    at: Groups,
    len: usize,
    f: impl Fn(usize, &mut [T]) + Sync + Send,
) -> candle_core::Result<Vec<T>> {
    let groups = at.at_once();
    by_parts(
        len,
        groups * at.size(),
        || (),
        |(), part, out| {
            out.chunks_exact_mut(at.size()).enumerate().for_each(|(i, out)| f(part * groups + i, out));
            Ok(())
        },
    )
}

/// [Σ g∘x̂; Σ g] by channel, `[2, C]`: by item first, then added in order of the items.
///
/// # Errors
/// As [`norm`].
pub fn sums(x: Argument<'_>, g: Argument<'_>, groups: usize) -> Output {
    let (at, items) = (Groups::of(x, groups)?, x.1.dims().first().copied().unwrap_or(0));
    on_floats!(x.0, T => {
        let (x, g) = (slice::<T>(x)?, slice::<T>(g)?);
        let (mut along, mut plain) = (vec![T::ZERO; items * at.all], vec![T::ZERO; items * at.all]);
        let out = along.par_chunks_mut(at.channels.max(1)).zip(plain.par_chunks_mut(at.channels.max(1)));
        let rows = out.zip(x.par_chunks(at.size()).zip(g.par_chunks(at.size())));
        rows.with_min_len(at.at_once())
            .for_each(|((along, plain), (x, g))| sums_of_group(at.each.max(1), along, plain, x, g));
        output([add_rows(&along, at.all), add_rows(&plain, at.all)].concat(), vec![2, at.all])
    })
}

fn sums_of_group<T: Real>(each: usize, along: &mut [T], plain: &mut [T], x: &[T], g: &[T]) {
    vectorised!({
        let (mean, rate) = moments(x);
        let channels = x.chunks_exact(each).zip(g.chunks_exact(each));
        for ((along, plain), (x, g)) in along.iter_mut().zip(plain.iter_mut()).zip(channels) {
            let product = total(
                x,
                g,
                #[inline(always)]
                move |x, g| (x - mean) * g,
            );
            *along = product * rate;
            *plain = total(
                g,
                x,
                #[inline(always)]
                move |g, _| g,
            );
        }
    });
}

/// The mean and 1/√(variance + ε) of some numbers.
#[inline(always)]
fn moments<T: Real>(x: &[T]) -> (T, T) {
    let n = T::of(1.0 / x.len().max(1) as f64);
    let mean = total(
        x,
        x,
        #[inline(always)]
        move |x, _| x,
    ) * n;
    let variance = total(
        x,
        x,
        #[inline(always)]
        move |x, _| (x - mean) * (x - mean),
    ) * n;
    (mean, T::ONE / (variance + T::of(NORM_EPSILON)).root())
}

/// The sum of f over pairs of numbers.
#[inline(always)]
fn total<T: Real>(x: &[T], y: &[T], f: impl Fn(T, T) -> T + Copy) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = xs.remainder().iter().zip(ys.remainder()).fold(T::ZERO, move |s, (&x, &y)| s + f(x, y));
    for (x, y) in xs.zip(ys) {
        for ((s, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *s += f(x, y);
        }
    }
    lanes.iter().fold(rest, |s, &lane| s + lane)
}

/// Writes f of the numbers of a group and of the parameters of their channel, which has `each` of them.
#[inline(always)]
fn by_channel<T: Real>(
    each: usize,
    out: &mut [T],
    x: &[T],
    [gain, shift]: [&[T]; 2],
    f: impl Fn(T, [T; 2]) -> T + Copy,
) {
    let parameters = gain.iter().zip(shift);
    if each == 1 {
        for ((out, &x), (&gain, &shift)) in out.iter_mut().zip(x).zip(parameters) {
            *out = f(x, [gain, shift]);
        }
        return;
    }
    let rows = out.chunks_exact_mut(each.max(1)).zip(x.chunks_exact(each.max(1)));
    for ((out, x), (&gain, &shift)) in rows.zip(parameters) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = f(x, [gain, shift]);
        }
    }
}
