//! Trace plots and rank plots.

use image::RgbImage;

use super::{Recording, Report};
use crate::Result;
use crate::draw::{Curves, Series};
use crate::math::convergence::Draws;

/// One plot in both forms, by the name that its files get.
pub struct Pair {
    /// Such as `trace_energy`.
    pub name: String,
    /// As pixels.
    pub picture: RgbImage,
    /// As the text of an SVG file.
    pub svg: String,
}

/// Chains in one picture, at most: as many as there are colours.
const CHAINS: usize = 7;
const SIZE: (u32, u32) = (1000, 420);

/// Traces and ranks of the energy, where there is one, and of the coordinate that mixes worst.
///
/// # Errors
/// What the plotting library finds wrong.
pub fn pictures(recording: &Recording, report: &Report) -> Result<Vec<Pair>> {
    let j = report.worst_coordinate;
    let worst = recording.coordinate(j);
    let energy = recording.energy.as_ref().map(|e| ("energy".to_owned(), "energy / nats".to_owned(), e));
    let quantities = energy.into_iter().chain([("worst".to_owned(), format!("coordinate {j}"), &worst)]);
    let mut all = Vec::new();
    for (short, label, draws) in quantities {
        all.push(pair(format!("trace_{short}"), trace(draws, &label))?);
        all.push(pair(format!("ranks_{short}"), ranks(draws, &label))?);
    }
    Ok(all)
}

fn pair(name: String, curves: Curves) -> Result<Pair> {
    Ok(Pair { name, picture: curves.picture(SIZE)?, svg: curves.svg(SIZE)? })
}

/// Every chain over its draws.
fn trace(draws: &Draws, label: &str) -> Curves {
    let points = |chain: &[f64]| chain.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect();
    curves(draws, &format!("Trace of {label}"), ["draw", label], points)
}

/// The histogram of the ranks of each chain's draws among those of all chains: flat and alike if the chains agree.
fn ranks(draws: &Draws, label: &str) -> Curves {
    const BINS: usize = 20;
    let width = (draws.total() as f64 / BINS as f64).max(1.0);
    let outline = |chain: &[f64]| {
        let mut counts = [0.0; BINS];
        for rank in chain {
            let bin = (((rank - 0.5) / width) as usize).min(BINS - 1);
            counts.get_mut(bin).into_iter().for_each(|n| *n += 1.0);
        }
        let step = |(bin, n): (usize, f64)| [(bin as f64 * width, n), ((bin + 1) as f64 * width, n)];
        counts.into_iter().enumerate().flat_map(step).collect()
    };
    curves(&draws.ranks(), &format!("Ranks of {label}"), ["rank among all draws", "draws"], outline)
}

fn curves(draws: &Draws, title: &str, [x, y]: [&str; 2], points: impl Fn(&[f64]) -> Vec<(f64, f64)>) -> Curves {
    let one = |(i, chain): (usize, &Vec<f64>)| Series { name: format!("chain {i}"), points: points(chain) };
    let series = draws.chains().iter().take(CHAINS).enumerate().map(one).collect();
    Curves { title: title.into(), x_label: x.into(), y_label: y.into(), series }
}
