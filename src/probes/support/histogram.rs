//! Counts of places, and how far they are from what they should be.

/// How often each of k places comes up.
pub(in crate::probes) fn histogram(k: usize, places: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut counts = vec![0; k];
    places.filter_map(|place| counts.get_mut(place).map(|c| *c += 1)).for_each(drop);
    counts
}

/// Σ q log(q/p) in nats with q = counts/Σ counts; the largest possible, -log min p, of no counts at all.
pub(in crate::probes) fn divergence(counts: &[usize], p: &[f64]) -> f64 {
    let total = counts.iter().sum::<usize>() as f64;
    if total == 0.0 {
        return -p.iter().copied().fold(f64::INFINITY, f64::min).ln();
    }
    let term = |(c, p): (&usize, &f64)| if *c == 0 { 0.0 } else { *c as f64 / total * (*c as f64 / total / p).ln() };
    counts.iter().zip(p).map(term).sum()
}

/// What the divergence of n draws of the right distribution over k is in expectation, to first order in 1/n.
pub(in crate::probes) fn floor(k: usize, n: usize) -> f64 {
    k.saturating_sub(1) as f64 / (2.0 * n.max(1) as f64)
}
