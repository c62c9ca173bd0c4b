//! Updates in place, moves of chains and their decisions.

use candle_core::{DType, Device, Tensor, Var};

use super::{OpCheck, normal};
use crate::Result;
use crate::ops::{
    Adam, LangevinMove, Sgd, adam_update, choose_rows, composed, langevin_move, langevin_update, lerp_update,
    metropolis, normal_like, sgd_update, sum_of_squares,
};
use crate::rng::{Counter, Key};

/// Numbers of an Adam step, the third of a run.
const ADAM: Adam =
    Adam { scale: 0.7, l2: 0.3, betas: [0.9, 0.99], rest: [0.1, 0.01], keep: 0.97, rate: 0.37, root: 5.8, eps: 1e-8 };
const SGD: Sgd = Sgd { lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.3, scale: 0.7 };
const BOUNDED: LangevinMove = LangevinMove { drift: 0.3, std: 0.7, clip: 1.5, bounds: [-2.0, 1.0] };

/// Tensors that an update changes, as it leaves them: f is given variables that begin at `t`.
fn changed(t: &[Tensor], f: impl FnOnce(&[Var]) -> Result<()>) -> Result<Tensor> {
    let vars = t.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    f(&vars)?;
    Ok(Tensor::stack(&vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>(), 0)?)
}

/// What changes tensors and what draws numbers, neither of which has gradients.
pub(super) fn all() -> Result<Vec<OpCheck>> {
    Ok(moves()?.into_iter().chain(in_place()?).collect())
}

/// A place in a stream that no tile begins at.
fn counter() -> Counter {
    Key::new(7).with("noise").counter().after(5)
}

fn moves() -> Result<Vec<OpCheck>> {
    let [p, m, g] = three()?;
    let (drawn, noise) = (vec![p.clone(), m, g.clone()], counter());
    let rows = |t: &Tensor| t.reshape((5_003, 1));
    Ok(vec![
        OpCheck::new(
            "Langevin move",
            drawn.clone(),
            |t| langevin_update(&t[0], &t[1], &t[2], 0.3, 0.7),
            |t| composed::langevin(&t[0], &t[1], &t[2], 0.3, 0.7),
        ),
        OpCheck::new(
            "Langevin move with its noise",
            vec![p.clone(), g.clone()],
            move |t| langevin_move(&t[0], &t[1], &BOUNDED, noise),
            move |t| composed::langevin_move(&t[0], &t[1], &BOUNDED, noise),
        ),
        OpCheck::new(
            "normal numbers",
            vec![p.clone()],
            move |t| normal_like(&t[0], noise),
            move |t| composed::normal_like(&t[0], noise),
        ),
        OpCheck::new(
            "Metropolis step",
            vec![p, g],
            move |t| metropolis(&t[0].to_dtype(DType::F64)?, &t[1].to_dtype(DType::F64)?, noise),
            move |t| composed::metropolis(&t[0], &t[1], noise),
        ),
        OpCheck::new(
            "choice of rows",
            drawn,
            move |t| choose_rows(&t[0].gt(&t[2])?.to_dtype(DType::F64)?, &rows(&t[1])?, &rows(&t[2])?),
            move |t| composed::choose_rows(&t[0].gt(&t[2])?.to_dtype(DType::F64)?, &rows(&t[1])?, &rows(&t[2])?),
        ),
    ])
}

/// Three tensors of one shape.
fn three() -> Result<[Tensor; 3]> {
    let [p, m, g] = ["p", "m", "g"].map(|name| normal(name, &[5_003]));
    Ok([p?, m?, g?])
}

fn in_place() -> Result<Vec<OpCheck>> {
    let ([p, m, g], v) = (three()?, normal("v", &[5_003])?.sqr()?);
    let drawn = vec![p.clone(), m.clone(), g.clone()];
    Ok(vec![
        OpCheck::new(
            "Adam step",
            vec![p, m, v, g.clone()],
            |t| changed(&t[..3], |v| adam_update(&v[0], &t[3], &v[1], &v[2], &ADAM).map(drop)),
            |t| Ok(changed(&t[..3], |v| Ok(composed::adam(&v[0], &v[1], &v[2], &t[3], &ADAM)?))?),
        ),
        OpCheck::new(
            "step with momentum",
            drawn.clone(),
            |t| changed(&t[..2], |v| sgd_update(&v[0], &t[2], &v[1], &SGD).map(drop)),
            |t| Ok(changed(&t[..2], |v| Ok(composed::sgd(&v[0], &v[1], &t[2], &SGD)?))?),
        ),
        OpCheck::new(
            "moving average",
            drawn,
            |t| changed(&t[..1], |v| lerp_update(&v[0], &t[1], 0.3)),
            |t| Ok(changed(&t[..1], |v| Ok(composed::lerp(&v[0], &t[1], 0.3)?))?),
        ),
        OpCheck::new(
            "sum of squares",
            vec![g],
            |t| Ok(Tensor::new(sum_of_squares(&t[0])?, &Device::Cpu)?),
            |t| Tensor::new(composed::sum_of_squares(&t[0])?, &Device::Cpu),
        ),
    ])
}
