//! Linear independent component analysis: a learned unmixing matrix, sources of a known density, an exact normaliser.

use candle_core::{DType, Tensor};
use nalgebra::DMatrix;

use super::{ANY_ITEMS, Capabilities, Density, Energy, ModelRow, laplacian_along_axes};
use crate::config::{Schema, decode};
use crate::data::Sources;
use crate::math::linalg;
use crate::nets::{Builder, Jet};
use crate::ops::{self, Activation};
use crate::{Error, Result, rng::Key};

crate::config! {
    /// Keys of the model `ica`.
    pub struct IcaConfig {
        /// Density of the sources: "laplace" or "logistic". Laplace has no second derivative but at 0: score matching
        /// on it means nothing (its objective falls without end as B shrinks), and every objective that differentiates
        /// the score, LSD's too, loses the jump of sign(Bx).
        sources: Sources = Sources::Laplace;
    }
}

pub(super) const ENTRY: ModelRow = ModelRow {
    name: "ica",
    about: "log p(x) = Σ log p_s((Bx)_i) + log|det B| with a learned unmixing matrix B; its normaliser is known",
    cite: "Grathwohl et al. 2020, section 5.2; arXiv 2002.05616",
    schema: Schema::of::<IcaConfig>(),
    init: &[],
    example: "",
    items: ANY_ITEMS,
    build: |table, context, builder| {
        let config: IcaConfig = decode(table)?;
        Ok(Box::new(Ica::new(&context.shape, config.sources, builder)?))
    },
};

/// The energy E(x) = Σ ψ(u_i) - log|det B| of linear independent component analysis, with u = Bx, p_s the density of a
/// source and ψ = -log p_s, so that exp(-E) integrates to 1 (Grathwohl et al. 2020, LSD, section 5.2).
///
/// Logistic sources have ψ(u) = 2 log(1 + eᵘ) - u, ψ' = tanh(u/2) and ψ'' = 2σ(u)σ(-u) with σ the logistic function,
/// each in a form that is finite for every u, and so are the derivatives behind it. The released code has u - 2
/// log1p(eᵘ) unguarded, whose derivatives are NaN from |u| = 45 on in f32. Laplace sources have ψ(u) = |u| + log 2,
/// ψ' = sign u and ψ'' = 0.
///
/// # Shapes
/// B: `[D, D]`, with D the numbers of one item; x: `[N, ..]`, flattened to `[N, D]`.
///
/// log|det B| and B⁻¹ are taken in f64 on the host: a determinant in f32 overflows from D ≈ 58 on.
pub struct Ica {
    unmixing: Tensor,
    sources: Sources,
    shape: Vec<usize>,
}

impl Ica {
    /// A model in which B starts at random N(0, 1) entries with a condition number of at most D
    /// ([`linalg::well_conditioned`]); above 256 dimensions, where one in 55 draws meets that bound and each takes
    /// seconds, at the first draw.
    ///
    /// # Errors
    /// Items have more than 1,024 numbers; with a bound builder, B is missing or has another shape; with a new one, no
    /// draw of B met the bound.
    pub fn new(shape: &[usize], sources: Sources, builder: &Builder) -> Result<Self> {
        let dim = shape.iter().product();
        if dim > MOST {
            let what = format!("an unmixing matrix of {dim} x {dim} numbers, whose determinant every step takes anew");
            return Err(Error::config(format!("{what}; the largest is {MOST} x {MOST}"))
                .hint("a flow has a determinant that costs nothing (--set model.name=nice)"));
        }
        let start = match builder.is_new() {
            true if dim > DRAWN => linalg::normal(builder.key(NAME), dim),
            true => linalg::well_conditioned(builder.key(NAME), dim, 0.0)?,
            false => DMatrix::zeros(dim, dim),
        };
        let start = linalg::to_tensor(&start, builder.dtype(), builder.device())?;
        Ok(Ica { unmixing: builder.weight_at(NAME, &start)?, sources, shape: shape.to_vec() })
    }

    /// The sources u = Bx, `[N, ..]` -> `[N, D]`.
    fn unmix(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(&x.flatten_from(1)?, &self.unmixing, None)
    }

    /// The pair (u, a) = (Bx, Bv), by one product.
    fn unmix_jet(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let jet = Jet::new(x, v)?.linear(|both| self.unmix(both))?;
        Ok((jet.value()?, jet.tangent()?))
    }

