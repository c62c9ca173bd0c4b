//! File operations that leave either the old file or the new one, whatever happens in between.
//!
//! A file is written to a temporary name in the same folder, synced, renamed over the target, and the folder is synced.
//! A crash leaves at most a stale temporary file, which [`sweep_temporary`] removes at start-up.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::files;
use crate::{Error, Result};

/// One operation on the file system, as [`Witness`] sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Op<'a> {
    /// The creation of a new, empty file.
    Create(&'a Path),
    /// The appending of bytes to the file; they are not durable before `Sync`.
    Write(&'a Path, &'a [u8]),
    /// The sync of the file, which makes its bytes durable.
    Sync(&'a Path),
    /// The creation of a second name, the second path, for the file at the first.
    Link(&'a Path, &'a Path),
    /// The renaming of the file from the first path to the second, where it replaces another; not durable before
    /// `SyncDir`.
    Rename(&'a Path, &'a Path),
    /// The sync of the folder, which makes its names durable.
    SyncDir(&'a Path),
}

/// An observer of every operation before it happens, which can make it fail: tests fill the disk at the k-th operation.
pub trait Witness {
    /// Sees an operation before it happens.
    ///
    /// # Errors
    /// The operation does not happen, and fails with this error.
    fn before(&self, op: &Op<'_>) -> io::Result<()>;
}

/// The witness of every real run: it lets everything happen.
pub struct Unwatched;

impl Witness for Unwatched {
    fn before(&self, _: &Op<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// What a file is to hold, piece by piece, so that what is large need not be copied to be written.
pub trait Content {
    /// The number of bytes.
    fn size(&self) -> usize;

    /// Hands every byte to `take`, in order and in pieces of any size; the same bytes each time.
    ///
    /// # Errors
    /// `take` fails, or the bytes cannot be had.
    fn each(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;
}

impl Content for [u8] {
    fn size(&self) -> usize {
        self.len()
    }

    fn each(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        take(self)
    }
}

/// Replaces the content of `path`, all or nothing; a link stays one, and a device or a pipe is written to.
///
/// # Errors
/// An operation fails; the error names `path`, and the file that was there before is untouched. A full disk says how
/// many bytes were needed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    if is_special(path) {
        let written = File::options().write(true).open(path).and_then(|mut file| file.write_all(bytes));
        return written.map_err(Error::io(path));
    }
    write_atomic_watched(&place_of(path), bytes, &Unwatched)
}

/// Whether another process holds a lock on the file `path` now. The system lets go of it when the process ends, however
/// it ends.
pub fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Whether there is something at `path` that is neither a file nor a folder: a device, a pipe.
pub fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// The file or folder that `path` leads to, by one name for every way to write it; where there is none yet, the place
/// where [`write_atomic`] puts it.
pub fn place_of(path: &Path) -> PathBuf {
    let in_folder = || Some(fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

/// Whether [`write_atomic`] can write `path`, by making a file beside it that does not stay.
///
/// # Errors
/// `path` is a folder; as the system says, naming `path`.
pub fn try_file(path: &Path) -> Result<()> {
    if is_special(path) {
        return Ok(());
    }
    if path.is_dir() || path.file_name().is_none() {
        return Err(Error::io(path)(ErrorKind::IsADirectory.into()));
    }
    let temporary = temporary_name(&place_of(path));
    File::create_new(&temporary).and_then(|_| fs::remove_file(&temporary)).map_err(Error::io(path))
}

/// Whether [`create_dir`] can make the folder `dir`, and files can be made in it.
///
/// # Errors
/// As the system says, naming `dir`.
pub fn try_dir(dir: &Path) -> Result<()> {
    let named = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let there = dir.ancestors().map(named).find(|path| path.exists()).unwrap_or_else(|| PathBuf::from("."));
    if !there.is_dir() {
        return Err(Error::io(dir)(ErrorKind::NotADirectory.into()));
    }
    let temporary = temporary_name(&there.join("try"));
    File::create_new(&temporary).and_then(|_| fs::remove_file(&temporary)).map_err(Error::io(dir))
}

/// Writes as [`write_atomic`] does, and shows every operation to `witness`.
///
/// # Errors
/// As [`write_atomic`], and where the witness fails.
pub fn write_atomic_watched<C: Content + ?Sized>(path: &Path, content: &C, witness: &dyn Witness) -> Result<()> {
    let temporary = temporary_name(path);
    let written = if is_special(path) {
        File::create(path).and_then(|mut file| content.each(&mut |bytes| file.write_all(bytes)))
    } else {
        write_new(&temporary, content, witness).and_then(|()| rename_watched(&temporary, path, witness))
    };
    written.map_err(|source| failed(path, content.size(), source, &temporary))
}

/// Makes `link` another name for the file `target` (a copy where the file system has no hard links), all or nothing.
///
/// # Errors
/// As [`write_atomic`].
pub fn link_atomic(target: &Path, link: &Path) -> Result<()> {
    link_atomic_watched(target, link, &Unwatched)
}

/// Links as [`link_atomic`] does, and shows every operation to `witness`.
///
/// # Errors
/// As [`link_atomic`], and where the witness fails.
pub fn link_atomic_watched(target: &Path, link: &Path, witness: &dyn Witness) -> Result<()> {
    let temporary = temporary_name(link);
    let linked = witness.before(&Op::Link(target, &temporary)).and_then(|()| fs::hard_link(target, &temporary));
    if linked.is_err() {
        return write_atomic_watched(link, fs::read(target).map_err(Error::io(target))?.as_slice(), witness);
    }
    rename_watched(&temporary, link, witness).map_err(|source| failed(link, 0, source, &temporary))?;
    // rename(2) of two names of one file does nothing, and leaves both.
    let _ = fs::remove_file(&temporary);
    Ok(())
}

/// Gives a complete, synced file its final name, which lasts through a power cut.
///
/// # Errors
/// An operation fails; the error names `path`.
pub fn put_in_place(complete: &Path, path: &Path) -> Result<()> {
    rename_watched(complete, path, &Unwatched).map_err(Error::io(path))
}

/// Whether a file is none of the user's by its name: it begins with a dot, as what a Mac leaves beside each file on a
/// foreign disk (`._x.jpg`), or lies in the folder for such in an archive.
pub fn is_hidden(path: &Path) -> bool {
    let dotted = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    dotted || path.components().any(|part| part.as_os_str() == "__MACOSX")
}

/// The files and folders that a folder holds and are not hidden ([`is_hidden`]), in the order of the names.
///
/// # Errors
/// The folder cannot be listed.
pub fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut paths = entries.map(|entry| Ok(entry.map_err(Error::io(folder))?.path())).collect::<Result<Vec<_>>>()?;
    // A pipe or a device would be read for ever; a link that leads nowhere is an error to whoever opens it.
    let holds = |path: &Path| fs::metadata(path).map_or(true, |found| found.is_dir() || found.is_file());
    paths.retain(|path| !path.file_name().is_some_and(|name| is_hidden(Path::new(name))) && holds(path));
    paths.sort();
    Ok(paths)
}

/// Removes the temporary files that interrupted writes left in `dir` and returns their paths. The caller must hold the
/// folder's lock.
///
/// # Errors
/// The folder cannot be listed, or a file cannot be removed.
pub fn sweep_temporary(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut swept = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        if is_temporary(&path) {
            fs::remove_file(&path).map_err(Error::io(&path))?;
            swept.push(path);
        }
    }
    Ok(swept)
}

/// Makes a folder and its parents.
///
/// # Errors
/// The folder cannot be made; the error names it.
pub fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::io(dir))
}

/// The largest number of bytes of one write: a witness can so fail in the middle of a file, as a full disk does.
const PIECE: usize = 1 << 20;

fn write_new<C: Content + ?Sized>(path: &Path, content: &C, witness: &dyn Witness) -> io::Result<()> {
    witness.before(&Op::Create(path))?;
    let mut file = File::create_new(path)?;
    let mut write = |piece: &[u8]| {
        witness.before(&Op::Write(path, piece))?;
        file.write_all(piece)
    };
    // Pieces begin at multiples of their size, whatever the content hands over at a time.
    let mut held = Vec::with_capacity(PIECE.min(content.size()));
    content.each(&mut |mut bytes| {
        while held.len() + bytes.len() >= PIECE {
            let (now, rest) = bytes.split_at(PIECE - held.len());
            held.extend_from_slice(now);
            write(&held)?;
            held.clear();
            bytes = rest;
        }
        held.extend_from_slice(bytes);
        Ok(())
    })?;
    if !held.is_empty() {
        write(&held)?;
    }
    witness.before(&Op::Sync(path))?;
    file.sync_all()
}

fn rename_watched(temporary: &Path, path: &Path, witness: &dyn Witness) -> io::Result<()> {
    witness.before(&Op::Rename(temporary, path))?;
    fs::rename(temporary, path)?;
    let dir = folder_of(path);
    witness.before(&Op::SyncDir(dir))?;
    File::open(dir)?.sync_all()
}

/// Removes the temporary file and makes the error; a full disk becomes a resource error with the bytes needed.
fn failed(path: &Path, bytes: usize, source: io::Error, temporary: &Path) -> Error {
    let _ = fs::remove_file(temporary);
    let Some(remedy) = files::remedy(&source).filter(|_| files::out_of_space(&source)) else {
        return Error::Io { path: path.into(), source };
    };
    Error::Resource {
        what: format!("{}: {source} ({bytes} bytes needed)", path.display()),
        remedy: format!("{remedy}; what was there before is intact, and a run goes on from it: `ebm resume`"),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name of a temporary file, `dir/.name.PID-COUNT.tmp`, in the same folder, since a rename does not cross file
/// systems.
pub fn temporary_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    folder_of(path).join(format!(".{name}.{}-{count}.tmp", std::process::id()))
}

/// Whether `path` has the name of a file that an interrupted write leaves behind.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let middle = name.strip_prefix('.').and_then(|n| n.strip_suffix(".tmp"));
    let numbers = middle.and_then(|n| n.rsplit_once('.')).and_then(|(_, n)| n.split_once('-'));
    numbers.is_some_and(|(pid, count)| pid.parse::<u32>().is_ok() && count.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests;
