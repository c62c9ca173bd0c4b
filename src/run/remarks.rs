//! What people say of a run: tags and a note, in a file of their own that no run reads.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::folder::Paths;
use crate::config::nearest;
use crate::error::is_command;
use crate::store::fs::write_atomic;
use crate::{Error, Result, shell};

/// Characters of a tag at most.
const LONGEST_TAG: usize = 64;

/// Characters of a note at most.
const LONGEST_NOTE: usize = 10_000;

/// Tags and the note of a run, the content of `remarks.json`. A run without the file has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remarks {
    /// Tags, by the alphabet.
    pub tags: BTreeSet<String>,
    /// The note; empty for none.
    pub note: String,
}

impl Remarks {
    /// The remarks on the run in `dir`.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn of(dir: &Path) -> Result<Self> {
        let path = Paths::of(dir).remarks();
        let text = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(Error::io(&path))?,
        };
        serde_json::from_slice(&text).map_err(|e| {
            Error::data(&path, format!("neither tags nor a note: {e}"), "mend or remove the file; no run reads it")
        })
    }

    /// Changes the remarks on the run in `dir`, one process at a time; gives what they are now. A run under way may be
    /// remarked on.
    ///
    /// # Errors
    /// `dir` is not a run folder, the file cannot be read or written, or `change` refuses; then nothing is changed.
    pub fn edit(dir: &Path, change: impl FnOnce(&mut Self) -> Result<()>) -> Result<Self> {
        let paths = Paths::of(dir);
        if !paths.config().is_file() && !paths.manifest().is_file() {
            let hint = format!("`{}` lists the runs under runs/", shell::ebm("ls"));
            return Err(Error::config(format!("{}: not a run folder", dir.display())).hint(hint));
        }
        // The lock is on the folder itself, since the file is replaced; it is another than that of a run under way.
        // Where there are no locks, two that write at once may lose the word of one.
        let folder = File::open(dir).map_err(Error::io(dir))?;
        let _ = folder.lock();
        let mut remarks = Self::of(dir)?;
        change(&mut remarks)?;
        let path = paths.remarks();
        if remarks == Self::default() {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&path)(e)),
                _ => return Ok(remarks),
            }
        }
        let text = serde_json::to_string(&remarks).map_err(|e| Error::Other(format!("{}: {e}", path.display())))?;
        write_atomic(&path, (text + "\n").as_bytes())?;
        Ok(remarks)
    }

    /// Adds tags; one that is there already stays.
    ///
    /// # Errors
    /// A word that cannot be a tag.
    pub fn add(&mut self, tags: &[String]) -> Result<()> {
        tags.iter().try_for_each(|tag| check_tag(tag))?;
        self.tags.extend(tags.iter().cloned());
        Ok(())
    }

    /// Takes tags away.
    ///
    /// # Errors
    /// The run does not have one of them.
    pub fn remove(&mut self, tags: &[String]) -> Result<()> {
        for tag in tags {
            if !self.tags.remove(tag) {
                let known: Vec<&str> = self.tags.iter().map(String::as_str).collect();
                let hint = match (nearest(tag, &known), known.is_empty()) {
                    (Some(near), _) => format!("did you mean `{near}`?"),
                    (None, true) => "it has no tag at all".to_owned(),
                    (None, false) => format!("its tags are {}", known.join(", ")),
                };
                return Err(Error::config(format!("the run has no tag `{tag}`")).hint(hint));
            }
        }
        Ok(())
    }

    /// Puts this note in the place of the one before; an empty text takes it away.
    ///
    /// # Errors
    /// A text that is too long.
    pub fn note(&mut self, text: &str) -> Result<()> {
        let text = text.trim();
        if text.chars().count() > LONGEST_NOTE {
            let message = format!("a note of {} characters; the longest has {LONGEST_NOTE}", text.chars().count());
            return Err(Error::config(message).hint("keep it in a file of its own, and name that in the note"));
        }
        text.clone_into(&mut self.note);
        Ok(())
    }

    /// The tags in one line.
    pub fn listed(&self) -> String {
        self.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The remarks as comments of a configuration; nothing where there are none.
    pub fn comments(&self) -> String {
        let tags = (!self.tags.is_empty()).then(|| format!("tags: {}", self.listed()));
        let note = self
            .note
            .lines()
            .enumerate()
            .map(|(i, line)| format!("{}{line}", ["note: ", "      "][usize::from(i > 0)]));
        tags.into_iter().chain(note).map(|line| format!("# {}\n", line.trim_end())).collect()
    }
}

/// Refuses what a filter or a list of tags could not tell from something else.
fn check_tag(tag: &str) -> Result<()> {
    let odd = |c: char| c.is_whitespace() || is_command(c) || ",\"'`()[]<>=!&|".contains(c);
    let what = match tag.chars().find(|c| odd(*c)) {
        _ if tag.is_empty() => "is empty".to_owned(),
        Some(c) => format!("has {c:?} in it"),
        None if tag.chars().count() > LONGEST_TAG => format!("is longer than {LONGEST_TAG} characters"),
        None => return Ok(()),
    };
    Err(Error::config(format!("the tag {tag:?} {what}")).hint("write one word, such as `best-so-far`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("manifest.json"), "{}").unwrap();
        dir
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn remarks_are_kept_and_the_last_one_takes_its_file_with_it() {
        let dir = run();
        let dir = dir.path();
        assert_eq!(Remarks::of(dir).unwrap(), Remarks::default());
        Remarks::edit(dir, |r| r.add(&words(&["paper", "best", "paper"]))).unwrap();
        let now = Remarks::edit(dir, |r| r.note("  lr was too high\nsee #3 ")).unwrap();
        assert_eq!((now.listed().as_str(), now.note.as_str()), ("best, paper", "lr was too high\nsee #3"));
        assert_eq!(now.comments(), "# tags: best, paper\n# note: lr was too high\n#       see #3\n");
        assert_eq!(Remarks::of(dir).unwrap(), now);
        Remarks::edit(dir, |r| r.remove(&words(&["paper", "best"]))).unwrap();
        assert!(Paths::of(dir).remarks().exists());
        assert_eq!(Remarks::edit(dir, |r| r.note("")).unwrap().comments(), "");
        assert!(!Paths::of(dir).remarks().exists());
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let dir = run();
        let dir = dir.path();
        let before = Remarks::edit(dir, |r| r.add(&words(&["baseline"]))).unwrap();
        for odd in ["", "a b", "a,b", "x\u{1b}[2J", "(x)", "a=b", &"x".repeat(65)] {
            let error = Remarks::edit(dir, |r| r.add(&words(&["fine", odd]))).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{odd}");
        }
        let error = Remarks::edit(dir, |r| r.remove(&words(&["baseline", "basline"]))).unwrap_err();
        assert!(error.to_string().contains("no tag `basline`"), "{error}");
        assert!(Remarks::edit(dir, |r| r.note(&"x".repeat(10_001))).is_err());
        assert_eq!(Remarks::of(dir).unwrap(), before);
        let error = Remarks::edit(&dir.join("none"), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("not a run folder"), "{error}");
        std::fs::write(Paths::of(dir).remarks(), "[1]").unwrap();
        assert_eq!(Remarks::of(dir).unwrap_err().exit_code(), 4);
    }
}
