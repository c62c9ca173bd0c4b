//! An energy with some coordinates held at known values: the conditional density p(free | known), for any kernel.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Energy, laplacian_axis_by_axis};
use crate::{Error, Result};

/// The part of an image that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hole {
    /// The lower half of the image.
    #[default]
    Lower,
    /// The left half of the image.
    Left,
    /// The right half of the image: of pairs side by side, what the left one is translated to.
    Right,
    /// The centre: the middle half of the height by the middle half of the width.
    Centre,
}

impl Hole {
    /// Whether the pixel at [row, column] is to be filled in.
    fn holds(self, [row, column]: [usize; 2], [height, width]: [usize; 2]) -> bool {
        let middle = |at: usize, of: usize| (of / 4..of - of / 4).contains(&at);
        match self {
            Hole::Lower => row >= height / 2,
            Hole::Left => column < width.div_ceil(2),
            Hole::Right => column >= width / 2,
            Hole::Centre => middle(row, height) && middle(column, width),
        }
    }

    /// The mask of an image `[C, H, W]`, channel after channel: whether each number is to be filled in.
    pub fn mask(self, [channels, height, width]: [usize; 3]) -> Vec<bool> {
        let at = |i: usize| self.holds([i / width % height, i % width], [height, width]);
        (0..channels * height * width).map(at).collect()
    }
}

/// The division of an item's coordinates into free and known ones.
pub struct Freedom {
    /// The indices of the F free coordinates, `[F]`, u32.
    free: Tensor,
    /// The index of coordinate j in the concatenation of known item and free values, `[D]`, u32.
    home: Tensor,
    shape: Vec<usize>,
}

impl Freedom {
    /// The division of items of this shape, with D coordinates, which are free where `mask` is true.
    ///
    /// # Errors
    /// The mask has another length than D, or frees nothing.
    pub fn new(shape: &[usize], mask: &[bool], device: &candle_core::Device) -> Result<Self> {
        let (dim, free) = (shape.iter().product::<usize>(), mask.iter().filter(|f| **f).count());
        if mask.len() != dim || free == 0 {
            return Err(Error::Other(format!("a mask of {} entries frees {free} of {dim} coordinates", mask.len())));
        }
        let places: Vec<u32> = (0u32..).zip(mask).filter(|(_, free)| **free).map(|(j, _)| j).collect();
        let mut next = dim as u32;
        let mut home = |(j, free): (u32, &bool)| {
            if !free {
                return j;
            }
            next += 1;
            next - 1
        };
        let home: Vec<u32> = (0u32..).zip(mask).map(&mut home).collect();
        Ok(Freedom { free: Tensor::new(places, device)?, home: Tensor::new(home, device)?, shape: shape.to_vec() })
    }

    /// The free coordinates of items: `[B, ..]` -> `[B, F]`.
    pub fn of(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.flatten_from(1)?.contiguous()?.index_select(&self.free, 1)?)
    }

    /// The number D of coordinates of an item.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Items as vectors with zeros in the place of the free coordinates: `[B, ..]` -> `[B, D]`.
    pub fn known(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.embed(&self.of(x)?.zeros_like()?, x)?.flatten_from(1)?)
    }

    /// Items with the free coordinates u and the others of `known`: `[B, F]`, `[B, ..]` -> `[B, ..]`.
    pub fn embed(&self, u: &Tensor, known: &Tensor) -> Result<Tensor> {
        let both = Tensor::cat(&[&known.flatten_from(1)?, u], 1)?;
        Ok(both.index_select(&self.home, 1)?.reshape([&[u.dim(0)?], self.shape.as_slice()].concat())?)
    }
}

/// The energy u ↦ E(x), with x made of the free coordinates u and of known ones. exp(-E) is p(free | known) up to its
/// normaliser, so an exact kernel on u is an exact conditional sampler, and the known coordinates never move.
///
/// # Shapes
/// u `[B, F]`, as many chains as there are known items.
pub struct Clamped<'a> {
    /// The energy E of whole items.
    pub energy: &'a dyn Energy,
    /// The division into free and known coordinates.
    pub freedom: &'a Freedom,
    /// The items that give the known coordinates, `[B, ..]`; their free coordinates are not used.
    pub known: &'a Tensor,
}

