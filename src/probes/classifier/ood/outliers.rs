//! The items that a model should find unlikely.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::data::{Data, Split};
use crate::probes::support::judge::shape;
use crate::{Error, Result, rng::Key, shell};

/// Where the other items come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Every pixel uniform; points uniform on the box of the data.
    Uniform,
    /// Images of one grey, uniform on black to white.
    Constant,
    /// The mean of two test items that follow each other.
    Interpolation,
    /// Test images with black and white exchanged.
    Inverted,
    /// Another data set.
    Dataset,
}

impl Against {
    /// As the configuration says it.
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether such items can be made for the data.
    ///
    /// # Errors
    /// Vectors, where images are needed.
    pub(super) fn check(self, data: &Data) -> Result<()> {
        match self {
            Against::Constant | Against::Inverted if data.spec().image.is_none() => Err(Error::config(format!(
                "probe `ood`: `against = \"{}\"` needs images, and `{}` has none",
                self.name(),
                data.spec().name
            ))
            .at("against")
            .hint("use uniform, interpolation or dataset")),
            _ => Ok(()),
        }
    }
}

/// As many items as `inside` of a set that is made here, in model space.
pub(super) fn made(against: Against, data: &Data, inside: &Tensor, key: Key) -> Result<Tensor> {
    against.check(data)?;
    let (n, image) = (inside.dim(0)?, data.spec().image.is_some());
    match against {
        Against::Uniform if image && !data.dequantises() => {
            let z = data.to_unit(&data.uniform_init(key.with("uniform"), n)?)?;
            data.of_unit(&data.of_levels(&z)?, None)
        }
        Against::Uniform => data.uniform_init(key.with("uniform"), n),
        Against::Constant => {
            let grey = key.with("constant").uniform((n, 1), DType::F32, data.device())?;
            let z = data.of_levels(&grey)?.broadcast_as((n, data.spec().dim()))?.contiguous()?;
            data.of_unit(&z, Some(key.with("noise")))
        }
        Against::Inverted => data.of_unit(&data.to_unit(inside)?.affine(-1.0, 1.0)?, Some(key.with("noise"))),
        Against::Interpolation | Against::Dataset => {
            let z = data.to_unit(inside)?;
            let next: Vec<u32> = (0..n as u32).map(|i| (i + 1) % n.max(1) as u32).collect();
            let mean = ((&z + z.index_select(&Tensor::new(next, z.device())?, 0)?)? * 0.5)?;
            data.of_unit(&data.of_levels(&mean)?, Some(key.with("noise")))
        }
    }
}

/// Test items of another set in the space of `data`: by way of pixels in [0, 1], so that transforms need not agree, and
/// dequantised if `data` is: noise of a grey level on one side alone would tell the sets apart.
pub(super) fn of_other(data: &Data, other: &Data, key: Key, count: usize) -> Result<Tensor> {
    comparable(data, other)?;
    let z = other.unit_items(Split::Test, count, data.dequantises())?;
    data.of_unit(&z, data.spec().image.map(|_| key.with("noise")))
}

/// Whether `other` has test items of the shape of `data`.
///
/// # Errors
/// It has not.
pub(super) fn comparable(data: &Data, other: &Data) -> Result<()> {
    let (own, its) = (data.spec(), other.spec());
    let refuse = |what: String| {
        let hint = format!("choose a data set of the same shape: `{}`", shell::ebm("data list"));
        Err(Error::config(format!("probe `ood`: {what}")).hint(hint))
    };
    if shape(own) != shape(its) {
        let (a, b) = (shape(its), shape(own));
        return refuse(format!("items of `{}` have the shape {a:?}, those of `{}` {b:?}", its.name, own.name));
    }
    match other.len(Split::Test) {
        Some(0) => refuse(format!("`{}` has no test items", its.name)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::of_text;

    fn list(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_other_sets_are_what_their_names_say() {
        for transform in ["scaled", "unit", "logit"] {
            let data = of_text(&format!("name = \"digits\"\ntransform = \"{transform}\""));
            let x = data.all(Split::Test, 6).unwrap().x;
            let of = |against| data.to_unit(&made(against, &data, &x, Key::new(3)).unwrap()).unwrap();
            let z = list(&data.to_unit(&x).unwrap());
            let constant = list(&of(Against::Constant));
            assert!(constant.chunks(64).all(|image| image.iter().all(|v| (v - image[0]).abs() < 1e-5)));
            assert!(constant[0] != constant[64], "another grey for another image");
            let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(
                close(&list(&of(Against::Inverted)), &z.iter().map(|v| 1.0 - v).collect::<Vec<_>>()),
                "{transform}"
            );
            let next = [&z[64..], &z[..64]].concat();
            let mean: Vec<f32> = z.iter().zip(&next).map(|(a, b)| (a + b) / 2.0).collect();
            assert!(close(&list(&of(Against::Interpolation)), &mean), "{transform}");
        }
        // Without dequantisation they have grey levels as the data have, the mean of two and uniform noise too.
        let data = of_text("name = \"digits\"\ndequantise = false");
        let x = data.all(Split::Test, 6).unwrap().x;
        for against in [Against::Uniform, Against::Constant, Against::Interpolation, Against::Inverted] {
            let z = list(&data.to_unit(&made(against, &data, &x, Key::new(3)).unwrap()).unwrap());
            assert!(z.iter().all(|z| (z * 16.0 - (z * 16.0).round()).abs() < 1e-4), "{against:?}");
        }
        let points = of_text("name = \"rings\"");
        let x = points.all(Split::Test, 5).unwrap().x;
        assert_eq!(made(Against::Constant, &points, &x, Key::new(1)).unwrap_err().exit_code(), 2);
        assert_eq!(made(Against::Interpolation, &points, &x, Key::new(1)).unwrap().dims(), [5, 2]);
    }

    #[test]
    fn another_set_comes_in_the_models_space_whatever_its_own_transform_is() {
        let plain = "name = \"digits\"\ndequantise = false\n";
        let data = of_text(&format!("{plain}transform = \"scaled\"\nflatten = true"));
        let want = data.all(Split::Test, 30).unwrap().x;
        let other = of_text(&format!("{plain}transform = \"unit\""));
        let x = of_other(&data, &other, Key::new(1), 30).unwrap();
        assert_eq!(x.dims(), want.dims());
        assert!(list(&x).iter().zip(list(&want)).all(|(a, b)| (a - b).abs() < 1e-6));
        // Nor whether it is dequantised: pixels are grey levels, or none of them, as those of the data are.
        let other = of_text("name = \"digits\"\ntransform = \"logit\"");
        let x = of_other(&data, &other, Key::new(1), 30).unwrap();
        assert!(list(&x).iter().zip(list(&want)).all(|(a, b)| (a - b).abs() < 1e-6));
        let noisy = of_text("name = \"digits\"\ntransform = \"unit\"");
        let x = of_other(&noisy, &of_text(plain), Key::new(1), 30).unwrap();
        assert!(list(&x).iter().all(|z| (z * 17.0).fract() > 0.0 && *z < 1.0));
        let refused = of_other(&data, &of_text("name = \"rings\""), Key::new(1), 30).unwrap_err();
        assert!(refused.to_string().contains("[2], those of `digits` [1, 8, 8]"), "{refused}");
    }
}
