//! Operations on a device against their compositions in f64 on the CPU: values and gradients. `ebm doctor` runs them
//! where there are no tests, on the machine and card that somebody has.

mod by_pixel;
mod updates;

use candle_core::{DType, Device, Tensor, Var};

use super::{
    Activation, Conv, Dropping, activate, activate_curve, activate_jet, activate_pullback, add, column_sum, composed,
    conv2d_activated, conv2d_activated_pullback, conv2d_pullback, conv2d_stacked, dot, dropout, group_norm,
    group_norm_jacobian, group_norm_pullback, linear_pullback, linear_stacked,
};
use crate::device::Precision;
use crate::{Result, rng::Key};

/// An operation on tensors.
pub type Op<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

type OwnedOp = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

/// Standard normal numbers in f64, the same for the same name.
///
/// # Errors
/// None that is known: they are made on the CPU.
pub fn normal(name: &str, shape: &[usize]) -> Result<Tensor> {
    Key::new(7).with(name).normal(shape, DType::F64, &Device::Cpu)
}

/// The weighted sum Σ weight∘f(inputs), with weights that depend on the shape only.
///
/// # Errors
/// `f` fails.
pub fn loss(f: Op, inputs: &[Tensor]) -> Result<Tensor> {
    let y = f(inputs)?;
    let weight = normal("loss weight", y.dims())?.to_dtype(y.dtype())?.to_device(y.device())?;
    Ok((y * weight)?.sum_all()?)
}

/// The gradient of [`loss`] for every input, by one ordinary backward pass.
///
/// # Errors
/// `f` fails.
pub fn gradients(f: Op, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let vars = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let store = loss(f, &tracked)?.backward()?;
    // None: the result does not depend on it, as candle sees it (the slope of a rectifier).
    let of = |v: &Var| store.get(v).map_or_else(|| v.zeros_like(), |g| Ok(g.clone()));
    Ok(vars.iter().map(of).collect::<candle_core::Result<_>>()?)
}

/// An operation with its composition and with arguments to try both on.
pub struct OpCheck {
    /// What is tried.
    pub name: String,
    op: OwnedOp,
    composed: OwnedOp,
    /// In f64, on the CPU.
    inputs: Vec<Tensor>,
    /// Whether it multiplies matrices, in which the precision of a GPU counts.
    multiplies: bool,
    /// Whether it has gradients: what changes tensors in place has none.
    tracked: bool,
}

impl OpCheck {
    fn new(
        name: impl Into<String>,
        inputs: Vec<Tensor>,
        op: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
        composed: impl Fn(&[Tensor]) -> candle_core::Result<Tensor> + 'static,
    ) -> Self {
        let composed = move |t: &[Tensor]| Ok(composed(t)?);
        let (op, composed) = (Box::new(op), Box::new(composed));
        OpCheck { name: name.into(), op, composed, inputs, multiplies: false, tracked: true }
    }

    /// The arguments in f64.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// The operation, and the same composed of candle's.
    pub fn both(&self) -> (Op<'_>, Op<'_>) {
        (&self.op, &self.composed)
    }

    /// Whether it has gradients.
    pub fn tracked(&self) -> bool {
        self.tracked
    }

    /// The largest difference between an entry of value or gradients in `dtype` on `device` and what it is in f64 on
    /// the CPU for the same arguments, as a share of the largest entry, or of 1 if that is larger. What is not a number
    /// is infinitely far off.
    ///
    /// # Errors
    /// The operation fails on this device.
    pub fn distance(&self, dtype: DType, device: &Device) -> Result<f64> {
        let rounded = self.inputs.iter().map(|t| t.to_dtype(dtype)).collect::<candle_core::Result<Vec<_>>>()?;
        let moved = |to: &dyn Fn(&Tensor) -> candle_core::Result<Tensor>| {
            rounded.iter().map(to).collect::<candle_core::Result<Vec<_>>>()
        };
        let have = self.results(&self.op, &moved(&|t| t.to_device(device))?)?;
        let want = self.results(&self.composed, &moved(&|t| t.to_dtype(DType::F64))?)?;
        have.iter().zip(&want).try_fold(0.0, |worst: f64, (have, want)| Ok(worst.max(apart(have, want)?)))
    }

    fn results(&self, op: Op, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let value = op(inputs)?;
        Ok(if self.tracked { [vec![value], gradients(op, inputs)?].concat() } else { vec![value] })
    }

