//! The ebm side of `scripts/bench_vs_torch.sh`: reads `work milliseconds` lines, answers with the times of its steps.

#![allow(clippy::print_stdout)] // A bench answers on standard output.

mod works;

use std::{io::BufRead, time::Instant};

#[global_allocator]
static ALLOCATOR: ebm::process::Allocator = ebm::process::ALLOCATOR;

fn main() -> ebm::Result<()> {
    ebm::process::begin();
    if std::env::args().any(|argument| argument == "--bench") {
        println!("this one answers scripts/bench_vs_torch.sh; `cargo bench --bench speed` times the same works");
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| ebm::Error::Other(format!("standard input: {e}")))?;
        let Some((name, budget)) = line.split_once(' ') else { continue };
        let budget: f64 = budget.trim().parse().unwrap_or(500.0);
        match (works::WORKS.iter().find(|work| work.0 == name), sizes(name)) {
            (Some((_, make)), _) => println!("{:?}", times(make()?, budget)?),
            (None, Some([chains, dim, hidden, steps])) => {
                println!("{:?}", times(works::grown(chains, dim, hidden, steps)?, budget)?);
            }
            (None, None) => println!("[]"),
        }
    }
    Ok(())
}

/// The sizes of Langevin steps, `growth,chains,dim,hidden,steps` (`scripts/bench/growth.py`).
fn sizes(name: &str) -> Option<[usize; 4]> {
    let numbers = name.strip_prefix("growth,")?.split(',').map(|n| n.parse().ok());
    numbers.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// `[wall, cpu]` milliseconds of a step: the median of the wall times and the mean processor time of all threads, over
/// about `budget` milliseconds and one step at least, after a warm-up of one step.
fn times(mut step: works::Step, budget: f64) -> ebm::Result<[f64; 2]> {
    let elapsed = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    step()?;
    let (begin, cpu, mut times) = (Instant::now(), processor_ms(), Vec::new());
    while times.is_empty() || elapsed(begin) < budget {
        let now = Instant::now();
        step()?;
        times.push(elapsed(now));
    }
    let cpu = (processor_ms() - cpu) / times.len() as f64;
    times.sort_by(f64::total_cmp);
    Ok([times[times.len() / 2], cpu])
}

/// Processor time of this process so far, to the nanosecond where Linux tells it; elsewhere 0.
fn processor_ms() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("schedstat")).ok();
    let nanoseconds = |text: String| text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    threads.flatten().filter_map(of).filter_map(nanoseconds).sum::<f64>() / 1e6
}