    /// The energy Σ ψ(u_i) - log|det B| of sources u, `[N]`.
    fn energy_of(&self, u: &Tensor) -> Result<Tensor> {
        Ok(self.sources.minus_log(u)?.sum(1)?.broadcast_sub(&self.log_det()?)?)
    }

    fn log_det(&self) -> Result<Tensor> {
        let log_det = linalg::log_abs_det_of(&self.unmixing)?;
        match log_det.to_dtype(DType::F64)?.to_scalar::<f64>()?.is_finite() {
            true => Ok(log_det),
            false => Err(singular()),
        }
    }
}

/// The most dimensions in which B is drawn until its condition number is at most D.
const DRAWN: usize = 256;

/// The most dimensions: D³ operations an evaluation.
const MOST: usize = 1024;

/// The name of B in checkpoints.
const NAME: &str = "unmixing";

fn singular() -> Error {
    Error::Other(format!(
        "model `ica`: the tensor `{NAME}` is singular or not finite, so that its density has no normaliser\n\nhint: go \
         back to an earlier checkpoint, or train with a smaller learning rate (--set optim.lr=…)"
    ))
}

impl Sources {
    /// The energy ψ(u) = -log p_s(u) of a source, entry by entry.
    fn minus_log(self, u: &Tensor) -> Result<Tensor> {
        match self {
            Sources::Laplace => Ok(u.abs()?.affine(1.0, std::f64::consts::LN_2)?),
            Sources::Logistic => Ok(((ops::activate(Activation::Softplus, u)? * 2.0)? - u)?),
        }
    }

    /// The derivative ψ'(u), entry by entry.
    fn slope(self, u: &Tensor) -> Result<Tensor> {
        match self {
            Sources::Laplace => Ok(u.sign()?),
            Sources::Logistic => ops::activate(Activation::Tanh, &u.affine(0.5, 0.0)?),
        }
    }

    /// The product ψ''(u)·w, entry by entry; 0 for Laplace, almost everywhere.
    fn bend(self, u: &Tensor, w: &Tensor) -> Result<Tensor> {
        match self {
            Sources::Laplace => Ok(u.zeros_like()?),
            Sources::Logistic => Ok((ops::activate_pullback(Activation::Sigmoid, u, w)? * 2.0)?),
        }
    }
}

impl Energy for Ica {
    fn energy(&self, x: &Tensor) -> Result<Tensor> {
        self.energy_of(&self.unmix(x)?)
    }

    /// The gradient ∇x E = Bᵀψ'(Bx).
    fn grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let u = self.unmix(x)?;
        let grad = ops::linear_pullback(&self.sources.slope(&u)?, &self.unmixing)?;
        Ok((self.energy_of(&u)?, grad.reshape(x.shape())?))
    }

    /// The slope v·∇x E = Σ ψ'(u_i)(Bv)_i.
    fn directional(&self, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (u, a) = self.unmix_jet(x, v)?;
        Ok((self.energy_of(&u)?, (self.sources.slope(&u)? * a)?.sum(1)?))
    }

    /// The curvature vᵀ∇²E v = Σ ψ''(u_i)(Bv)_i².
    fn curvature(&self, x: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let (u, a) = self.unmix_jet(x, v)?;
        let slope = (self.sources.slope(&u)? * &a)?.sum(1)?;
        Ok([self.energy_of(&u)?, slope, self.sources.bend(&u, &a.sqr()?)?.sum(1)?])
    }

    fn laplacian(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        laplacian_along_axes(self, x)
    }
}

impl Capabilities for Ica {
    fn base_sample(&self, key: Key, n: usize) -> Result<Option<Tensor>> {
        self.sample(key, n).map(Some)
    }

    fn unmixing(&self) -> Option<&Tensor> {
        Some(&self.unmixing)
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Ica {
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.energy(x)?.neg()?)
    }

