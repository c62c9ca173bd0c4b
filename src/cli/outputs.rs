//! Files that a command is to write: each is tried before the work, so that none is found impossible after it.

use std::path::{Path, PathBuf};

use super::usage;
use crate::run::Paths;
use crate::store::fs;
use crate::{Error, Result};

/// The outputs of one command, none of which takes the place of another, of what the command reads or of a run's own
/// files.
#[derive(Default)]
pub struct Outputs(Vec<(String, PathBuf)>);

impl Outputs {
    /// No outputs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a file that the command reads, which none of its outputs may replace.
    pub fn read(&mut self, option: &str, path: &Path) {
        self.0.push((option.to_owned(), fs::place_of(path)));
    }

    /// Claims the file that `option` names, whose ending must be one of `endings`.
    ///
    /// # Errors
    /// Another ending; a file that another option names, or that cannot be written.
    pub fn file(&mut self, option: &str, path: &Path, endings: &[&str]) -> Result<()> {
        // A device takes whatever it is given.
        if !fs::is_special(path) && !endings.contains(&ending(path).as_str()) {
            let known = endings.iter().map(|ending| format!(".{ending}")).collect::<Vec<_>>().join(" or ");
            let what = format!("{option} {}: the ending of the name must be {known}", path.display());
            let near = path.with_extension(endings.first().copied().unwrap_or_default());
            return Err(usage(what, format!("{option} {}", near.display())));
        }
        self.place(option, path)
    }

    /// Claims the file that `option` names, whatever its ending.
    ///
    /// # Errors
    /// A file that another option names, or that cannot be written.
    pub fn place(&mut self, option: &str, path: &Path) -> Result<()> {
        fs::try_file(path).map_err(|error| unwritable(option, path, error))?;
        self.claim(option, path)
    }

    /// Claims the folder that `option` names; it need not exist.
    ///
    /// # Errors
    /// A file of that name, or a folder that cannot be written to.
    pub fn folder(&mut self, option: &str, path: &Path) -> Result<()> {
        fs::try_dir(path).map_err(|error| unwritable(option, path, error))?;
        self.claim(option, path)
    }

    fn claim(&mut self, option: &str, path: &Path) -> Result<()> {
        let place = fs::place_of(path);
        let run = place.parent().map(Paths::of).filter(|run| run.manifest().is_file() && run.own().contains(&place));
        if let Some(run) = run {
            let what = format!("{option} {}: is a file of the run in {}", path.display(), run.dir().display());
            return Err(usage(what, "choose another name"));
        }
        if let Some((other, _)) = self.0.iter().find(|(_, taken)| *taken == place && !fs::is_special(path)) {
            let what = format!("{other} and {option} both name {}", path.display());
            return Err(usage(what, "give each a name of its own"));
        }
        self.0.push((option.to_owned(), place));
        Ok(())
    }
}

/// The ending of a name, in small letters.
pub fn ending(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase()
}

/// What is wrong with a name given on the command line is a mistake in usage; the system's refusals stay as they are.
fn unwritable(option: &str, path: &Path, error: Error) -> Error {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    let Error::Io { source, .. } = &error else { return error };
    let name = path.display();
    match source.kind() {
        NotFound => {
            let folder = path.parent().unwrap_or(path).display();
            usage(format!("{option} {name}: there is no folder {folder}"), format!("mkdir -p {folder}"))
        }
        IsADirectory => usage(format!("{option} {name}: is a folder"), "name a file in it"),
        NotADirectory => usage(format!("{option} {name}: a file stands where a folder must be"), "choose another name"),
        _ => error,
    }
}

/// The first error among the outcomes of writing several files, all of which were tried; the others are logged.
///
/// # Errors
/// One of `outcomes`.
pub fn all_tried(outcomes: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let mut failed = outcomes.into_iter().filter_map(Result::err).collect::<Vec<_>>().into_iter();
    let Some(first) = failed.next() else { return Ok(()) };
    failed.for_each(|error| tracing::error!("{error}"));
    Err(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_written_is_refused_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("folder.png")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        let refused = |path: &Path, code: i32, says: &str| {
            let error = Outputs::new().file("--out", path, &["png"]).unwrap_err();
            assert!(error.exit_code() == code && error.to_string().contains(says), "{error}");
        };
        refused(&at("x.jpg"), 2, "must be .png");
        refused(&at("x"), 2, "x.png");
        refused(&at("none/x.png"), 2, "there is no folder");
        refused(&at("folder.png"), 2, "is a folder");
        refused(&at("file/x.png"), 2, "a file stands");
        let folder = |path: &Path| Outputs::new().folder("--curves", path);
        assert_eq!(folder(&at("file")).unwrap_err().exit_code(), 2);
        assert_eq!(folder(&at("file/deeper")).unwrap_err().exit_code(), 2);
        folder(&at("new/deeper")).unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "trying leaves nothing behind: {left:?}");
    }

    #[test]
    fn no_two_options_name_one_file_however_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::new();
        outputs.file("--out", &dir.path().join("x.PNG"), &["png"]).unwrap();
        outputs.file("--plot", &dir.path().join("y.png"), &["png", "svg"]).unwrap();
        let again = dir.path().join(".").join("y.png");
        let error = outputs.file("--plot", &again, &["png", "svg"]).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("--plot and --plot both name"), "{error}");
        for _ in 0..2 {
            outputs.file("--save-npy", Path::new("/dev/null"), &["npy"]).unwrap();
        }
    }

    #[test]
    fn one_file_that_fails_does_not_end_the_others() {
        let tried = std::cell::Cell::new(0);
        let one = |outcome: Result<()>| (tried.set(tried.get() + 1), outcome).1;
        let fail = |what: &str| Err(Error::Other(what.into()));
        let error = all_tried([one(Ok(())), one(fail("a")), one(fail("b")), one(Ok(()))]).unwrap_err();
        assert_eq!((error.to_string().as_str(), tried.get()), ("a", 4));
    }
}
