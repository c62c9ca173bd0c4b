//! The memory that a run of many pictures takes: their bytes, and little besides.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use crate::harness::Lab;

/// Colour channels, height, width.
const SHAPE: [usize; 3] = [3, 64, 64];

/// The most memory, in bytes, that training on `n` black pictures of 64 × 64 took.
fn peak(lab: &Lab, n: usize) -> u64 {
    let [channels, height, width] = SHAPE;
    let path = lab.path("x.npy");
    let mut header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({n}, {channels}, {height}, {width}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = File::create(&path).unwrap();
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((10 + header.len() + n * channels * height * width) as u64).unwrap();
    let mut child = lab
        .command(&["train", "c.toml", "--run-dir", &format!("run{n}")])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut most = 0;
    let status = loop {
        // The greatest so far, which never falls: the steps at the end are long enough to see it.
        let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0);
        most = most.max(1024 * kib);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success());
    most
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn pictures_take_the_memory_of_their_bytes() {
    if !std::path::Path::new("/proc/self/status").exists() {
        eprintln!("skipped: no /proc here, which says how much memory a process took");
        return;
    }
    let lab = Lab::new();
    let model = "[model]\nname = \"neural\"\nbase_widen = 1.0\n\
                 net = { name = \"conv\", channels = [4, 4], head = \"mean\" }\n";
    let rest = "[method]\nname = \"pcd\"\n[sampler]\nsteps = 20\n[train]\nsteps = 20\nbatch_size = 16\n";
    lab.write("c.toml", &format!("[dataset]\nname = \"images\"\npath = \"x.npy\"\n{model}{rest}"));
    let bytes = |n: usize| (n * SHAPE.iter().product::<usize>()) as f64;
    let (few, many) = (peak(&lab, 12_000) as f64, peak(&lab, 36_000) as f64);
    // More pictures take their bytes, and 200,000 of them with all else at most half as much again.
    let grown = (many - few) / (bytes(36_000) - bytes(12_000));
    let besides = many - bytes(36_000);
    eprintln!("besides the pixels {:.0} MB, a byte of pixels takes {grown:.3}", besides / 1e6);
    assert!(grown < 1.1, "{grown}");
    assert!(grown * bytes(200_000) + besides < 1.5 * bytes(200_000), "{besides}");
}
