//! What is best, and the setting that was chosen by it.

/// What is best: large or small values of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// The metric.
    pub metric: String,
    /// Whether large values are good.
    pub largest: bool,
}

impl Goal {
    /// Whether `a` is better than `b`.
    pub fn prefers(&self, a: f64, b: f64) -> bool {
        if self.largest { a > b } else { a < b }
    }
}

/// The setting that was chosen for a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The values of the keys that were searched, in their order.
    pub values: Vec<String>,
    /// Every setting that was tried, with its mean of the goal's metric (NaN if no run has one).
    pub tried: Vec<(Vec<String>, f64)>,
    /// Keys whose chosen number is the smallest or largest of three or more tried: the best may lie beyond.
    pub at_edge: Vec<String>,
}
