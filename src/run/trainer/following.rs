//! What the ranks of a run do together, and what those do that write nothing.

use super::Trainer;
use crate::metrics::Metrics;
use crate::run::signal;
use crate::{Error, Result};

/// What to do about ranks that compute different things.
const KIND: &str = "ranks want processors and libraries of one kind";

impl Trainer {
    /// Runs as [`Trainer::run`] does, for a rank that writes nothing: rank 0 does.
    ///
    /// # Errors
    /// As [`Trainer::run`], and where rank 0 has gone.
    pub fn follow(&mut self) -> Result<()> {
        let mut guard = self.guard();
        let mut line = Metrics::new();
        if self.unseen.take().is_some() {
            self.look()?;
        }
        while self.step < self.until {
            if let Some(signal) = self.agreed(&line)? {
                return Err(Error::Interrupted(signal));
            }
            line = self.advance(&mut guard)?.clone();
            self.look()?;
        }
        Ok(())
    }

    /// The signal that asked a rank to stop, if one did. All ranks make sure that their last steps found the same
    /// numbers.
    ///
    /// # Errors
    /// They did not, or a rank has gone.
    pub(super) fn agreed(&self, line: &Metrics) -> Result<Option<i32>> {
        let group = self.experiment.group();
        let asked = signal::stop_requested();
        if group.ranks() == 1 {
            return Ok(asked);
        }
        let mut found = self.step.to_le_bytes().to_vec();
        found.extend(line.iter().flat_map(|(_, value)| value.to_bits().to_le_bytes()));
        let all = group.tell(&[&asked.unwrap_or(0).to_le_bytes(), found.as_slice()].concat())?;
        let mut signal = None;
        for (rank, words) in all.iter().enumerate() {
            let other = words.split_first_chunk().filter(|(_, numbers)| *numbers == found);
            let Some((asked, _)) = other else {
                let step = self.step;
                let what = format!("found other numbers than rank {} at step {step}; {KIND}", group.rank());
                return Err(Error::Rank { rank, what, code: 1 });
            };
            signal = signal.or(Some(i32::from_le_bytes(*asked)).filter(|signal| *signal != 0));
        }
        Ok(signal)
    }
}
