//! Samples by the run's sampler, as a picture: a grid of images, or points in the plane.

use candle_core::{DType, Tensor};
use image::RgbImage;

use crate::config::{Schema, decode, rule};
use crate::data::Data;
use crate::metrics::{Metrics, Number, Unit};
use crate::probes::probe::{Finding, Probe, ProbeRow, Schedule, Subject};
use crate::probes::support::example::example;
use crate::{Error, Result, draw};

crate::config! {
    /// Keys of the probe `samples`.
    pub struct SamplesConfig {
        /// How many samples.
        n: usize = 100, rule::at_least(1);
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "samples",
    about: "runs the sampler and draws what it gives: a grid of images, or points in the plane",
    cite: "",
    schema: Schema::of::<(SamplesConfig, Schedule)>(),
    numbers: &[
        Number::new("sample_energy", Unit::Nats, "mean energy of the samples").lead(),
        Number::new("acceptance", Unit::Share, "share of proposals that the chains accepted")
            .when("a kernel that accepts or rejects"),
        Number::new("frozen", Unit::Share, "share of the chains that never moved")
            .lower()
            .when("a kernel that accepts or rejects"),
    ],
    example: example!(plane, "name = \"samples\"\nn = 4\n"),
    build: |table, _| Ok(Box::new(Samples(decode(table)?))),
};

struct Samples(SamplesConfig);

impl Probe for Samples {
    fn run(&self, subject: &Subject) -> Result<Finding> {
        let end = subject.trace(subject.key, self.0.n)?;
        let energies = subject.sampler.energies(&subject.target(), &end.chain)?;
        let energy: f64 = energies.to_dtype(DType::F64)?.mean_all()?.to_scalar()?;
        let mut metrics = Metrics::new().with("sample_energy", energy);
        if let Some(accept) = end.accept {
            metrics.set("acceptance", accept);
            metrics.set("frozen", end.frozen()?.share());
        }
        let picture = Picture::of(subject.data)?.draw(&end.x)?;
        Ok(Finding { metrics, pictures: vec![("samples".to_owned(), picture)] })
    }
}

/// How samples of a data set are shown.
pub enum Picture<'a> {
    /// A grid of images; model space is carried back to pixels.
    Grid(&'a Data, [usize; 3]),
    /// Points in the plane.
    Plane([[f64; 2]; 2]),
}

impl<'a> Picture<'a> {
    /// The way that fits the data.
    ///
    /// # Errors
    /// Items that are neither images nor points in the plane.
    pub fn of(data: &'a Data) -> Result<Self> {
        match (data.spec().image, data.bounds_2d()) {
            (Some(image), _) => Ok(Picture::Grid(data, image)),
            (None, Some(window)) => Ok(Picture::Plane(window)),
            (None, None) => Err(Error::Other(format!(
                "samples of shape {:?} cannot be drawn\n\nhint: remove the probe `samples`, or use ebm sample \
                 --save-npy",
                data.spec().shape
            ))),
        }
    }

    /// A picture of samples x, `[N, ..]`.
    ///
    /// # Errors
    /// Samples of another shape.
    pub fn draw(&self, x: &Tensor) -> Result<RgbImage> {
        match self {
            Picture::Grid(data, [_, height, _]) => draw::grid(&data.to_unit(x)?, 0, draw::scale_for(*height)),
            Picture::Plane(window) => draw::plane(x, *window),
        }
    }
}
