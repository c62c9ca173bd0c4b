//! Attention over positions.

use candle_core::{D, Tensor};

use super::layer_list::number;
use super::{Builder, Curve, Jet, Layer, LayerList, Linear, Pass, Pullback, Scaling};
use crate::{Error, Result};

/// Self-attention of the pixels of an image (Vaswani et al. 2017): with the N = H·W pixels as rows of X `[N, C]`,
/// [Q, K, V] = X Wᵀ + b, and for each of h heads, which have d = C/h columns of Q, K and V, A = softmax(QKᵀ/√d) V; then
/// Y = A Wₒᵀ + bₒ. Where a pixel stands is not known to it.
///
/// # Shapes
/// x and y `[B, C, H, W]`, W `[3C, C]`, Wₒ `[C, C]`.
pub struct Attention {
    heads: usize,
    qkv: Linear,
    out: Linear,
}

/// Q, K and V, each `[B·h, N, d]`.
type Three = [Tensor; 3];

impl Attention {
    /// Attention of images with C = `channels` by h = `heads` heads.
    ///
    /// # Errors
    /// `heads` does not divide `channels`.
    pub fn new(builder: &Builder, channels: usize, heads: usize, scaling: Scaling) -> Result<Self> {
        if heads == 0 || !channels.is_multiple_of(heads) {
            let what = format!("attention cannot split {channels} channels into {heads} equal heads; choose a divisor");
            return Err(Error::config(what).at("heads"));
        }
        let qkv = Linear::new(&builder.sub("qkv"), channels, 3 * channels, scaling)?;
        Ok(Attention { heads, qkv, out: Linear::new(&builder.sub("out"), channels, channels, scaling)? })
    }

    /// Multiplications for one image with so many channels and pixels.
    pub fn multiplications(channels: usize, pixels: usize) -> usize {
        pixels.saturating_mul(channels).saturating_mul(4usize.saturating_mul(channels).saturating_add(2 * pixels))
    }

    /// The pixels as rows: `[B, C, H, W]` -> `[B·N, C]`.
    fn rows(x: &Tensor) -> Result<Tensor> {
        let channels = x.dim(1)?;
        Ok(x.flatten_from(2)?.transpose(1, 2)?.contiguous()?.reshape(((), channels))?)
    }

    /// The images of rows: `[B·N, C]` -> `[B, C, H, W]`, with H and W as in `like`, an image of any batch.
    fn images(rows: &Tensor, like: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = like.dims4()?;
        let images = rows.reshape(((), height * width, channels))?.transpose(1, 2)?.contiguous()?;
        Ok(images.reshape(((), channels, height, width))?)
    }

    /// The parts of each head: `[B·N, 3C]` -> Q, K, V.
    fn parted(&self, qkv: &Tensor, pixels: usize) -> Result<Three> {
        let (rows, all) = qkv.dims2()?;
        let (batch, width) = (rows / pixels.max(1), all / (3 * self.heads));
        let parts = qkv.reshape((batch, pixels, 3, self.heads, width))?.permute((2, 0, 3, 1, 4))?.contiguous()?;
        let part = |i: usize| -> Result<Tensor> { Ok(parts.get(i)?.reshape((batch * self.heads, pixels, width))?) };
        Ok([part(0)?, part(1)?, part(2)?])
    }

    /// The transpose of [`Attention::parted`].
    fn joined(&self, [q, k, v]: &Three) -> Result<Tensor> {
        let (all, pixels, width) = q.dims3()?;
        let batch = all / self.heads;
        let parts = Tensor::stack(&[q, k, v], 0)?.reshape((3, batch, self.heads, pixels, width))?;
        Ok(parts.permute((1, 3, 0, 2, 4))?.contiguous()?.reshape((batch * pixels, 3 * self.heads * width))?)
    }

