//! Images that lie pixel by pixel: what computes them as they lie, and the gradients for the weights of convolutions,
//! which nobody differentiates. The values of other convolutions are tried so too, since nothing of them is tracked.

use candle_core::{Tensor, Var};

use super::{OpCheck, Sizes, normal};
use crate::Result;
use crate::ops::{
    Activation, Conv, Order, activate, activate_curve, activate_jet, activate_pullback, add, at_every_pixel,
    channel_sum, composed, conv2d, conv2d_pullback, conv2d_weight_gradient, group_norm, group_norm_jacobian,
    group_norm_parameters, group_norm_pullback, pixel_sum, stacked,
};

const ACT: Activation = Activation::Swish;

/// The images of t, pixel by pixel.
fn laid(t: &Tensor) -> candle_core::Result<Tensor> {
    Order::Last.images(&Order::Last.lay(t)?)
}

/// The gradients for weights of the sizes that convolutions are tried with.
pub(super) fn weight_gradients(sizes: &[Sizes]) -> Result<Vec<OpCheck>> {
    let one = |&(channels, size, outputs, kernel, stride): &Sizes| {
        let conv = Conv { stride, padding: (kernel - 1) / 2 };
        let windows = (conv.windows(size.0, kernel)?, conv.windows(size.1, kernel)?);
        let inputs =
            vec![normal("x", &[6, channels, size.0, size.1])?, normal("g", &[6, outputs, windows.0, windows.1])?];
        Ok(OpCheck::new(
            format!("convolution {kernel}×{kernel}, stride {stride}, {channels} to {outputs}: weight gradient"),
            inputs,
            move |t| conv2d_weight_gradient(&t[0], &t[1], conv, kernel),
            move |t| {
                let w = Var::zeros(&[outputs, channels, kernel, kernel], t[0].dtype(), t[0].device())?;
                let mut store = (composed::conv2d(&t[0], &w, None, conv, 1)? * &t[1])?.sum_all()?.backward()?;
                store.remove(&w).map_or_else(|| w.zeros_like(), Ok)
            },
        ))
    };
    sizes.iter().map(one).collect()
}

/// Convolutions one after the other, and back.
pub(super) fn chains() -> Result<Vec<OpCheck>> {
    const CONV: Conv = Conv { stride: 1, padding: 1 };
    let weights = |name: &str| Ok::<_, crate::Error>((normal(name, &[8, 8, 3, 3])? * 0.1)?);
    let inputs = vec![normal("x", &[4, 8, 6, 5])?, weights("w")?, weights("v")?, normal("b", &[8])?];
    let forward = OpCheck::new(
        "x + convolution of σ of a convolution",
        inputs.clone(),
        |t| {
            let u = conv2d(&t[0], &t[1], Some(&t[3]), CONV)?;
            add(&t[0], &conv2d(&activate(ACT, &u)?, &t[2], Some(&t[3]), CONV)?)
        },
        |t| {
            let u = composed::conv2d(&t[0], &t[1], Some(&t[3]), CONV, 1)?;
            &t[0] + composed::conv2d(&composed::activate(ACT, &u)?, &t[2], Some(&t[3]), CONV, 1)?
        },
    );
    let back = OpCheck::new(
        "the pull-back of a convolution of σ of a convolution",
        inputs,
        |t| {
            let u = conv2d(&t[0], &t[1], Some(&t[3]), CONV)?;
            let g = activate_pullback(ACT, &u, &conv2d_pullback(&t[0], &t[2], CONV, (6, 5))?)?;
            conv2d_pullback(&g, &t[1], CONV, (6, 5))
        },
        |t| {
            let u = composed::conv2d(&t[0], &t[1], Some(&t[3]), CONV, 1)?;
            let g = composed::conv2d_pullback(&t[0], &t[2], CONV, (6, 5))?;
            composed::conv2d_pullback(&composed::activate_pullback(ACT, &u, &g)?, &t[1], CONV, (6, 5))
        },
    );
    Ok(vec![forward, back])
}

/// What goes entry by entry, sums and norms.
pub(super) fn all() -> Result<Vec<OpCheck>> {
    Ok(entries()?.into_iter().chain(norms()?).collect())
}

