//! Decoded pictures kept for the next start: the pixels in one file, all else in another that is written last.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::data::source::{Images, TestItems};
use crate::store::checkpoint::sha256;
use crate::store::fs;

/// Changed when the same files and keys give other pixels.
const VERSION: u32 = 3;

/// Where the pictures of one folder under certain keys are kept.
pub struct Place {
    /// The names of the two files but for their endings.
    stem: PathBuf,
    /// The hash of all that the pixels depend on: files with their sizes and times, keys.
    stamp: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    stamp: String,
    shape: [usize; 3],
    classes: usize,
    class_names: Vec<String>,
    labels: Vec<u16>,
    test: TestItems,
    sha256: String,
    pixels_sha256: String,
}

impl Place {
    /// The place for a set whose files and keys are `described`; a set of the same `name` with other files takes the
    /// place of the one before. None where the system has no folder for caches.
    pub fn of(name: &str, described: &str) -> Option<Self> {
        let var = |name| std::env::var_os(name).filter(|v: &OsString| !v.is_empty()).map(PathBuf::from);
        let own = || Some(var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")))?.join("ebm"));
        let folder = var("EBM_CACHE").or_else(own)?;
        let hash = |text: &str| sha256(format!("ebm images {VERSION}\n{text}").as_bytes());
        let short = hash(name).chars().take(16).collect::<String>();
        Some(Place { stem: folder.join(format!("images-{short}")), stamp: hash(described) })
    }

    fn pixels(&self) -> PathBuf {
        self.stem.with_extension("pixels")
    }

    fn rest(&self) -> PathBuf {
        self.stem.with_extension("json")
    }

    /// What is kept here, if it is whole and was made of the same files with the same keys.
    pub fn load(&self) -> Option<Images> {
        let kept: Kept = serde_json::from_slice(&std::fs::read(self.rest()).ok()?).ok()?;
        if kept.stamp != self.stamp {
            return None;
        }
        let size = kept.labels.len() * kept.shape.iter().product::<usize>();
        let pixels = exactly(&self.pixels(), size).filter(|pixels| sha256(pixels) == kept.pixels_sha256)?;
        let Kept { shape, classes, class_names, labels, test, sha256, .. } = kept;
        Some(Images { shape, levels: 256, classes, class_names, pixels, labels, test, sha256, pairs: false })
    }

    /// Keeps these images.
    ///
    /// # Errors
    /// A folder that cannot be written, a full disk.
    pub fn save(&self, images: &Images) -> Result<()> {
        if let Some(folder) = self.stem.parent() {
            fs::create_dir(folder)?;
        }
        fs::write_atomic(&self.pixels(), &images.pixels)?;
        let kept = Kept {
            stamp: self.stamp.clone(),
            shape: images.shape,
            classes: images.classes,
            class_names: images.class_names.clone(),
            labels: images.labels.clone(),
            test: images.test,
            sha256: images.sha256.clone(),
            pixels_sha256: sha256(&images.pixels),
        };
        let text = serde_json::to_vec(&kept).map_err(|e| crate::Error::Other(e.to_string()))?;
        fs::write_atomic(&self.rest(), &text)
    }
}

fn exactly(path: &Path, size: usize) -> Option<Vec<u8>> {
    let mut file = std::fs::File::open(path).ok()?;
    if file.metadata().ok()?.len() != size as u64 {
        return None;
    }
    let mut bytes = vec![0; size];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}
