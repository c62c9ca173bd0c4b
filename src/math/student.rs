//! Student's t for whole degrees of freedom, for the interval of a mean of few repeats.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// The probability P(|T| ≤ t) for ν = `freedom` ≥ 1, from the finite series in θ = arctan(t/√ν) (Abramowitz & Stegun
/// 26.7.3, 26.7.4).
///
/// All terms are positive, so nothing cancels.
fn central_mass(theta: f64, freedom: u32) -> f64 {
    let (sin, cos2) = (theta.sin(), theta.cos().powi(2));
    // The factors of cos²θ are (n-1)/n with n = 3, 5, … for odd ν and n = 2, 4, … for even ν.
    let odd = freedom % 2 == 1;
    let (mut term, mut n) = if odd { (theta.cos(), 3) } else { (1.0, 2) };
    let mut sum = 0.0;
    while n <= freedom {
        sum += term;
        term *= cos2 * f64::from(n - 1) / f64::from(n);
        n += 2;
    }
    match (odd, freedom) {
        (true, 1) => FRAC_2_PI * theta,
        (true, _) => FRAC_2_PI * (theta + sin * sum),
        (false, _) => sin * sum,
    }
}

/// The quantile t with P(|T| ≤ t) = `level` for ν = `freedom`. A mean x̄ of n values with standard deviation s has the
/// interval x̄ ± t·s/√n, with ν = n - 1.
///
/// It is found by bisection in θ, to the last bits. It is NaN for no degree of freedom or a level outside [0, 1).
pub fn student_two_sided(level: f64, freedom: u32) -> f64 {
    if freedom == 0 || !(0.0..1.0).contains(&level) {
        return f64::NAN;
    }
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if central_mass(middle, freedom) < level {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::from(freedom).sqrt() * (0.5 * (low + high)).tan()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_have_the_tabulated_values() {
        // Two-sided 95 % and 99 %, as every table has them (ν, t, t).
        let table = [
            (1, 12.7062, 63.6567),
            (2, 4.30265, 9.92484),
            (3, 3.18245, 5.84091),
            (4, 2.77645, 4.60409),
            (5, 2.57058, 4.03214),
            (9, 2.26216, 3.24984),
            (10, 2.22814, 3.16927),
            (29, 2.04523, 2.75639),
            (30, 2.04227, 2.75000),
            (100, 1.98397, 2.62589),
        ];
        for (freedom, t95, t99) in table {
            for (level, want) in [(0.95, t95), (0.99, t99)] {
                let got = student_two_sided(level, freedom);
                assert!((got / want - 1.0).abs() < 2e-6, "ν = {freedom}: {got} instead of {want}");
            }
        }
    }

    #[test]
    fn closed_forms_of_one_and_two_degrees() {
        for level in [0.1, 0.5, 0.95, 0.999] {
            let cauchy = (FRAC_PI_2 * level).tan();
            let two = level * (2.0 / (1.0 - level * level)).sqrt();
            assert!((student_two_sided(level, 1) / cauchy - 1.0).abs() < 1e-11);
            assert!((student_two_sided(level, 2) / two - 1.0).abs() < 1e-11);
        }
    }

    #[test]
    fn many_degrees_are_normal_and_none_is_nothing() {
        // t = z + (z³ + z)/(4ν) + O(ν⁻²) (Abramowitz & Stegun 26.7.5).
        let z = crate::math::normal_quantile(0.975);
        let want = z + (z.powi(3) + z) / 4e5;
        assert!((student_two_sided(0.95, 100_000) - want).abs() < 1e-9);
        assert!(student_two_sided(0.95, 0).is_nan() && student_two_sided(1.0, 3).is_nan());
        assert!(student_two_sided(0.0, 3).abs() < 1e-15);
    }
}