    /// The heads side by side: `[B·h, N, d]` -> `[B·N, C]`.
    fn side_by_side(&self, a: &Tensor) -> Result<Tensor> {
        let (all, pixels, width) = a.dims3()?;
        let heads = a.reshape((all / self.heads, self.heads, pixels, width))?.transpose(1, 2)?.contiguous()?;
        Ok(heads.reshape(((), self.heads * width))?)
    }

    /// The transpose of [`Attention::side_by_side`].
    fn one_by_one(&self, rows: &Tensor, pixels: usize) -> Result<Tensor> {
        let (all, channels) = rows.dims2()?;
        let (batch, width) = (all / pixels.max(1), channels / self.heads);
        let heads = rows.reshape((batch, pixels, self.heads, width))?.transpose(1, 2)?.contiguous()?;
        Ok(heads.reshape((batch * self.heads, pixels, width))?)
    }

    /// The rows A of the images `x`, from their rows of Q, K and V.
    fn read(&self, qkv: &Tensor, x: &Tensor) -> Result<Tensor> {
        let [q, k, v] = self.parted(qkv, pixels(x)?)?;
        self.side_by_side(&softmax(&scores(&q, &k)?)?.matmul(&v)?)
    }

    /// The rows A of a jet or curve and its derivatives, from Q, K and V and theirs; each derivative a list by order.
    fn attend(&self, by_order: &[Three]) -> Result<Vec<Tensor>> {
        let list = |i: usize| -> Vec<Tensor> { by_order.iter().map(|three| three[i].clone()).collect() };
        let scores = product(&list(0), &list(1), scores)?;
        let shares = softmax_along(&scores)?;
        let read = product(&shares, &list(2), |p, v| Ok(p.matmul(v)?))?;
        read.iter().map(|a| self.side_by_side(a)).collect()
    }
}

/// QKᵀ/√d.
fn scores(q: &Tensor, k: &Tensor) -> Result<Tensor> {
    let width = q.dim(D::Minus1)?.max(1) as f64;
    Ok((q.matmul(&k.t()?)? / width.sqrt())?)
}

/// The softmax of every row.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let top = scores.max_keepdim(D::Minus1)?.detach();
    let powers = scores.broadcast_sub(&top)?.exp()?;
    Ok(powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?)
}

/// Σ p∘t over every row, kept as a column.
fn mean(p: &Tensor, t: &Tensor) -> Result<Tensor> {
    Ok((p * t)?.sum_keepdim(D::Minus1)?)
}

/// The softmax p of every row and its derivatives, from s and its derivatives: p' = p∘u with u = s' - ⟨p, s'⟩, and
/// p'' = p∘(u² + s'' - ⟨p, u∘s'⟩ - ⟨p, s''⟩).
fn softmax_along(s: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut found = Vec::new();
    if let Some(s) = s.first() {
        found.push(softmax(s)?);
    }
    if let (Some(p), Some(s1)) = (found.first().cloned(), s.get(1)) {
        let u = s1.broadcast_sub(&mean(&p, s1)?)?;
        found.push((&p * &u)?);
        if let Some(s2) = s.get(2) {
            let spread = (mean(&p, &(&u * s1)?)? + mean(&p, s2)?)?;
            found.push((&p * (u.sqr()? + s2)?.broadcast_sub(&spread)?)?);
        }
    }
    Ok(found)
}

