//! Minimisation of a smooth function in a box.

/// The number of pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 8;

/// The minimum of f over the box [low, high], from `start`, by limited-memory BFGS (Nocedal 1980) on the coordinates
/// that are not held at a bound by their gradient. Every trial point is projected into the box, and its step is
/// accepted by Armijo's rule along the projection (two-metric projection, Bertsekas 1982). The search ends after
/// `iterations`, or when a step gains less than `tolerance` of max(1, |f|). f returns value and gradient; a value that
/// is not finite is never accepted.
///
/// Returns the best point and its value.
pub fn minimise(
    mut f: impl FnMut(&[f64]) -> (f64, Vec<f64>),
    start: &[f64],
    [low, high]: [&[f64]; 2],
    iterations: usize,
    tolerance: f64,
) -> (Vec<f64>, f64) {
    let project = |x: &mut [f64]| x.iter_mut().zip(low.iter().zip(high)).for_each(|(x, (l, h))| *x = x.max(*l).min(*h));
    let mut x = start.to_vec();
    project(&mut x);
    let (mut value, mut grad) = f(&x);
    let mut history: Vec<Pair> = Vec::new();
    for _ in 0..iterations {
        let free = |i: usize| !(x[i] <= low[i] && grad[i] > 0.0 || x[i] >= high[i] && grad[i] < 0.0);
        let held: Vec<f64> = grad.iter().enumerate().map(|(i, g)| if free(i) { *g } else { 0.0 }).collect();
        let mut direction = descent(&held, &history);
        direction.iter_mut().enumerate().filter(|(i, _)| !free(*i)).for_each(|(_, d)| *d = 0.0);
        if dot(&direction, &held) >= 0.0 {
            direction = held.iter().map(|g| -g).collect();
            history.clear();
        }
        // Nothing is known of the scale yet: the first step has length 1.
        let mut length = if history.is_empty() { 1.0 / dot(&held, &held).sqrt().max(1e-300) } else { 1.0 };
        let mut accepted = None;
        for _ in 0..30 {
            let mut next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            project(&mut next);
            let step = minus(&next, &x);
            let (there, slope) = f(&next);
            if there.is_finite() && there <= value + 1e-4 * dot(&grad, &step) {
                accepted = Some((next, step, there, slope));
                break;
            }
            length *= 0.5;
        }
        let Some((next, step, there, slope)) = accepted else { break };
        let gain = value - there;
        remember(&mut history, step, minus(&slope, &grad));
        (x, value, grad) = (next, there, slope);
        if gain <= tolerance * value.abs().max(1.0) {
            break;
        }
    }
    (x, value)
}

/// A step and the change of the gradient along it.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

/// Adds a pair if its curvature is positive; only such pairs keep the estimate of the inverse Hessian positive
/// definite.
fn remember(history: &mut Vec<Pair>, step: Vec<f64>, change: Vec<f64>) {
    let curvature = dot(&step, &change);
    if curvature > 1e-10 * dot(&change, &change) {
        history.push(Pair { step, change, curvature });
    }
    if history.len() > MEMORY {
        history.remove(0);
    }
}

/// The descent direction -H g by the two-loop recursion (Nocedal 1980), with H the estimate of the inverse Hessian and
/// g the gradient.
fn descent(grad: &[f64], history: &[Pair]) -> Vec<f64> {
    let mut q = grad.to_vec();
    let mut weights = Vec::with_capacity(history.len());
    for pair in history.iter().rev() {
        let weight = dot(&pair.step, &q) / pair.curvature;
        add(&mut q, -weight, &pair.change);
        weights.push(weight);
    }
    if let Some(last) = history.last() {
        let scale = last.curvature / dot(&last.change, &last.change);
        q.iter_mut().for_each(|v| *v *= scale);
    }
    for (pair, weight) in history.iter().zip(weights.into_iter().rev()) {
        let lift = weight - dot(&pair.change, &q) / pair.curvature;
        add(&mut q, lift, &pair.step);
    }
    q.iter_mut().for_each(|v| *v = -*v);
    q
}

fn add(x: &mut [f64], weight: f64, y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += weight * y);
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's function in the plane.
    fn valley(x: &[f64]) -> (f64, Vec<f64>) {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        (a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b])
    }

    #[test]
    fn the_valley_has_its_minimum_inside_and_on_the_edge_of_a_box() {
        let (x, value) = minimise(valley, &[-1.2, 1.0], [&[-5.0; 2], &[5.0; 2]], 200, 0.0);
        assert!(value < 1e-15 && (x[0] - 1.0).abs() < 1e-7 && (x[1] - 1.0).abs() < 1e-7, "{x:?}");
        // With x ≤ ½ the minimum is (½, ¼), value ¼.
        let (x, value) = minimise(valley, &[-1.2, 1.0], [&[-5.0; 2], &[0.5, 5.0]], 200, 0.0);
        assert!((value - 0.25).abs() < 1e-12 && x[0] == 0.5 && (x[1] - 0.25).abs() < 1e-7, "{x:?} {value}");
    }

    #[test]
    fn a_corner_is_found_and_values_that_are_not_finite_are_avoided() {
        let (x, _) = minimise(|x| (x[0] + x[1], vec![1.0; 2]), &[0.3, 0.9], [&[0.0; 2], &[1.0; 2]], 50, 0.0);
        assert_eq!(x, [0.0, 0.0]);
        // x - log x, undefined from 0 down, minimum 1.
        let (x, _) = minimise(|x| (x[0] - x[0].ln(), vec![1.0 - 1.0 / x[0]]), &[9.0], [&[-10.0], &[10.0]], 50, 0.0);
        assert!((x[0] - 1.0).abs() < 1e-6, "{x:?}");
    }
}