fn entries() -> Result<Vec<OpCheck>> {
    let (x, y) = (normal("x", &[6, 4, 5, 3])?, normal("y", &[6, 4, 5, 3])?);
    let (one, two) = (|| vec![x.clone()], || vec![x.clone(), y.clone()]);
    let named = |what: &str| format!("{what}, pixel by pixel");
    Ok(vec![
        OpCheck::new(named("activation"), one(), |t| activate(ACT, &laid(&t[0])?), |t| composed::activate(ACT, &t[0])),
        OpCheck::new(
            named("activation pull-back"),
            two(),
            |t| activate_pullback(ACT, &laid(&t[0])?, &t[1]),
            |t| composed::activate_pullback(ACT, &t[0], &t[1]),
        ),
        OpCheck::new(
            named("activation tangent"),
            one(),
            |t| activate_jet(ACT, &laid(&t[0])?),
            |t| composed::activate_jet(ACT, &t[0]),
        ),
        OpCheck::new(
            named("activation second tangent"),
            one(),
            |t| activate_curve(ACT, &laid(&t[0])?, 3),
            |t| composed::activate_curve(ACT, &t[0], 3),
        ),
        OpCheck::new(named("sum"), two(), |t| add(&t[0], &laid(&t[1])?), |t| &t[0] + &t[1]),
        OpCheck::new(
            named("one after the other"),
            two(),
            |t| stacked(&[&laid(&t[0])?, &laid(&t[1])?]),
            |t| Tensor::cat(t, 0),
        ),
        OpCheck::new(named("channel sum"), one(), |t| channel_sum(&laid(&t[0])?), |t| t[0].sum((0, 2, 3))),
        OpCheck::new(named("pixel sum"), one(), |t| pixel_sum(&laid(&t[0])?), |t| t[0].sum((2, 3))),
        OpCheck::new(
            named("at every pixel"),
            vec![normal("g", &[3, 4])?],
            |t| at_every_pixel(&t[0], (5, 2), Order::Last),
            |t| t[0].reshape((3, 4, 1, 1))?.broadcast_as((3, 4, 5, 2))?.contiguous(),
        ),
    ])
}

fn norms() -> Result<Vec<OpCheck>> {
    const GROUPS: usize = 2;
    let (x, t) = (normal("x", &[3, 6, 5, 7])?, normal("t", &[3, 6, 5, 7])?);
    let (gain, shift) = (normal("gain", &[6])?, normal("shift", &[6])?);
    let two = vec![x.clone(), t.clone()];
    let named = |what: &str| format!("norm, pixel by pixel{what}");
    Ok(vec![
        OpCheck::new(
            named(""),
            vec![x.clone(), gain.clone(), shift],
            |t| group_norm(&laid(&t[0])?, &t[1], &t[2], GROUPS),
            |t| composed::group_norm(&t[0], &t[1], &t[2], GROUPS),
        ),
        OpCheck::new(
            named(": pull-back"),
            vec![x, gain, t],
            |t| group_norm_pullback(&laid(&t[0])?, &t[1], &t[2], GROUPS),
            |t| composed::group_norm_pullback(&t[0], &t[1], &t[2], GROUPS),
        ),
        OpCheck::new(
            named(": Jacobian"),
            two.clone(),
            |t| group_norm_jacobian(&t[0], &laid(&t[1])?, GROUPS),
            |t| composed::group_norm_jacobian(&t[0], &t[1], GROUPS),
        ),
        OpCheck::new(
            named(": sums for γ and β"),
            two,
            |t| {
                let (gain, shift) = group_norm_parameters(&laid(&t[0])?, &laid(&t[1])?, GROUPS)?;
                Ok(Tensor::stack(&[gain, shift], 0)?)
            },
            |t| {
                let (unit, _) = composed::normalised(&t[0], GROUPS)?;
                let along = (unit.reshape(t[0].dims())? * &t[1])?;
                Tensor::stack(&[along.sum((0, 2, 3))?, t[1].sum((0, 2, 3))?], 0)
            },
        ),
    ])
}
