//! The quality of a score that separates two sets: exact areas under curves, with ties counted.

use super::stats;

/// The scores of positives, items that should score high, and of negatives, items that should score low.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The scores of the positives, descending.
    positive: Vec<f64>,
    /// The scores of the negatives, descending.
    negative: Vec<f64>,
}

impl Detection {
    /// The detection with these scores; none may be NaN.
    pub fn new(positive: &[f64], negative: &[f64]) -> Self {
        let sorted = |scores: &[f64]| {
            let mut scores = scores.to_vec();
            scores.sort_by(|a, b| b.total_cmp(a));
            scores
        };
        Detection { positive: sorted(positive), negative: sorted(negative) }
    }

    /// The mean of [`Detection::auroc`] over the classes, each against the rest by its own column of the scores
    /// `[N][K]`, with labels `[N]` below K; classes that none or all of the items have are left out (scikit-learn's
    /// `roc_auc_score` with "ovr" and "macro"). `None` where no class is left.
    pub fn one_against_rest(scores: &[Vec<f64>], labels: &[u32]) -> Option<f64> {
        let classes = scores.first().map_or(0, Vec::len);
        let area = |k: usize| {
            let own = scores.iter().zip(labels).filter_map(|(row, &y)| Some((y as usize == k, *row.get(k)?)));
            let (own, rest): (Vec<_>, Vec<_>) = own.partition(|(own, _)| *own);
            let [own, rest] = [own, rest].map(|side| side.into_iter().map(|(_, score)| score).collect::<Vec<_>>());
            Detection::new(&own, &rest).auroc()
        };
        let areas: Vec<f64> = (0..classes).map(area).filter(|area| !area.is_nan()).collect();
        (!areas.is_empty()).then(|| stats::mean(&areas))
    }

    /// The area under the ROC curve, P(positive > negative) + ½ P(positive = negative): Mann & Whitney's U over n·m,
    /// for n positives and m negatives, counted and not interpolated. It is NaN if one side is empty.
    pub fn auroc(&self) -> f64 {
        let wins = |p: &f64| {
            let above = self.negative.partition_point(|q| q > p);
            let not_below = self.negative.partition_point(|q| q >= p);
            (2 * self.negative.len() - above - not_below) as f64 / 2.0
        };
        self.positive.iter().map(wins).sum::<f64>() / (self.positive.len() * self.negative.len()) as f64
    }

    /// The average precision Σ_t (recall_t - recall_{t-1})·precision_t over the distinct thresholds t: the area under
    /// the precision-recall curve without interpolation, which would be too high (Davis & Goadrich 2006). A score
    /// without information has the share of the positives. It is NaN without positives.
    pub fn average_precision(&self) -> f64 {
        let all = self.positive.len();
        let (mut area, mut found) = (if all == 0 { f64::NAN } else { 0.0 }, 0);
        while let Some(t) = self.positive.get(found) {
            let now = self.positive.partition_point(|p| p >= t);
            let wrong = self.negative.partition_point(|q| q >= t);
            area += (now - found) as f64 / all as f64 * (now as f64 / (now + wrong) as f64);
            found = now;
        }
        area
    }

