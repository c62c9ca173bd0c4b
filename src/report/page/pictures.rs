//! The pictures of a run as data URIs: each kind is a row of frames over the steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::{Error, Result};

/// Bytes of pictures in one page, which are 32 MiB as text; with them it still opens at once.
pub(super) const MOST_BYTES: usize = 24 << 20;

/// Pictures below a run folder that lie this deep are its own.
const DEPTH: usize = 3;

/// One kind of picture of a run: `samples/density` with a file for every look.
pub(super) struct Kind {
    name: String,
    /// Step, where the name of the file ends in one, and file; in order.
    frames: Vec<(Option<u64>, PathBuf)>,
}

/// All kinds of pictures of the run in `dir`. `curves.png` is left out: the page draws curves itself.
pub(super) fn kinds(dir: &Path) -> Vec<Kind> {
    let mut files = Vec::new();
    collect(dir, DEPTH, &mut files);
    let mut kinds: BTreeMap<String, Vec<(Option<u64>, PathBuf)>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| !file.ends_with("samples/curves.png")) {
        let inside = file.strip_prefix(dir).unwrap_or(&file).with_extension("");
        let inside = inside.to_string_lossy();
        let (name, step) = match inside.rsplit_once('-') {
            Some((name, digits)) if digits.len() >= 8 => (name, digits.parse().ok()),
            _ => (&*inside, None),
        };
        let name = if step.is_some() { name } else { &*inside };
        kinds.entry(name.to_owned()).or_default().push((step, file));
    }
    let kind = |(name, mut frames): (String, Vec<_>)| {
        frames.sort();
        Kind { name, frames }
    };
    kinds.into_iter().map(kind).collect()
}

fn collect(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    // What cannot be listed has no pictures to show.
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 1 => collect(&path, depth - 1, files),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|e| e == "png") => files.push(path),
            _ => {}
        }
    }
}

impl Kind {
    /// Bytes of its files when `most` of its frames are kept.
    pub(super) fn bytes(&self, most: usize) -> usize {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len() as usize);
        self.few(most).map(|(_, path)| size(path)).sum()
    }

    /// At most `most` frames, evenly over the steps, the first and the last among them; the last alone for 1.
    fn few(&self, most: usize) -> impl Iterator<Item = &(Option<u64>, PathBuf)> {
        let all = self.frames.len();
        let n = most.clamp(1, all.max(1));
        let place = move |i: usize| if n > 1 { i * (all - 1) / (n - 1) } else { all.saturating_sub(1) };
        (0..n).filter_map(move |i| self.frames.get(place(i)))
    }

    /// With its files inside, and how many frames there are in all.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn embedded(&self, most: usize) -> Result<Value> {
        let frame = |(step, path): &(Option<u64>, PathBuf)| {
            let bytes = std::fs::read(path).map_err(Error::io(path))?;
            Ok(json!({"step": step, "src": format!("data:image/png;base64,{}", STANDARD.encode(bytes))}))
        };
        let frames = self.few(most).map(frame).collect::<Result<Vec<_>>>()?;
        Ok(json!({"name": self.name, "frames": frames, "all": self.frames.len()}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_are_frames_in_the_order_of_their_steps() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        for folder in ["samples", "diagnose", "a/b/c/d"] {
            std::fs::create_dir_all(run.join(folder)).unwrap();
        }
        for step in [30, 10, 20, 40, 50] {
            std::fs::write(run.join(format!("samples/chain-grid-{step:08}.png")), [step as u8]).unwrap();
        }
        for file in ["samples/curves.png", "diagnose/trace-worst.png", "a/b/c/d/deep.png", "samples/x.svg"] {
            std::fs::write(run.join(file), "x").unwrap();
        }
        let kinds = kinds(run);
        assert_eq!(
            kinds.iter().map(|k| &k.name[..]).collect::<Vec<_>>(),
            ["diagnose/trace-worst", "samples/chain-grid"]
        );
        let steps = |most| kinds[1].few(most).map(|(step, _)| step.unwrap()).collect::<Vec<_>>();
        assert_eq!((steps(9), steps(3), steps(1)), (vec![10, 20, 30, 40, 50], vec![10, 30, 50], vec![50]));
        let value = kinds[1].embedded(2).unwrap();
        assert_eq!((&value["all"], &value["frames"][0]["src"]), (&5.into(), &"data:image/png;base64,Cg==".into()));
        assert_eq!(kinds[0].embedded(9).unwrap()["frames"][0]["step"], Value::Null);
    }
}
