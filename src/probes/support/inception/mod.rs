//! Inception-v3 as the Fréchet inception distance knows it: 2,048 features of an image, by weights that the user
//! supplies.
//!
//! Szegedy et al. 2015, arXiv 1512.00567, with the pools of the network of Heusel et al. 2017, arXiv 1706.08500:
//! averages that leave out the border, and a maximum in the last block. Tensors are named as `pytorch-fid` names them.

#[cfg(test)]
mod tests;

use std::path::Path;

use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Tensor};

use crate::probes::support::rows::in_chunks;
use crate::{Error, Result};

/// Images are resized to this height and width.
const SIZE: usize = 299;

/// Images evaluated at a time: one takes some 12 MB in the widest layer.
const CHUNK: usize = 16;

/// By this tensor a file of weights is recognised.
const FIRST: &str = "Conv2d_1a_3x3.conv.weight";

/// The network, frozen.
pub(in crate::probes) struct Inception(Vec<Stage>);

/// What an image passes on its way.
enum Stage {
    /// Convolution, its batch norm folded in, and rectifier.
    Conv { weight: Tensor, bias: Tensor, stride: usize, pad: [usize; 2] },
    /// Maximum over 3×3 pixels.
    Max { stride: usize, pad: usize },
    /// Mean over those of 3×3 pixels that lie inside.
    Mean,
    /// Ways side by side, whose channels are put one behind the other.
    Fork(Vec<Vec<Stage>>),
}

impl Inception {
    /// Whether a file holds such weights; says nothing about their being whole.
    pub fn recognises(bytes: &[u8]) -> bool {
        SliceSafetensors::new(bytes).is_ok_and(|file| file.get(FIRST).is_ok())
    }

    /// Reads weights; `path` is named in errors.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn of(bytes: &[u8], path: &Path, device: &Device) -> Result<Self> {
        let file = SliceSafetensors::new(bytes)
            .map_err(|e| Error::checkpoint(path, format!("is no safetensors file: {e}"), REMEDY))?;
        let tensor = |name: &str, shape: &[usize]| {
            let wrong = |what: String| Error::checkpoint(path, format!("tensor `{name}` {what}"), REMEDY);
            let tensor = file.load(name, device).map_err(|e| wrong(format!("cannot be read: {e}")))?;
            match tensor.dims() == shape {
                true => Ok(tensor.to_dtype(DType::F32)?),
                false => Err(wrong(format!("has shape {:?} instead of {shape:?}", tensor.dims()))),
            }
        };
        Ok(Inception(Weights(&tensor).network()?))
    }

    /// Features of images in [0, 1], `[N, 3, H, W]` or `[N, 1, H, W]` -> `[N, 2048]`. What lies outside is cut to [0,
    /// 1], as in a picture file.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn features(&self, images: &Tensor) -> Result<Tensor> {
        let (_, channels, ..) = images.dims4()?;
        if channels != 1 && channels != 3 {
            return Err(Error::config(format!(
                "Inception reads grey or colour images, these have {channels} channels"
            ))
            .at("features")
            .hint("leave `features` of the probe empty, or name a classifier that ebm trained"));
        }
        Ok(Tensor::cat(&in_chunks(images, CHUNK, |_, rows| self.chunk(rows))?, 0)?)
    }

    fn chunk(&self, images: &Tensor) -> Result<Tensor> {
        let (n, _, h, w) = images.dims4()?;
        let colour = images.to_dtype(DType::F32)?.clamp(0.0, 1.0)?.broadcast_as((n, 3, h, w))?.contiguous()?;
        let x = ((colour.upsample_bilinear2d(SIZE, SIZE, false)? * 2.0)? - 1.0)?;
        Ok(through(&self.0, &x)?.mean((2, 3))?.detach())
    }
}

const REMEDY: &str = "convert the file of pytorch-fid as docs/methods.md says";

fn through(stages: &[Stage], x: &Tensor) -> Result<Tensor> {
    stages.iter().try_fold(x.clone(), |x, stage| stage.forward(&x))
}

