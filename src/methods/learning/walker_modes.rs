//! The modes of a known mixture at which the walkers are: a diagnostic of the chains. The weights of the modes under
//! the model are another thing, which the probe `mode_weights` measures: walkers that never cross keep the weights they
//! were started with, whatever the energy.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::data::Modes;
use crate::math::stats;
use crate::metrics::{Metrics, Number, Unit};

/// The numbers of [`found`].
pub(in crate::methods) const NUMBERS: [Number; 2] = [
    Number::new("jumps", Unit::Share, "share of walkers that went from the core of one mode to that of another")
        .chain()
        .higher()
        .when("data from a known mixture"),
    Number::new("walker_tv", Unit::Share, "total variation of the walkers' shares by nearest mode to the true weights")
        .lower()
        .when("data from a known mixture"),
];

/// The numbers `jumps`, the share of walkers that went from the core of one mode to that of another, and `walker_tv`,
/// the total variation distance of their shares by nearest mode from the true weights. `before` and `after` are the
/// positions, `[n, ..]`; `weights` are those of the walkers and sum to one, `None` where all are equal.
pub(in crate::methods) fn found(
    modes: &Modes,
    before: &Tensor,
    after: &Tensor,
    weights: Option<&[f64]>,
) -> Result<Metrics> {
    let rows = |x: &Tensor| -> Result<Vec<Vec<f64>>> { Ok(x.flatten_from(1)?.to_dtype(DType::F64)?.to_vec2()?) };
    let (before, after) = (rows(before)?, rows(after)?);
    let jumped =
        |(a, b): (&Vec<f64>, &Vec<f64>)| matches!((modes.core(a), modes.core(b)), (Some(a), Some(b)) if a != b);
    let jumps = before.iter().zip(&after).filter(|pair| jumped(*pair)).count();
    let n = after.len().max(1) as f64;
    let equal = || vec![1.0 / n; after.len()];
    let shares = modes.shares(&after, &weights.map_or_else(equal, <[f64]>::to_vec));
    let tv = stats::total_variation(&shares, &modes.weights);
    Ok(Metrics::new().with("jumps", jumps as f64 / n).with("walker_tv", tv))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn jumps_go_from_core_to_core_and_shares_are_compared_with_the_weights() {
        let modes = Modes::new(vec![vec![-3.0, 0.0], vec![3.0, 0.0]], vec![0.25, 0.75], &[1.0; 2]);
        let at =
            |x: [f64; 4]| Tensor::from_vec(x.iter().flat_map(|x| [*x, 0.0]).collect::<Vec<_>>(), (4, 2), &Device::Cpu);
        // One jumps, one stays, one goes to the border, one comes from it.
        let (before, after) = (at([-3.0, 3.0, 3.0, 0.1]).unwrap(), at([3.5, 2.5, 0.1, -3.0]).unwrap());
        let equal = found(&modes, &before, &after, None).unwrap();
        assert_eq!((equal.get("jumps"), equal.get("walker_tv")), (Some(0.25), Some(0.0)));
        let weighted = found(&modes, &before, &after, Some(&[0.5, 0.125, 0.125, 0.25])).unwrap();
        assert_eq!((weighted.get("jumps"), weighted.get("walker_tv")), (Some(0.25), Some(0.0)));
        let weighted = found(&modes, &before, &after, Some(&[0.25, 0.125, 0.125, 0.5])).unwrap();
        assert_eq!(weighted.get("walker_tv"), Some(0.25));
    }
}
