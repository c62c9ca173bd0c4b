//! The sums that candle takes entry by entry: down the columns, and of products along the rows.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::{
    access::{on_floats, output, slice, wanted},
    raw::map,
    real::Real,
};

type Output = Result<(CpuStorage, Shape)>;

/// The operation x `[N, M]` ↦ Σₙ xₙ, `[M]`, added in order of n.
#[derive(Clone, Copy)]
pub struct ColumnSum;

impl CustomOp1 for ColumnSum {
    fn name(&self) -> &'static str {
        "column sum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Output {
        let &[_, columns] = l.dims() else { bail!("column sum of shape {:?}", l.dims()) };
        on_floats!(x, T => output(column_sum(slice::<T>(x, l)?, columns), columns))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        g.broadcast_as(x.shape())?.contiguous().map(Some)
    }
}

fn column_sum<T: Real>(x: &[T], columns: usize) -> Vec<T> {
    let mut sum = vec![T::ZERO; columns];
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in x.chunks_exact(columns.max(1)) {
                for (s, &x) in sum.iter_mut().zip(row) {
                    *s += x;
                }
            }
        },
    );
    sum
}

/// The operation (x `[N, ..]`, y `[N, ..]`) ↦ Σ x·y over all but the first dimension, `[N]`.
#[derive(Clone, Copy)]
pub struct Dot;

impl CustomOp2 for Dot {
    fn name(&self) -> &'static str {
        "row-wise dot product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, y: &CpuStorage, ly: &Layout) -> Output {
        let rows = lx.dims().first().copied().unwrap_or(1);
        on_floats!(x, T => {
            let (x, y) = (slice::<T>(x, lx)?, slice::<T>(y, ly)?);
            let width = (x.len() / rows.max(1)).max(1);
            let dots = x.chunks_exact(width).zip(y.chunks_exact(width)).map(|(x, y)| dot(x, y));
            let mut out: Vec<T> = dots.collect();
            out.resize(rows, T::ZERO);
            output(out, rows)
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = &g.contiguous()?;
        Ok((wanted(x, || g.apply_op2_no_bwd(y, &ScaleRows))?, wanted(y, || g.apply_op2_no_bwd(x, &ScaleRows))?))
    }
}

/// The scalar product of two slices, by 16 running sums that are added in a fixed order: vector code without a compiler
/// that reorders anything.
fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut lanes = [T::ZERO; 16];
            let (xs, ys) = (x.chunks_exact(16), y.chunks_exact(16));
            let rest = xs.remainder().iter().zip(ys.remainder()).fold(T::ZERO, |s, (&x, &y)| s + x * y);
            for (x, y) in xs.zip(ys) {
                for ((s, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
                    *s += x * y;
                }
            }
            lanes.iter().fold(rest, |s, &lane| s + lane)
        },
    )
}

/// The operation (g `[N]`, y `[N, ..]`) ↦ gₙ yₙ. It is used in backward passes only.
struct ScaleRows;

impl CustomOp2 for ScaleRows {
    fn name(&self) -> &'static str {
        "rows times numbers"
    }

    fn cpu_fwd(&self, g: &CpuStorage, lg: &Layout, y: &CpuStorage, ly: &Layout) -> Output {
        on_floats!(g, T => {
            let (g, y) = (slice::<T>(g, lg)?, slice::<T>(y, ly)?);
            let width = (y.len() / g.len().max(1)).max(1);
            let mut out = Vec::with_capacity(y.len());
            for (&g, row) in g.iter().zip(y.chunks_exact(width)) {
                out.extend(row.iter().map(|&y| g * y));
            }
            output(out, ly.shape())
        })
    }
}

/// The operation (y `[N, O, H, W]`, b `[O]`) ↦ y + b on the first N/`blocks` images.
#[derive(Clone, Copy)]
pub struct ChannelBias {
    /// The number of equal blocks of the batch: values, then derivatives of them; the bias is added to the values only.
    pub blocks: usize,
}

impl ChannelBias {
    fn biased(&self, images: usize) -> usize {
        images / self.blocks.max(1)
    }
}

impl CustomOp2 for ChannelBias {
    fn name(&self) -> &'static str {
        "channel bias"
    }

    fn cpu_fwd(&self, y: &CpuStorage, ly: &Layout, b: &CpuStorage, lb: &Layout) -> Output {
        let &[images, channels, height, width] = ly.dims() else { bail!("channel bias on shape {:?}", ly.dims()) };
        let (plane, biased) = (height * width, self.biased(images) * channels);
        on_floats!(y, T => {
            let (y, b) = (slice::<T>(y, ly)?, slice::<T>(b, lb)?);
            if b.len() != channels {
                bail!("channel bias of {} numbers on {channels} channels", b.len());
            }
            let mut out = Vec::with_capacity(y.len());
            for ((i, plane), &b) in y.chunks_exact(plane.max(1)).enumerate().zip(b.iter().cycle()) {
                let b = if i < biased { b } else { T::ZERO };
                out.extend(plane.iter().map(|&y| y + b));
            }
            output(out, ly.shape())
        })
    }

    fn bwd(&self, y: &Tensor, b: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gb = wanted(b, || {
            let g = g.narrow(0, 0, self.biased(g.dim(0)?))?;
            g.contiguous()?.flatten_from(2)?.sum(2)?.apply_op1_no_bwd(&ColumnSum)
        })?;
        Ok((wanted(y, || Ok(g.clone()))?, gb))
    }
}

/// The operation (x, g, noise) ↦ x - drift·g + std·noise, entry by entry.
pub struct Langevin {
    /// The weight of the gradient g.
    pub drift: f64,
    /// The weight of the noise.
    pub std: f64,
}

impl candle_core::CustomOp3 for Langevin {
    fn name(&self) -> &'static str {
        "langevin update"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        g: &CpuStorage,
        lg: &Layout,
        noise: &CpuStorage,
        ln: &Layout,
    ) -> Output {
        on_floats!(x, T => {
            let (drift, std) = (T::of(self.drift), T::of(self.std));
            let sources = [slice::<T>(x, lx)?, slice(g, lg)?, slice(noise, ln)?];
            output(map(sources, |[x, g, noise]| [x - drift * g + std * noise])?, lx.shape())
        })
    }
}