impl Stage {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Stage::Conv { weight, bias, stride, pad } => {
                padded(x, *pad)?.conv2d(weight, 0, *stride, 1, 1)?.broadcast_add(bias)?.relu()?
            }
            // A pool comes behind a rectifier, so that a border of zeros is never the maximum.
            Stage::Max { stride, pad } => padded(x, [*pad; 2])?.max_pool2d_with_stride(3, *stride)?,
            Stage::Mean => {
                let (_, _, h, w) = x.dims4()?;
                let mean = |x: &Tensor| -> Result<Tensor> { Ok(padded(x, [1; 2])?.avg_pool2d_with_stride(3, 1)?) };
                let inside = mean(&Tensor::ones((1, 1, h, w), x.dtype(), x.device())?)?;
                mean(x)?.broadcast_div(&inside)?
            }
            Stage::Fork(ways) => Tensor::cat(&ways.iter().map(|way| through(way, x)).collect::<Result<Vec<_>>>()?, 1)?,
        })
    }
}

/// With zeros above and below, left and right.
fn padded(x: &Tensor, [v, h]: [usize; 2]) -> Result<Tensor> {
    Ok(x.pad_with_zeros(2, v, v)?.pad_with_zeros(3, h, h)?)
}

/// One convolution of a chain: its name, output channels, kernel, stride and padding.
struct Spec(&'static str, usize, [usize; 2], usize, [usize; 2]);

/// Keeps the size of the image.
const fn same(name: &'static str, channels: usize, kernel: [usize; 2]) -> Spec {
    let [h, w] = kernel;
    Spec(name, channels, kernel, 1, [h / 2, w / 2])
}

/// 3×3 without padding.
const fn bare(name: &'static str, channels: usize, stride: usize) -> Spec {
    Spec(name, channels, [3, 3], stride, [0, 0])
}

const HALVE: Stage = Stage::Max { stride: 2, pad: 0 };

/// Gives the tensor of a name and shape.
struct Weights<'a>(&'a dyn Fn(&str, &[usize]) -> Result<Tensor>);

