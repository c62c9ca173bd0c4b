//! What draws random numbers by counter on the CPU: the Langevin move with its noise, noise alone, the decisions of a
//! Metropolis step, and dropout with its mask, one pass over memory each.

use candle_core::bail;

use super::access::{Argument, Output, on_floats, output, slice};
use super::philox::{Held, Tile, Tiles, normals, words};
use super::raw::{GRAIN, by_parts};
use super::real::Real;
use super::vector::vectorised;
use crate::ops::{Dropping, LangevinMove};
use crate::rng::Counter;

/// The move of `by` with noise from `counter`.
///
/// # Errors
/// The arguments differ in length.
pub fn langevin(x: Argument<'_>, g: Argument<'_>, by: &LangevinMove, counter: Counter) -> Output {
    on_floats!(x.0, T => {
        let (from, g) = (slice::<T>(x)?, slice::<T>(g)?);
        if from.len() != g.len() {
            bail!("a Langevin move of {} numbers with {} of a gradient", from.len(), g.len())
        }
        let by = by.numbers().map(T::of);
        let moved = by_parts(from.len(), GRAIN, || (), |(), part, y| {
            let (at, len) = (part * GRAIN, y.len());
            let (Some(x), Some(g)) = (from.get(at..at + len), g.get(at..at + len)) else { return Ok(()) };
            let counter = counter.after(at as u64);
            vectorised!({ move_part(y, x, g, counter, by) });
            Ok(())
        })?;
        output(moved, x.1.shape())
    })
}

/// A part of a move. Slices of one length, which the compiler sees, or it would look at each entry whether it is there.
#[inline(always)]
fn move_part<T: Real>(y: &mut [T], x: &[T], g: &[T], counter: Counter, by: [T; 5]) {
    for Held { tile, skipped, at, count } in Tiles::of(counter, y.len()) {
        let noise = normals(counter.words(), tile);
        let (y, x, g) = (&mut y[at..at + count], &x[at..at + count], &g[at..at + count]);
        let z = &noise[skipped..skipped + count];
        let mut i = 0;
        while i < count {
            y[i] = moved(x[i], g[i], T::of(f64::from(z[i])), by);
            i += 1;
        }
    }
}

/// The number x after a move with noise z, by the numbers of [`LangevinMove::numbers`]. What is not a number stays so.
#[inline(always)]
fn moved<T: Real>(x: T, g: T, z: T, [drift, std, clip, low, high]: [T; 5]) -> T {
    let within = |x: T, low: T, high: T| {
        if x < low {
            low
        } else if x > high {
            high
        } else {
            x
        }
    };
    within(x - drift * within(g, -clip, clip) + std * z, low, high)
}

/// As many standard normal numbers as x has entries.
///
/// # Errors
/// x is of another type than f32 and f64.
pub fn normal(x: Argument<'_>, counter: Counter) -> Output {
    let (n, shape) = (x.1.shape().elem_count(), x.1.shape());
    on_floats!(x.0, T => {
        let drawn = by_parts(n, GRAIN, || (), |(), part, y| {
            let counter = counter.after((part * GRAIN) as u64);
            vectorised!({ normal_part(y, counter) });
            Ok(())
        })?;
        output::<T>(drawn, shape)
    })
}

#[inline(always)]
fn normal_part<T: Real>(y: &mut [T], counter: Counter) {
    for Held { tile, skipped, at, count } in Tiles::of(counter, y.len()) {
        let noise = normals(counter.words(), tile);
        let (y, z) = (&mut y[at..at + count], &noise[skipped..skipped + count]);
        let mut i = 0;
        while i < count {
            y[i] = T::of(f64::from(z[i]));
            i += 1;
        }
    }
}

/// [accepted; non-finite; chance] of proposals with these log-ratios, in f64, and energies.
///
/// # Errors
/// The arguments differ in length or are of another type.
pub fn metropolis(log_ratio: Argument<'_>, energy: Argument<'_>, counter: Counter) -> Output {
    let (ratio, energy) = (slice::<f64>(log_ratio)?, slice::<f64>(energy)?);
    if ratio.len() != energy.len() {
        bail!("a Metropolis step of {} ratios with {} energies", ratio.len(), energy.len())
    }
    let mut rows = [const { Vec::new() }; 3];
    for (word, (ratio, energy)) in random_words(counter, ratio.len()).into_iter().zip(ratio.iter().zip(energy)) {
        let decided = decided(uniform_number(word), *ratio, *energy);
        rows.iter_mut().zip(decided).for_each(|(row, number)| row.push(number));
    }
    output(rows.concat(), (3, ratio.len()))
}

/// One decision. A comparison with NaN is false.
fn decided(uniform: f64, ratio: f64, energy: f64) -> [f64; 3] {
    let ratio = if energy.is_finite() { ratio } else { f64::NAN };
    let chance = if ratio >= 0.0 { 1.0 } else { ratio.exp() };
    let one = |yes| if yes { 1.0 } else { 0.0 };
    [one(uniform.ln() < ratio), one(!energy.is_finite()), if chance.is_nan() { 0.0 } else { chance }]
}

/// The number in (0, 1) that a word stands for; never 0, which would accept everything.
pub fn uniform_number(word: u32) -> f64 {
    (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0)
}

/// The numbers x∘m/(1-p), with one mask m for each of equal blocks.
///
/// # Errors
/// There are no equal blocks.
pub fn dropout(x: Argument<'_>, by: &Dropping) -> Output {
    on_floats!(x.0, T => {
        let (from, scale, least) = (slice::<T>(x)?, T::of(by.scale()), by.least());
        let block = by.block(from.len())?;
        let kept = by_parts(from.len(), GRAIN, || (), |(), part, y| {
            let mut at = part * GRAIN;
            let mut rest = y;
            // A part reaches over the end of a block at times.
            while !rest.is_empty() {
                let here = rest.len().min(block - at % block);
                let (y, next) = rest.split_at_mut(here);
                let (Some(x), counter) = (from.get(at..at + here), by.counter.after((at % block) as u64)) else {
                    return Ok(());
                };
                vectorised!({ drop_part(y, x, counter, least, scale) });
                (rest, at) = (next, at + here);
            }
            Ok(())
        })?;
        output(kept, x.1.shape())
    })
}

/// A part of a block.
#[inline(always)]
fn drop_part<T: Real>(y: &mut [T], x: &[T], counter: Counter, least: u32, scale: T) {
    for Held { tile, skipped, at, count } in Tiles::of(counter, y.len()) {
        let words = words(counter.words(), tile);
        let (y, x, w) = (&mut y[at..at + count], &x[at..at + count], &words[skipped..skipped + count]);
        let mut i = 0;
        while i < count {
            y[i] = if w[i] >= least { x[i] * scale } else { T::ZERO };
            i += 1;
        }
    }
}

/// The first n normal numbers of a stream.
pub fn normal_numbers(counter: Counter, n: usize) -> Vec<f32> {
    listed(counter, n, normals)
}

/// The first n words of a stream.
pub fn random_words(counter: Counter, n: usize) -> Vec<u32> {
    listed(counter, n, words)
}

fn listed<T: Copy + Default>(counter: Counter, n: usize, tile: impl Fn([u32; 4], u64) -> Tile<T>) -> Vec<T> {
    let mut all = Vec::with_capacity(n);
    for held in Tiles::of(counter, n) {
        all.extend(tile(counter.words(), held.tile).iter().skip(held.skipped).take(held.count));
    }
    all
}
