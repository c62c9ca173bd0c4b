//! What the ranks of a run do together, and what those do that write nothing.

use super::Trainer;
use crate::metrics::Metrics;
use crate::run::signal;
use crate::{Error, Result};

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
        let mut own = asked.unwrap_or(0).to_le_bytes().to_vec();
        own.extend(self.step.to_le_bytes());
        own.extend(line.iter().flat_map(|(_, value)| value.to_bits().to_le_bytes()));
        let all = group.tell(&own)?;
        let (signal, found) = (size_of::<i32>(), |words: &[u8]| words.get(size_of::<i32>()..).map(<[u8]>::to_vec));
        if let Some(rank) = (1..all.len()).find(|rank| found(&all[*rank]) != found(&all[0])) {
            let what = format!(
                "found other numbers than rank 0 at step {}; ranks want processors and libraries of one kind",
                self.step
            );
            return Err(Error::Rank { rank, what, code: 1 });
        }
        let asked = all.iter().filter_map(|words| words.get(..signal)?.try_into().ok().map(i32::from_le_bytes));
        Ok(asked.into_iter().find(|signal| *signal != 0))
    }
}
