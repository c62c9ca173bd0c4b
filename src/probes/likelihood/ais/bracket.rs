//! log Z from both sides, how far the sides are apart, and what to do if that is too far.

use candle_core::Tensor;
use image::RgbImage;

use super::anneal::{AnnealConfig, Annealing, Walk};
use crate::draw::{Curves, Series, tile};
use crate::math::{Bennett, LogWeights, stats};
use crate::metrics::Metrics;
use crate::samplers::{A_NAT_APART, HELD_UP};
use crate::{Error, Result, rng::Key};

/// Points where chains down to the base begin.
pub struct ChainStart {
    /// `[n, ..]`, in the coordinates of the path.
    pub x: Tensor,
    /// Whether they are independent draws from the target; ends of a sampler's chains make a guess of what else is a
    /// bound.
    pub exact: bool,
}

/// What is known of log Z.
pub struct Bracket {
    /// From the base to the target.
    pub up: Walk,
    /// From points of the target to the base.
    pub down: Option<Walk>,
    /// Without a path.
    pub at_once: Option<LogWeights>,
    exact: bool,
}

/// Nats between the two sides beyond which neither is to be trusted.
const WIDE: f64 = 1.0;

/// The way out of most doubts.
const MORE: &str = "raise `temperatures`, then `leapfrog`";

impl Bracket {
    /// Walks up, down from `origin` if there is one, and draws from the base.
    ///
    /// # Errors
    /// An energy that is NaN where a chain stands.
    pub fn new(path: &Annealing, config: &AnnealConfig, origin: Option<&ChainStart>, key: Key) -> Result<Self> {
        let up = path.up(key, config.chains)?;
        let down = origin.map(|origin| path.down(key, &origin.x)).transpose()?;
        let at_once = (config.draws > 0).then(|| path.at_once(key.with("draws"), config.draws)).transpose()?;
        let exact = origin.is_some_and(|origin| origin.exact);
        Ok(Bracket::of(up, down.map(|down| (down, exact)), at_once))
    }

    /// Of walks that were made: the way down with whether it began at exact draws.
    pub fn of(up: Walk, down: Option<(Walk, bool)>, at_once: Option<LogWeights>) -> Self {
        let exact = down.as_ref().is_some_and(|(_, exact)| *exact);
        Bracket { up, down: down.map(|(walk, _)| walk), at_once, exact }
    }

    /// log Z by annealing up: below log Z in expectation.
    pub fn log_z(&self) -> f64 {
        self.up.log_weights.log_mean()
    }

    /// Refuses a log Z that is not finite, or so large that f32 does not know its energies to a nat: that of a density
    /// without an integral.
    ///
    /// # Errors
    /// [`Error::Undefined`].
    pub fn check(&self) -> Result<()> {
        let log_z = self.log_z();
        if log_z.abs() < A_NAT_APART {
            return Ok(());
        }
        let what = format!("probe `ais`: log Z = {log_z:.3e} nats: the energy falls without end where chains went");
        Err(Error::undefined(what, HELD_UP))
    }

    /// log Z by annealing down: above log Z in expectation, if the chains began at exact draws.
    pub fn log_z_reverse(&self) -> Option<f64> {
        self.down.as_ref().map(|down| -down.log_weights.log_mean())
    }

    /// A 95 % interval of the true log Z that holds [`Bracket::log_z`] too: of both ways together where the way down
    /// begins at exact draws ([`Bennett`]), of the way up alone elsewhere ([`LogWeights::interval`]).
    pub fn interval(&self, key: Key) -> (f64, f64) {
        /// Of the bootstrap.
        const RESAMPLES: usize = 1_000;
        let (up, log_z) = (&self.up.log_weights, self.log_z());
        let down = self.down.as_ref().filter(|_| self.exact);
        let (low, high) =
            down.map_or_else(|| up.interval(key, RESAMPLES), |down| Bennett::of(up, &down.log_weights).interval);
        (low.min(log_z), high.max(log_z))
    }

    /// `log_z` with its standard error `_se` and the ends `_low`, `_high` of [`Bracket::interval`]; `ess`, the
    /// effective number of weights, and `ess_share` of all; `accept` and `accept_min` over the temperatures. Of the way
    /// down, `log_z_reverse` and `_se`, `reverse_exact` (1: a bound in expectation, 0: a guess) and `bracket`, the way
    /// down minus the way up in nats. Of importance sampling without a path, `sis_log_z`, `_se` and `sis_ess_share`.
    /// `trusted` is 0 where [`Bracket::doubts`] has something to say.
    pub fn metrics(&self, key: Key) -> Metrics {
        let weights = &self.up.log_weights;
        let (low, high) = self.interval(key.with("bootstrap"));
        let accept = &self.up.accept;
        let mut metrics = Metrics::new()
            .with("log_z", self.log_z())
            .with("log_z_se", weights.std_error())
            .with("log_z_low", low)
            .with("log_z_high", high)
            .with("ess", weights.effective())
            .with("ess_share", share(weights))
            .with("accept", stats::mean(accept))
            .with("accept_min", accept.iter().copied().fold(f64::INFINITY, f64::min));
        if let (Some(down), Some(reverse)) = (&self.down, self.log_z_reverse()) {
            metrics.set("log_z_reverse", reverse);
            metrics.set("log_z_reverse_se", down.log_weights.std_error());
            metrics.set("reverse_exact", f64::from(u8::from(self.exact)));
            metrics.set("bracket", reverse - self.log_z());
        }
        if let Some(draws) = &self.at_once {
            metrics.set("sis_log_z", draws.log_mean());
            metrics.set("sis_log_z_se", draws.std_error());
            metrics.set("sis_ess_share", share(draws));
        }
        metrics.set("trusted", f64::from(u8::from(self.doubts().is_empty())));
        metrics
    }