impl Energy for Clamped<'_> {
    fn energy(&self, u: &Tensor) -> Result<Tensor> {
        self.energy.energy(&self.freedom.embed(u, self.known)?)
    }

    fn grad(&self, u: &Tensor) -> Result<(Tensor, Tensor)> {
        let (energy, grad) = self.energy.grad(&self.freedom.embed(u, self.known)?)?;
        Ok((energy, self.freedom.of(&grad)?))
    }

    fn directional(&self, u: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let still = self.known.zeros_like()?;
        self.energy.directional(&self.freedom.embed(u, self.known)?, &self.freedom.embed(v, &still)?)
    }

    fn curvature(&self, u: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let still = self.known.zeros_like()?;
        self.energy.curvature(&self.freedom.embed(u, self.known)?, &self.freedom.embed(v, &still)?)
    }

    /// The Laplacian by one axis a pass, since there are as many known items as chains.
    fn laplacian(&self, u: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_axis_by_axis(self, u)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::density::{Affine, Coordinates, Gaussian};
    use crate::nets::Builder;
    use crate::rng::Key;

    const CPU: Device = Device::Cpu;
    const MASK: [bool; 4] = [true, false, true, false];

    #[test]
    fn embedding_puts_every_number_in_its_place() {
        let freedom = Freedom::new(&[1, 2, 2], &MASK, &CPU).unwrap();
        let known = Tensor::new(&[[[[1f64, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]], &CPU).unwrap();
        let u = Tensor::new(&[[10f64, 30.0], [50.0, 70.0]], &CPU).unwrap();
        let x = freedom.embed(&u, &known).unwrap();
        assert_eq!(x.dims(), [2, 1, 2, 2]);
        let rows = x.flatten_from(1).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(rows, [[10.0, 2.0, 30.0, 4.0], [50.0, 6.0, 70.0, 8.0]]);
        assert_eq!(freedom.of(&x).unwrap().to_vec2::<f64>().unwrap(), u.to_vec2::<f64>().unwrap());
        assert!(Freedom::new(&[4], &[false; 4], &CPU).is_err() && Freedom::new(&[3], &MASK, &CPU).is_err());
    }

    #[test]
    fn gradient_and_curvature_are_those_along_the_free_coordinates() {
        let key = Key::new(1);
        let builder = Builder::new(Key::new(0), DType::F64, &CPU);
        let normal = Gaussian::new(&[4], 0.3, 0.8, &builder).unwrap();
        let spread = key.with("items").normal((30, 4), DType::F64, &CPU).unwrap();
        let coordinates = Coordinates::of_items(&spread, true, 1.0).unwrap();
        let energy = Affine { energy: &normal, coordinates: &coordinates };
        let (freedom, known) = (Freedom::new(&[4], &MASK, &CPU).unwrap(), spread.narrow(0, 0, 5).unwrap());
        let e = Clamped { energy: &energy, freedom: &freedom, known: &known };
        let [u, v] = ["u", "v"].map(|name| key.with(name).normal((5, 2), DType::F64, &CPU).unwrap());
        let at = |h: f64| e.energy(&(&u + (&v * h).unwrap()).unwrap()).unwrap().to_vec1::<f64>().unwrap();
        let (up, here, down, h) = (at(1e-4), at(0.0), at(-1e-4), 1e-4);
        let slope = (e.grad(&u).unwrap().1 * &v).unwrap().sum(1).unwrap().to_vec1::<f64>().unwrap();
        let bend = e.curvature(&u, &v).unwrap()[2].to_vec1::<f64>().unwrap();
        for i in 0..5 {
            assert!((slope[i] - (up[i] - down[i]) / (2.0 * h)).abs() < 1e-6 * (1.0 + slope[i].abs()));
            assert!((bend[i] - (up[i] - 2.0 * here[i] + down[i]) / (h * h)).abs() < 1e-4 * (1.0 + bend[i].abs()));
        }
    }
}
