//! The order in which stored items are seen: a function of (key, epoch), so there is nothing to save.

use std::sync::{Arc, Mutex};

use rand::seq::SliceRandom as _;

use super::split::Split;
use crate::rng::Key;

/// Row numbers of one epoch.
type Rows = Arc<Vec<u32>>;

/// A random order of 0..n.
pub(crate) fn permutation(key: Key, n: usize) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..n as u32).collect();
    rows.shuffle(&mut key.rng());
    rows
}

/// Epoch orders, with the last one used kept (a shuffle of MNIST takes as long as a 2-D training step).
#[derive(Debug, Default)]
pub(crate) struct Epochs(Mutex<Option<(Split, u64, Rows)>>);

impl Epochs {
    /// The order of `n` items in this epoch of this split.
    pub(crate) fn order(&self, key: Key, split: Split, epoch: u64, n: usize) -> Rows {
        // A poisoned lock holds a complete value or none: it is replaced whole.
        let mut last = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*last {
            Some((s, e, rows)) if (*s, *e) == (split, epoch) => rows.clone(),
            _ => {
                let rows = Arc::new(permutation(key.with("order").with(split.name()).at(epoch), n));
                *last = Some((split, epoch, rows.clone()));
                rows
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_item_once_in_its_own_order() {
        let (epochs, key) = (Epochs::default(), Key::new(1));
        let first = epochs.order(key, Split::Train, 0, 50);
        let second = epochs.order(key, Split::Train, 1, 50);
        assert_ne!(first, second);
        assert_ne!(first, epochs.order(key, Split::Validation, 0, 50));
        assert_eq!(first, epochs.order(key, Split::Train, 0, 50));
        let mut sorted = second.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<u32>>());
    }

    #[test]
    fn every_position_is_equally_likely() {
        let (n, trials) = (8, 8000);
        let mut hits = vec![0f64; n];
        for t in 0..trials {
            let place = permutation(Key::new(2).at(t), n).iter().position(|&r| r == 0).unwrap();
            hits[place] += 1.0;
        }
        let expected = trials as f64 / n as f64;
        let chi2: f64 = hits.iter().map(|h| (h - expected).powi(2) / expected).sum();
        assert!(chi2 < 24.3, "chi2(7) = {chi2}, the 0.1 % point is 24.3");
    }
}
