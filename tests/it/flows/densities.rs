//! What a flow's density integrates to, and what its samples follow.

use super::*;

/// (log p, mass) of each cell of a grid, f64.
fn on_grid(flow: &Flow) -> Vec<(f64, f64)> {
    let (reach, side) = (25.0, 1000);
    let h = 2.0 * reach / side as f64;
    let axis: Vec<f64> = (0..side).map(|i| -reach + (i as f64 + 0.5) * h).collect();
    let rows = axis.iter().map(|&y| {
        let row: Vec<f64> = axis.iter().flat_map(|&x| [x, y]).collect();
        let log_p = flow.log_prob(&Tensor::from_vec(row, (side, 2), &CPU).unwrap()).unwrap();
        entries(&log_p).into_iter().map(move |l| (l, l.exp() * h * h)).collect::<Vec<_>>()
    });
    rows.flatten().collect()
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn the_density_integrates_to_one() {
    assert!(planar().count() >= 3);
    for case in planar() {
        let mass: f64 = on_grid(&case.random(DType::F64).0).iter().map(|(_, m)| m).sum();
        assert!((mass - 1.0).abs() < 1e-4, "{}: {mass}", case.label());
    }
}

/// log p of samples has the distribution that quadrature gives it: Kolmogorov-Smirnov, at p = 0.001.
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn samples_follow_the_density() {
    let n = 4000;
    for case in planar() {
        let (flow, _) = case.random(DType::F64);
        let mut cells = on_grid(&flow);
        cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut samples = entries(&flow.log_prob(&flow.sample(Key::new(11), n).unwrap()).unwrap());
        samples.sort_by(f64::total_cmp);
        let (mut below, mut cell, mut worst) = (0.0, 0, 0f64);
        for (i, log_p) in samples.iter().enumerate() {
            while cell < cells.len() && cells[cell].0 < *log_p {
                below += cells[cell].1;
                cell += 1;
            }
            worst = worst.max((below - i as f64 / n as f64).abs()).max((below - (i + 1) as f64 / n as f64).abs());
        }
        let statistic = worst * (n as f64).sqrt();
        assert!(statistic < 1.95, "{}: {statistic}", case.label());
    }
}

/// In every dimension: f of the samples has the prior's mean and variance.
#[test]
fn samples_come_from_the_prior() {
    for case in CASES {
        let (flow, _) = case.random(DType::F64);
        let z = flow.body().forward(&flow.sample(Key::new(12), 3000).unwrap()).unwrap().0;
        let (count, var) = (z.elem_count() as f64, flow.prior().std().powi(2));
        let z = entries(&z);
        let mean = z.iter().sum::<f64>() / count / (var / count).sqrt();
        // The fourth moment is 3 and 4.2 squared variances.
        let spread = if flow.prior() == Prior::Gaussian { 2.0 } else { 3.2 };
        let second = z.iter().map(|z| z * z).sum::<f64>() / count;
        let second = (second - var) / (spread * var * var / count).sqrt();
        assert!(mean.abs() < 4.0 && second.abs() < 4.0, "{}: {mean}, {second}", case.label());
    }
}
