//! The innermost product of matrices: a few rows of weights, packed side by side, by a few vectors of columns.

use pulp::Simd;

/// The rows of weights that are packed side by side: entry (row, k) of a panel is number k·PANEL + row.
pub const PANEL: usize = 8;

/// The sums Σₖ weights(row, k)·inputs(k, column) over `depth` k, for ROWS rows and VECTORS vectors of columns; row k of
/// the inputs begins at k·`apart`. Terms are added in order of k, whatever ROWS and VECTORS. `None` where one of the
/// slices is too short.
#[inline(always)]
pub fn product<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    weights: &[f32],
    inputs: &[f32],
    depth: usize,
    apart: usize,
) -> Option<[[S::f32s; ROWS]; VECTORS]> {
    let mut sums = [[simd.splat_f32s(0.0); ROWS]; VECTORS];
    let last = depth.checked_sub(1)?;
    let of_weights = last.checked_mul(PANEL)?.checked_add(ROWS)?;
    let of_inputs = last.checked_mul(apart)?.checked_add(VECTORS.checked_mul(S::F32_LANES)?)?;
    if of_weights > weights.len() || of_inputs > inputs.len() {
        return None;
    }
    let (mut weights, mut inputs) = (weights.as_ptr(), inputs.as_ptr());
    for _ in 0..depth {
        let mut columns = [simd.splat_f32s(0.0); VECTORS];
        for (v, column) in columns.iter_mut().enumerate() {
            // SAFETY: for every k < depth the VECTORS vectors from k·apart on end inside of the inputs, as checked
            // above; a vector is made of plain numbers, and the read asks for no alignment.
            *column = unsafe { inputs.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
        }
        #[expect(clippy::needless_range_loop, reason = "`sums` has the vectors outside, whose weight is read once")]
        for row in 0..ROWS {
            // SAFETY: for every k < depth the ROWS numbers from k·PANEL on end inside of the weights.
            let weight = simd.splat_f32s(unsafe { *weights.add(row) });
            for (v, column) in columns.iter().enumerate() {
                sums[v][row] = simd.mul_add_e_f32s(weight, *column, sums[v][row]);
            }
        }
        (weights, inputs) = (weights.wrapping_add(PANEL), inputs.wrapping_add(apart));
    }
    Some(sums)
}
