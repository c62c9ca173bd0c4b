//! Random f32 numbers in bulk, by loops that a compiler turns into vector code, for chains whose time is spent on their
//! noise. This is several times faster than one draw after another.

use std::f32::consts::{FRAC_PI_4, LN_2, SQRT_2};

use rand::Rng;

/// The numbers made at a time; a multiple of any vector's width.
const BLOCK: usize = 256;

/// Fills `out` with standard normal draws by the transform of Box & Muller (1958). They lie within 6.6 standard
/// deviations; the mass beyond is 4e-11.
pub fn fill_normal(rng: &mut impl Rng, out: &mut [f32]) {
    let (mut radius, mut angle, mut block) = ([0; BLOCK], [0; BLOCK], [0.0; 2 * BLOCK]);
    for part in out.chunks_mut(2 * BLOCK) {
        rng.fill(&mut radius);
        rng.fill(&mut angle);
        let (first, second) = block.split_at_mut(BLOCK);
        for (((x, y), u), v) in first.iter_mut().zip(second).zip(radius).zip(angle) {
            let r = (-2.0 * ln(open(u))).sqrt();
            let (cos, sin) = turn(v);
            (*x, *y) = (r * cos, r * sin);
        }
        part.copy_from_slice(&block[..part.len()]);
    }
}

/// Fills `out` with standard logistic draws L = log u - log(1 - u), u uniform on (0, 1), so that P(L > -a) =
/// sigmoid(a). They lie within 22 of 0; the mass beyond is 6e-10.
pub fn fill_logistic(rng: &mut impl Rng, out: &mut [f32]) {
    let mut bits = [0; BLOCK];
    for part in out.chunks_mut(BLOCK) {
        rng.fill(&mut bits);
        for (x, u) in part.iter_mut().zip(bits) {
            // The complement in whole numbers: no cancellation near 1.
            *x = ln(open(u)) - ln(open(!u));
        }
    }
}

/// The uniform number that `bits` stand for: the middle of one of 2³¹ equal parts of (0, 1), rounded to f32; at least
/// 2⁻³², at most 1.
#[inline(always)]
fn open(bits: u32) -> f32 {
    // Signed, since that is what vector units convert.
    ((bits >> 1) as i32 as f32 + 0.5) * (1.0 / 2_147_483_648.0)
}

/// The logarithm of a positive normal number x = 2ᵉ m with m in [√½, √2), where log m = 2 artanh((m - 1)/(m + 1)) by
/// its series (remainder below 1e-9).
#[inline(always)]
fn ln(x: f32) -> f32 {
    let exponent = (x.to_bits().wrapping_sub((SQRT_2 / 2.0).to_bits()) as i32) >> 23;
    let m = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23) as u32));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
    exponent as f32 * LN_2 + 2.0 * s * series
}

/// The pair (cos, sin) of an angle uniform on the circle: two of the `bits` choose the quarter, the others an angle of
/// up to ±π/4 (by Taylor series, remainder below 2e-9).
#[inline(always)]
fn turn(bits: u32) -> (f32, f32) {
    let r = ((bits << 2) as i32 as f32) * (FRAC_PI_4 / 2_147_483_648.0);
    let q = r * r;
    let sin = r * (1.0 + q * (-1.0 / 6.0 + q * (1.0 / 120.0 + q * (-1.0 / 5040.0 + q * (1.0 / 362_880.0)))));
    let cos = 1.0 + q * (-0.5 + q * (1.0 / 24.0 + q * (-1.0 / 720.0 + q * (1.0 / 40_320.0 - q * (1.0 / 3_628_800.0)))));
    let (odd, half) = ((bits >> 30) & 1, bits & 0x8000_0000);
    let (x, y) = if odd == 1 { (-sin, cos) } else { (cos, sin) };
    (f32::from_bits(x.to_bits() ^ half), f32::from_bits(y.to_bits() ^ half))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{normal_cdf, stats};
    use crate::rng::Key;

    fn draws(fill: fn(&mut rand_chacha::ChaCha8Rng, &mut [f32]), n: usize) -> Vec<f64> {
        let mut out = vec![0.0; n];
        fill(&mut Key::new(4).with("bulk").rng(), &mut out);
        out.into_iter().map(f64::from).collect()
    }

    #[test]
    fn the_functions_are_those_of_the_library() {
        for i in 0..100_000u32 {
            let bits = i.wrapping_mul(0x9E37_79B9);
            let x = open(bits);
            assert!((f64::from(ln(x)) - f64::from(x).ln()).abs() < 2e-7 * (1.0 + f64::from(x).ln().abs()), "log {x}");
            // Quarter turns, and the signed rest.
            let angle = f64::from(bits >> 30) + f64::from((bits << 2) as i32) / 4_294_967_296.0;
            let (sin, cos) = (angle * std::f64::consts::FRAC_PI_2).sin_cos();
            let (c, s) = turn(bits);
            assert!((f64::from(c) - cos).abs() < 2e-7 && (f64::from(s) - sin).abs() < 2e-7, "{angle} quarter turns");
        }
        assert_eq!((open(0), open(u32::MAX)), (0.5 / 2_147_483_648.0, 1.0));
        assert!(ln(open(u32::MAX)) == 0.0 && ln(open(0)).is_finite());
    }

    #[test]
    fn draws_follow_their_distributions() {
        let n = 200_001;
        let normal = draws(fill_normal, n);
        let logistic = draws(fill_logistic, n);
        assert!(stats::kolmogorov_smirnov(&normal, normal_cdf).1 > 0.01);
        assert!(stats::kolmogorov_smirnov(&logistic, |x| 1.0 / (1.0 + (-x).exp())).1 > 0.01);
        let moment = |p: i32| normal.iter().map(|x| x.powi(p)).sum::<f64>() / n as f64;
        // Variances of x², x³ and x⁴ under the normal: 2, 15, 96.
        for (p, want, var) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0f64)] {
            let z = (moment(p) - want) / (var / n as f64).sqrt();
            assert!(z.abs() < 4.0, "moment {p}: z = {z}");
        }
    }

    #[test]
    fn both_halves_of_a_pair_are_independent() {
        let x = draws(fill_normal, 2 * BLOCK * 400);
        let pairs = x.chunks(2 * BLOCK).flat_map(|block| block[..BLOCK].iter().zip(&block[BLOCK..]));
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.map(|(a, b)| (*a, *b)).unzip();
        let square = |v: &[f64]| v.iter().map(|x| x * x).collect::<Vec<f64>>();
        let n = (a.len() as f64).sqrt();
        assert!((stats::pearson(&a, &b) * n).abs() < 4.0);
        assert!((stats::pearson(&square(&a), &square(&b)) * n).abs() < 4.0);
    }
}
