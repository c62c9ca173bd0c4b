//! Downloads: resumed after a cut, checked by size and sha256, and in place only when they are right.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use ureq::{Agent, Body, http::Response};

use super::{
    archive,
    format::FileSet,
    locate,
    manifest::{Known, KnownFile},
};
use crate::store::checkpoint::sha256_of;
use crate::store::fs::{put_in_place, write_atomic};
use crate::{Error, Result};

/// How often a mirror is asked again after a connection that broke.
const ATTEMPTS: usize = 3;

/// Called with (file name, bytes so far, bytes in all) as a download goes on.
pub type Progress<'a> = &'a dyn Fn(&str, u64, u64);

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was there and is right.
    Present,
    /// It is there now.
    Downloaded,
    /// It came out of a downloaded archive.
    Extracted,
}

/// One file of the set that was fetched.
#[derive(Clone, Debug, Serialize)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// How it came there.
    pub outcome: Outcome,
}

/// A file at a mirror.
struct Wanted<'a> {
    name: &'a str,
    size: u64,
    sha256: &'a str,
}

/// Makes sure that all files of a set are in `folder`, downloading those that are not from the first mirror that works.
///
/// A download grows in `<name>.part`, which a later call goes on with, and is renamed when its hash is right. A good
/// file is left alone; so is a bad one, which is for its owner to move away.
///
/// # Errors
/// A set that must be got by hand, a bad file in the way, no mirror that gives the file, a full disk.
pub fn fetch(files: &FileSet, mirrors: &[String], folder: &Path, progress: Progress) -> Result<Vec<Fetched>> {
    let set = &files.known;
    if mirrors.is_empty() {
        return Err(Error::config(format!("{} cannot be fetched", set.name)).hint(set.remedy()));
    }
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let present = |file: &KnownFile| present(files, file, folder);
    let here: Vec<Option<PathBuf>> = set.files.iter().map(present).collect::<Result<_>>()?;
    if set.archive.is_some() && here.iter().any(Option::is_none) {
        return from_archive(files, &here, mirrors, folder, progress);
    }
    let one = |(file, here): (&KnownFile, Option<PathBuf>)| match here {
        Some(path) => Ok(Fetched { path, outcome: Outcome::Present }),
        None => {
            let path = download(&wanted(set, file)?, mirrors, folder, progress)?;
            Ok(Fetched { path, outcome: Outcome::Downloaded })
        }
    };
    set.files.iter().zip(here).map(one).collect()
}

fn wanted<'a>(set: &Known, file: &'a KnownFile) -> Result<Wanted<'a>> {
    match (file.size, &file.sha256) {
        (Some(size), Some(sha256)) => Ok(Wanted { name: &file.name, size, sha256 }),
        _ => Err(Error::config(format!("no known hash for {}", file.name)).hint(set.remedy())),
    }
}

/// The path of a good file; `None` if there is no file.
fn present(set: &FileSet, file: &KnownFile, folder: &Path) -> Result<Option<PathBuf>> {
    let FileSet { known, format } = set;
    let folders = [folder.to_path_buf()];
    let Some(path) = locate::find(&folders, file) else { return Ok(None) };
    format.check(known, file, &format.read(known, file, &folders)?)?;
    Ok(Some(path))
}

fn from_archive(
    set: &FileSet,
    here: &[Option<PathBuf>],
    mirrors: &[String],
    folder: &Path,
    progress: Progress,
) -> Result<Vec<Fetched>> {
    let Some(archive) = &set.known.archive else { return Ok(Vec::new()) };
    let wanted = Wanted { name: &archive.name, size: archive.size, sha256: &archive.sha256 };
    let packed = download(&wanted, mirrors, folder, progress)?;
    let mut out = Vec::new();
    for (file, here) in set.known.files.iter().zip(here) {
        if let Some(path) = here {
            out.push(Fetched { path: path.clone(), outcome: Outcome::Present });
            continue;
        }
        let path = folder.join(&file.name);
        write_atomic(&path, &archive::member(&packed, &file.name)?)?;
        present(set, file, folder)?;
        out.push(Fetched { path, outcome: Outcome::Extracted });
    }
    fs::remove_file(&packed).map_err(Error::io(&packed))?;
    Ok(out)
}

/// Downloads one file from the first mirror that has it.
fn download(wanted: &Wanted, mirrors: &[String], folder: &Path, progress: Progress) -> Result<PathBuf> {
    let path = folder.join(wanted.name);
    if path.is_file() && sha256_of(&path)? == wanted.sha256 {
        return Ok(path);
    }
    let mut part = Part::open(folder, wanted)?;
    let agent = agent();
    let mut failures = Vec::new();
    for mirror in mirrors {
        let url = format!("{}/{}", mirror.trim_end_matches('/'), wanted.name);
        for _ in 0..ATTEMPTS {
            match part.pull(&agent, &url, wanted, progress)? {
                Step::Done => return part.finish(&path),
                Step::Again(why) => failures.push(format!("{url}: {why}")),
                Step::NextMirror(why) => {
                    failures.push(format!("{url}: {why}"));
                    break;
                }
            }
        }
    }
    let kept = part.file.metadata().map_or(0, |m| m.len());
    let what = format!("could not be downloaded\n  {}", failures.join("\n  "));
    let remedy = match kept {
        0 => {
            part.discard()?;
            "check the connection, or name another server with `--mirror URL`".to_owned()
        }
        _ => format!("run the same command again: it goes on from byte {kept}"),
    };
    Err(Error::data(&path, what, remedy))
}

