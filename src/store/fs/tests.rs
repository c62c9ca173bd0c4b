use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::*;

/// Fails the k-th operation (counted from 0) with the given error.
struct FailAt {
    left: Cell<usize>,
    kind: ErrorKind,
}

impl FailAt {
    fn new(k: usize, kind: ErrorKind) -> Self {
        FailAt { left: Cell::new(k), kind }
    }
}

impl Witness for FailAt {
    fn before(&self, _: &Op<'_>) -> io::Result<()> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(self.kind.into()),
        }
        Ok(())
    }
}

#[test]
fn a_fault_at_any_operation_leaves_the_old_file_and_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let new = vec![7u8; 3 * PIECE + 5];
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::PermissionDenied, ErrorKind::Other] {
        let mut k = 0;
        loop {
            write_atomic(&path, b"old").unwrap();
            let Err(error) = write_atomic_watched(&path, new.as_slice(), &FailAt::new(k, kind)) else { break };
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()), "{text}");
            let full = matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            assert_eq!(error.exit_code(), if full { 5 } else { 1 });
            assert_eq!(text.contains(&format!("{} bytes needed", new.len())), full, "{text}");
            // The last operation is the sync of the folder: by then the new file is in place.
            let content = fs::read(&path).unwrap();
            assert!(content == b"old" || (k == 7 && content == new), "operation {k}");
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "a temporary file was left behind");
            k += 1;
        }
        assert_eq!(k, 8, "create, 4 writes, sync, rename, sync of the folder");
    }
}

#[test]
fn a_missing_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gone").join("x");
    assert!(write_atomic(&path, b"x").unwrap_err().to_string().contains("gone"));
}

#[test]
fn links_follow_the_newest_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, last] = ["a", "b", "last"].map(|n| dir.path().join(n));
    write_atomic(&a, b"one").unwrap();
    write_atomic(&b, b"two").unwrap();
    for target in [&a, &a, &b] {
        link_atomic(target, &last).unwrap();
        assert_eq!(fs::read(&last).unwrap(), fs::read(target).unwrap());
        assert!(sweep_temporary(dir.path()).unwrap().is_empty());
    }
    fs::remove_file(&b).unwrap();
    assert_eq!(fs::read(&last).unwrap(), b"two");
}

#[test]
fn a_file_system_without_links_gets_a_copy() {
    struct NoLinks;
    impl Witness for NoLinks {
        fn before(&self, op: &Op<'_>) -> io::Result<()> {
            if matches!(op, Op::Link(..)) { Err(ErrorKind::Unsupported.into()) } else { Ok(()) }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let [a, last] = ["a", "last"].map(|n| dir.path().join(n));
    write_atomic(&a, b"one").unwrap();
    link_atomic_watched(&a, &last, &NoLinks).unwrap();
    write_atomic(&a, b"two").unwrap();
    assert_eq!(fs::read(&last).unwrap(), b"one");
}

#[test]
fn the_sweep_takes_temporary_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let keep = ["config.toml", ".lock", ".hidden.tmp", "x.1-2.tmp", ".notes.1-b.tmp"];
    for name in keep.iter().chain(&[".a.b.12-3.tmp"]) {
        fs::write(dir.path().join(name), b"").unwrap();
    }
    assert_eq!(sweep_temporary(dir.path()).unwrap(), [dir.path().join(".a.b.12-3.tmp")]);
    assert!(keep.iter().all(|name| dir.path().join(name).exists()));
}

/// Writes down the operations, so that a power cut can be played at any point.
#[derive(Default)]
struct Log(RefCell<Vec<Entry>>);

enum Entry {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    SyncDir,
}

impl Witness for Log {
    fn before(&self, op: &Op<'_>) -> io::Result<()> {
        self.0.borrow_mut().push(match *op {
            Op::Create(p) => Entry::Create(p.into()),
            Op::Write(p, bytes) => Entry::Write(p.into(), bytes.into()),
            Op::Sync(p) => Entry::Sync(p.into()),
            Op::Link(from, to) => Entry::Link(from.into(), to.into()),
            Op::Rename(from, to) => Entry::Rename(from.into(), to.into()),
            Op::SyncDir(_) => Entry::SyncDir,
        });
        Ok(())
    }
}

/// A disk on which bytes last only once synced, and of the names changed since the last sync of the folder the first
/// `names` last: every state that a power cut can leave behind.
fn after_power_cut(log: &[Entry], names: usize) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files: Vec<(Vec<u8>, usize)> = Vec::new(); // content, length that is synced
    let mut now: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut states = vec![now.clone()]; // the names as they were after each change since the last sync
    for entry in log {
        match entry {
            Entry::Create(p) => {
                files.push((Vec::new(), 0));
                now.insert(p.clone(), files.len() - 1);
            }
            Entry::Write(p, bytes) => files[now[p]].0.extend(bytes),
            Entry::Sync(p) => files[now[p]].1 = files[now[p]].0.len(),
            Entry::Link(from, to) => {
                now.insert(to.clone(), now[from]);
            }
            Entry::Rename(from, to) => {
                let file = now.remove(from).unwrap();
                now.insert(to.clone(), file);
            }
            Entry::SyncDir => states.clear(),
        }
        states.push(now.clone());
    }
    let state = &states[names.min(states.len() - 1)];
    state.iter().map(|(p, &f)| (p.clone(), files[f].0[..files[f].1].to_vec())).collect()
}

#[test]
fn a_power_cut_at_any_point_leaves_the_old_or_the_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let [step1, step2, last] = ["step-1", "step-2", "last"].map(|n| dir.path().join(n));
    let log = Log::default();
    write_atomic_watched(&step1, b"one".as_slice(), &log).unwrap();
    link_atomic_watched(&step1, &last, &log).unwrap();
    let durable = log.0.borrow().len();
    write_atomic_watched(&step2, vec![2; PIECE + 1].as_slice(), &log).unwrap();
    link_atomic_watched(&step2, &last, &log).unwrap();
    let log = log.0.into_inner();
    let mut seen = [0, 0];
    for cut in durable..=log.len() {
        for names in 0..=log.len() {
            let disk = after_power_cut(&log[..cut], names);
            assert_eq!(disk[&step1], b"one");
            let content = &disk[&last];
            let new = *content == vec![2; PIECE + 1];
            assert!(new || content == b"one", "cut {cut}: torn file of {} bytes", content.len());
            seen[usize::from(new)] += 1;
        }
    }
    assert!(seen.iter().all(|&n| n > 0), "{seen:?}");
}

#[test]
fn a_pipe_is_written_to_and_stays_one() {
    use std::os::unix::fs::FileTypeExt as _;
    use std::process::{Command, Stdio};

    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    write_atomic(&pipe, b"through").unwrap();
    assert_eq!(reader.wait_with_output().unwrap().stdout, b"through");
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}
