//! Mean and standard deviation of the training items.

use candle_core::{DType, Tensor};

use super::Data;
use crate::data::pipeline::split::Split;
use crate::{Error, Result};

/// Mean and standard deviation (n - 1 in the denominator) of training items in model space.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Of each coordinate, of an item's shape, f32.
    pub mean: Tensor,
    /// Of each coordinate, of an item's shape, f32; 0 for coordinates that never change.
    pub std: Tensor,
    /// Of all numbers together.
    pub overall_mean: f64,
    /// Of all numbers together.
    pub overall_std: f64,
}

impl Moments {
    /// The number of training items that are enough for what starts at their moments.
    pub const ITEMS: usize = 10_000;
}

impl Data {
    /// Mean and standard deviation of the first `n` training items in model space, summed in f64.
    ///
    /// # Errors
    /// Fewer than two items.
    pub fn mean_std(&self, n: usize) -> Result<Moments> {
        let (count, pass) = self.passes(n)?;
        if count < 2 {
            return Err(Error::config(format!("a standard deviation needs two items, not {count}")));
        }
        // The scales are factors, as in a tensor's own mean.
        let numbers = count * self.spec.dim();
        let (each, all, less) = (1.0 / count as f64, 1.0 / numbers as f64, 1.0 / (count - 1) as f64);
        let (mut sums, mut total) = (vec![0.0; self.spec.dim()], 0.0);
        pass(&mut |place, v| {
            sums.get_mut(place).into_iter().for_each(|sum| *sum += v);
            total += v;
        })?;
        let mean: Vec<f64> = sums.iter().map(|sum| sum * each).collect();
        let overall_mean = total * all;
        let (mut squares, mut spread) = (vec![0.0; self.spec.dim()], 0.0);
        pass(&mut |place, v| {
            let mean = mean.get(place).copied().unwrap_or(0.0);
            squares.get_mut(place).into_iter().for_each(|sum| *sum += (v - mean).powi(2));
            spread += (v - overall_mean).powi(2);
        })?;
        let std = squares.iter().map(|sum| (sum * less).sqrt()).collect();
        let overall_std = (spread / (numbers - 1) as f64).sqrt();
        let shaped = |values: Vec<f64>| -> Result<Tensor> {
            Ok(Tensor::from_vec(values, self.spec.shape.as_slice(), self.device())?.to_dtype(DType::F32)?)
        };
        Ok(Moments { mean: shaped(mean)?, std: shaped(std)?, overall_mean, overall_std })
    }

    /// The number of the first training items, at most `n`, and what goes through all their numbers: items that are
    /// large together are made anew piece by piece in each pass, since as f32 ten thousand pictures of 64 × 64 take as
    /// much memory as forty thousand in the set.
    fn passes(&self, n: usize) -> Result<(usize, Pass<'_>)> {
        /// The numbers that are held at once, 256 MiB as f32.
        const MOST: usize = 64 << 20;
        let stored = self.len(Split::Train).map(|len| len.min(n));
        if let Some(count) = stored.filter(|count| count * self.spec.dim() > MOST) {
            let pass = move |each: &mut dyn FnMut(usize, f64)| {
                self.first_pieces(Split::Train, count, &mut |x| for_each(&x, each))
            };
            return Ok((count, Box::new(pass)));
        }
        let x = self.all(Split::Train, n)?.x;
        Ok((x.dim(0)?, Box::new(move |each| for_each(&x, each))))
    }
}

/// A pass through the numbers of items: hands each, with its place in its item, to a function.
type Pass<'a> = Box<dyn Fn(&mut dyn FnMut(usize, f64)) -> Result<()> + 'a>;

/// Hands every number of the items to `each` with its place in the item, item by item; a few items are in memory in
/// another form at a time, as all in f64 would need twice the memory of the items, several times over.
fn for_each(x: &Tensor, each: &mut dyn FnMut(usize, f64)) -> Result<()> {
    /// Items at a time.
    const SOME: usize = 256;
    let count = x.dim(0)?;
    for from in (0..count).step_by(SOME) {
        let some = x.narrow(0, from, SOME.min(count - from))?.flatten_from(1)?.to_dtype(DType::F32)?;
        let dim = some.dim(1)?;
        for item in some.flatten_all()?.to_vec1::<f32>()?.chunks_exact(dim.max(1)) {
            item.iter().enumerate().for_each(|(place, v)| each(place, f64::from(*v)));
        }
    }
    Ok(())
}