    /// What [`OpCheck::distance`] may be at most.
    pub fn bound(&self, dtype: DType, precision: Precision) -> f64 {
        match (dtype, precision) {
            (DType::F64, _) => 1e-12,
            // Factors with 10 bits behind the point.
            (_, Precision::Tf32) if self.multiplies => 5e-3,
            // With 7, and one more rounding of what comes out.
            (_, Precision::Bf16) if self.multiplies => 8.0 * 5e-3,
            _ => 1e-5,
        }
    }

    /// All operations, on arguments of a few sizes.
    ///
    /// # Errors
    /// None that is known: the arguments are made on the CPU.
    pub fn all() -> Result<Vec<OpCheck>> {
        let mut all = linear_maps()?;
        all.extend(convolutions()?);
        let mut chains = by_pixel::chains()?;
        chains.extend(by_pixel::weight_gradients(&CONVOLUTIONS)?);
        chains.iter_mut().for_each(|check| check.tracked = false);
        all.extend(chains);
        all.iter_mut().for_each(|check| check.multiplies = true);
        all.extend([activations()?, sums()?, norms()?].into_iter().flatten());
        let mut plain = updates::all()?;
        plain.extend(by_pixel::all()?);
        plain.iter_mut().for_each(|check| check.tracked = false);
        all.extend(plain);
        Ok(all)
    }
}

/// The distance of two tensors, as [`OpCheck::distance`] has it.
fn apart(have: &Tensor, want: &Tensor) -> Result<f64> {
    let entries = |t: &Tensor| t.flatten_all()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1::<f64>();
    if have.dims() != want.dims() {
        return Ok(f64::INFINITY);
    }
    let (have, want) = (entries(have)?, entries(want)?);
    let scale = want.iter().fold(1.0, |m: f64, w| m.max(w.abs()));
    let off = have.iter().zip(&want).map(|(h, w)| (h - w).abs() / scale);
    Ok(off.fold(0.0, |worst: f64, off| if off.is_finite() { worst.max(off) } else { f64::INFINITY }))
}

fn linear_maps() -> Result<Vec<OpCheck>> {
    let (x, w, b) = (normal("x", &[66, 70])?, normal("w", &[37, 70])?, normal("b", &[37])?);
    let mut all: Vec<OpCheck> = [1, 2, 3]
        .map(|blocks| {
            OpCheck::new(
                format!("linear, {blocks} stacked"),
                vec![x.clone(), w.clone(), b.clone()],
                move |t| linear_stacked(&t[0], &t[1], Some(&t[2]), blocks),
                move |t| composed::linear(&t[0], &t[1], Some(&t[2]), blocks),
            )
        })
        .into();
    all.push(OpCheck::new(
        "linear pull-back",
        vec![normal("g", &[66, 37])?, w],
        |t| linear_pullback(&t[0], &t[1]),
        |t| composed::linear_pullback(&t[0], &t[1]),
    ));
    Ok(all)
}

type Sizes = (usize, (usize, usize), usize, usize, usize);

/// (channels, size, outputs, kernel, stride): with a rest of a row, with windows of one pixel, with many channels.
const CONVOLUTIONS: [Sizes; 5] = [
    (3, (9, 8), 16, 3, 1),
    (16, (8, 8), 24, 3, 2),
    (8, (9, 12), 8, 4, 2),
    (16, (5, 6), 12, 1, 1),
    (32, (7, 7), 32, 3, 1),
];

fn convolutions() -> Result<Vec<OpCheck>> {
    const ACT: Activation = Activation::Swish;
    let mut all = Vec::new();
    for (channels, size, outputs, kernel, stride) in CONVOLUTIONS {
        let conv = Conv { stride, padding: (kernel - 1) / 2 };
        let what = format!("{kernel}×{kernel}, stride {stride}, {channels} to {outputs}");
        let (x, b) = (normal("x", &[6, channels, size.0, size.1])?, normal("b", &[outputs])?);
        let w = (normal("w", &[outputs, channels, kernel, kernel])? * (1.0 / (channels as f64).sqrt()))?;
        let windows = (conv.windows(size.0, kernel)?, conv.windows(size.1, kernel)?);
        let g = normal("g", &[6, outputs, windows.0, windows.1])?;
        let inputs = vec![x.clone(), w.clone(), b];
        all.push(OpCheck::new(
            format!("convolution {what}"),
            inputs.clone(),
            move |t| conv2d_stacked(&t[0], &t[1], Some(&t[2]), conv, 2),
            move |t| composed::conv2d(&t[0], &t[1], Some(&t[2]), conv, 2),
        ));
        all.push(OpCheck::new(
            format!("convolution {what}: pull-back"),
            vec![g.clone(), w.clone()],
            move |t| conv2d_pullback(&t[0], &t[1], conv, size),
            move |t| composed::conv2d_pullback(&t[0], &t[1], conv, size),
        ));
        all.push(OpCheck::new(
            format!("convolution {what} of σ"),
            inputs,
            move |t| conv2d_activated(ACT, &t[0], &t[1], &t[2], conv),
            move |t| composed::conv2d(&composed::activate(ACT, &t[0])?, &t[1], Some(&t[2]), conv, 1),
        ));
        all.push(OpCheck::new(
            format!("convolution {what} of σ: pull-back"),
            vec![x, g, w],
            move |t| conv2d_activated_pullback(ACT, &t[0], &t[1], &t[2], conv),
            move |t| composed::activate_pullback(ACT, &t[0], &composed::conv2d_pullback(&t[1], &t[2], conv, size)?),
        ));
    }
    Ok(all)
}

