//! Counter-based randomness: every draw is a function of (seed, purpose, step).
//!
//! A [`Key`] is a value, as in JAX: derive one for each purpose and each step, and draw from it.
//! Nothing is stored in a checkpoint, there is no global generator, and what a step draws does not
//! depend on what ran before it. That is what makes resume exact. CPU and GPU see the same numbers:
//! what a key draws here is made on the host, and what operations draw from its [`Counter`], the
//! noise of chains and the masks of dropout, is made where the tensors are.

use candle_core::{DType, Device, Shape, Tensor};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use sha2::{Digest as _, Sha256};

use crate::Result;

/// Names one stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The root of a run's randomness.
    pub fn new(seed: u64) -> Self {
        Key(Sha256::digest(seed.to_le_bytes()).into())
    }

    /// The key for one purpose: `key.with("dropout")`.
    pub fn with(self, purpose: &str) -> Self {
        Key(Sha256::new().chain_update(self.0).chain_update(purpose).finalize().into())
    }

    /// The key for one step, chain, layer or other number.
    pub fn at(self, n: u64) -> Self {
        Key(Sha256::new().chain_update(self.0).chain_update(n.to_le_bytes()).finalize().into())
    }

    /// The generator of this stream, at its beginning.
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }

    /// The numbers of this stream by their place, for operations that draw on any device.
    pub fn counter(self) -> Counter {
        let (words, _) = self.0.as_chunks();
        Counter { words: std::array::from_fn(|k| words.get(k).copied().map_or(0, u32::from_le_bytes)), first: 0 }
    }

    /// Standard normal draws of the given shape, f32 rounded to `dtype`.
    pub fn normal(self, shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
        self.normals().draw(shape, dtype, device)
    }

    /// The draws of [`Key::normal`], to be taken in pieces: together they are the same numbers.
    pub fn normals(self) -> Normals {
        Normals(self.rng())
    }

    /// Uniform draws on [0, 1) of the given shape.
    pub fn uniform(self, shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
        let shape = shape.into();
        let mut rng = self.rng();
        let draws: Vec<f32> = (0..shape.elem_count()).map(|_| rng.random()).collect();
        on_device(draws, shape, dtype, device)
    }

    /// Signs, -1 or +1 with probability ½ each, of the given shape.
    pub fn rademacher(self, shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
        let shape = shape.into();
        let mut rng = self.rng();
        let sign = |bit: bool| if bit { 1f32 } else { -1f32 };
        let draws = (0..shape.elem_count()).map(|_| sign(rng.random())).collect();
        on_device(draws, shape, dtype, device)
    }
}

/// A stream of random numbers of which each can be had alone: number i is a function of key and i, whatever device,
/// thread or part of a batch asks for it. `ops/cpu/philox.rs` has the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The key of the generator in two words, and the upper half of its counter in two.
    words: [u32; 4],
    first: u64,
}

impl Counter {
    /// The stream from number n on, for the part of a batch that has n numbers before it.
    pub fn after(self, n: u64) -> Self {
        Counter { first: self.first.wrapping_add(n), ..self }
    }

    /// The key of the generator in two words, and the upper half of its counter in two.
    pub fn words(self) -> [u32; 4] {
        self.words
    }

    /// The number that comes first.
    pub fn first(self) -> u64 {
        self.first
    }
}

/// A stream of standard normal draws, of which each piece goes on where the last one ended.
pub struct Normals(ChaCha8Rng);

impl Normals {
    /// The next draws, of the given shape, f32 rounded to `dtype`.
    pub fn draw(&mut self, shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
        let shape = shape.into();
        let draws: Vec<f32> = (0..shape.elem_count()).map(|_| self.0.sample(StandardNormal)).collect();
        on_device(draws, shape, dtype, device)
    }
}

fn on_device(draws: Vec<f32>, shape: Shape, dtype: DType, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_vec(draws, shape, device)?.to_dtype(dtype)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_a_function_of_its_key() {
        let draw = |key: Key| key.normal(8, DType::F32, &Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
        let key = Key::new(7).with("noise");
        assert_eq!(draw(key.at(3)), draw(key.at(3)));
        assert_ne!(draw(key.at(3)), draw(key.at(4)));
        assert_ne!(draw(key.at(3)), draw(Key::new(8).with("noise").at(3)));
        assert_ne!(draw(key), draw(Key::new(7).with("data")));
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let n = 100_000;
        let x = Key::new(1).normal(n, DType::F64, &Device::Cpu).unwrap().to_vec1::<f64>().unwrap();
        let mean = x.iter().sum::<f64>() / n as f64;
        let var = x.iter().map(|v| v * v).sum::<f64>() / n as f64;
        let z_mean = mean * (n as f64).sqrt();
        let z_var = (var - 1.0) / (2.0 / n as f64).sqrt();
        assert!(z_mean.abs() < 4.0 && z_var.abs() < 4.0, "z = {z_mean}, {z_var}");
    }
}
