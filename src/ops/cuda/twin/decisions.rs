//! The decisions of Metropolis steps, and the choice of rows by them.

use std::path::Path;

use candle_core::{CpuStorage, Layout};

use super::{assert_alike, bytes, made, numbers, run};
use crate::ops::cpu::{random as drawing, rows};
use crate::rng::Key;

pub fn are_alike(twin: &Path) {
    metropolis_steps(twin);
    choices(twin);
}

/// From several places of a stream on, with ratios and energies that are no numbers.
fn metropolis_steps(twin: &Path) {
    const N: usize = 1000;
    let layout = Layout::contiguous((N,));
    let of = |name: &str, odd: &[f64]| {
        let CpuStorage::F64(mut data) = made(name, N, false) else { panic!("another type") };
        data.iter_mut().step_by(7).zip(odd).for_each(|(x, odd)| *x = *odd);
        CpuStorage::F64(data)
    };
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let (ratio, energy) =
        (of("ratio", &[0.0, 1.0, nan, inf, -inf, -30.0, 0.0]), of("energy", &[inf, nan, 0.0, 0.0, 0.0, 0.0, -inf]));
    for first in [0, 64, 1, 1000, (1 << 40) + 7] {
        let counter = Key::new(3).with("accept").counter().after(first);
        let mut words = vec!["metropolis_f64".to_owned(), N.to_string(), first.to_string(), "0".into(), "1".into()];
        words.extend(counter.words().map(|w| w.to_string()));
        words.extend([0.0; 5].map(|k: f64| k.to_string()));
        let have = numbers(&run(twin, &words, &[bytes(&ratio), bytes(&energy)].concat()), false);
        let want = drawing::metropolis((&ratio, &layout), (&energy, &layout), counter).unwrap().0;
        let want = numbers(&bytes(&want), false);
        assert_eq!(have[..2 * N], want[..2 * N], "decisions from number {first} on");
        assert_alike("probabilities", &have[2 * N..], &want[2 * N..], false);
    }
}

fn choices(twin: &Path) {
    for (single, width) in [(true, 1), (true, 5), (false, 5)] {
        const ROWS: usize = 23;
        let n = ROWS * width;
        let mask = CpuStorage::F64((0..ROWS).map(|i| (i % 3) as f64).collect());
        let ([yes, no], layout) = (["yes", "no"].map(|name| made(name, n, single)), Layout::contiguous((ROWS, width)));
        let kind = if single { "f32" } else { "f64" };
        let words = [format!("choose_rows_{kind}"), ROWS.to_string(), n.to_string()];
        let have = run(twin, &words, &[bytes(&mask), bytes(&yes), bytes(&no)].concat());
        let by = Layout::contiguous((ROWS,));
        let want = rows::choose((&mask, &by), (&yes, &layout), (&no, &layout)).unwrap().0;
        assert!(have == bytes(&want), "rows of {width} in {kind}");
    }
}
