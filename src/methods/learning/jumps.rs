//! Noisy copies of items, some of which lie in another group of the data.

use candle_core::{DType, Device, Tensor, Var};
use rand::Rng as _;

use crate::data::{Data, Split};
use crate::math::{centres, linalg};
use crate::methods::part::{Named, parts};
use crate::{Error, Result, rng::Key};

/// The training items among which groups are looked for.
const ITEMS: usize = 5_000;

/// Jumps of noisy copies between K centres of the data: y = x + c_j - c_i + εξ with i the centre nearest to x, and j =
/// i but for a share of the copies, whose j is any of the K.
///
/// The density of y given x is Σ_j w_j N(y; x + c_j - c_i, ε²I). It is not symmetric, since y may be nearest to another
/// centre than c_j, so both ways are weighed by it.
pub(in crate::methods) struct Jumps {
    /// c, `[K, D]`, f32.
    centres: Named<Var>,
    /// The share of the copies whose centre is drawn.
    share: f64,
}

parts!(Jumps: centres);

impl Jumps {
    /// Jumps between `count` centres of the training items.
    ///
    /// # Errors
    /// The data have fewer different items.
    pub fn new(count: usize, share: f64, data: &Data, key: Key) -> Result<Self> {
        let x = linalg::to_host(&data.all(Split::Train, ITEMS)?.x.flatten_from(1)?)?;
        let points: Vec<Vec<f64>> = x.row_iter().map(|row| row.iter().copied().collect()).collect();
        let found = centres(&points, count, key);
        if found.len() < count {
            let what = format!("the {} items that were looked at have {} places only", points.len(), found.len());
            return Err(Error::config(what).at("jumps").hint(format!("--set method.jumps={}", found.len())));
        }
        Self::between(found, share, data.device())
    }

    fn between(found: Vec<Vec<f64>>, share: f64, device: &Device) -> Result<Self> {
        let centres = Tensor::new(found, device)?.to_dtype(DType::F32)?;
        Ok(Jumps { centres: Named::new("jumps", Var::from_tensor(&centres)?), share })
    }

    /// Copies y of x, `[N, ..]`, with noise of standard deviation ε.
    ///
    /// # Errors
    /// Items of another size than the centres.
    pub fn copies(&self, key: Key, x: &Tensor, epsilon: f64) -> Result<Tensor> {
        let flat = x.flatten_from(1)?;
        let centres = self.centres.value.as_tensor().to_dtype(x.dtype())?;
        let (mut rng, count) = (key.with("jump").rng(), centres.dim(0)? as u32);
        let own = nearest(&flat, &centres)?;
        let jump = |&i: &u32| if rng.random::<f64>() < self.share { rng.random_range(0..count) } else { i };
        let next: Vec<u32> = own.to_vec1::<u32>()?.iter().map(jump).collect();
        let next = centres.index_select(&Tensor::new(next, x.device())?, 0)?;
        let noise = key.with("noise").normal(flat.dims(), x.dtype(), x.device())?;
        let moved = ((flat + next)? - centres.index_select(&own, 0)?)?;
        Ok((moved + (noise * epsilon)?)?.reshape(x.shape())?)
    }

    /// log p(y|x) - log p(x|y), `[N]`, of pairs `[N, ..]`.
    ///
    /// # Errors
    /// Items of another size than the centres.
    pub fn log_ratio(&self, x: &Tensor, y: &Tensor, epsilon: f64) -> Result<Tensor> {
        Ok((self.log_density(x, y, epsilon)? - self.log_density(y, x, epsilon)?)?)
    }

    /// log p(y|x) up to a constant, `[N]`.
    fn log_density(&self, x: &Tensor, y: &Tensor, epsilon: f64) -> Result<Tensor> {
        let (x, y) = (x.flatten_from(1)?, y.flatten_from(1)?);
        let centres = self.centres.value.as_tensor().to_dtype(x.dtype())?;
        let (own, count) = (nearest(&x, &centres)?, centres.dim(0)?);
        let from = ((y - x)? + centres.index_select(&own, 0)?)?;
        let square = from.unsqueeze(1)?.broadcast_sub(&centres)?.sqr()?.sum(2)?;
        let any = self.share / count as f64;
        let stays = own.unsqueeze(1)?.broadcast_eq(&Tensor::arange(0u32, count as u32, own.device())?)?;
        let weights = stays.to_dtype(square.dtype())?.affine(1.0 - self.share, any)?;
        Ok((weights.log()? + square.affine(-0.5 / (epsilon * epsilon), 0.0)?)?.log_sum_exp(1)?)
    }
}

/// The index of the centre `[K, D]` nearest to each of x `[N, D]`, `[N]` u32.
fn nearest(x: &Tensor, centres: &Tensor) -> Result<Tensor> {
    Ok(x.unsqueeze(1)?.broadcast_sub(centres)?.sqr()?.sum(2)?.argmin(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::stats;

    /// Where x is drawn from p, E over the copies of p(y) p(x|y) / (p(x) p(y|x)) is 1, cells crossed or not: what a
    /// mistake in either density would change.
    #[test]
    fn both_ways_are_weighed_by_the_density_that_copies_have() {
        let jumps = Jumps::between(vec![vec![-1.0, 0.0], vec![1.0, 0.5], vec![0.3, -1.0]], 0.6, &Device::Cpu).unwrap();
        let x = Key::new(1).normal((40_000, 2), DType::F64, &Device::Cpu).unwrap();
        let y = jumps.copies(Key::new(2), &x, 0.7).unwrap();
        let square = |t: &Tensor| t.sqr().unwrap().sum(1).unwrap();
        let log_p = ((square(&x) - square(&y)).unwrap() * 0.5).unwrap();
        let weight = (log_p - jumps.log_ratio(&x, &y, 0.7).unwrap()).unwrap().exp().unwrap();
        let weight: Vec<f64> = weight.to_vec1().unwrap();
        let z = (stats::mean(&weight) - 1.0) / stats::std_error(&weight);
        assert!(z.abs() < 4.0 && stats::std_error(&weight) < 0.02, "z = {z}, {}", stats::mean(&weight));
        // Copies that stay are those of plain noise; the ratio knows it.
        let still = Jumps { share: 0.0, ..jumps };
        let y = still.copies(Key::new(3), &x, 0.01).unwrap();
        let moved = (&y - &x).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(moved < 0.1, "{moved}");
    }
}
