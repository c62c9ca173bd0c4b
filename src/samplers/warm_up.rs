//! The tuning of a kernel before its chains count: step size by dual averaging, diagonal mass from the spread of the
//! chains.

use candle_core::{DType, Tensor};

use super::kernel::{Chain, Kernel, Target};
use crate::config::rule;
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of samplers whose step size can be tuned.
    pub struct WarmUp {
        /// Steps before those that count, in which the step size is tuned, then kept; some hundreds, 0 for none.
        warm_up: usize = 0;
        /// The acceptance that the step size is tuned for: in high dimension 0.57 is best for mala, 0.65 to 0.8 for
        /// hmc, 0.23 for rwm.
        target_accept: f64 = 0.65, share;
        /// Whether the warm-up learns each coordinate's scale too, a diagonal mass matrix.
        adapt_mass: bool = false;
    }
}

fn share(v: &f64) -> rule::Complaint {
    (!(*v > 0.0 && *v < 1.0)).then(|| format!("must lie between 0 and 1, got {v}"))
}

/// Nesterov's dual averaging of log ε towards an acceptance (Hoffman & Gelman 2014, section 3.2), with their constants.
#[derive(Clone, Debug)]
pub struct DualAveraging {
    target: f64,
    centre: f64,
    error: f64,
    log_step: f64,
    log_mean: f64,
    count: f64,
}

impl DualAveraging {
    /// A search that begins at ε. It is drawn towards 10 ε, since larger steps are cheaper to try.
    pub fn new(step_size: f64, target: f64) -> Self {
        let log_step = step_size.ln();
        DualAveraging { target, centre: log_step + 10f64.ln(), error: 0.0, log_step, log_mean: log_step, count: 0.0 }
    }

    /// Updates the search with the acceptance at the present step size; NaN counts as 0.
    pub fn update(&mut self, accept: f64) {
        const GAMMA: f64 = 0.05;
        const T0: f64 = 10.0;
        const KAPPA: f64 = 0.75;
        self.count += 1.0;
        let share = 1.0 / (self.count + T0);
        let accept = if accept.is_nan() { 0.0 } else { accept };
        self.error = (1.0 - share) * self.error + share * (self.target - accept);
        self.log_step = self.centre - self.count.sqrt() / GAMMA * self.error;
        let weight = self.count.powf(-KAPPA);
        self.log_mean = weight * self.log_step + (1.0 - weight) * self.log_mean;
    }

    /// The ε to try next.
    pub fn step_size(&self) -> f64 {
        self.log_step.exp()
    }

    /// The ε to keep: the average of those tried, in which later ones count more.
    pub fn settled(&self) -> f64 {
        self.log_mean.exp()
    }
}

/// The sums over chains and draws of each coordinate, in f64, from which its variance follows.
#[derive(Default)]
struct Spread {
    count: f64,
    mean: Vec<f64>,
    square: Vec<f64>,
}

impl Spread {
    /// Adds every chain's position by Welford's update; positions that are not finite are left out.
    fn add(&mut self, x: &Tensor) -> Result<()> {
        for row in x.flatten_from(1)?.to_dtype(DType::F64)?.to_vec2::<f64>()? {
            if row.iter().any(|v| !v.is_finite()) {
                continue;
            }
            self.mean.resize(row.len(), 0.0);
            self.square.resize(row.len(), 0.0);
            self.count += 1.0;
            for ((v, mean), square) in row.iter().zip(&mut self.mean).zip(&mut self.square) {
                let off = v - *mean;
                *mean += off / self.count;
                *square += off * (v - *mean);
            }
        }
        Ok(())
    }

    /// The standard deviations, in the shape of an item of `like`, with squares that are drawn to 10⁻³ as in Stan;
    /// `None` for fewer than two positions.
    fn scale(&self, like: &Tensor) -> Result<Option<Tensor>> {
        let n = self.count;
        if n < 2.0 {
            return Ok(None);
        }
        let regular = |s: &f64| (s / (n - 1.0) * n / (n + 5.0) + 1e-3 * 5.0 / (n + 5.0)).sqrt();
        let scale: Vec<f64> = self.square.iter().map(regular).collect();
        let shape = like.dims().get(1..).unwrap_or_default();
        Ok(Some(Tensor::from_vec(scale, shape, like.device())?.to_dtype(like.dtype())?))
    }
}

impl WarmUp {
    /// The number of steps before the first window, and the steps after which the mass is estimated anew. Windows of
    /// 25, 50, 100 … lie between the first 15 % and the last 25 % of the steps, and the last one takes the rest. Stan
    /// ends with 10 %, too few for targets below 0.8: dual averaging oscillates there for some 200 steps.
    fn windows(&self) -> (usize, Vec<usize>) {
        let (first, last) = (self.warm_up * 15 / 100, self.warm_up - self.warm_up / 4);
        let (mut ends, mut end, mut width) = (Vec::new(), first, 25);
        while self.adapt_mass && end < last {
            end = if end + 3 * width > last { last } else { end + width };
            ends.push(end);
            width *= 2;
        }
        (first, ends)
    }

    /// The kernel as it was tuned, `None` if there is nothing to tune, and the chains at the end of the warm-up.
    ///
    /// They are a function of the arguments alone, so that a resumed run tunes to the same bytes.
    ///
    /// # Errors
    /// The kernel fails.
    pub fn run(
        &self,
        key: Key,
        kernel: &dyn Kernel,
        on: &Target,
        x: &Tensor,
    ) -> Result<(Option<Box<dyn Kernel>>, Chain)> {
        let mut chain = kernel.init(on, x)?;
        let Some(mut tuning) = kernel.tuning().filter(|_| self.warm_up > 0) else { return Ok((None, chain)) };
        let mut search = DualAveraging::new(tuning.step_size, self.target_accept);
        let ((first, ends), mut spread) = (self.windows(), Spread::default());
        for step in 0..self.warm_up {
            tuning.step_size = search.step_size();
            let Some(now) = kernel.tuned(&tuning) else { return Ok((None, chain)) };
            let (next, info) = now.step(key.at(step as u64), on, &chain)?;
            chain = next;
            // The next step's size hangs on this acceptance, so that the host waits for it.
            let report = info.read()?;
            search.update(report.chance.or(report.accept).unwrap_or(0.0));
            if step >= first && !ends.is_empty() {
                spread.add(&chain.x)?;
            }
            if ends.contains(&(step + 1)) {
                tuning.scale = std::mem::take(&mut spread).scale(&chain.x)?;
                search = DualAveraging::new(search.settled(), self.target_accept);
            }
        }
        tuning.step_size = search.settled();
        Ok((kernel.tuned(&tuning), chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_double_and_the_last_takes_the_rest() {
        let windows = |warm_up| WarmUp { warm_up, adapt_mass: true, ..WarmUp::default() }.windows();
        assert_eq!(windows(1000), (150, vec![175, 225, 325, 750]));
        assert_eq!(windows(20), (3, vec![15]));
        assert_eq!(windows(0), (0, vec![]));
    }

    #[test]
    fn dual_averaging_finds_the_step_of_a_falling_acceptance() {
        // Acceptance exp(-ε): the target 0.8 is met at ε = -log 0.8.
        let mut search = DualAveraging::new(5.0, 0.8);
        for _ in 0..2000 {
            search.update((-search.step_size()).exp());
        }
        assert!((search.settled() / -(0.8f64.ln()) - 1.0).abs() < 0.02, "{}", search.settled());
        search.update(f64::NAN);
        assert!(search.settled().is_finite());
    }
}
