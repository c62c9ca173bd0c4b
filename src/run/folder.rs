//! One folder a run: where everything lies, and who may write there.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::store::fs::{create_dir, is_locked, is_temporary, sweep_temporary};
use crate::{Error, Result, shell};

/// The files of a run, by name. Reading them needs no lock.
#[derive(Clone, Debug)]
pub struct Paths(PathBuf);

impl Paths {
    /// The files of the run in `dir`.
    pub fn of(dir: &Path) -> Self {
        Paths(dir.into())
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// The resolved configuration, itself runnable.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// What ran, on what, and how it ended.
    pub fn manifest(&self) -> PathBuf {
        self.0.join("manifest.json")
    }

    /// One line a logged step; deterministic.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }

    /// Wall-clock times.
    pub fn timing(&self) -> PathBuf {
        self.0.join("timing.jsonl")
    }

    /// What was said on standard error.
    pub fn log(&self) -> PathBuf {
        self.0.join("log.txt")
    }

    /// Which trial of a sweep this is; the sweep writes it before the run begins.
    pub fn trial(&self) -> PathBuf {
        self.0.join("trial.json")
    }

    /// Tags and a note, which no run reads.
    pub fn remarks(&self) -> PathBuf {
        self.0.join("remarks.json")
    }

    /// What was found of the checkpoints after training.
    pub fn evaluations(&self) -> PathBuf {
        self.0.join("evaluations.jsonl")
    }

    /// Checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// Pictures.
    pub fn samples(&self) -> PathBuf {
        self.0.join("samples")
    }

    /// The files that a run and its remarks consist of, but for checkpoints and pictures.
    pub fn own(&self) -> [PathBuf; 8] {
        let trial = self.trial();
        let (config, manifest, log) = (self.config(), self.manifest(), self.log());
        [config, manifest, self.metrics(), self.timing(), log, trial, self.remarks(), self.evaluations()]
    }

    /// Whether a live process is using the folder now; a manifest that says `running` without one tells of a crash.
    pub fn is_in_use(&self) -> bool {
        is_locked(&self.lock())
    }

    /// The process that used the folder last, if it still lives: for onlookers, who must not even try the lock, since a
    /// run that begins in that moment would find it taken.
    pub fn living_user(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.lock()).ok()?.trim().parse().ok()?;
        let process = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
        // A process that one may not signal is there all the same.
        let there = rustix::process::test_kill_process(process);
        (there.is_ok() || there == Err(rustix::io::Errno::PERM)).then_some(pid)
    }

    /// The process that is using the folder, on whatever machine.
    pub fn user(&self) -> Option<u32> {
        let told = self.is_in_use().then(|| fs::read_to_string(self.lock()).ok())?;
        told?.trim().parse().ok()
    }

    fn lock(&self) -> PathBuf {
        self.0.join(".lock")
    }
}

/// A run folder that this process alone writes to, until it is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct RunFolder {
    paths: Paths,
    _lock: File,
}

impl Deref for RunFolder {
    type Target = Paths;

    fn deref(&self) -> &Paths {
        &self.paths
    }
}

impl RunFolder {
    /// A new folder.
    ///
    /// # Errors
    /// There is something in it already, or another process is using it.
    pub fn create(dir: &Path) -> Result<Self> {
        let folder = Self::locked(dir)?;
        if !folder.is_fresh()? {
            return Err(occupied(dir));
        }
        folder.furnished()
    }

    /// A new folder in the place of an earlier run, whose files are removed (and no others).
    ///
    /// # Errors
    /// What is there is not a run folder, or another process is using it.
    pub fn overwrite(dir: &Path) -> Result<Self> {
        let folder = Self::locked(dir)?;
        if !folder.is_fresh()? {
            if !folder.config().is_file() {
                return Err(Error::Other(format!(
                    "{}: not empty and not a run folder (no config.toml), so nothing in it is overwritten\n\n\
                     hint: choose another folder with --run-dir",
                    dir.display()
                )));
            }
            folder.clear()?;
        }
        folder.furnished()
    }

    /// The folder of an earlier run, to go on in it.
    ///
    /// # Errors
    /// It is not a run folder, or another process is using it.
    pub fn open(dir: &Path) -> Result<Self> {
        if !Paths::of(dir).config().is_file() {
            return Err(Error::Other(format!(
                "{}: not a run folder (no config.toml)\n\nhint: `{}` lists the runs under runs/",
                dir.display(),
                shell::ebm("ls")
            )));
        }
        Self::locked(dir)?.furnished()
    }

    fn locked(dir: &Path) -> Result<Self> {
        create_dir(dir)?;
        let paths = Paths::of(dir);
        let _lock = lock(&paths.lock(), dir)?;
        Ok(RunFolder { paths, _lock })
    }

    fn furnished(self) -> Result<Self> {
        for dir in [self.dir().to_owned(), self.checkpoints(), self.samples()] {
            create_dir(&dir)?;
            for stale in sweep_temporary(&dir)? {
                tracing::info!("removed {}, left by an interrupted write", stale.display());
            }
        }
        Ok(self)
    }

