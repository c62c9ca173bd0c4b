//! Random Fourier features: coordinates in which a small network can vary quickly.

use candle_core::Tensor;

use super::layer_list::number;
use super::{Builder, Curve, Init, Jet, Layer, LayerList, Pass, Pullback};
use crate::{Result, ops};

/// The layer y = [x, sin Wx, cos Wx] with fixed random frequencies W (Tancik et al. 2020, "Fourier features let
/// networks learn high frequency functions in low dimensional domains", eq. 5; here with x itself beside the features).
///
/// # Shapes
/// x `[B, I]`, W `[F, I]` (a buffer), y `[B, I + 2F]`.
#[derive(Clone)]
pub struct Fourier {
    frequencies: Tensor,
    std: f64,
}

/// The name of W among the buffers.
const FREQUENCIES: &str = "frequencies";

impl Fourier {
    /// A layer of F = `count` frequencies for vectors of I = `input` numbers. Each entry of W is normal with standard
    /// deviation `std`, in radians per unit of x.
    ///
    /// # Errors
    /// As [`Builder::buffer`].
    pub fn new(builder: &Builder, input: usize, count: usize, std: f64) -> Result<Self> {
        Ok(Fourier { frequencies: builder.buffer(FREQUENCIES, &[count, input], Init::Normal(std))?, std })
    }

    /// The number of outputs, I + 2F, for I inputs and F frequencies.
    pub fn width(input: usize, count: usize) -> usize {
        input + 2 * count
    }

    fn phases(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.frequencies, None)
    }

    /// The three parts of ȳ, of the widths of x, sin Wx and cos Wx.
    fn parts(&self, y: &Tensor) -> Result<[Tensor; 3]> {
        let (count, input) = self.frequencies.dims2()?;
        Ok([y.narrow(1, 0, input)?, y.narrow(1, input, count)?, y.narrow(1, input + count, count)?])
    }
}

impl Layer for Fourier {
    fn forward(&self, x: &Tensor, _: Pass) -> Result<Tensor> {
        let s = self.phases(x)?;
        Ok(Tensor::cat(&[x, &s.sin()?, &s.cos()?], 1)?)
    }

    fn vjp<'a>(&'a self, x: &Tensor, _: Pass) -> Result<(Tensor, Pullback<'a>)> {
        let s = self.phases(x)?;
        let (sin, cos) = (s.sin()?, s.cos()?);
        let y = Tensor::cat(&[x, &sin, &cos], 1)?;
        let pull = move |g: &Tensor| {
            let [x, on_sin, on_cos] = self.parts(g)?;
            let phase = ((on_sin * &cos)? - (on_cos * &sin)?)?;
            Ok((x + ops::linear_pullback(&phase, &self.frequencies)?)?)
        };
        Ok((y, Box::new(pull)))
    }

    fn jvp(&self, x: &Jet, _: Pass) -> Result<Jet> {
        let s = x.linear(|xx| self.phases(xx))?;
        let (sin, cos, dot) = (s.value()?.sin()?, s.value()?.cos()?, s.tangent()?);
        let value = Tensor::cat(&[&x.value()?, &sin, &cos], 1)?;
        let tangent = Tensor::cat(&[&x.tangent()?, &(&cos * &dot)?, &(&sin * &dot)?.neg()?], 1)?;
        Jet::new(&value, &tangent)
    }

    /// The curve of the features; with s = Wx, (sin s)'' = cos(s) s'' - sin(s) s'² and (cos s)'' = -sin(s) s'' - cos(s)
    /// s'².
    fn curve(&self, x: &Curve, _: Pass) -> Result<Curve> {
        let s = x.linear(|xx| self.phases(xx))?;
        let (sin, cos, first, second) = (s.value()?.sin()?, s.value()?.cos()?, s.first()?, s.second()?);
        let square = first.sqr()?;
        let of_sin = ((&cos * &second)? - (&sin * &square)?)?;
        let of_cos = ((&sin * &second)? + (&cos * &square)?)?.neg()?;
        Curve::new(
            &Tensor::cat(&[&x.value()?, &sin, &cos], 1)?,
            &Tensor::cat(&[&x.first()?, &(&cos * &first)?, &(&sin * &first)?.neg()?], 1)?,
            &Tensor::cat(&[&x.second()?, &of_sin, &of_cos], 1)?,
        )
    }

    fn list(&self) -> Result<LayerList> {
        let keys = [("features", number(self.frequencies.dim(0)?)), ("std", self.std.into())];
        Ok(LayerList::of("fourier", &keys, &[(FREQUENCIES, &self.frequencies)]))
    }
}
