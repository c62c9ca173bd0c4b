//! Asynchronous successive halving (ASHA; Li et al. 2020, arXiv 1810.05934): who goes up a rung next.
//!
//! The answer is a function of what has been found so far, not of the order in which it was: a search that is begun
//! again goes on with the same decisions.

/// One setting of a search.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// How many rungs it has.
    pub rungs: usize,
    /// How many of them it was sent to.
    pub sent: usize,
    /// What was found at each that it has reached: larger is better, -∞ is nothing.
    pub scores: Vec<f64>,
    /// Diverged or failed on its way up.
    pub dead: bool,
}

impl Candidate {
    /// Whether it stands at the last rung that it was sent to.
    fn waits(&self) -> bool {
        !self.dead && self.sent == self.scores.len()
    }

    /// Its score at a rung where others are compared with it, if it has come so far: the worst for one that died on the
    /// way there.
    fn score(&self, rung: usize) -> Option<f64> {
        match self.scores.get(rung) {
            None if self.dead && self.scores.len() == rung => Some(f64::NEG_INFINITY),
            score => score.copied(),
        }
    }

    /// Whether it stands at this rung, and there is another above it.
    fn may_leave(&self, rung: usize) -> bool {
        self.waits() && self.sent == rung + 1 && self.sent < self.rungs && self.score(rung) > Some(f64::NEG_INFINITY)
    }
}

/// The candidate that goes up a rung next: the best of the highest rung at which one in `eta` has not gone on yet, or
/// else one that has not begun. Where nothing else is left to do and nobody has come to the end, the best of those who
/// have come farthest goes on.
pub(super) fn next(all: &[Candidate], eta: u64) -> Option<usize> {
    let highest = all.iter().map(|candidate| candidate.rungs).max().unwrap_or(0);
    let promoted = (0..highest).rev().find_map(|rung| promoted(all, rung, eta));
    let fresh = || all.iter().position(|candidate| candidate.sent == 0 && !candidate.dead);
    promoted.or_else(fresh).or_else(|| farthest(all))
}

fn promoted(all: &[Candidate], rung: usize, eta: u64) -> Option<usize> {
    let ranked = ranked(all, rung);
    let go_on = ranked.len() / usize::try_from(eta).unwrap_or(usize::MAX).max(1);
    ranked.into_iter().take(go_on).find(|i| all.get(*i).is_some_and(|candidate| candidate.may_leave(rung)))
}

/// Those who have come to a rung, the best first; of equals, the earlier.
fn ranked(all: &[Candidate], rung: usize) -> Vec<usize> {
    let mut scores: Vec<(usize, f64)> = all.iter().enumerate().filter_map(|(i, c)| Some((i, c.score(rung)?))).collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    scores.into_iter().map(|(i, _)| i).collect()
}

