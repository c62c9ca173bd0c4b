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
        /// Draw them too, which images and points in the plane can be.
        picture: bool = true;
    }
}

pub(in crate::probes) const ENTRY: ProbeRow = ProbeRow {
    name: "samples",
    about: "runs the sampler and draws what it gives: a grid of images, or points in the plane",
    cite: "",
    schema: Schema::of::<(SamplesConfig, Schedule)>(),
    numbers: &[
        Number::new("samples/energy", Unit::Nats, "mean energy of the samples").lead(),
        Number::new("samples/acceptance", Unit::Share, "share of proposals that the chains accepted")
            .when("a kernel that accepts or rejects"),
        Number::new("samples/frozen", Unit::Share, "share of the chains that never moved")
            .lower()
            .when("a kernel that accepts or rejects"),
    ],
    example: example!(plane, "name = \"samples\"\nn = 4\n"),
    build: |table, _| Ok(Box::new(Samples(decode(table)?))),
};

struct Samples(SamplesConfig);

impl Probe for Samples {
    fn draws(&self) -> bool {
        true
    }

    fn fits(&self, subject: &Subject) -> Result<()> {
        match self.0.picture {
            true => Picture::of(subject.data).map(drop).map_err(|error| {
                error.at("picture").hint(
                    "set `picture = false` of the probe for its numbers alone; `ebm sample --save-npy FILE` writes \
                     samples as numbers",
                )
            }),
            false => Ok(()),
        }
    }

    fn run(&self, subject: &Subject) -> Result<Finding> {
        let end = subject.trace(subject.key, self.0.n)?;
        let energies = subject.sampler.energies(&subject.target(), &end.chain)?;
        let energy: f64 = energies.to_dtype(DType::F64)?.mean_all()?.to_scalar()?;
        let mut metrics = Metrics::new().with("samples/energy", energy);
        if let Some(accept) = end.accept {
            metrics.set("samples/acceptance", accept);
            metrics.set("samples/frozen", end.frozen()?.share());
        }
        let pictures = if self.0.picture { drawn("samples", subject, &end.x)? } else { Vec::new() };
        Ok(Finding { metrics, pictures })
    }
}

/// The picture `name` of samples x, `[N, ..]`; none, with a warning, of such as cannot be drawn: numbers do not depend
/// on it.
pub(in crate::probes) fn drawn(name: &str, subject: &Subject, x: &Tensor) -> Result<Vec<(String, RgbImage)>> {
    match Picture::of(subject.data) {
        Ok(picture) => Ok(vec![(name.to_owned(), picture.draw(x)?)]),
        Err(error) => {
            tracing::warn!("no picture `{name}`: {error}");
            Ok(Vec::new())
        }
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
            (None, None) => {
                let what = format!("samples of shape {:?} cannot be drawn", data.spec().shape);
                Err(Error::config(what).hint("`ebm sample --save-npy FILE` writes them as numbers"))
            }
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
