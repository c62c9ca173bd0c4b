//! Langevin moves with their noise: drawn on the host from a stream, then moved by; and drawn by counter in the move.

use ebm::Result;
use ebm::ops::{self, LangevinMove};
use ebm::rng::Key;

use super::{Step, normal};

/// A batch of 64 pictures.
pub const PICTURES: &[usize] = &[64, 3, 32, 32];

/// A hundred points of the plane.
pub const POINTS: &[usize] = &[100, 2];

/// Moves with noise of the host's generator.
pub fn streamed(shape: &[usize]) -> Result<Step> {
    let (x, grad, mut step) = (normal(shape)?, normal(shape)?, 0);
    Ok(Box::new(move || {
        step += 1;
        let noise = Key::new(1).at(step).normal(x.shape(), x.dtype(), x.device())?;
        ops::langevin_update(&x, &grad, &noise, 0.1, 0.2).map(drop)
    }))
}

/// Moves that draw their noise by counter.
pub fn counted(shape: &[usize]) -> Result<Step> {
    let (x, grad, mut step) = (normal(shape)?, normal(shape)?, 0);
    let by = LangevinMove::free(0.1, 0.2);
    Ok(Box::new(move || {
        step += 1;
        ops::langevin_move(&x, &grad, &by, Key::new(1).at(step).counter()).map(drop)
    }))
}