fn farthest(all: &[Candidate]) -> Option<usize> {
    let under_way = all.iter().any(|candidate| !candidate.dead && !candidate.waits());
    let arrived = all.iter().any(|candidate| candidate.waits() && candidate.sent == candidate.rungs);
    if under_way || arrived {
        return None;
    }
    let highest = all.iter().map(|candidate| candidate.scores.len()).max().unwrap_or(0);
    let best = |rung: usize| ranked(all, rung).into_iter().find(|i| all.get(*i).is_some_and(|c| c.may_leave(rung)));
    (0..highest).rev().find_map(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use rand::Rng as _;
    use rand::seq::SliceRandom as _;

    fn fresh(n: usize, rungs: usize) -> Vec<Candidate> {
        vec![Candidate { rungs, sent: 0, scores: Vec::new(), dead: false }; n]
    }

    /// Runs `jobs` at a time; the one that ends is drawn, the score of `i` is `score(i)`. The order of decisions.
    fn search(n: usize, rungs: usize, jobs: usize, seed: u64, score: impl Fn(usize) -> f64) -> Vec<Candidate> {
        let (mut all, mut running, mut rng) = (fresh(n, rungs), Vec::new(), Key::new(seed).rng());
        loop {
            while running.len() < jobs
                && let Some(i) = next(&all, 3)
            {
                all[i].sent += 1;
                running.push(i);
            }
            if running.is_empty() {
                return all;
            }
            let i = running.swap_remove(rng.random_range(0..running.len()));
            match score(i) {
                value if value.is_nan() => all[i].dead = true,
                value => all[i].scores.push(value),
            }
        }
    }

    #[test]
    fn one_in_three_goes_on_and_the_best_arrives() {
        for (seed, jobs) in (0..60).zip([1, 1, 2, 5, 27].into_iter().cycle()) {
            let mut values: Vec<f64> = (0..27).map(f64::from).collect();
            values.shuffle(&mut Key::new(seed).rng());
            let all = search(27, 4, jobs, seed, |i| values[i]);
            let at = |rung: usize| all.iter().filter(|c| c.scores.len() > rung).count();
            assert_eq!(at(0), 27);
            assert!((9..=18).contains(&at(1)) && at(2) >= 3 && at(3) >= 1, "{} {} {}", at(1), at(2), at(3));
            let best = values.iter().position(|v| *v == 26.0).unwrap();
            assert_eq!(all[best].scores.len(), 4, "jobs {jobs}, seed {seed}");
            let third = |i: usize| values[i] >= 18.0;
            assert!((0..27).filter(|i| third(*i)).all(|i| all[i].scores.len() > 1), "every one of the best third");
        }
    }

    #[test]
    fn a_search_that_is_begun_again_decides_the_same() {
        // The state alone is what the next decision hangs on: a shuffled history has none.
        let all = search(10, 3, 1, 0, |i| ((i * 7) % 10) as f64);
        assert_eq!(next(&all, 3), None);
        let mut half = all.clone();
        half.iter_mut().for_each(|c| c.scores.truncate(1));
        half.iter_mut().for_each(|c| c.sent = 1);
        assert_eq!(next(&half, 3), next(&half.clone(), 3));
        assert_eq!(half[next(&half, 3).unwrap()].scores, [9.0]);
    }

    #[test]
    fn the_dead_are_counted_and_never_sent() {
        // Six of nine die on the first rung: three in nine go on all the same.
        let all = search(9, 3, 1, 0, |i| if i % 3 == 0 { i as f64 } else { f64::NAN });
        let reached: Vec<usize> = all.iter().map(|c| c.scores.len()).collect();
        assert_eq!(all.iter().filter(|c| c.dead).count(), 6);
        assert!(reached[6] == 3 && [1, 2, 4, 5, 7, 8].iter().all(|i| reached[*i] == 0), "{reached:?}");
        assert!(search(4, 3, 2, 0, |_| f64::NAN).iter().all(|c| c.dead && c.sent == 1));
        // What was found nowhere is not promoted either.
        assert!(search(9, 3, 1, 0, |_| f64::NEG_INFINITY).iter().all(|c| c.sent == 1));
    }

    #[test]
    fn few_trials_still_end_with_one_that_is_whole() {
        for n in 1..6 {
            let all = search(n, 4, 2, 1, |i| -(i as f64));
            assert_eq!(all.iter().filter(|c| c.scores.len() == 4).count(), 1, "{n}");
            assert_eq!(all[0].scores.len(), 4);
        }
        // The best dies above the first rung: the next best goes on.
        let mut all = search(2, 2, 1, 0, |i| i as f64);
        all[1] = Candidate { rungs: 2, sent: 2, scores: vec![1.0], dead: true };
        assert_eq!(next(&all, 3), Some(0));
    }

    #[test]
    fn ladders_of_two_heights_share_their_rungs() {
        let mut all = fresh(3, 2);
        all[0].rungs = 1;
        all.iter_mut().zip([3.0, 2.0, 1.0]).for_each(|(c, score)| (c.sent, c.scores) = (1, vec![score]));
        // The best is at its end; nobody else is among the best third.
        assert_eq!(next(&all, 3), None);
        assert_eq!(next(&all, 2), None);
        all[0].scores = vec![0.0];
        assert_eq!(next(&all, 2), Some(1));
    }
}
