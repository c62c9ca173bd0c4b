//! The choice of the checkpoints that stay, as a pure function.

/// The rule for checkpoints that stay: the newest `last`, and every one whose step is a multiple of `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The number of the newest that stay; at least one always does.
    pub last: usize,
    /// The divisor of the steps that stay for good; 0 for none.
    pub every: u64,
}

impl Default for Keep {
    /// The newest two, so that a fall-back exists.
    fn default() -> Self {
        Keep { last: 2, every: 0 }
    }
}

impl Keep {
    /// The steps to remove, of those that have a checkpoint; `best`, the step of the best one so far, stays.
    pub fn to_delete(&self, steps: &[u64], best: Option<u64>) -> Vec<u64> {
        let mut steps = steps.to_vec();
        steps.sort_unstable();
        steps.dedup();
        steps.truncate(steps.len().saturating_sub(self.last.max(1)));
        let milestone = |step: u64| self.every > 0 && step.is_multiple_of(self.every);
        steps.retain(|&step| !(milestone(step) || best == Some(step)));
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_the_milestones_and_the_best_stay() {
        let steps = [50, 10, 20, 30, 40];
        let keep = |last, every| Keep { last, every };
        assert_eq!(keep(2, 0).to_delete(&steps, None), [10, 20, 30]);
        assert_eq!(keep(2, 0).to_delete(&steps, Some(20)), [10, 30]);
        assert_eq!(keep(1, 20).to_delete(&steps, Some(10)), [30]);
        assert_eq!(keep(9, 0).to_delete(&steps, None), [0u64; 0]);
    }

    #[test]
    fn the_newest_is_never_removed() {
        let keep = Keep { last: 0, every: 0 };
        assert_eq!(keep.to_delete(&[1, 2, 3], None), [1, 2]);
        assert_eq!(keep.to_delete(&[], Some(3)), [0u64; 0]);
    }
}
