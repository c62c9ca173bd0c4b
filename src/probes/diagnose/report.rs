//! The numbers: what the draws of each coordinate, of the energy and of each mode are worth.

use candle_core::DType;
use rayon::prelude::*;

use super::{Recording, Visits, visits};
use crate::data::Modes;
use crate::density::{Density, Energy};
use crate::math::convergence::{Draws, bfmi, psis};
use crate::metrics::Metrics;
use crate::samplers::Frozen;
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
    /// Which of the coordinates or modes it is; all its numbers are of this one.
    pub index: Option<usize>,
    /// Its numbers.
    pub worth: Worth,
}

impl Worth {
    /// Of what has no numbers.
    const NONE: Worth =
        Worth { rhat: f64::NAN, ess_bulk: f64::NAN, ess_tail: f64::NAN, autocorrelation_time: f64::NAN };

    /// Of draws; all NaN of such as are all one number.
    pub fn of(draws: &Draws) -> Self {
        if draws.is_constant() {
            return Worth::NONE;
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

    /// How badly chains mix: R̂, or fewer effective draws where R̂ is not defined; NaN where nothing is.
    fn badness(&self) -> f64 {
        if self.rhat.is_nan() { -self.ess_bulk } else { self.rhat }
    }

    /// The smaller one of the two effective sample sizes that is defined.
    fn least_ess(&self) -> f64 {
        self.ess_bulk.min(self.ess_tail)
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
    /// The worst of the coordinates (and another one, if that has the least effective draws), the median one, the
    /// energy, the worst of the modes: as far as there are such.
    pub rows: Vec<ReportRow>,
    /// The coordinate with the largest R̂, or the smallest bulk ESS where R̂ is not defined.
    pub worst_coordinate: usize,
    /// Coordinates that are one number in all draws.
    pub constant: usize,
    /// Chains that never moved.
    pub frozen: Frozen,
    /// Whether the draws are those of a file, whose sampler is another program's.
    pub of_file: bool,
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
        let (mut rows, order) = (extremes("coordinate", &worth), by_badness(&worth));
        // The better one of two in the middle.
        let middle = order.get(order.len().saturating_sub(1) / 2).and_then(|j| Some((*j, *worth.get(*j)?)));
        rows.extend(middle.map(|(j, worth)| row("median coordinate", Some(j), worth)));
        rows.extend(recording.energy.as_ref().map(|energy| row("energy", None, Worth::of(energy))));
        let visits = modes.map(|modes| visits(recording, modes));
        rows.extend(visits.as_ref().map(of_modes).into_iter().flatten());
        let steps = (recording.chains() * recording.draws() * recording.thin) as f64;
        let jump_rate = visits.as_ref().map(|v| 1000.0 * v.jumps as f64 / steps);
        let constant = all.iter().filter(|draws| draws.is_constant()).count();
        let stands: Vec<bool> =
            (0..recording.chains()).map(|c| all.iter().all(|draws| never_moved(draws, c))).collect();
        Report {
            chains: recording.chains(),
            draws: recording.draws(),
            dim: recording.dim(),
            rows,
            worst_coordinate: order.last().copied().unwrap_or(0),
            constant,
            frozen: Frozen::of(&stands, &recording.accepted),
            of_file: recording.energy.is_none(),
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

impl Report {
    /// The numbers that stand for the whole: the worst of all quantities and the worst of the modes, and the
    /// `gradients` of the energy that one effective draw cost.
    pub fn metrics(&self, gradients: u64) -> Metrics {
        let worst = |of_modes: bool, number: fn(&Worth) -> f64| {
            let rows = self.rows.iter().filter(|row| !of_modes || row.name.ends_with("mode"));
            rows.map(|row| number(&row.worth)).filter(|v| !v.is_nan()).fold(f64::NAN, f64::max)
        };
        let ess = -worst(false, |worth| -worth.ess_bulk);
        let mut metrics = Metrics::new()
            .with("rhat", worst(false, |worth| worth.rhat))
            .with("ess_bulk", ess)
            .with("autocorrelation_time", worst(false, |worth| worth.autocorrelation_time))
            .with("gradients_per_draw", gradients as f64 / ess);
        if let Some(rate) = self.jump_rate {
            metrics.set("mode_rhat", worst(true, |worth| worth.rhat));
            metrics.set("mode_autocorrelation_time", worst(true, |worth| worth.autocorrelation_time));
            metrics.set("jumps_per_1000_steps", rate);
        }
        metrics.iter().filter(|(_, value)| !value.is_nan()).map(|(name, v)| (format!("diagnose/{name}"), v)).collect()
    }
}

fn row(name: &str, index: Option<usize>, worth: Worth) -> ReportRow {
    ReportRow { name: name.into(), index, worth }
}

/// The numbers of those that have any, from good to bad.
fn by_badness(all: &[Worth]) -> Vec<usize> {
    let mut bad: Vec<(f64, usize)> = all.iter().map(Worth::badness).zip(0..).filter(|(bad, _)| !bad.is_nan()).collect();
    // The first of several that are as bad is the worst.
    bad.sort_by(|(a, i), (b, j)| a.total_cmp(b).then(j.cmp(i)));
    bad.into_iter().map(|(_, j)| j).collect()
}

/// The one that mixes worst, with all its numbers, and the one with the least effective draws if that is another.
fn extremes(kind: &str, all: &[Worth]) -> Vec<ReportRow> {
    let worst = by_badness(all).last().copied();
    let fewest = all.iter().map(Worth::least_ess).zip(0..).filter(|(ess, _)| !ess.is_nan());
    let fewest = fewest.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, j)| j).filter(|j| Some(*j) != worst);
    let of = |j: Option<usize>| j.and_then(|j| all.get(j)).copied().unwrap_or(Worth::NONE);
    let first = row(&format!("worst {kind}"), worst, of(worst));
    std::iter::once(first).chain(fewest.map(|j| row(&format!("least ESS {kind}"), Some(j), of(Some(j))))).collect()
}

/// The indicators of modes; such as no draw is at, or all are at, have no numbers.
fn of_modes(visits: &Visits) -> Vec<ReportRow> {
    extremes("mode", &(0..visits.counts.len()).map(|k| Worth::of(&visits.indicator(k))).collect::<Vec<_>>())
}

fn never_moved(draws: &Draws, chain: usize) -> bool {
    draws.chains().get(chain).is_some_and(|x| x.len() > 1 && x.windows(2).all(|p| matches!(p, [a, b] if a == b)))
}

/// The least value, NaN if one is.
fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, |least, v| if v >= least { least } else { v })
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