    /// Exact draws x = B⁻¹z of sources z.
    fn sample(&self, key: Key, n: usize) -> Result<Tensor> {
        let mixing = linalg::to_host(&self.unmixing)?.try_inverse().ok_or_else(singular)?;
        let mut rng = key.rng();
        let z = DMatrix::from_fn(mixing.ncols(), n, |_, _| self.sources.draw(&mut rng));
        let shape = [&[n], self.shape.as_slice()].concat();
        let x = linalg::to_tensor(&(mixing * z).transpose(), self.unmixing.dtype(), self.unmixing.device())?;
        Ok(x.reshape(shape)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::math::stats;

    const CPU: Device = Device::Cpu;
    const BOTH: [Sources; 2] = [Sources::Laplace, Sources::Logistic];

    fn builder(dtype: DType) -> Builder {
        Builder::new(Key::new(2), dtype, &CPU)
    }

    fn on(b: &Tensor, sources: Sources) -> Ica {
        let tensors = [(NAME.to_owned(), b.clone())].into();
        Ica::new(&[b.dim(0).unwrap()], sources, &Builder::bound(tensors, b.dtype(), &CPU)).unwrap()
    }

    fn normal(key: u64, shape: &[usize]) -> Tensor {
        Key::new(key).normal(shape, DType::F64, &CPU).unwrap()
    }

    /// What `init` writes for MNIST starts at once, and for CIFAR-10 is refused: hours went to singular values.
    #[test]
    fn many_dimensions_start_at_the_first_draw_and_too_many_are_refused() {
        let model = Ica::new(&[1, 28, 28], Sources::Laplace, &builder(DType::F32)).unwrap();
        assert_eq!(model.unmixing.dims(), [784, 784]);
        let error = Ica::new(&[3, 32, 32], Sources::Laplace, &builder(DType::F32)).err().unwrap();
        assert!(error.exit_code() == 2 && error.to_string().contains("3072 x 3072"), "{error}");
    }

    #[test]
    fn energy_is_that_of_the_definition_in_any_shape() {
        for sources in BOTH {
            let model = Ica::new(&[1, 2, 2], sources, &builder(DType::F64)).unwrap();
            let b = linalg::to_host(&model.unmixing).unwrap();
            let x = normal(3, &[5, 1, 2, 2]);
            let rows = x.flatten_from(1).unwrap().to_vec2::<f64>().unwrap();
            for (row, have) in rows.iter().zip(model.log_prob(&x).unwrap().to_vec1::<f64>().unwrap()) {
                let u = &b * nalgebra::DVector::from_row_slice(row);
                let want = u.iter().map(|u| sources.log_density(*u)).sum::<f64>() + b.determinant().abs().ln();
                assert!((have - want).abs() < 1e-12, "{sources:?}: {have} and {want}");
            }
        }
    }

    #[test]
    fn curvature_is_the_second_difference_along_v() {
        let model = Ica::new(&[3], Sources::Logistic, &builder(DType::F64)).unwrap();
        let (x, v) = (normal(3, &[4, 3]), normal(4, &[4, 3]));
        let at = |h: f64| model.energy(&(&x + (&v * h).unwrap()).unwrap()).unwrap().to_vec1::<f64>().unwrap();
        let [energy, slope, bend] = model.curvature(&x, &v).unwrap().map(|t| t.to_vec1::<f64>().unwrap());
        let h = 1e-4;
        for (i, (low, (here, high))) in at(-h).into_iter().zip(at(0.0).into_iter().zip(at(h))).enumerate() {
            assert_eq!(energy[i], here);
            assert!(((high - low) / (2.0 * h) - slope[i]).abs() < 1e-6);
            assert!(((high - 2.0 * here + low) / (h * h) - bend[i]).abs() < 1e-5, "{} and {}", bend[i], i);
        }
        let laplace = Ica::new(&[3], Sources::Laplace, &builder(DType::F64)).unwrap();
        assert_eq!(laplace.curvature(&x, &v).unwrap()[2].to_vec1::<f64>().unwrap(), [0.0; 4]);
    }

    /// Every derivative, as a function of B, against differences: mean E (maximum likelihood), mean v·∇E (LSD), and
    /// mean vᵀ∇²E v + ½(v·∇E)² (sliced score matching).
    #[test]
    fn every_objective_is_differentiable_in_the_unmixing() {
        let start = Ica::new(&[3], Sources::Logistic, &builder(DType::F64)).unwrap().unmixing.detach();
        let var = Var::from_tensor(&start).unwrap();
        let (x, v) = (normal(3, &[6, 3]), normal(4, &[6, 3]));
        type Objective<'a> = &'a dyn Fn(&Ica) -> Result<Tensor>;
        let likelihood: Objective = &|m| Ok(m.energy(&x)?.mean_all()?);
        let stein: Objective = &|m| Ok(m.directional(&x, &v)?.1.mean_all()?);
        let score_matching: Objective = &|m| {
            let [_, slope, bend] = m.curvature(&x, &v)?;
            Ok((bend + (slope.sqr()? * 0.5)?)?.mean_all()?)
        };
        for objective in [likelihood, stein, score_matching] {
            let grads = objective(&on(var.as_tensor(), Sources::Logistic)).unwrap().backward().unwrap();
            let grad = grads.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for (i, slope) in grad.iter().enumerate() {
                let at = |h: f64| {
                    let mut values = start.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                    values[i] += h;
                    let moved = Tensor::from_vec(values, (3, 3), &CPU).unwrap();
                    objective(&on(&moved, Sources::Logistic)).unwrap().to_scalar::<f64>().unwrap()
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((difference - slope).abs() < 1e-8 * (1.0 + slope.abs()), "{difference} and {slope}");
            }
        }
    }

    #[test]
    fn far_out_every_derivative_is_finite_and_right() {
        let var = Var::from_tensor(&Tensor::eye(1, DType::F32, &CPU).unwrap()).unwrap();
        let model = on(var.as_tensor(), Sources::Logistic);
        for u in [-1e4f32, -200.0, -89.0, -46.0, -20.0, 0.0, 20.0, 46.0, 89.0, 200.0, 1e4] {
            let (x, v) = (Tensor::new(&[[u]], &CPU).unwrap(), Tensor::new(&[[1f32]], &CPU).unwrap());
            let all = model.curvature(&x, &v).unwrap();
            let s = f64::from(u).abs();
            let e = (-s).exp();
            let want = [s + 2.0 * e.ln_1p(), (f64::from(u) / 2.0).tanh(), 2.0 * e / (1.0 + e).powi(2)];
            for (have, want) in all.iter().zip(want) {
                let have = f64::from(have.to_vec1::<f32>().unwrap()[0]);
                assert!((have - want).abs() <= 3e-7 * want.abs() + 1e-37, "{u}: {have} and {want}");
            }
            let total = all.into_iter().reduce(|a, b| (a + b).unwrap()).unwrap().sum_all().unwrap();
            let grad = total.backward().unwrap().get(&var).unwrap().to_vec2::<f32>().unwrap();
            assert!(grad[0][0].is_finite(), "{u}: {grad:?}");
        }
    }

    #[test]
    fn large_matrices_do_not_overflow_and_singular_ones_are_refused() {
        let model = Ica::new(&[120], Sources::Laplace, &builder(DType::F32)).unwrap();
        let x = Tensor::zeros((2, 120), DType::F32, &CPU).unwrap();
        let want = linalg::log_abs_det(&linalg::to_host(&model.unmixing).unwrap()) - 120.0 * 2f64.ln();
        assert!(want > 88.0, "a determinant that f32 could hold tests nothing: {want}");
        for have in model.log_prob(&x).unwrap().to_vec1::<f32>().unwrap() {
            assert!((f64::from(have) - want).abs() < 1e-6 * want, "{have} and {want}");
        }
        let flat = on(&Tensor::zeros((2, 2), DType::F64, &CPU).unwrap(), Sources::Laplace);
        let refused = flat.energy(&normal(1, &[1, 2])).unwrap_err();
        assert!(refused.to_string().contains("`unmixing` is singular"), "{refused}");
        assert!(flat.sample(Key::new(1), 3).is_err());
    }

    /// E_p[-log p] of the draws is the entropy: D (1 + log 2) or 2 D, minus log|det B|.
    #[test]
    fn samples_have_the_entropy_of_the_density() {
        for (sources, entropy) in [(Sources::Laplace, 1.0 + std::f64::consts::LN_2), (Sources::Logistic, 2.0)] {
            let model = Ica::new(&[2, 1], sources, &builder(DType::F64)).unwrap();
            let x = model.sample(Key::new(5), 20_000).unwrap();
            assert_eq!(x.dims(), [20_000, 2, 1]);
            let energy = model.energy(&x).unwrap().to_vec1::<f64>().unwrap();
            let want = 2.0 * entropy - linalg::log_abs_det(&linalg::to_host(&model.unmixing).unwrap());
            let z = (stats::mean(&energy) - want) / stats::std_error(&energy);
            assert!(z.abs() < 4.0, "{sources:?}: z = {z}");
        }
    }
}
