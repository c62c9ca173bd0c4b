//! Chains that never moved: seen one by one, for a mean acceptance over all of them hides them.

/// How many of a run's chains stand where they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Those that never moved.
    pub count: usize,
    /// Of those, chains that accepted proposals: steps too small to change a position.
    pub accepted: usize,
    /// All chains.
    pub chains: usize,
}

impl Frozen {
    /// As a share of all chains.
    pub fn share(&self) -> f64 {
        self.count as f64 / self.chains.max(1) as f64
    }

    /// Of positions that are where they were or not, chain by chain, and of the proposals each accepted: empty for
    /// kernels that accept everything.
    pub fn of(stands: &[bool], accepted: &[usize]) -> Self {
        let count = stands.iter().filter(|stands| **stands).count();
        let moved = |chain: usize| accepted.get(chain).is_none_or(|n| *n > 0);
        let accepted = stands.iter().enumerate().filter(|(chain, stands)| **stands && moved(*chain)).count();
        Frozen { count, accepted, chains: stands.len() }
    }

    /// Whether more chains stand than `steps` steps leave by chance, if all accept as often as they do in the mean.
    pub fn is_odd(&self, steps: usize, accept: Option<f64>) -> bool {
        /// Chains to expect by chance.
        const CHANCE: f64 = 0.01;
        let accept = accept.unwrap_or(1.0);
        let by_chance = self.chains as f64 * (1.0 - accept).powf(steps as f64);
        self.count > 0 && steps > 0 && (accept == 0.0 || by_chance < CHANCE)
    }

    /// What is wrong and what helps.
    pub fn words(&self) -> String {
        let Frozen { count, accepted, chains } = *self;
        let who = format!("{count} of {chains} chains never moved");
        if accepted == count {
            return format!(
                "{who}, though their proposals were accepted: steps are lost in rounding; take larger ones (--set \
                 sampler.step_size=…)"
            );
        }
        format!(
            "{who}, for all their proposals were refused: averages count their starts as draws; take smaller steps \
             (--set sampler.step_size=… or sampler.warm_up=500), or begin elsewhere (--set sampler.init=data)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_stand_by_chance_are_not_odd_and_those_in_a_good_pool_are() {
        let stands: Vec<bool> = (0..100).map(|i| i < 24).collect();
        let counts: Vec<usize> = (0..100).map(|i| if i < 24 { 0 } else { 40 }).collect();
        let frozen = Frozen::of(&stands, &counts);
        assert_eq!(frozen, Frozen { count: 24, accepted: 0, chains: 100 });
        assert!(frozen.is_odd(50, Some(0.63)) && !frozen.is_odd(1, Some(0.63)) && frozen.is_odd(3, Some(0.0)));
        assert!(frozen.words().contains("24 of 100") && frozen.words().contains("smaller"));
        // Proposals that were accepted, or a kernel that accepts everything: the steps are too small.
        for counts in [vec![7; 100], vec![]] {
            let words = Frozen::of(&stands, &counts).words();
            assert!(words.contains("larger") && !words.contains("smaller"), "{words}");
        }
        assert!(!Frozen::of(&[false; 4], &[0; 4]).is_odd(9, Some(0.0)));
    }
}
