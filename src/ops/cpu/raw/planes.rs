//! Vectors at one place in several planes of numbers, with one check for all of them.

use pulp::Simd;

/// The vectors at `at`, `at + apart`, … of the data; `None` where they end before one of the N vectors does.
#[inline(always)]
pub fn load<S: Simd, const N: usize>(simd: S, data: &[f32], at: usize, apart: usize) -> Option<[S::f32s; N]> {
    fits::<S, N>(data.len(), at, apart)?;
    let mut vectors = [simd.splat_f32s(0.0); N];
    for (i, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: by `fits`, the F32_LANES numbers from at + i·apart on are inside of `data`; a vector is made of plain
        // numbers, and the read asks for no alignment.
        *vector = unsafe { data.as_ptr().add(at + i * apart).cast::<S::f32s>().read_unaligned() };
    }
    Some(vectors)
}

/// Writes the vectors to `at`, `at + apart`, …; `None`, and nothing is written, where the data end before one of them
/// would.
#[inline(always)]
pub fn store<S: Simd, const N: usize>(data: &mut [f32], at: usize, apart: usize, vectors: [S::f32s; N]) -> Option<()> {
    fits::<S, N>(data.len(), at, apart)?;
    for (i, vector) in vectors.into_iter().enumerate() {
        // SAFETY: as in `load`; `data` is borrowed mutably.
        unsafe { data.as_mut_ptr().add(at + i * apart).cast::<S::f32s>().write_unaligned(vector) };
    }
    Some(())
}

/// `Some` if the last of N vectors ends inside of so many numbers; then the others do too.
#[inline(always)]
fn fits<S: Simd, const N: usize>(len: usize, at: usize, apart: usize) -> Option<()> {
    let end = apart.checked_mul(N.saturating_sub(1))?.checked_add(at)?.checked_add(S::F32_LANES)?;
    (N > 0 && end <= len).then_some(())
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;

    struct Ends;

    impl WithSimd for Ends {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let lanes = S::F32_LANES;
            let mut data: Vec<f32> = (0..40 + lanes).map(|i| i as f32).collect();
            let vectors = load::<S, 3>(simd, &data, 0, 20).unwrap();
            assert!(load::<S, 3>(simd, &data, 1, 20).is_none());
            assert!(load::<S, 3>(simd, &data, 0, usize::MAX / 2).is_none());
            assert!(load::<S, 0>(simd, &data, 0, 0).is_none());
            assert!(store::<S, 3>(&mut data, 1, 20, vectors).is_none());
            data.fill(-1.0);
            store::<S, 3>(&mut data, 0, 20, vectors).unwrap();
            assert_eq!([data[0], data[20], data[40], data[40 + lanes - 1]], [0.0, 20.0, 40.0, (40 + lanes - 1) as f32]);
        }
    }

    #[test]
    fn vectors_are_read_and_written_inside_of_the_data_alone() {
        Arch::new().dispatch(Ends);
    }
}
