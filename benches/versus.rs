//! The ebm side of `scripts/bench_vs_torch.sh`: reads `work milliseconds` lines, answers with the times of its steps.

mod works;

use std::{io::BufRead, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ebm::Result<()> {
    if std::env::args().any(|argument| argument == "--bench") {
        println!("this one answers scripts/bench_vs_torch.sh; `cargo bench --bench speed` times the same works");
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| ebm::Error::Other(format!("standard input: {e}")))?;
        let Some((name, budget)) = line.split_once(' ') else { continue };
        let budget: f64 = budget.trim().parse().unwrap_or(500.0);
        match works::WORKS.iter().find(|work| work.0 == name) {
            Some((_, make)) => println!("{:?}", times(make()?, budget)?),
            None => println!("[]"),
        }
    }
    Ok(())
}

/// Milliseconds of each step, for about `budget` milliseconds and 3 steps at least, after a warm-up of one step.
fn times(mut step: works::Step, budget: f64) -> ebm::Result<Vec<f64>> {
    let elapsed = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    step()?;
    let (begin, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || elapsed(begin) < budget {
        let now = Instant::now();
        step()?;
        times.push(elapsed(now));
    }
    Ok(times)
}