    /// Whether there is nothing here but the lock, the trial's name, the empty folders that [`Self::furnished`] makes,
    /// and what a kill in the middle of writing the configuration leaves.
    fn is_fresh(&self) -> Result<bool> {
        let ours = [self.checkpoints(), self.samples()];
        for entry in fs::read_dir(self.dir()).map_err(Error::io(self.dir()))? {
            let path = entry.map_err(Error::io(self.dir()))?.path();
            let empty = ours.contains(&path) && fs::read_dir(&path).is_ok_and(|mut inside| inside.next().is_none());
            let noted = [self.paths.lock(), self.trial()].contains(&path);
            if !noted && !empty && !is_temporary(&path) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the files of a run; config.toml last, so that an interrupted removal can be repeated.
    fn clear(&self) -> Result<()> {
        for dir in [self.checkpoints(), self.samples()] {
            absent_is_fine(fs::remove_dir_all(&dir), &dir)?;
        }
        let events = fs::read_dir(self.dir()).map_err(Error::io(self.dir()))?.flatten().map(|entry| entry.path());
        let events = events.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("events.out.")));
        let logs = [self.metrics(), self.timing(), self.log(), self.evaluations()];
        let files = logs.into_iter().chain([self.remarks(), self.manifest(), self.config()]);
        for file in events.collect::<Vec<_>>().into_iter().chain(files) {
            absent_is_fine(fs::remove_file(&file), &file)?;
        }
        Ok(())
    }
}

/// `ROOT/STEM-sSEED-YYYYmmdd-HHMMSS` in local time, with `-2`, `-3` … behind it where that is taken.
pub fn default_dir(root: &Path, config_stem: &str, seed: u64) -> PathBuf {
    let time = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let name = format!("{config_stem}-s{seed}-{time}");
    let numbered = (2u64..).map(|n| root.join(format!("{name}-{n}")));
    let mut names = std::iter::once(root.join(&name)).chain(numbered);
    names.find(|dir| !dir.exists()).unwrap_or_else(|| root.join(name))
}

fn absent_is_fine(result: std::io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}

fn occupied(dir: &Path) -> Error {
    let (name, resume) = (dir.display(), shell::ebm_on("resume", dir));
    Error::Other(format!(
        "{name}: this run folder is not empty, and nothing existing is overwritten\n\n\
         hint: `{resume}` continues it; --run-dir DIR starts elsewhere; --overwrite replaces it"
    ))
}

/// Takes the lock and writes the process id into it, for the message that a second process gets. The system drops the
/// lock when the process ends, so none is ever stale.
fn lock(path: &Path, dir: &Path) -> Result<File> {
    let mut options = File::options();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(Error::io(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(&mut file, dir)),
        Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
            tracing::warn!("{}: no file locks here, so see to it that one process alone uses it", dir.display());
        }
        Err(TryLockError::Error(e)) => return Err(Error::io(path)(e)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(Error::io(path))?;
    writeln!(file, "{}", std::process::id()).map_err(Error::io(path))?;
    Ok(file)
}

fn in_use(file: &mut File, dir: &Path) -> Error {
    let mut pid = String::new();
    let _ = file.read_to_string(&mut pid);
    let who = pid.trim().parse::<u32>().map_or("another process".into(), |pid| format!("process {pid}"));
    Error::Other(format!(
        "{}: {who} is using this run folder\n\nhint: wait for it or stop it, or choose another folder with --run-dir",
        dir.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_existing_is_overwritten_without_a_word() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b");
        // An empty frame, as an early crash leaves it, is nothing yet; with a configuration in it, it is a run.
        drop(RunFolder::create(&dir).unwrap());
        let torn = dir.join(".config.toml.41-0.tmp");
        fs::write(&torn, "seed =").unwrap();
        drop(RunFolder::create(&dir).unwrap());
        assert!(!torn.exists());
        fs::write(dir.join("config.toml"), "seed = 1").unwrap();
        fs::write(dir.join("notes.md"), "mine").unwrap();
        fs::write(dir.join("checkpoints/last.safetensors"), "x").unwrap();
        let text = RunFolder::create(&dir).unwrap_err().to_string();
        assert!(text.contains(&format!("ebm resume {}", dir.display())) && text.contains("--run-dir"), "{text}");
        assert_eq!(fs::read(dir.join("config.toml")).unwrap(), b"seed = 1");
        drop(RunFolder::open(&dir).unwrap());
        let folder = RunFolder::overwrite(&dir).unwrap();
        assert!(!folder.config().exists() && !folder.checkpoints().join("last.safetensors").exists());
        assert!(folder.checkpoints().is_dir() && dir.join("notes.md").exists());
    }

    #[test]
    fn a_folder_that_is_no_run_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "years").unwrap();
        fs::create_dir(root.path().join("samples")).unwrap();
        for refused in [RunFolder::open(root.path()), RunFolder::create(root.path()), RunFolder::overwrite(root.path())]
        {
            assert!(refused.is_err());
        }
        assert!(root.path().join("thesis.tex").exists() && root.path().join("samples").exists());
    }

    #[test]
    fn a_second_user_is_refused_with_the_first_ones_pid() {
        let root = tempfile::tempdir().unwrap();
        let first = RunFolder::create(root.path()).unwrap();
        fs::write(first.config(), "").unwrap();
        let text = RunFolder::open(root.path()).unwrap_err().to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(first.is_in_use());
        drop(first);
        assert!(!Paths::of(root.path()).is_in_use());
        RunFolder::open(root.path()).unwrap();
    }

    #[test]
    fn what_an_interrupted_write_left_is_swept() {
        let root = tempfile::tempdir().unwrap();
        drop(RunFolder::create(root.path()).unwrap());
        fs::write(root.path().join("config.toml"), "").unwrap();
        let stale = root.path().join("checkpoints/.step-00000010.safetensors.41-0.tmp");
        fs::write(&stale, "half").unwrap();
        RunFolder::open(root.path()).unwrap();
        assert!(!stale.exists());
    }

    #[test]
    fn default_names_are_unique_and_readable() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3)
            .map(|_| {
                let dir = default_dir(root.path(), "lsd_digits", 7);
                fs::create_dir(&dir).unwrap();
                dir
            })
            .collect();
        for dir in names {
            let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
            let time = name.strip_prefix("lsd_digits-s7-").unwrap();
            assert!(time.len() >= 15 && time.as_bytes()[8] == b'-', "{name}");
        }
    }
}
