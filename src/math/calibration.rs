//! The quality of predicted probabilities: proper scores, and the calibration of the confidence.

use super::stats;

/// The items whose confidence, the largest predicted probability, falls into one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// The number of items.
    pub items: usize,
    /// The number of these items that are classified correctly.
    pub hits: usize,
    /// The sum of their confidences.
    pub total: f64,
}

impl Bin {
    /// The mean confidence; NaN in an empty bin.
    pub fn confidence(&self) -> f64 {
        self.total / self.items as f64
    }

    /// The share of correct classifications; NaN in an empty bin.
    pub fn accuracy(&self) -> f64 {
        self.hits as f64 / self.items as f64
    }

    /// The gap |accuracy - confidence|; 0 in an empty bin.
    pub fn gap(&self) -> f64 {
        if self.items == 0 { 0.0 } else { (self.accuracy() - self.confidence()).abs() }
    }
}

/// The scores of N predictions of K classes, with p_k the predicted probability of class k and y the label.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The share of the items whose label has the largest probability.
    pub accuracy: f64,
    /// The cross-entropy, -mean log p_y, in nats.
    pub cross_entropy: f64,
    /// The Brier score, mean of Σ_k (p_k - 1[k = y])², in [0, 2] (Brier 1950, over all classes).
    pub brier: f64,
    /// The expected calibration error, Σ_b n_b/N |accuracy_b - confidence_b|, with n_b the items in bin b.
    pub ece: f64,
    /// The maximum calibration error, max_b |accuracy_b - confidence_b|.
    pub mce: f64,
    /// The M bins; bin b, from 0, holds the confidences in (b/M, (b+1)/M].
    pub bins: Vec<Bin>,
}

impl Calibration {
    /// The scores of log-probabilities `[N][K]` and labels `[N]` below K, with `bins` bins of equal width (Guo et al.
    /// 2017, eq. 2-5). They are NaN without items.
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

/// The index and value of the largest number, the first of equal ones; (0, -∞) for an empty row.
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
