//! Exact test log-likelihood of a normalised model, beside the data's own where that is known.

use candle_core::{DType, Tensor};

use crate::config::{Schema, decode};
use crate::data::{Data, Split};
use crate::density::Density;
use crate::math::stats;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::items::{items, present};
use crate::probes::support::rows::in_chunks;
use crate::{Error, Result};

crate::config! {
    /// Keys of the probe `likelihood`.
    pub struct LikelihoodConfig {
        /// Test items, drawn where the data are generated; 0 uses all of a stored set, and 10,000 draws.
        items: usize = 10_000;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "likelihood",
    about: "exact test log-likelihood in nats of a model with a known normaliser; gap to the truth; bits/dim of images",
    cite: "",
    schema: Schema::of::<(LikelihoodConfig, Schedule)>(),
    numbers: &[
        Number::new("test_ll", Unit::Nats, "mean log-likelihood of test items").higher().against("true_ll").lead(),
        Number::new("test_ll_se", Unit::Nats, "standard error of test_ll"),
        Number::new("true_ll", Unit::Nats, "mean log-density of the data's own distribution on the same items")
            .when("the data's density is known"),
        Number::new("ll_gap", Unit::Nats, "true_ll minus test_ll: the divergence of the model from the data")
            .lower()
            .when("the data's density is known"),
        Number::new("ll_gap_se", Unit::Nats, "standard error of ll_gap").when("the data's density is known"),
        Number::new("bits_per_dim", Unit::Bits, "negative log-likelihood of pixels")
            .lower()
            .lead()
            .when("dequantised images"),
    ],
    example: example!(ica, "name = \"likelihood\"\n"),
    build: |table, _| Ok(Box::new(Likelihood(decode(table)?))),
};

struct Likelihood(LikelihoodConfig);

impl Probe for Likelihood {
    fn fits(&self, subject: &Subject) -> Result<()> {
        subject.model.density().ok_or_else(no_normaliser)?;
        present(ENTRY.name, subject, Split::Test)
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        self.fits(subject)?;
        let density = subject.model.density().ok_or_else(no_normaliser)?;
        let x = items(subject.data, Split::Test, self.0.items)?;
        Ok(Finding::of(likelihood(density, subject.data, &x)?))
    }
}

/// Of the items x, `[N, ..]`: `test_ll`, mean log p(x) in nats, and its standard error `test_ll_se`. Where the data's
/// density is known: its mean log-density `true_ll` on the same items, and `ll_gap`, truth minus model, with the
/// standard error `ll_gap_se` of that difference, which is far below those of its parts. Of dequantised images:
/// `bits_per_dim`.
///
/// # Errors
/// A tensor operation that failed.
pub fn likelihood(density: &dyn Density, data: &Data, x: &Tensor) -> Result<Metrics> {
    let log_p = log_probs(density, x)?;
    let values = log_p.to_vec1::<f64>()?;
    let mut metrics =
        Metrics::new().with("test_ll", stats::mean(&values)).with("test_ll_se", stats::std_error(&values));
    if let Some(truth) = data.log_density(x)? {
        let truth = truth.to_vec1::<f64>()?;
        let gaps: Vec<f64> = truth.iter().zip(&values).map(|(t, v)| t - v).collect();
        metrics.set("true_ll", stats::mean(&truth));
        metrics.set("ll_gap", stats::mean(&gaps));
        metrics.set("ll_gap_se", stats::std_error(&gaps));
    }
    if data.spec().image.is_some() {
        // Images that are not dequantised have no bits/dim; their log-likelihood, with noise, may still be wanted.
        match data.bits_per_dim(&log_p, x) {
            Ok(bits) => metrics.set("bits_per_dim", stats::mean(&bits.to_vec1()?)),
            Err(Error::Config(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(metrics)
}

/// log p of every item, `[N]` in f64.
fn log_probs(density: &dyn Density, x: &Tensor) -> Result<Tensor> {
    /// Items evaluated at a time: bounds the memory, changes no result.
    const CHUNK: usize = 1000;
    let log_p = |_, rows: &Tensor| Ok(density.log_prob(rows)?.detach().to_dtype(DType::F64)?);
    Ok(Tensor::cat(&in_chunks(x, CHUNK, log_p)?, 0)?)
}

fn no_normaliser() -> Error {
    Error::config("probe `likelihood` needs a model with a known normaliser").hint(
        "choose a flow, `ica` or `gaussian` as model, or use the probe `nll` in 2-D or `lsd` for unnormalised models",
    )
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::data::of_text;
    use crate::density::{Gaussian, Ica};
    use crate::math::linalg;
    use crate::nets::Builder;
    use crate::{data::Sources, rng::Key};

    fn ica(b: &Tensor, sources: Sources) -> Ica {
        let tensors = [("unmixing".to_owned(), b.clone())].into();
        Ica::new(&[b.dim(0).unwrap()], sources, &Builder::bound(tensors, b.dtype(), &Device::Cpu)).unwrap()
    }

    #[test]
    fn the_truth_has_no_gap_and_another_matrix_has_its_divergence() {
        for (name, sources) in [("laplace", Sources::Laplace), ("logistic", Sources::Logistic)] {
            for dim in [1, 4, 60] {
                let data = of_text(&format!("name = \"ica\"\ndim = {dim}\nsources = \"{name}\""));
                let x = data.all(Split::Test, 3000).unwrap().x;
                let b = linalg::to_tensor(data.unmixing().unwrap(), DType::F64, &Device::Cpu).unwrap();
                let exact = likelihood(&ica(&b, sources), &data, &x.to_dtype(DType::F64).unwrap()).unwrap();
                assert!(exact.get("ll_gap").unwrap().abs() < 1e-10, "{name}, {dim}: {exact:?}");
                let single = likelihood(&ica(&b.to_dtype(DType::F32).unwrap(), sources), &data, &x).unwrap();
                let scale = exact.get("test_ll").unwrap().abs() + dim as f64;
                assert!(single.get("ll_gap").unwrap().abs() < 1e-6 * scale, "{name}, {dim}: {single:?}");
                let doubled = likelihood(&ica(&(&b * 2.0).unwrap(), sources), &data, &x.to_dtype(DType::F64).unwrap());
                // Twice the sources: E ψ(2z) - E ψ(z) - log 2 for each, in closed form for Laplace, where E|z| = 1.
                if sources == Sources::Laplace {
                    let (gap, se) =
                        (doubled.as_ref().unwrap().get("ll_gap"), doubled.as_ref().unwrap().get("ll_gap_se"));
                    let z = (gap.unwrap() - dim as f64 * (1.0 - std::f64::consts::LN_2)) / se.unwrap();
                    assert!(z.abs() < 4.0, "{dim}: z = {z}");
                }
            }
        }
    }

    #[test]
    fn images_have_bits_and_no_truth() {
        let data = of_text("name = \"digits\"\ntransform = \"unit\"");
        let x = data.all(Split::Test, 40).unwrap().x;
        let normal = Gaussian::new(&[1, 8, 8], 0.0, 1.0, &Builder::new(Key::new(0), DType::F32, &Device::Cpu)).unwrap();
        let found = likelihood(&normal, &data, &x).unwrap();
        // log p in raw pixels is log p - 64 log 17.
        let want = (64.0 * 17f64.ln() - found.get("test_ll").unwrap()) / (64.0 * 2f64.ln());
        assert!((found.get("bits_per_dim").unwrap() - want).abs() < 1e-12);
        assert_eq!(found.get("true_ll"), None);
    }
}
