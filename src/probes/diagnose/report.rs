//! The numbers: what the draws of each coordinate, of the energy and of each mode are worth.

use candle_core::DType;
use rayon::prelude::*;

use super::{Recording, Visits, visits};
use crate::data::Modes;
use crate::density::{Density, Energy};
use crate::math::convergence::{Draws, bfmi, psis};
use crate::metrics::Metrics;
use crate::{Result, rng::Key};

/// What the draws of one number are worth.
#[derive(Clone, Copy, Debug)]
pub struct Worth {
    /// Rank-normalised split R̂.
    pub rhat: f64,
    /// Effective sample size for the bulk.
    pub ess_bulk: f64,
    /// Effective sample size for the 5 % and 95 % quantiles, the smaller one.
    pub ess_tail: f64,
    /// Draws that are worth one independent draw, for the mean.
    pub autocorrelation_time: f64,
}

/// [`Worth`] with the name of what it is about.
#[derive(Clone, Debug)]
pub struct ReportRow {
    /// Such as `energy`.
    pub name: String,
    /// Its numbers.
    pub worth: Worth,
}

impl Worth {
    /// Of draws; all NaN of such as are all one number.
    pub fn of(draws: &Draws) -> Self {
        if draws.is_constant() {
            return Worth { rhat: f64::NAN, ess_bulk: f64::NAN, ess_tail: f64::NAN, autocorrelation_time: f64::NAN };
        }
        Worth {
            rhat: draws.rhat(),
            ess_bulk: draws.ess_bulk(),
            ess_tail: draws.ess_tail(),
            autocorrelation_time: draws.autocorrelation_time(),
        }
    }

    /// As named numbers.
    pub fn metrics(&self) -> Metrics {
        Metrics::new()
            .with("rhat", self.rhat)
            .with("ess_bulk", self.ess_bulk)
            .with("ess_tail", self.ess_tail)
            .with("autocorrelation_time", self.autocorrelation_time)
    }

    /// Each number by itself: `pick` of the values that are defined, in ascending order from good to bad.
    fn each(all: &[Worth], pick: fn(&[f64]) -> f64) -> Worth {
        let of = |number: fn(&Worth) -> f64, bad_is_low: bool| {
            let mut values: Vec<f64> = all.iter().map(number).filter(|v| !v.is_nan()).collect();
            values.sort_by(f64::total_cmp);
            if bad_is_low {
                values.reverse();
            }
            pick(&values)
        };
        Worth {
            rhat: of(|w| w.rhat, false),
            ess_bulk: of(|w| w.ess_bulk, true),
            ess_tail: of(|w| w.ess_tail, true),
            autocorrelation_time: of(|w| w.autocorrelation_time, false),
        }
    }

    /// The worst value of each number.
    pub fn worst(all: &[Worth]) -> Worth {
        Self::each(all, |v| v.last().copied().unwrap_or(f64::NAN))
    }

    /// The median of each number, the better one of two.
    pub fn median(all: &[Worth]) -> Worth {
        Self::each(all, |v| v.get(v.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN))
    }
}

/// The density that the energy tilts, as a proposal for importance sampling.
#[derive(Clone, Copy, Debug)]
pub struct Importance {
    /// Draws.
    pub draws: usize,
    /// k̂ of the weights.
    pub k: f64,
    /// (Σw)²/Σw² as a share of the draws.
    pub ess_share: f64,
}

/// Everything that is known of a recording.
#[derive(Clone, Debug)]
pub struct Report {
    /// Chains.
    pub chains: usize,
    /// Draws of each.
    pub draws: usize,
    /// Numbers of one draw.
    pub dim: usize,
    /// The worst of the coordinates, the median one, the energy, the worst of the modes: as far as there are such.
    pub rows: Vec<ReportRow>,
    /// The coordinate with the largest R̂, or the smallest bulk ESS where R̂ is not defined.
    pub worst_coordinate: usize,
    /// Coordinates that are one number in all draws.
    pub constant: usize,
    /// Chains that never moved.
    pub stuck: usize,
    /// Chains that repeat another one, draw by draw.
    pub copies: usize,
    /// Whether the array of a file seems to be `[draw, chain]`.
    pub transposed: bool,
    /// Values that are no finite numbers.
    pub nonfinite_draws: usize,
    /// The smallest E-BFMI of the chains.
    pub bfmi: Option<f64>,
    /// Where a mixture's modes are known.
    pub visits: Option<Visits>,
    /// Jumps of a chain between modes in 1,000 steps.
    pub jump_rate: Option<f64>,
    /// k̂ of the model's base density.
    pub importance: Option<Importance>,
}

