//! `cargo bench --bench speed`: every work on its own. Compare within one run only.

#![allow(clippy::expect_used)] // A benchmark fails by panicking.

#[allow(unused_imports, dead_code)] // The growth of Langevin steps is for `versus`.
mod works;

use divan::Bencher;

#[global_allocator]
static ALLOCATOR: ebm::process::Allocator = ebm::process::ALLOCATOR;

fn main() {
    ebm::process::begin();
    divan::main();
}

#[divan::bench(args = works::WORKS.iter().map(|work| work.0))]
fn work(bencher: Bencher, name: &str) {
    let Some((_, make)) = works::WORKS.iter().find(|work| work.0 == name) else { return };
    let mut step = make().expect("a work can be set up");
    bencher.bench_local(|| step().expect("a step succeeds"));
}