fn activations() -> Result<Vec<OpCheck>> {
    use Activation::{Elu, LeakyRelu, Relu, Sigmoid, Softplus, Swish, Tanh};
    let (u, v) = (normal("u", &[6, 43])?, normal("v", &[6, 43])?);
    let mut all = Vec::new();
    for act in [Swish, Softplus, Sigmoid, Tanh, Relu, LeakyRelu(0.2), Elu(0.7)] {
        let name = format!("{act:?}");
        all.push(OpCheck::new(
            name.clone(),
            vec![u.clone()],
            move |t| activate(act, &t[0]),
            move |t| composed::activate(act, &t[0]),
        ));
        all.push(OpCheck::new(
            format!("{name} pull-back"),
            vec![u.clone(), v.clone()],
            move |t| activate_pullback(act, &t[0], &t[1]),
            move |t| composed::activate_pullback(act, &t[0], &t[1]),
        ));
        all.push(OpCheck::new(
            format!("{name} tangent"),
            vec![u.clone()],
            move |t| activate_jet(act, &t[0]),
            move |t| composed::activate_jet(act, &t[0]),
        ));
        all.push(OpCheck::new(
            format!("{name} second tangent"),
            vec![u.clone()],
            move |t| activate_curve(act, &t[0], 3),
            move |t| composed::activate_curve(act, &t[0], 3),
        ));
    }
    Ok(all)
}

fn norms() -> Result<Vec<OpCheck>> {
    let mut all = Vec::new();
    for (shape, groups) in [(&[3, 6, 5, 7][..], 2), (&[5, 37], 1), (&[2, 4, 3, 3], 4)] {
        let (x, t) = (normal("x", shape)?, normal("t", shape)?);
        let (gain, shift) = (normal("gain", &shape[1..2])?, normal("shift", &shape[1..2])?);
        all.push(OpCheck::new(
            format!("norm of {shape:?} in {groups} groups"),
            vec![x.clone(), gain.clone(), shift],
            move |t| group_norm(&t[0], &t[1], &t[2], groups),
            move |t| composed::group_norm(&t[0], &t[1], &t[2], groups),
        ));
        let inputs = vec![x.clone(), gain.clone(), t.clone()];
        all.push(OpCheck::new(
            format!("norm of {shape:?} in {groups} groups: pull-back"),
            inputs,
            move |t| group_norm_pullback(&t[0], &t[1], &t[2], groups),
            move |t| composed::group_norm_pullback(&t[0], &t[1], &t[2], groups),
        ));
        all.push(OpCheck::new(
            format!("norm of {shape:?} in {groups} groups: Jacobian"),
            vec![x, t],
            move |t| group_norm_jacobian(&t[0], &t[1], groups),
            move |t| composed::group_norm_jacobian(&t[0], &t[1], groups),
        ));
    }
    Ok(all)
}

fn sums() -> Result<Vec<OpCheck>> {
    let (x, y) = (normal("x", &[50, 41])?, normal("y", &[50, 41])?);
    let by = Dropping { rate: 0.3, counter: Key::new(7).with("mask").counter().after(5), blocks: 2 };
    Ok(vec![
        OpCheck::new("dropout", vec![x.clone()], move |t| dropout(&t[0], &by), move |t| composed::dropout(&t[0], &by)),
        OpCheck::new("column sum", vec![x.clone()], |t| column_sum(&t[0]), |t| composed::column_sum(&t[0])),
        OpCheck::new("sum", vec![x.clone(), y.clone()], |t| add(&t[0], &t[1]), |t| &t[0] + &t[1]),
        OpCheck::new("row-wise dot product", vec![x, y], |t| dot(&t[0], &t[1]), |t| composed::dot(&t[0], &t[1])),
    ])
}
