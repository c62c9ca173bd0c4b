//! How well linear ICA separated the sources, which the log-likelihood hardly sees.

use nalgebra::DMatrix;
use pathfinding::prelude::{Matrix, kuhn_munkres};

use crate::config::Schema;
use crate::math::{linalg, stats};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::{Error, Result};

crate::config! {
    /// The probe `amari` has no keys of its own.
    pub struct AmariConfig {}
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "amari",
    about: "linear ICA: Amari distance of learned to true unmixing (0: separated) and mean correlation with the \
            sources",
    cite: "Amari, Cichocki, Yang 1996, \"A new learning algorithm for blind signal separation\"",
    schema: Schema::of::<(AmariConfig, Schedule)>(),
    numbers: &[
        Number::new(
            "amari",
            Unit::Plain,
            "Amari distance of the learned to the true unmixing: 0 where the sources are separated",
        )
        .lower()
        .lead(),
        Number::new("mcc", Unit::Plain, "mean correlation of recovered with true sources: 1 where they are separated")
            .higher()
            .lead(),
    ],
    example: example!(ica, "name = \"amari\"\n"),
    build: |_, _| Ok(Box::new(Amari)),
};

/// Looks at the two matrices only, at no data.
struct Amari;

impl Probe for Amari {
    fn fits(&self, subject: &Subject) -> Result<()> {
        matrices(subject).map(drop)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        let (truth, learned) = matrices(subject)?;
        let mixing = truth.clone().try_inverse().ok_or_else(|| missing("data set", "a mixing matrix"))?;
        let recovered = recovery(learned * mixing);
        Ok(Finding::of(Metrics::new().with("amari", amari(&recovered)).with("mcc", mcc(&recovered))))
    }
}

/// The data's unmixing matrix and the model's.
fn matrices<'a>(subject: &Subject<'a>) -> Result<(&'a DMatrix<f64>, DMatrix<f64>)> {
    let truth = subject.data.unmixing().ok_or_else(|| missing("data set", "independent sources"))?;
    let learned = subject.model.unmixing().ok_or_else(|| missing("model", "an unmixing matrix"))?;
    let learned = linalg::to_host(learned)?;
    match learned.shape() == truth.shape() {
        true => Ok((truth, learned)),
        false => Err(missing("model", "an unmixing matrix of the data's size")),
    }
}

fn missing(what: &str, need: &str) -> Error {
    Error::config(format!("probe `amari` compares unmixing matrices, but this {what} does not have {need}"))
        .hint("use it with data set `ica` (without `noise`) and model `ica`, or remove it")
}

/// The learned unmixing times the true mixing, C = B W, its rows scaled to length 1: c_ij is the correlation of the
/// i-th recovered with the j-th true source, as these are independent and of equal variance. Permutation and signs
/// remain.
fn recovery(mut product: DMatrix<f64>) -> DMatrix<f64> {
    for mut row in product.row_iter_mut() {
        let norm = row.norm();
        row /= norm;
    }
    product
}

/// 1/(2D(D-1)) · [Σ_i (Σ_j |c_ij| / max_k |c_ik| - 1) + Σ_j (Σ_i |c_ij| / max_k |c_kj| - 1)]: 0 for a permutation with
/// signs, 1 where all entries are equal in size, and 0 for a single source.
///
/// On rows of length 1 ([`recovery`]), so that the scale of the recovered sources does not matter either; the original
/// is not invariant to it.
fn amari(c: &DMatrix<f64>) -> f64 {
    let dim = c.nrows() as f64;
    let excess = |sum: f64, max: f64| sum / max - 1.0;
    let rows: f64 = c.row_iter().map(|row| excess(row.lp_norm(1), row.amax())).sum();
    let columns: f64 = c.column_iter().map(|column| excess(column.lp_norm(1), column.amax())).sum();
    if c.nrows() < 2 { 0.0 } else { (rows + columns) / (2.0 * dim * (dim - 1.0)) }
}

/// Mean correlation coefficient: the mean |c_iπ(i)| under the best assignment π of recovered to true sources, 1 if all
/// are separated. NaN for correlations that are not finite.
fn mcc(c: &DMatrix<f64>) -> f64 {
    /// Correlations as integers, which the assignment needs: far finer than f32 weights.
    const UNITS: f64 = 1e12;
    if !c.iter().all(|v| v.is_finite()) {
        return f64::NAN;
    }
    let weights = Matrix::from_fn(c.nrows(), c.ncols(), |(i, j)| (c[(i, j)].abs() * UNITS).round() as i64);
    let (_, matched) = kuhn_munkres(&weights);
    let correlations: Vec<f64> = matched.iter().enumerate().map(|(i, &j)| c[(i, j)].abs()).collect();
    stats::mean(&correlations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    fn of(rows: &[[f64; 3]; 3]) -> DMatrix<f64> {
        recovery(DMatrix::from_row_slice(3, 3, rows.as_flattened()))
    }

    #[test]
    fn separated_sources_have_no_distance_in_any_order_sign_and_scale() {
        let c = of(&[[0.0, -0.2, 0.0], [7.0, 0.0, 0.0], [0.0, 0.0, 1e-3]]);
        assert_eq!((amari(&c), mcc(&c)), (0.0, 1.0));
        let even = of(&[[1.0; 3], [-1.0; 3], [2.0; 3]]);
        assert!((amari(&even) - 1.0).abs() < 1e-15);
        assert!((mcc(&even) - 3f64.sqrt().recip()).abs() < 1e-15);
    }

    #[test]
    fn scale_and_order_of_what_is_recovered_do_not_matter() {
        let c = linalg::well_conditioned(Key::new(2), 6, 0.0).unwrap();
        let mut moved = c.clone();
        moved.swap_rows(0, 4);
        moved.swap_columns(1, 2);
        moved.row_mut(3).scale_mut(-5.0);
        let [c, moved] = [c, moved].map(recovery);
        assert!((amari(&c) - amari(&moved)).abs() < 1e-12 && (mcc(&c) - mcc(&moved)).abs() < 1e-12);
        assert!((0.1..0.6).contains(&amari(&c)), "{}", amari(&c));
    }

    #[test]
    fn the_formula_written_out_and_an_assignment_that_greed_misses() {
        let c = DMatrix::from_row_slice(2, 2, &[0.8, 0.6, 0.7, 0.2]);
        let rows = (1.4 / 0.8 - 1.0) + (0.9 / 0.7 - 1.0);
        let columns = (1.5 / 0.8 - 1.0) + (0.8 / 0.6 - 1.0);
        assert!((amari(&c) - (rows + columns) / 4.0).abs() < 1e-15);
        // Greed takes 0.8 and is left with 0.2.
        assert!((mcc(&c) - 0.65).abs() < 1e-15);
        assert_eq!(amari(&DMatrix::from_element(1, 1, -1.0)), 0.0);
    }
}
