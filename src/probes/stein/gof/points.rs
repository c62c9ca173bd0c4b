//! Items and scores as the kernel tests need them: rows of f64 on the host.

use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom as _;

use super::{Scored, too_few};
use crate::{Error, Result, ops, rng::Key};

/// n items x of d numbers with their scores s.
///
/// # Shapes
/// Both `[n, d]`, f64, on the CPU.
pub struct PointSet {
    x: Tensor,
    s: Tensor,
    flat_x: Vec<f64>,
    flat_s: Vec<f64>,
    n: usize,
    d: usize,
}

impl PointSet {
    /// Brings the items of a sample to the host.
    ///
    /// # Errors
    /// Fewer than `needed` items; an item or score that is not finite.
    pub fn new(test: &str, sample: &Scored, needed: usize) -> Result<Self> {
        if sample.len()? < needed {
            return Err(too_few(test, needed, sample.len()?));
        }
        let host = |t: &Tensor| t.flatten_from(1)?.to_device(&Device::Cpu)?.to_dtype(DType::F64);
        let points = PointSet::of(host(&sample.x)?, host(&sample.score)?)?;
        match points.flat_x.iter().chain(&points.flat_s).all(|v| v.is_finite()) {
            true => Ok(points),
            false => Err(super::not_finite(test)),
        }
    }

    fn of(x: Tensor, s: Tensor) -> Result<Self> {
        let (n, d) = x.dims2()?;
        let flat = |t: &Tensor| t.flatten_all()?.to_vec1::<f64>();
        Ok(PointSet { flat_x: flat(&x)?, flat_s: flat(&s)?, x, s, n, d })
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Numbers in an item.
    pub fn dim(&self) -> usize {
        self.d
    }

    /// The items, one after the other.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.flat_x.chunks_exact(self.d.max(1))
    }

    /// The scores, one item after the other.
    pub fn scores(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.flat_s.chunks_exact(self.d.max(1))
    }

    /// The share of items drawn for learning, at least two, and the others.
    ///
    /// # Errors
    /// A tensor operation that failed.
    pub fn divide(&self, share: f64, key: Key) -> Result<[PointSet; 2]> {
        let mut rest: Vec<u32> = (0..self.n as u32).collect();
        rest.shuffle(&mut key.rng());
        let learn = ((share * self.n as f64).round() as usize).clamp(2.min(self.n), self.n);
        let test = rest.split_off(learn);
        let part = |rows: &[u32]| {
            let rows = Tensor::new(rows, &Device::Cpu)?;
            PointSet::of(self.x.index_select(&rows, 0)?, self.s.index_select(&rows, 0)?)
        };
        Ok([part(&rest)?, part(&test)?])
    }

    /// x xᵀ, s sᵀ and s xᵀ, each `[n, n]`, row after row.
    ///
    /// # Errors
    /// So many items that the matrices would not fit into memory.
    pub fn products(&self) -> Result<[Vec<f64>; 3]> {
        self.fits()?;
        let product =
            |a: &Tensor, b: &Tensor| -> Result<Vec<f64>> { Ok(ops::linear(a, b, None)?.flatten_all()?.to_vec1()?) };
        Ok([product(&self.x, &self.x)?, product(&self.s, &self.s)?, product(&self.s, &self.x)?])
    }

    fn fits(&self) -> Result<()> {
        const MOST: usize = 20_000;
        if self.n <= MOST {
            return Ok(());
        }
        Err(Error::Resource {
            what: format!("{0} × {0} kernel values do not fit into memory", self.n),
            remedy: format!("use at most {MOST} items (`items`), or a linear-time test: gof_lksd, gof_fssd"),
        })
    }

    /// The median distance between different items, of the first thousand. 0 only if half of the pairs coincide.
    pub fn median_distance(&self) -> f64 {
        const MOST: usize = 1000;
        let items: Vec<&[f64]> = self.items().take(MOST).collect();
        let mut squares: Vec<f64> =
            items.iter().enumerate().flat_map(|(i, a)| items.iter().take(i).map(|b| distance(a, b))).collect();
        if squares.is_empty() {
            return 0.0;
        }
        let middle = squares.len() / 2;
        squares.select_nth_unstable_by(middle, f64::total_cmp).1.sqrt()
    }
}

/// |a - b|².
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// a·b.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
