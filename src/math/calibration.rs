//! How good and how honest predicted probabilities are: proper scores and the calibration of the confidence.

use super::stats;

/// The items whose confidence, the largest predicted probability, falls into one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many there are.
    pub items: usize,
    /// How many of them are classified correctly.
    pub hits: usize,
    /// Sum of their confidences.
    pub total: f64,
}

impl Bin {
    /// Mean confidence; NaN in an empty bin.
    pub fn confidence(&self) -> f64 {
        self.total / self.items as f64
    }

    /// Share of correct classifications; NaN in an empty bin.
    pub fn accuracy(&self) -> f64 {
        self.hits as f64 / self.items as f64
    }

    /// |accuracy - confidence|; 0 in an empty bin.
    pub fn gap(&self) -> f64 {
        if self.items == 0 { 0.0 } else { (self.accuracy() - self.confidence()).abs() }
    }
}

/// What N predictions of K classes are worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Share of the items whose label has the largest probability.
    pub accuracy: f64,
    /// -mean log p(y), nats.
    pub cross_entropy: f64,
    /// Mean of Σ_k (p_k - 1[k = y])², in [0, 2] (Brier 1950, over all classes).
    pub brier: f64,
    /// Expected calibration error, Σ_b n_b/N |accuracy_b - confidence_b|.
    pub ece: f64,
    /// Maximum calibration error, max_b |accuracy_b - confidence_b|.
    pub mce: f64,
    /// Bin b of M holds the confidences in (b/M, (b+1)/M].
    pub bins: Vec<Bin>,
}

impl Calibration {
    /// Of log-probabilities `[N][K]` and labels `[N]` below K, with `bins` equal-width bins (Guo et al. 2017, eq. 2-5).
    /// NaN without items.
    pub fn new(log_p: &[Vec<f64>], labels: &[u32], bins: usize) -> Self {
        let (mut found, mut entropies, mut briers) = (vec![Bin::default(); bins], Vec::new(), Vec::new());
        for (row, &label) in log_p.iter().zip(labels) {
            let label = label as usize;
            let (best, confidence) = largest(row);
            entropies.push(-row.get(label).copied().unwrap_or(f64::NEG_INFINITY));
            let share = |k: usize| if k == label { 1.0 } else { 0.0 };
            briers.push(row.iter().enumerate().map(|(k, l)| (l.exp() - share(k)).powi(2)).sum());
            let place = ((confidence.exp() * bins as f64).ceil() as usize).clamp(1, bins.max(1)) - 1;
            if let Some(bin) = found.get_mut(place) {
                bin.items += 1;
                bin.hits += usize::from(best == label);
                bin.total += confidence.exp();
            }
        }
        let (n, hits) = (entropies.len() as f64, found.iter().map(|b| b.hits).sum::<usize>() as f64);
        Calibration {
            accuracy: hits / n,
            cross_entropy: stats::mean(&entropies),
            brier: stats::mean(&briers),
            ece: found.iter().map(|b| b.items as f64 * b.gap()).sum::<f64>() / n,
            mce: found.iter().map(Bin::gap).fold(0.0, f64::max),
            bins: found,
        }
    }
}

/// Place and value of the largest number, the first of equal ones; (0, -∞) of none.
pub fn largest(row: &[f64]) -> (usize, f64) {
    row.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (k, &v)| if v > best.1 { (k, v) } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_worked_by_hand() {
        // Confidences .9 (right), .79 (wrong), .59 (right), .55 (wrong); five bins: (.8, 1], (.6, .8], (.4, .6].
        let rows = [[0.9, 0.1], [0.79, 0.21], [0.41, 0.59], [0.55, 0.45]].map(|p| p.map(f64::ln).to_vec());
        let found = Calibration::new(&rows, &[0, 1, 1, 1], 5);
        assert_eq!(
            found.bins.iter().map(|b| (b.items, b.hits)).collect::<Vec<_>>(),
            [(0, 0), (0, 0), (2, 1), (1, 0), (1, 1)]
        );
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{a} and {b}");
        close(found.accuracy, 0.5);
        close(found.cross_entropy, -(0.9f64.ln() + 0.21f64.ln() + 0.59f64.ln() + 0.45f64.ln()) / 4.0);
        close(found.brier, 2.0 * (0.01 + 0.6241 + 0.1681 + 0.3025) / 4.0);
        close(found.ece, (0.1 + 0.79 + 2.0 * 0.07) / 4.0);
        close(found.mce, 0.79);
    }

    #[test]
    fn one_bin_compares_the_means_and_certainty_is_in_the_last() {
        let rows: Vec<Vec<f64>> = [0.5, 0.7, 1.0].iter().map(|p: &f64| vec![p.ln(), (1.0 - p).ln()]).collect();
        let found = Calibration::new(&rows, &[0, 0, 0], 1);
        assert!((found.ece - (1.0 - 2.2 / 3.0)).abs() < 1e-14 && found.ece == found.mce);
        assert_eq!(Calibration::new(&rows, &[0, 0, 0], 10).bins[9].items, 1);
        assert!(Calibration::new(&[], &[], 10).accuracy.is_nan());
    }

    #[test]
    fn equal_numbers_count_as_the_first() {
        assert_eq!(largest(&[1.0, 3.0, 3.0]), (1, 3.0));
        assert_eq!(largest(&[]).0, 0);
    }
}
