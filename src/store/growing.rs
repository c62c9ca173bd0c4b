//! Files that are written piece by piece and have their name only once they are complete.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::fs::{is_special, place_of, put_in_place, temporary_name};
use crate::{Error, Result};

/// A file that grows beside the place that it is for. It is removed if it is dropped before [`Growing::finish`].
pub struct Growing {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
}

impl Growing {
    /// An empty file that is to become `path`.
    ///
    /// # Errors
    /// As the system says.
    pub fn begin(path: &Path) -> Result<Self> {
        // What is written to a device in the end is collected where files may be made.
        let beside = if is_special(path) { std::env::temp_dir().join("ebm") } else { place_of(path) };
        let temporary = temporary_name(&beside);
        let file = File::options().read(true).write(true).create_new(true).open(&temporary).map_err(Error::io(path))?;
        Ok(Growing { path: path.to_owned(), temporary, file: BufWriter::with_capacity(1 << 16, file) })
    }

    /// Where the bytes are until the file is complete.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Gives the file its name, in the place of one that had it.
    ///
    /// # Errors
    /// As the system says.
    pub fn finish(mut self) -> Result<()> {
        let path = self.path.clone();
        let failed = |e| Error::io(&path)(e);
        self.file.flush().map_err(failed)?;
        if is_special(&self.path) {
            let mut from = File::open(&self.temporary).map_err(failed)?;
            let mut to = File::options().write(true).open(&self.path).map_err(failed)?;
            return io::copy(&mut from, &mut to).map(drop).map_err(failed);
        }
        self.file.get_ref().sync_all().map_err(failed)?;
        put_in_place(&self.temporary, &place_of(&self.path))
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temporary);
    }
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Growing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
