//! Steps of chains on a GPU that are recorded once in a run and done again by one call: on a small network a step is
//! some dozens of launches, which take the host longer than the device.

use std::sync::OnceLock;

use candle_core::Tensor;

use super::info::Info;
use super::kernel::{Chain, Kernel, Target};
use crate::density::SetAside;
use crate::ops::Replay;
use crate::rng::{Counter, Key};
use crate::{Error, Result};

/// The recorded step of a kernel, with the memory in which chains go from step to step.
pub(super) struct Replayed {
    replay: Replay,
    chain: Chain,
    info: Info,
    aside: SetAside,
}

impl Replayed {
    /// The recording of the step with `key`, which moves `chain` and will be done `left` times, if it is worth it and
    /// the kernel and the energy are such that it can be recorded. `chain` and `info` are those behind a step like it.
    pub fn of(kernel: &dyn Kernel, key: Key, on: &Target, behind: (&Chain, &Info), left: usize) -> Option<Self> {
        /// A recording costs as much as two or three steps.
        const FEWEST: usize = 8;
        /// The numbers of chains on which a step keeps a device busy for longer than a host.
        const MOST: usize = 1 << 17;
        static OFF: OnceLock<bool> = OnceLock::new();
        let off = || *OFF.get_or_init(|| std::env::var_os("EBM_GRAPHS").is_some_and(|word| word == "off"));
        let x = &behind.0.x;
        if x.device().is_cpu() || left < FEWEST || x.elem_count() > MOST || off() {
            return None;
        }
        let draws = kernel.draws(key)?;
        let recorded = Self::record(kernel, key, on, behind, &draws);
        recorded.inspect_err(|error| tracing::debug!("a step of chains was not recorded: {error}")).ok().flatten()
    }

    fn record(
        kernel: &dyn Kernel,
        key: Key,
        on: &Target,
        (chain, info): (&Chain, &Info),
        draws: &[Counter],
    ) -> Result<Option<Self>> {
        // Memory of their own, of which nothing else knows.
        let (chain, Some(info)) = (chain.map(copied)?, info.map(copied)?) else { return Ok(None) };
        let own = [chain.tensors(), info.tensors()].concat();
        // A driver may not load a kernel while it records, so that what copies is used once before.
        own.iter().try_for_each(|t| Ok::<_, Error>(t.slice_set(&copied(t)?, 0, 0)?))?;
        let (replay, aside) = SetAside::of(|| {
            Replay::record(chain.x.device(), || {
                let (next, report) = kernel.step(key, on, &chain)?;
                let from = [next.tensors(), report.tensors()].concat();
                if own.len() != from.len() {
                    return Err(Error::Other("it leaves other tensors than it finds".into()));
                }
                own.iter().zip(from).try_for_each(|(into, from)| Ok(into.slice_set(from, 0, 0)?))
            })
        });
        let Some(replay) = replay? else { return Ok(None) };
        if replay.draws() != draws {
            return Err(Error::Other("the energy draws random numbers too".into()));
        }
        Ok(Some(Replayed { replay, chain, info, aside }))
    }

    /// Moves the chains by the step of the kernel with `key`, and reports on it.
    ///
    /// # Errors
    /// The device fails, or the step is another than the one that was recorded.
    pub fn step(&mut self, kernel: &dyn Kernel, key: Key) -> Result<(Chain, Info)> {
        self.replay.run(&kernel.draws(key).unwrap_or_default())?;
        self.aside.count();
        Ok((self.chain.map(copied)?, self.info.map(copied)?.unwrap_or_default()))
    }
}

/// The same numbers in memory of their own.
fn copied(t: &Tensor) -> Result<Tensor> {
    Ok(t.force_contiguous()?)
}