    /// The share of the negatives at or above the largest threshold that keeps at least the share `rate` of the
    /// positives (Hendrycks & Gimpel 2017, with the rate 0.95). It is NaN if one side is empty.
    pub fn false_positives_at(&self, rate: f64) -> f64 {
        // The product may lie a rounding error above a whole number.
        let needed = (rate * self.positive.len() as f64 - 1e-9).ceil().max(1.0) as usize;
        match self.positive.get(needed - 1) {
            Some(t) => self.negative.partition_point(|q| q >= t) as f64 / self.negative.len() as f64,
            None => f64::NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::math::normal_cdf;
    use crate::rng::Key;

    fn normal(key: u64, n: usize) -> Vec<f64> {
        Key::new(key).normal(n, DType::F64, &Device::Cpu).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_area_is_the_count_of_pairs_with_ties_as_half() {
        // Rounded, so that there are many ties.
        let round = |v: Vec<f64>, shift: f64| v.iter().map(|x| ((x + shift) * 2.0).round()).collect::<Vec<_>>();
        let (p, q) = (round(normal(1, 60), 0.7), round(normal(2, 45), 0.0));
        let pair = |a: &f64, b: &f64| {
            if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        };
        let pairs: f64 = p.iter().flat_map(|a| q.iter().map(move |b| pair(a, b))).sum();
        let found = Detection::new(&p, &q);
        assert!((found.auroc() - pairs / (60.0 * 45.0)).abs() < 1e-14);
        assert!((Detection::new(&q, &p).auroc() + found.auroc() - 1.0).abs() < 1e-14);
        assert_eq!((Detection::new(&[2.0], &[1.0]).auroc(), Detection::new(&[1.0; 3], &[1.0; 5]).auroc()), (1.0, 0.5));
        assert!(Detection::new(&[], &[1.0]).auroc().is_nan());
    }

    #[test]
    fn classes_against_the_rest_are_averaged_without_those_that_do_not_occur() {
        // Class 0: .6 .5 against .1 .55 .2, five pairs of six; class 1: .4 .3 against .3 .3 .3, three pairs and three
        // ties; class 2: .6 against .1 .2 .05 .15.
        let scores = [[0.6, 0.3, 0.1], [0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.55, 0.4, 0.05], [0.2, 0.3, 0.15]];
        let scores = scores.map(|row| row.to_vec());
        let area = |labels: &[u32]| Detection::one_against_rest(&scores, labels);
        assert!((area(&[0, 0, 2, 1, 1]).unwrap() - (5.0 / 6.0 + 4.5 / 6.0 + 1.0) / 3.0).abs() < 1e-15);
        // Without class 2, class 1: .3 .4 .3 against .3 .3.
        assert!((area(&[0, 0, 1, 1, 1]).unwrap() - (5.0 / 6.0 + 4.0 / 6.0) / 2.0).abs() < 1e-15);
        assert_eq!((area(&[0; 5]), Detection::one_against_rest(&[], &[])), (None, None));
    }

    #[test]
    fn normal_scores_a_standard_deviation_apart() {
        // P(X + 1 > Y) = Φ(1/√2); U has variance at most nm·min(n, m)/4, so its z-score stays below 4.
        let n = 4000;
        let p: Vec<f64> = normal(3, n).iter().map(|x| x + 1.0).collect();
        let want = normal_cdf(0.5f64.sqrt());
        let z = (Detection::new(&p, &normal(4, n)).auroc() - want) / (0.25 / n as f64).sqrt();
        assert!(z.abs() < 4.0, "{z}");
    }

    #[test]
    fn precision_and_false_positives_of_a_ranking_written_out() {
        // Descending: + + - + -, then a tie of + and -.
        let found = Detection::new(&[9.0, 8.0, 6.0, 3.0], &[7.0, 5.0, 3.0]);
        let want = 0.25 * (1.0 + 1.0 + 3.0 / 4.0 + 4.0 / 7.0);
        assert!((found.average_precision() - want).abs() < 1e-15);
        assert_eq!(found.false_positives_at(0.75), 1.0 / 3.0);
        assert_eq!(found.false_positives_at(0.95), 1.0);
        assert_eq!(found.false_positives_at(0.5), 0.0);
        // A blind score.
        assert_eq!(Detection::new(&[1.0; 3], &[1.0; 9]).average_precision(), 0.25);
        assert!(Detection::new(&[], &[1.0]).false_positives_at(0.95).is_nan());
    }

    #[test]
    fn ninety_five_per_cent_of_twenty_is_nineteen() {
        let p: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(Detection::new(&p, &[1.5, 2.5]).false_positives_at(0.95), 0.5);
    }
}
