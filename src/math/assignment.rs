//! The cheapest one-to-one assignment of rows to columns (Kuhn 1955, Munkres 1957; by shortest augmenting paths:
//! Jonker & Volgenant 1987).

/// The column of each row, all different, for which the sum of `cost[row][column]` over the rows is least; `cost` is
/// square. Cubic in its side.
pub fn assignment(cost: &[Vec<f64>]) -> Vec<usize> {
    let n = cost.len();
    // Row 0 and column 0 stand for nobody; `owner` is the row that a column belongs to.
    let (mut of_row, mut of_column) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    let (mut owner, mut before) = (vec![0usize; n + 1], vec![0usize; n + 1]);
    for row in 1..=n {
        owner[0] = row;
        let mut at = 0;
        let (mut least, mut seen) = (vec![f64::INFINITY; n + 1], vec![false; n + 1]);
        while owner[at] != 0 {
            seen[at] = true;
            let (from, mut next, mut delta) = (owner[at], 0, f64::INFINITY);
            for column in 1..=n {
                if seen[column] {
                    continue;
                }
                let reduced = cost[from - 1][column - 1] - of_row[from] - of_column[column];
                if reduced < least[column] {
                    (least[column], before[column]) = (reduced, at);
                }
                if least[column] < delta {
                    (delta, next) = (least[column], column);
                }
            }
            for column in 0..=n {
                if seen[column] {
                    of_row[owner[column]] += delta;
                    of_column[column] -= delta;
                } else {
                    least[column] -= delta;
                }
            }
            at = next;
        }
        while at != 0 {
            owner[at] = owner[before[at]];
            at = before[at];
        }
    }
    let mut columns = vec![0; n];
    (1..=n).for_each(|column| columns[owner[column] - 1] = column - 1);
    columns
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::*;
    use crate::rng::Key;

    fn sum(cost: &[Vec<f64>], columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(row, column)| cost[row][*column]).sum()
    }

    /// All orders of 0..n.
    fn orders(n: usize) -> Vec<Vec<usize>> {
        if n == 0 {
            return vec![vec![]];
        }
        let put = |order: &Vec<usize>, at: usize| [&order[..at], &[n - 1], &order[at..]].concat();
        orders(n - 1).iter().flat_map(|order| (0..n).map(|at| put(order, at)).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn no_order_is_cheaper() {
        let mut rng = Key::new(1).rng();
        for n in 0..7 {
            let cost: Vec<Vec<f64>> = (0..n).map(|_| (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()).collect();
            let found = assignment(&cost);
            let best = orders(n).iter().map(|order| sum(&cost, order)).fold(f64::INFINITY, f64::min);
            assert!((sum(&cost, &found) - best).abs() < 1e-12, "{n}");
            let mut sorted = found.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        }
    }

    /// On a line the cheapest way keeps the order.
    #[test]
    fn points_on_a_line_keep_their_order() {
        let (from, to) = ([0.3, -1.0, 2.0], [5.0, 9.0, 7.0]);
        let cost: Vec<Vec<f64>> = from.iter().map(|a: &f64| to.iter().map(|b| (a - b).powi(2)).collect()).collect();
        assert_eq!(assignment(&cost), [2, 0, 1]);
    }
}
