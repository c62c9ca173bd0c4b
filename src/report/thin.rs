//! Long curves with fewer points, which still show every peak.

/// At most `most` of the points: of every stretch its lowest and its highest, in their order. A stretch without a
/// finite value keeps its first point, so that a gap stays a gap.
pub fn thin(points: &[(u64, f64)], most: usize) -> Vec<(u64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let inner = points.get(1..points.len() - 1).unwrap_or_default();
    let stretch = inner.len().div_ceil((most.saturating_sub(2) / 2).max(1));
    let mut kept = vec![*first];
    for part in inner.chunks(stretch) {
        let finite = || part.iter().enumerate().filter(|(_, (_, value))| value.is_finite());
        let low = finite().min_by(|a, b| a.1.1.total_cmp(&b.1.1)).map_or(0, |(i, _)| i);
        let high = finite().max_by(|a, b| a.1.1.total_cmp(&b.1.1)).map_or(0, |(i, _)| i);
        let mut places = vec![low.min(high), low.max(high)];
        places.dedup();
        kept.extend(places.into_iter().filter_map(|i| part.get(i)));
    }
    kept.push(*last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_peaks_stay() {
        let mut points: Vec<(u64, f64)> = (0..10_000).map(|i| (i, (i as f64 / 900.0).sin())).collect();
        points[4321].1 = 50.0;
        points[777].1 = -40.0;
        let few = thin(&points, 100);
        assert!(few.len() <= 100 && few.windows(2).all(|w| w[0].0 < w[1].0));
        assert!([0, 777, 4321, 9999].iter().all(|i| few.contains(&points[*i])));
        assert_eq!(thin(&points, 10_000), points);
    }

    #[test]
    fn what_is_not_finite_leaves_a_gap() {
        let points: Vec<(u64, f64)> = (0..100).map(|i| (i, if i < 50 { 1.0 } else { f64::NAN })).collect();
        let few = thin(&points, 10);
        assert!(few.iter().any(|p| p.1.is_nan()) && few.iter().any(|p| p.1 == 1.0));
        assert!(thin(&[], 10).is_empty());
    }
}