/// What one request led to.
enum Step {
    Done,
    /// Worth another try: the connection broke, or what was there before was wrong.
    Again(String),
    NextMirror(String),
}

/// The growing file, locked against a second process.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn open(folder: &Path, wanted: &Wanted) -> Result<Part> {
        let path = folder.join(format!("{}.part", wanted.name));
        let file = File::options().read(true).append(true).create(true).open(&path).map_err(Error::io(&path))?;
        file.try_lock().map_err(|_| {
            Error::data(&path, "is being written by another process", "wait until that download is finished")
        })?;
        if file.metadata().map_err(Error::io(&path))?.len() > wanted.size {
            file.set_len(0).map_err(Error::io(&path))?;
        }
        Ok(Part { path, file })
    }

    /// One request for what is missing, and a check of the whole once nothing is.
    fn pull(&mut self, agent: &Agent, url: &str, wanted: &Wanted, progress: Progress) -> Result<Step> {
        let have = self.file.metadata().map_err(Error::io(&self.path))?.len();
        if have < wanted.size {
            match ask(agent, url, have) {
                Answer::Bytes { body, from } => {
                    if from == 0 {
                        self.file.set_len(0).map_err(Error::io(&self.path))?;
                    }
                    if let Some(why) = self.copy(body, from, wanted, progress)? {
                        return Ok(why);
                    }
                }
                Answer::Restart(why) => {
                    self.file.set_len(0).map_err(Error::io(&self.path))?;
                    return Ok(Step::Again(why));
                }
                Answer::Failed(why) => return Ok(Step::NextMirror(why)),
                Answer::Broken(why) => return Ok(Step::Again(why)),
            }
        }
        let found = sha256_of(&self.path)?;
        if found == wanted.sha256 {
            return Ok(Step::Done);
        }
        self.file.set_len(0).map_err(Error::io(&self.path))?;
        let why = format!("wrong content: sha256 is {found}, not {}; removed", wanted.sha256);
        Ok(if have > 0 { Step::Again(why) } else { Step::NextMirror(why) })
    }

    /// Appends the body; a step if the file is not complete afterwards.
    fn copy(&mut self, body: Body, from: u64, wanted: &Wanted, progress: Progress) -> Result<Option<Step>> {
        let (mut reader, mut have) = (body.into_reader(), from);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) => return Ok(Some(Step::Again(format!("broke off at byte {have} of {}: {e}", wanted.size)))),
            };
            have += count as u64;
            if have > wanted.size {
                self.file.set_len(0).map_err(Error::io(&self.path))?;
                return Ok(Some(Step::NextMirror(format!("sends more than {} bytes", wanted.size))));
            }
            let chunk = buffer.get(..count).unwrap_or_default();
            self.file.write_all(chunk).map_err(Error::io(&self.path))?;
            progress(wanted.name, have, wanted.size);
        }
        let short = format!("ended at byte {have} of {}", wanted.size);
        Ok((have < wanted.size).then_some(Step::Again(short)))
    }

    /// Puts the complete file in its place.
    fn finish(self, path: &Path) -> Result<PathBuf> {
        self.file.sync_all().map_err(Error::io(&self.path))?;
        put_in_place(&self.path, path)?;
        Ok(path.to_path_buf())
    }

    fn discard(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(Error::io(&self.path))
    }
}

enum Answer {
    Bytes {
        body: Body,
        from: u64,
    },
    /// The server cannot go on from where the file ends.
    Restart(String),
    Failed(String),
    Broken(String),
}

/// Asks for the bytes from `have` on; a server that ignores that sends all, and is believed.
fn ask(agent: &Agent, url: &str, have: u64) -> Answer {
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    match request.call() {
        Ok(response) => match response.status().as_u16() {
            200 => Answer::Bytes { body: response.into_body(), from: 0 },
            206 if range_start(&response) == Some(have) => Answer::Bytes { body: response.into_body(), from: have },
            206 | 416 => Answer::Restart(format!("cannot go on from byte {have}")),
            code @ (408 | 429 | 500..=599) => Answer::Broken(format!("HTTP status {code}")),
            code => Answer::Failed(format!("HTTP status {code}")),
        },
        Err(e) => Answer::Broken(e.to_string()),
    }
}

/// The first byte of `Content-Range: bytes first-last/size`.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let value = response.headers().get("content-range")?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("ebm/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_recv_body(Some(Duration::from_secs(3600)));
    config.build().into()
}