/// A bilinear product and its derivatives by Leibniz' rule: (ab)'' = a''b + 2a'b' + ab''.
fn product(a: &[Tensor], b: &[Tensor], times: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let mut found = Vec::new();
    for order in 0..a.len().min(b.len()) {
        let mut sum: Option<Tensor> = None;
        let pairs = a.iter().take(order + 1).zip(b.iter().take(order + 1).rev());
        for (i, (left, right)) in pairs.enumerate() {
            let twice = order == 2 && i == 1;
            let term = (times(left, right)? * if twice { 2.0 } else { 1.0 })?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
        found.extend(sum);
    }
    Ok(found)
}

impl Layer for Attention {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let read = self.read(&self.qkv.forward(&Self::rows(x)?, pass)?, x)?;
        Self::images(&self.out.forward(&read, pass)?, x)
    }

    fn vjp<'a>(&'a self, x: &Tensor, pass: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let (qkv, into) = self.qkv.vjp(&Self::rows(x)?, pass)?;
        let [q, k, v] = self.parted(&qkv, pixels(x)?)?;
        let p = softmax(&scores(&q, &k)?)?;
        let (rows, out) = self.out.vjp(&self.side_by_side(&p.matmul(&v)?)?, pass)?;
        let y = Self::images(&rows, x)?;
        let like = x.detach();
        let back = move |g: &Tensor| {
            let g = self.one_by_one(&out(&Self::rows(g)?)?, pixels(&like)?)?;
            let on_p = g.matmul(&v.t()?)?;
            let on_s = (&p * on_p.broadcast_sub(&mean(&p, &on_p)?)?)?;
            let on_s = (on_s / (q.dim(D::Minus1)?.max(1) as f64).sqrt())?;
            let three = [on_s.matmul(&k)?, on_s.t()?.matmul(&q)?, p.t()?.matmul(&g)?];
            Self::images(&into(&self.joined(&three)?)?, &like)
        };
        Ok((y, Box::new(back)))
    }

    fn jvp(&self, x: &Jet, pass: Pass) -> Result<Jet> {
        let pixels = pixels(x.stacked())?;
        let qkv = self.qkv.jvp(&x.linear(Self::rows)?, pass)?;
        let rows = self.attend(&[self.parted(&qkv.value()?, pixels)?, self.parted(&qkv.tangent()?, pixels)?])?;
        let rows = Jet::from_stacked(Tensor::cat(&rows, 0)?);
        self.out.jvp(&rows, pass)?.linear(|rows| Self::images(rows, x.stacked()))
    }

    fn curve(&self, x: &Curve, pass: Pass) -> Result<Curve> {
        let pixels = pixels(x.stacked())?;
        let qkv = self.qkv.curve(&x.linear(Self::rows)?, pass)?;
        let part = |t: Result<Tensor>| self.parted(&t?, pixels);
        let rows = self.attend(&[part(qkv.value())?, part(qkv.first())?, part(qkv.second())?])?;
        let rows = Curve::bent(Tensor::cat(&rows, 0)?);
        self.out.curve(&rows, pass)?.linear(|rows| Self::images(rows, x.stacked()))
    }

    fn power_iterate(&self) -> Result<()> {
        self.qkv.power_iterate()?;
        self.out.power_iterate()
    }

    fn has_weight_norm(&self) -> bool {
        self.qkv.has_weight_norm()
    }

    fn calibrate(&self, x: &Tensor) -> Result<Tensor> {
        let read = self.read(&self.qkv.calibrate(&Self::rows(x)?)?, x)?;
        Self::images(&self.out.calibrate(&read)?, x)
    }

    fn list(&self) -> Result<LayerList> {
        let mut keys = vec![("heads", number(self.heads))];
        keys.extend(self.qkv.scaling().key().map(|key| (key, true.into())));
        let parts = [("qkv", &self.qkv), ("out", &self.out)].map(|(part, linear)| (part, linear.tensors()));
        let named = parts
            .iter()
            .flat_map(|(part, tensors)| tensors.iter().map(move |(name, tensor)| (format!("{part}.{name}"), *tensor)));
        let named: Vec<(String, &Tensor)> = named.collect();
        let tensors: Vec<(&str, &Tensor)> = named.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
        Ok(LayerList::of("attention", &keys, &tensors))
    }
}

/// The number N of pixels of an image.
fn pixels(x: &Tensor) -> Result<usize> {
    let (_, _, height, width) = x.dims4()?;
    Ok(height * width)
}