    /// Why log Z should not be believed, each reason with a way out; nothing if there is no reason.
    pub fn doubts(&self) -> Vec<String> {
        let accept = stats::mean(&self.up.accept);
        let refused = (accept < 0.3).then(|| format!("{:.0} % of the proposals are accepted: {MORE}", 100.0 * accept));
        [self.few(), self.apart(), refused].into_iter().flatten().collect()
    }

    /// Too few effective weights for the interval of the way up, as they are or as their spread makes one expect.
    fn few(&self) -> Option<String> {
        /// Weights that must count, whatever their share is.
        const FEW: f64 = 20.0;
        let (weights, n) = (&self.up.log_weights, self.up.log_weights.0.len());
        let (ess, expected) = (weights.effective(), weights.effective_to_expect());
        if n < FEW as usize {
            return Some(format!("{n} chains are too few to know the spread of their weights: raise `chains`"));
        }
        if ess < FEW.max(0.01 * n as f64) {
            return Some(format!("{ess:.1} of {n} weights count: {MORE}, or `chains`"));
        }
        let luck = format!("{ess:.1} of {n} weights count, but so wide are they that {expected:.1} are to be expected");
        (expected < FEW).then(|| format!("{luck}: {MORE}, or `chains`"))
    }

    /// Two ways that contradict each other, in nats or, where both are bounds, in standard errors.
    fn apart(&self) -> Option<String> {
        /// Standard errors.
        const FAR: f64 = 4.0;
        let (down, reverse) = (self.down.as_ref()?, self.log_z_reverse()?);
        let gap = reverse - self.log_z();
        let error = self.up.log_weights.std_error().hypot(down.log_weights.std_error());
        if gap < -WIDE || gap.is_nan() {
            return Some(format!(
                "the way down ends {:.2} nats below the way up: its chains do not begin at the model; raise \
                 `sampler.steps`",
                -gap
            ));
        }
        if gap > WIDE {
            return Some(format!("up and down are {gap:.2} nats apart: {MORE}"));
        }
        let far = self.exact && gap.abs() > FAR * error && gap.abs() > f64::from(f32::EPSILON) * reverse.abs();
        far.then(|| format!("up and down are {gap:.4} nats apart, {:.1} standard errors: {MORE}", gap.abs() / error))
    }

    /// log Z_β by the mean weights up to β, both ways, beside the acceptance at each β.
    ///
    /// # Errors
    /// A drawing that failed.
    pub fn picture(&self) -> Result<RgbImage> {
        let series = |name: &str, points: Vec<(f64, f64)>| Series { name: name.into(), points };
        let mut courses = vec![series("up", self.up.course.clone())];
        let mut accepts = vec![series("up", accepted(&self.up))];
        if let (Some(down), Some(top)) = (&self.down, self.log_z_reverse()) {
            courses.push(series("down", down.course.iter().map(|(beta, log_w)| (*beta, top + log_w)).collect()));
            accepts.push(series("down", accepted(down)));
        }
        let panel = |title: &str, y_label: &str, series| {
            let x_label = "part of the path, from the base".to_owned();
            Curves { title: title.into(), x_label, y_label: y_label.into(), series }.picture((640, 480))
        };
        Ok(tile(
            &[panel("normaliser along the path", "log Z, nats", courses)?, panel("acceptance", "share", accepts)?],
            2,
        ))
    }
}

/// Acceptance along the path in at most a hundred stretches, the mean of each at the middle of its β: a few chains
/// accept in steps.
fn accepted(walk: &Walk) -> Vec<(f64, f64)> {
    let betas: Vec<f64> = walk.course.iter().skip(1).map(|c| c.0).collect();
    let stretch = betas.len().div_ceil(100).max(1);
    betas.chunks(stretch).zip(walk.accept.chunks(stretch)).map(|(b, a)| (stats::mean(b), stats::mean(a))).collect()
}

/// Effective share of the weights.
fn share(weights: &LogWeights) -> f64 {
    weights.effective() / weights.0.len() as f64
}
