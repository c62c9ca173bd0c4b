//! Accuracy under attack: projected gradient descent on the logits, with or without refinement of the input.

mod attack;

use image::RgbImage;
use serde::{Deserialize, Serialize};

pub use attack::{Attack, Victim};

use crate::Result;
use crate::config::{Schema, decode, rule};
use crate::data::{Data, Split};
use crate::draw::{Curves, Series};
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::probes::support::labels::Labelled;

/// How the size of a perturbation is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// The largest change of a number.
    Linf,
    /// The Euclidean length.
    L2,
}

crate::config! {
    /// Keys of the probe `robustness`.
    pub struct RobustnessConfig {
        /// Test items that are attacked; 0 takes all.
        items: usize = 200;
        /// Norm of the perturbation: linf or l2.
        norm: Norm = Norm::Linf;
        /// Its bounds, in model space. With `transform = "scaled"` (2z - 1) that is twice the distance in pixels z of
        /// [0, 1]: 8/255 there is 0.0627 here. With "unit" both are the same.
        eps: Vec<f64> = vec![0.02, 0.05, 0.1, 0.2, 0.4], radii;
        /// Steps of an attack.
        steps: usize = 40, rule::at_least(1);
        /// Length of a step as a share of the bound; the default is 2.5/40 (Madry et al. 2018).
        step_size: f64 = 0.0625, rule::positive;
        /// Attacks on an item, each from a random point within the bound.
        restarts: usize = 1, rule::at_least(1);
        /// Steps of the run's sampler that refine an input before it is classified, also for the attacker (JEM-k has
        /// k).
        refine: usize = 0;
    }
}

#[allow(clippy::ptr_arg)] // A rule takes the type of its key.
fn radii(eps: &Vec<f64>) -> rule::Complaint {
    let fine = !eps.is_empty() && eps.iter().all(|e| *e > 0.0);
    (!fine).then(|| format!("must be one number above 0 or more, got {eps:?}"))
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "robustness",
    about: "accuracy of a classifier under projected gradient descent in L∞ or L2, over the size of the perturbation",
    cite: "Madry, Makelov, Schmidt, Tsipras, Vladu 2018, \"Towards deep learning models resistant to adversarial \
           attacks\", ICLR; Grathwohl et al. 2020 (JEM), section 5.4, for the refinement",
    schema: Schema::of::<(RobustnessConfig, Schedule)>(),
    numbers: &[Number::new(
        "robust_{norm}_{eps}",
        Unit::Share,
        "items classified correctly under an attack within the bound",
    )
    .higher()
    .lead()],
    example: example!(
        digits,
        "name = \"robustness\"\nitems = 20\nsteps = 3\neps = [0.4, 0.1]\nnorm = \"l2\"\nrefine = 1\n"
    ),
    build: |table, _| {
        let mut config: RobustnessConfig = decode(table)?;
        config.eps.sort_by(f64::total_cmp);
        config.eps.dedup();
        Ok(Box::new(Robustness(config)))
    },
};

struct Robustness(RobustnessConfig);

impl Probe for Robustness {
    fn fits(&self, subject: &Subject) -> Result<()> {
        Labelled::fit(ENTRY.name, subject, Split::Test)
    }

    /// Finds `robust_NORM_EPS` for every bound, with `_refineK` before the bound where inputs are refined by K steps;
    /// the bound 0 is the accuracy without attack.
    fn run(&self, subject: &Subject) -> Result<Finding> {
        let Labelled { x, y } = Labelled::of("robustness", subject, Split::Test, self.0.items)?;
        let kernel = &*subject.sampler.kernel;
        let victim = Victim { model: subject.model, kernel, refine: self.0.refine };
        let limits = limits(subject.data)?;
        let attacks = self.0.eps.iter().map(|&eps| Attack {
            norm: self.0.norm,
            eps,
            steps: self.0.steps,
            step: self.0.step_size * eps,
            restarts: self.0.restarts,
            limits,
        });
        let shares = attack::curve(&victim, &attacks.collect::<Vec<_>>(), &x, &y, subject.key)?;
        let name = self.name();
        let points: Vec<(f64, f64)> = std::iter::once(0.0).chain(self.0.eps.iter().copied()).zip(shares).collect();
        let metrics: Metrics = points.iter().map(|(eps, share)| (format!("{name}_{eps}"), *share)).collect();
        let picture = self.picture(points, pixels_of(subject.data)?)?;
        Ok(Finding { metrics, pictures: vec![(name, picture)] })
    }
}

impl Robustness {
    fn name(&self) -> String {
        let norm = if self.0.norm == Norm::Linf { "linf" } else { "l2" };
        let refined = if self.0.refine > 0 { format!("_refine{}", self.0.refine) } else { String::new() };
        format!("robust_{norm}{refined}")
    }

    fn picture(&self, points: Vec<(f64, f64)>, pixels: Option<f64>) -> Result<RgbImage> {
        let unit = pixels.map_or(String::new(), |share| format!("; times {share:.4} in pixels of [0, 1]"));
        let norm = if self.0.norm == Norm::Linf { "L∞" } else { "L2" };
        let curves = Curves {
            title: format!("accuracy under PGD, steps {}, restarts {}", self.0.steps, self.0.restarts),
            x_label: format!("{norm} bound in model space{unit}"),
            y_label: "accuracy".into(),
            series: vec![Series { name: self.name(), points }],
        };
        curves.picture((720, 420))
    }
}

/// Black and white in model space: what an image keeps to. Vectors have no such limits.
fn limits(data: &Data) -> Result<Option<[f64; 2]>> {
    Ok(greys(data, [0.0, 1.0])?.map(|[black, white]| [f64::from(black), f64::from(white)]))
}

/// By how much z changes for a change of 1 in model space, where that is the same for all z.
fn pixels_of(data: &Data) -> Result<Option<f64>> {
    let quarter = |[low, high]: [f32; 2]| f64::from(high) - f64::from(low);
    let (Some(lower), Some(upper)) = (greys(data, [0.25, 0.5])?, greys(data, [0.5, 0.75])?) else { return Ok(None) };
    let even = (quarter(lower) - quarter(upper)).abs() < 1e-6 * quarter(lower).abs();
    // The darkest greys differ most from an even map, as a logit has.
    let dark = greys(data, [0.0, 0.25])?.map_or(f64::NAN, quarter);
    Ok((even && (dark - quarter(lower)).abs() < 1e-6 * dark).then(|| 0.25 / dark))
}

/// Two greys of [0, 1] in model space, of images.
fn greys(data: &Data, greys: [f32; 2]) -> Result<Option<[f32; 2]>> {
    if data.spec().image.is_none() {
        return Ok(None);
    }
    let image = |grey: f32| candle_core::Tensor::full(grey, (1, data.spec().dim()), data.device());
    let value = |grey: f32| -> Result<f32> {
        let x = data.of_unit(&image(grey)?, None)?.flatten_all()?;
        Ok(x.narrow(0, 0, 1)?.squeeze(0)?.to_scalar()?)
    };
    Ok(Some([value(greys[0])?, value(greys[1])?]))
}
