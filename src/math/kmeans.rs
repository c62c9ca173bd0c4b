//! Centres of groups of points (Lloyd 1982), from starts that are spread (Arthur & Vassilvitskii 2007).

use rand::Rng as _;

use crate::rng::Key;

/// The starts of which the best end is kept.
const STARTS: u64 = 8;

/// The rounds of one start; far groups stand still after some.
const ROUNDS: usize = 50;

/// k centres of the points, all of as many numbers: those of the least sum of squared distances to the nearest centre
/// that several starts found. Fewer where fewer points are different.
pub fn centres(points: &[Vec<f64>], k: usize, key: Key) -> Vec<Vec<f64>> {
    let found = (0..STARTS).map(|start| improved(points, spread(points, k, key.at(start))));
    found.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, centres)| centres).unwrap_or_default()
}

/// The index of the nearest centre, and the squared distance to it.
fn nearest(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let square = |centre: &Vec<f64>| point.iter().zip(centre).map(|(p, c)| (p - c).powi(2)).sum::<f64>();
    let all = centres.iter().map(square).enumerate();
    all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f64::INFINITY))
}

/// Points that are chosen one by one, with a probability that grows as the square of the distance to those before.
fn spread(points: &[Vec<f64>], k: usize, key: Key) -> Vec<Vec<f64>> {
    let mut rng = key.rng();
    let mut centres: Vec<Vec<f64>> = Vec::with_capacity(k);
    while centres.len() < k && !points.is_empty() {
        let weights: Vec<f64> = points.iter().map(|p| nearest(p, &centres).1.min(f64::MAX)).collect();
        let first = centres.is_empty();
        let total = if first { points.len() as f64 } else { weights.iter().sum() };
        if total <= 0.0 {
            break;
        }
        let mut left = rng.random::<f64>() * total;
        let chosen = weights.iter().position(|w| {
            left -= if first { 1.0 } else { *w };
            left < 0.0
        });
        centres.extend(chosen.and_then(|at| points.get(at)).or(points.last()).cloned());
    }
    centres
}

/// The sum of squared distances, and the centres, when each stands at the mean of the points that are nearest to it.
fn improved(points: &[Vec<f64>], mut centres: Vec<Vec<f64>>) -> (f64, Vec<Vec<f64>>) {
    let mut last = f64::INFINITY;
    for _ in 0..ROUNDS {
        let dim = centres.first().map_or(0, Vec::len);
        let mut sums = vec![(0.0, vec![0.0; dim]); centres.len()];
        let mut total = 0.0;
        for point in points {
            let (at, square) = nearest(point, &centres);
            total += square;
            if let Some((count, sum)) = sums.get_mut(at) {
                *count += 1.0;
                sum.iter_mut().zip(point).for_each(|(s, p)| *s += p);
            }
        }
        for (centre, (count, sum)) in centres.iter_mut().zip(sums).filter(|(_, (count, _))| *count > 0.0) {
            centre.iter_mut().zip(sum).for_each(|(c, s)| *c = s / count);
        }
        if total >= last {
            break;
        }
        last = total;
    }
    (last, centres)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_any_size_are_found_and_nothing_is_split() {
        let mut rng = Key::new(3).rng();
        let means = [[-3.0, -3.0], [-3.0, 3.0], [3.0, -3.0], [3.0, 3.0]];
        let mut points = Vec::new();
        for (i, mean) in means.iter().enumerate() {
            let mut near = |m: &f64| m + rng.random_range(-0.5..0.5);
            points.extend((0..100 * (i + 1)).map(|_| mean.iter().map(&mut near).collect::<Vec<f64>>()));
        }
        let found = centres(&points, 4, Key::new(1));
        for mean in means {
            let (_, square) = nearest(&mean, &found);
            assert!(square < 0.02, "{mean:?}: {found:?}");
        }
        assert_eq!(found, centres(&points, 4, Key::new(1)));
        assert_eq!(centres(&vec![vec![1.0]; 5], 3, Key::new(1)), [[1.0]]);
    }
}
