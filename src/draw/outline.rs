//! The outlines of histograms as curves, so that several can be laid over each other.

use super::Series;

/// The outline of a histogram, called `name`: the share of the values in each of `bins` equal bins on [low, high].
/// Values beyond an end count in the bin there.
pub fn outline(name: &str, values: &[f64], [low, high]: [f64; 2], bins: usize) -> Series {
    let width = (high - low) / bins.max(1) as f64;
    let mut counts = vec![0usize; bins.max(1)];
    for v in values.iter().filter(|v| !v.is_nan()) {
        let place = ((v - low) / width).clamp(0.0, (counts.len() - 1) as f64) as usize;
        counts.iter_mut().skip(place).take(1).for_each(|count| *count += 1);
    }
    let share = |count: usize| count as f64 / values.len().max(1) as f64;
    let edge = |i: usize| low + width * i as f64;
    let sides = counts.iter().enumerate().flat_map(|(i, &c)| [(edge(i), share(c)), (edge(i + 1), share(c))]);
    let points = [(low, 0.0)].into_iter().chain(sides).chain([(high, 0.0)]).collect();
    Series { name: name.to_owned(), points }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stand_over_their_bins_and_the_ends_take_the_rest() {
        let Series { points, .. } = outline("x", &[-7.0, 0.1, 0.9, 1.5, 2.0, 1e300, f64::INFINITY, 0.2], [0.0, 2.0], 2);
        let want = [(0.0, 0.0), (0.0, 0.5), (1.0, 0.5), (1.0, 0.5), (2.0, 0.5), (2.0, 0.0)];
        assert_eq!(points, want);
        assert!(outline("x", &[], [0.0, 0.0], 0).points.iter().all(|p| p.1 == 0.0));
    }
}