impl Weights<'_> {
    /// Everything up to the mean over pixels.
    fn network(&self) -> Result<Vec<Stage>> {
        let mut all = self.chain(
            "",
            3,
            &[bare("Conv2d_1a_3x3", 32, 2), bare("Conv2d_2a_3x3", 32, 1), same("Conv2d_2b_3x3", 64, [3, 3])],
        )?;
        all.push(HALVE);
        all.extend(self.chain("", 64, &[same("Conv2d_3b_1x1", 80, [1, 1]), bare("Conv2d_4a_3x3", 192, 1)])?);
        all.push(HALVE);
        all.push(self.fine("Mixed_5b.", 192, 32)?);
        all.push(self.fine("Mixed_5c.", 256, 64)?);
        all.push(self.fine("Mixed_5d.", 288, 64)?);
        all.push(Stage::Fork(vec![
            self.chain("Mixed_6a.", 288, &[bare("branch3x3", 384, 2)])?,
            self.chain(
                "Mixed_6a.",
                288,
                &[
                    same("branch3x3dbl_1", 64, [1, 1]),
                    same("branch3x3dbl_2", 96, [3, 3]),
                    bare("branch3x3dbl_3", 96, 2),
                ],
            )?,
            vec![HALVE],
        ]));
        for (at, inner) in [("Mixed_6b.", 128), ("Mixed_6c.", 160), ("Mixed_6d.", 160), ("Mixed_6e.", 192)] {
            all.push(self.crossed(at, inner)?);
        }
        all.push(Stage::Fork(vec![
            self.chain("Mixed_7a.", 768, &[same("branch3x3_1", 192, [1, 1]), bare("branch3x3_2", 320, 2)])?,
            self.chain(
                "Mixed_7a.",
                768,
                &[
                    same("branch7x7x3_1", 192, [1, 1]),
                    same("branch7x7x3_2", 192, [1, 7]),
                    same("branch7x7x3_3", 192, [7, 1]),
                    bare("branch7x7x3_4", 192, 2),
                ],
            )?,
            vec![HALVE],
        ]));
        all.push(self.coarse("Mixed_7b.", 1280, Stage::Mean)?);
        all.push(self.coarse("Mixed_7c.", 2048, Stage::Max { stride: 1, pad: 1 })?);
        Ok(all)
    }

    /// The blocks on 35×35 pixels.
    fn fine(&self, at: &str, from: usize, pooled: usize) -> Result<Stage> {
        Ok(Stage::Fork(vec![
            self.chain(at, from, &[same("branch1x1", 64, [1, 1])])?,
            self.chain(at, from, &[same("branch5x5_1", 48, [1, 1]), same("branch5x5_2", 64, [5, 5])])?,
            self.chain(
                at,
                from,
                &[
                    same("branch3x3dbl_1", 64, [1, 1]),
                    same("branch3x3dbl_2", 96, [3, 3]),
                    same("branch3x3dbl_3", 96, [3, 3]),
                ],
            )?,
            self.pooled(at, from, Stage::Mean, pooled)?,
        ]))
    }

    /// The blocks on 17×17 pixels, of rows and columns of seven.
    fn crossed(&self, at: &str, inner: usize) -> Result<Stage> {
        Ok(Stage::Fork(vec![
            self.chain(at, 768, &[same("branch1x1", 192, [1, 1])])?,
            self.chain(
                at,
                768,
                &[
                    same("branch7x7_1", inner, [1, 1]),
                    same("branch7x7_2", inner, [1, 7]),
                    same("branch7x7_3", 192, [7, 1]),
                ],
            )?,
            self.chain(
                at,
                768,
                &[
                    same("branch7x7dbl_1", inner, [1, 1]),
                    same("branch7x7dbl_2", inner, [7, 1]),
                    same("branch7x7dbl_3", inner, [1, 7]),
                    same("branch7x7dbl_4", inner, [7, 1]),
                    same("branch7x7dbl_5", 192, [1, 7]),
                ],
            )?,
            self.pooled(at, 768, Stage::Mean, 192)?,
        ]))
    }

    /// The blocks on 8×8 pixels, whose ways part once more.
    fn coarse(&self, at: &str, from: usize, pool: Stage) -> Result<Stage> {
        let parted = |a, b| -> Result<Stage> {
            Ok(Stage::Fork(vec![
                self.chain(at, 384, &[same(a, 384, [1, 3])])?,
                self.chain(at, 384, &[same(b, 384, [3, 1])])?,
            ]))
        };
        let mut short = self.chain(at, from, &[same("branch3x3_1", 384, [1, 1])])?;
        short.push(parted("branch3x3_2a", "branch3x3_2b")?);
        let deep = [same("branch3x3dbl_1", 448, [1, 1]), same("branch3x3dbl_2", 384, [3, 3])];
        let mut deep = self.chain(at, from, &deep)?;
        deep.push(parted("branch3x3dbl_3a", "branch3x3dbl_3b")?);
        let straight = self.chain(at, from, &[same("branch1x1", 320, [1, 1])])?;
        Ok(Stage::Fork(vec![straight, short, deep, self.pooled(at, from, pool, 192)?]))
    }

    fn pooled(&self, at: &str, from: usize, pool: Stage, channels: usize) -> Result<Vec<Stage>> {
        let conv = self.chain(at, from, &[same("branch_pool", channels, [1, 1])])?;
        Ok(std::iter::once(pool).chain(conv).collect())
    }

    /// Convolutions one behind the other, the first of which reads `from` channels.
    fn chain(&self, at: &str, mut from: usize, specs: &[Spec]) -> Result<Vec<Stage>> {
        let mut stages = Vec::new();
        for Spec(name, channels, kernel, stride, pad) in specs {
            stages.push(self.conv(&format!("{at}{name}"), from, *channels, *kernel, (*stride, *pad))?);
            from = *channels;
        }
        Ok(stages)
    }

    fn conv(
        &self,
        name: &str,
        from: usize,
        channels: usize,
        [h, w]: [usize; 2],
        (stride, pad): (usize, [usize; 2]),
    ) -> Result<Stage> {
        /// Of the released network's batch norms.
        const EPS: f64 = 1e-3;
        let number = |of: &str| (self.0)(&format!("{name}.bn.{of}"), &[channels]);
        let scale = (number("weight")? / (number("running_var")? + EPS)?.sqrt()?)?;
        let bias = (number("bias")? - (number("running_mean")? * &scale)?)?;
        let weight = (self.0)(&format!("{name}.conv.weight"), &[channels, from, h, w])?;
        let weight = weight.broadcast_mul(&scale.reshape((channels, 1, 1, 1))?)?;
        Ok(Stage::Conv { weight, bias: bias.reshape((1, channels, 1, 1))?, stride, pad })
    }
}
