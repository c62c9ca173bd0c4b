//! Which mode of a known mixture each draw is at, and how often chains go from one to another.

use super::Recording;
use crate::data::Modes;
use crate::math::convergence::Draws;

/// The modes that chains saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Visits {
    /// Number of the nearest mode of every draw.
    pub nearest: Draws,
    /// Draws by nearest mode.
    pub counts: Vec<usize>,
    /// How often a chain reached the core of another mode than the one whose core it was in last.
    pub jumps: usize,
}

impl Visits {
    /// 1 where a draw is nearest to mode k, else 0.
    pub fn indicator(&self, k: usize) -> Draws {
        let of = |label: &f64| f64::from(u8::from(*label == k as f64));
        Draws::new(self.nearest.chains().iter().map(|chain| chain.iter().map(of).collect()).collect())
    }
}

/// Assigns every draw. A jump is counted from core to core ([`Modes::core`]).
pub fn visits(recording: &Recording, modes: &Modes) -> Visits {
    let nearest = recording.each(|x| modes.nearest(x).0 as f64);
    let cores = recording.each(|x| modes.core(x).map_or(f64::NAN, |k| k as f64));
    let mut counts = vec![0; modes.centres.len()];
    for label in nearest.chains().iter().flatten() {
        counts.get_mut(*label as usize).into_iter().for_each(|n| *n += 1);
    }
    let jumps = |chain: &Vec<f64>| {
        let seen: Vec<f64> = chain.iter().copied().filter(|k| !k.is_nan()).collect();
        seen.windows(2).filter(|pair| matches!(pair, [a, b] if a != b)).count()
    };
    Visits { counts, jumps: cores.chains().iter().map(jumps).sum(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_from_core_to_core() {
        let centres = vec![vec![-3.0, 0.0], vec![3.0, 0.0], vec![0.0, 50.0]];
        let modes = Modes::new(centres, vec![1.0 / 3.0; 3], &[1.0; 2]);
        let chain = |x: [f64; 6]| x.map(|x| [x, 0.0]).concat();
        // One chain flickers at the border and goes back; the other crosses, comes back, and crosses again.
        let x = [chain([-3.0, -0.1, 0.1, -0.1, 0.1, -2.0]), chain([-3.0, 3.0, 0.2, -3.0, -0.2, 2.0])].concat();
        let found = visits(&Recording { shape: vec![2, 6, 2], x, ..Recording::default() }, &modes);
        assert_eq!((found.jumps, found.counts.as_slice()), (3, [7, 5, 0].as_slice()));
        assert_eq!(found.indicator(1).chains()[1], [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    }
}
