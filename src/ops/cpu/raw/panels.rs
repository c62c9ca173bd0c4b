//! The innermost product of matrices: a few rows of weights, packed side by side, by a few vectors of columns.

use pulp::Simd;

/// The rows of weights that are packed side by side: entry (row, k) of a panel is number k·PANEL + row.
pub const PANEL: usize = 8;

/// The sums Σₖ weights(row, k)·inputs(k, column) over `depth` k, for ROWS rows and VECTORS vectors of columns. Entry
/// (row, k) of the weights is at row·`apart[0]` + k·`apart[1]`, row k of the inputs begins at k·`pitch`. Terms are
/// added in order of k, whatever ROWS and VECTORS. `None` where one of the slices is too short.
#[inline(always)]
pub fn product<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    (weights, apart): (&[f32], [usize; 2]),
    (inputs, pitch): (&[f32], usize),
    depth: usize,
) -> Option<[[S::f32s; ROWS]; VECTORS]> {
    let mut sums = [[simd.splat_f32s(0.0); ROWS]; VECTORS];
    let last = depth.checked_sub(1)?;
    let of_weights = last.checked_mul(apart[1])?.checked_add(ROWS.checked_sub(1)?.checked_mul(apart[0])?)?;
    let of_inputs = last.checked_mul(pitch)?.checked_add(VECTORS.checked_mul(S::F32_LANES)?)?;
    if of_weights >= weights.len() || of_inputs > inputs.len() {
        return None;
    }
    let (mut weights, mut inputs) = (weights.as_ptr(), inputs.as_ptr());
    for _ in 0..depth {
        let mut columns = [simd.splat_f32s(0.0); VECTORS];
        for (v, column) in columns.iter_mut().enumerate() {
            // SAFETY: for every k < depth the VECTORS vectors from k·pitch on end inside of the inputs, as checked
            // above; a vector is made of plain numbers, and the read asks for no alignment.
            *column = unsafe { inputs.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
        }
        #[expect(clippy::needless_range_loop, reason = "`sums` has the vectors outside, whose weight is read once")]
        for row in 0..ROWS {
            // SAFETY: for every k < depth and row < ROWS the number at row·apart[0] + k·apart[1] is one of the weights.
            let weight = simd.splat_f32s(unsafe { *weights.add(row * apart[0]) });
            for (v, column) in columns.iter().enumerate() {
                sums[v][row] = simd.mul_add_e_f32s(weight, *column, sums[v][row]);
            }
        }
        (weights, inputs) = (weights.wrapping_add(apart[1]), inputs.wrapping_add(pitch));
    }
    Some(sums)
}
