//! The floating-point types of the kernels: arithmetic, and exponentials that a compiler can vectorise.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use candle_core::{CpuStorage, WithDType};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A floating-point type that the kernels work in: f32 or f64.
///
/// For f32 the transcendental functions are branch-free, so that loops over them become vector code; they are within
/// 3 units in the last place of the true value where that is a normal number. For f64 they are the standard library's.
pub trait Real:
    sealed::Sealed
    + WithDType
    + Copy
    + Send
    + Sync
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// The number 0.
    const ZERO: Self;
    /// The number 1.
    const ONE: Self;
    /// The magnitude below which a number counts as 0. It is negligible beside numbers of ordinary size, and far above
    /// the subnormal numbers, with which a processor computes tens of times as slowly.
    const FAINT: Self;
    /// The numbers of a storage of this type, `None` for one of another type.
    fn entries_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
    /// The number nearest to an f64.
    fn of(x: f64) -> Self;
    /// The square root √x.
    fn root(self) -> Self;
    /// The absolute value |x|.
    fn magnitude(self) -> Self;
    /// The number x, or 0 where |x| < [`Self::FAINT`].
    #[inline(always)]
    fn settled(self) -> Self {
        if self.magnitude() < Self::FAINT { Self::ZERO } else { self }
    }
    /// The exponential eˣ, kept inside the finite positive numbers: never 0, never infinite.
    fn exp(self) -> Self;
    /// The difference eˣ - 1, without cancellation near 0.
    fn exp_m1(self) -> Self;
    /// The hyperbolic tangent tanh x.
    fn tanh(self) -> Self;
    /// The logarithm log(1 + x) for 0 <= x <= 1, without cancellation near 0.
    fn ln_1p(self) -> Self;
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const FAINT: Self = 1e-290;

    fn entries_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F64(entries) => Some(entries),
            _ => None,
        }
    }

    fn of(x: f64) -> Self {
        x
    }
    fn root(self) -> Self {
        self.sqrt()
    }
    fn magnitude(self) -> Self {
        self.abs()
    }
    fn exp(self) -> Self {
        f64::exp(self.clamp(-700.0, 700.0))
    }
    fn exp_m1(self) -> Self {
        f64::exp_m1(self)
    }
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    fn ln_1p(self) -> Self {
        f64::ln_1p(self)
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const FAINT: Self = 1e-30;

    fn entries_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F32(entries) => Some(entries),
            _ => None,
        }
    }

    #[inline(always)]
    fn of(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }

    /// The exponential eˣ = 2ⁿ eʳ with |r| <= log(2)/2, and eʳ by its Taylor polynomial of degree 7 (remainder below
    /// 1e-8).
    #[inline(always)]
    fn exp(self) -> Self {
        const SHIFT: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to a whole number, kept in the low bits
        const LN2_HIGH: f32 = 0.693_359_4; // exact in 10 bits, so that n·LN2_HIGH is exact
        const LN2_LOW: f32 = -2.121_944_4e-4;
        let x = if self > 87.0 { 87.0 } else { self };
        let x = if x < -87.0 { -87.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + SHIFT;
        let n = shifted - SHIFT;
        let r = (x - n * LN2_HIGH) - n * LN2_LOW;
        let p = r * (1.0 / 5040.0) + 1.0 / 720.0;
        let p = p * r + 1.0 / 120.0;
        let p = p * r + 1.0 / 24.0;
        let p = p * r + 1.0 / 6.0;
        let p = p * r + 0.5;
        let p = p * (r * r) + r + 1.0;
        let power = (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32).wrapping_add(127);
        p * f32::from_bits((power << 23) as u32)
    }

    /// The difference eˣ - 1; below 1 as 2t/(1 - t) with t = tanh(x/2).
    #[inline(always)]
    fn exp_m1(self) -> Self {
        let t = small_tanh(0.5 * self);
        let far = Real::exp(self) - 1.0;
        if self.abs() < 1.0 { 2.0 * t / (1.0 - t) } else { far }
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        let near = small_tanh(self);
        let far = 1.0 - 2.0 / (1.0 + Real::exp(2.0 * self.abs()));
        if self.abs() < 0.7 { near } else { far.copysign(self) }
    }

    /// The logarithm log(1 + x) as 2 artanh(s) with s = x/(2 + x) <= 1/3, by its series (remainder below 1e-8).
    #[inline(always)]
    fn ln_1p(self) -> Self {
        let s = self / (2.0 + self);
        let z = s * s;
        let p = z * (1.0 / 15.0) + 1.0 / 13.0;
        let p = p * z + 1.0 / 11.0;
        let p = p * z + 1.0 / 9.0;
        let p = p * z + 1.0 / 7.0;
        let p = p * z + 1.0 / 5.0;
        let p = p * z + 1.0 / 3.0;
        2.0 * (s + s * z * p)
    }
}

/// The hyperbolic tangent for |x| <= 0.7, by its continued fraction x/(1 + x²/(3 + x²/(5 + x²/(7 + x²/9)))).
#[inline(always)]
fn small_tanh(x: f32) -> f32 {
    let z = x * x;
    x * (945.0 + z * (105.0 + z)) / (945.0 + z * (420.0 + z * 15.0))
}

#[cfg(test)]
mod tests {
    use super::Real;

    /// The largest relative error over a fine grid, in units of 2⁻²⁴.
    fn worst(from: f64, to: f64, fast: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let n = 200_000;
        let points = (0..=n).map(|i| (from + (to - from) * i as f64 / n as f64) as f32);
        let error = |x: f32| {
            let want = exact(x as f64);
            if want == 0.0 { (fast(x) as f64).abs() } else { ((fast(x) as f64 - want) / want).abs() * 16_777_216.0 }
        };
        points.map(error).fold(0.0, f64::max)
    }

    #[test]
    fn transcendental_functions_are_right_to_the_last_places() {
        assert!(worst(-86.9, 86.9, Real::exp, f64::exp) < 3.0);
        assert!(worst(-20.0, 20.0, Real::tanh, f64::tanh) < 5.0);
        assert!(worst(-1e-3, 1e-3, Real::tanh, f64::tanh) < 5.0);
        assert!(worst(-20.0, 20.0, Real::exp_m1, f64::exp_m1) < 6.0);
        assert!(worst(0.0, 1.0, Real::ln_1p, f64::ln_1p) < 4.0);
        assert!(worst(0.0, 1e-6, Real::ln_1p, f64::ln_1p) < 4.0);
    }

    #[test]
    fn extremes_stay_finite_and_nan_stays_nan() {
        for x in [1e4f32, -1e4, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(Real::exp(x).is_normal(), "{x}");
            assert!(Real::tanh(x).abs() == 1.0, "{x}");
        }
        assert!(Real::exp(f32::NAN).is_nan() && Real::tanh(f32::NAN).is_nan() && Real::exp_m1(f32::NAN).is_nan());
    }
}