impl Report {
    /// Looks at a recording; `modes` of its data, where they are known.
    pub fn of(recording: &Recording, modes: Option<&Modes>, importance: Option<Importance>) -> Self {
        let all: Vec<Draws> = (0..recording.dim()).into_par_iter().map(|j| recording.coordinate(j)).collect();
        let worth: Vec<Worth> = all.par_iter().map(Worth::of).collect();
        let mut rows =
            vec![row("worst coordinate", Worth::worst(&worth)), row("median coordinate", Worth::median(&worth))];
        rows.extend(recording.energy.as_ref().map(|energy| row("energy", Worth::of(energy))));
        let visits = modes.map(|modes| visits(recording, modes));
        rows.extend(visits.as_ref().map(worst_mode));
        let steps = (recording.chains() * recording.draws() * recording.thin) as f64;
        let jump_rate = visits.as_ref().map(|v| 1000.0 * v.jumps as f64 / steps);
        let constant = all.iter().filter(|draws| draws.is_constant()).count();
        let stuck = (0..recording.chains()).filter(|c| all.iter().all(|draws| never_moved(draws, *c))).count();
        Report {
            chains: recording.chains(),
            draws: recording.draws(),
            dim: recording.dim(),
            rows,
            worst_coordinate: worst(&worth),
            constant,
            stuck,
            copies: recording.copies(),
            transposed: recording.looks_transposed(),
            nonfinite_draws: recording.x.iter().filter(|v| !v.is_finite()).count(),
            bfmi: recording.hamiltonian.as_ref().map(|h| least(h.chains().iter().map(|c| bfmi(c)))),
            visits,
            jump_rate,
            importance,
        }
    }
}

fn row(name: &str, worth: Worth) -> ReportRow {
    ReportRow { name: name.into(), worth }
}

/// The worst indicator of a mode; modes that no draw is at, or all are at, have none.
fn worst_mode(visits: &Visits) -> ReportRow {
    let each: Vec<Worth> = (0..visits.counts.len()).map(|k| Worth::of(&visits.indicator(k))).collect();
    row("worst mode", Worth::worst(&each))
}

fn never_moved(draws: &Draws, chain: usize) -> bool {
    draws.chains().get(chain).is_some_and(|x| x.len() > 1 && x.windows(2).all(|p| matches!(p, [a, b] if a == b)))
}

/// The least value, NaN if one is.
fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, |least, v| if v >= least { least } else { v })
}

fn worst(worth: &[Worth]) -> usize {
    let badness = |w: &Worth| if w.rhat.is_nan() { -w.ess_bulk } else { w.rhat };
    let worse = |(at, most): (usize, f64), (j, w): (usize, &Worth)| {
        let bad = badness(w);
        if bad > most { (j, bad) } else { (at, most) }
    };
    worth.iter().enumerate().fold((0, f64::NEG_INFINITY), worse).0
}

/// The importance weights w = exp(-E)/q of n draws of a density q, such as the base density of a model; `None` without
/// one.
///
/// # Errors
/// A tensor operation that failed.
pub fn importance(key: Key, e: &dyn Energy, q: Option<&dyn Density>, n: usize) -> Result<Option<Importance>> {
    let Some(q) = q else { return Ok(None) };
    let x = q.sample(key, n)?;
    let host = |t: candle_core::Tensor| -> Result<Vec<f64>> { Ok(t.to_dtype(DType::F64)?.to_vec1()?) };
    let log_w: Vec<f64> = host(e.energy(&x)?)?.iter().zip(host(q.log_prob(&x)?)?).map(|(e, q)| -e - q).collect();
    let smoothed = psis(&log_w, 1.0);
    let sum = |power: f64| crate::math::logsumexp(&log_w.iter().map(|w| power * w).collect::<Vec<_>>());
    let ess_share = (2.0 * sum(1.0) - sum(2.0)).exp() / n as f64;
    Ok(Some(Importance { draws: n, k: smoothed.k, ess_share }))
}
