//! The real binary in a temporary folder, on problems that take a second.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ebm::config::find;
use ebm::methods::METHODS;
use serde_json::Value;
use tempfile::TempDir;

/// A folder to work in.
pub struct Lab(TempDir);

/// The folder of all labs: in memory, where nobody waits for a disk at each of a thousand checkpoints, if there is room
/// and the user names no other.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |at| at.f_bavail.saturating_mul(at.f_frsize));
    if room >= 1 << 30 && std::env::var_os("TMPDIR").is_none() { memory.to_owned() } else { std::env::temp_dir() }
}

/// How a command ended.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Lab {
    pub fn new() -> Self {
        Lab(tempfile::tempdir_in(place()).unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The names of what lies here.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `ebm WORDS`, here, without what the environment might say.
    pub fn command(&self, words: &[&str]) -> Command {
        self.program(env!("CARGO_BIN_EXE_ebm"), words)
    }

    fn program(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).args(words).stdin(Stdio::null());
        for name in ["RUST_LOG", "RUST_BACKTRACE", "EBM_DATA"] {
            command.env_remove(name);
        }
        command.env("EBM_CACHE", self.path("cache"));
        command
    }

    pub fn run(&self, words: &[&str]) -> Outcome {
        outcome(&mut self.command(words))
    }

    /// Runs what must succeed; its standard output.
    pub fn ok(&self, words: &[&str]) -> String {
        let Outcome { code, stdout, stderr } = self.run(words);
        assert_eq!(code, Some(0), "ebm {words:?}\n{stderr}");
        stdout
    }

    /// Runs what must succeed with `--json`: standard output is one JSON document and nothing else.
    pub fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("ebm {words:?} --json: {e}\n{text}"))
    }

    /// Runs what must be refused with `code`: nothing on standard output, and the message names all of `says`.
    pub fn refused(&self, code: i32, words: &[&str], says: &[&str]) -> String {
        let Outcome { code: got, stdout, stderr } = self.run(words);
        assert_eq!(got, Some(code), "ebm {words:?}\n{stderr}");
        assert_eq!(stdout, "", "ebm {words:?}");
        assert!(!stderr.contains("panicked"), "ebm {words:?}\n{stderr}");
        for text in says {
            assert!(stderr.contains(text), "ebm {words:?}: no `{text}` in\n{stderr}");
        }
        stderr
    }

    /// `ebm WORDS` on a terminal of so many columns, which is standard output and standard error: every byte that it
    /// gets, with line ends as the program wrote them.
    pub fn on_terminal(&self, columns: u16, words: &[&str]) -> String {
        let ebm: Vec<String> = [env!("CARGO_BIN_EXE_ebm")].iter().chain(words).map(ebm::shell::word).collect();
        let line = format!("stty cols {columns} rows 50; exec {}", ebm.join(" "));
        let mut command = self.program("script", &["-qec", &line, "/dev/null"]);
        let Outcome { code, stdout, .. } = outcome(command.env("TERM", "xterm").env("SHELL", "/bin/sh"));
        assert_eq!(code, Some(0), "ebm {words:?}\n{stdout}");
        stdout.replace("\r\n", "\n")
    }

    /// Starts a command that is left running, silently.
    pub fn spawn(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub fn manifest(&self, run: &str) -> Value {
        serde_json::from_slice(&read(&self.path(run).join("manifest.json"))).unwrap()
    }

    /// What must not depend on how a run came about: the last checkpoint, the best one where there is one, and the
    /// metrics.
    pub fn result(&self, run: &str) -> (String, String) {
        let dir = self.path(run);
        let sum = |name: &str| ebm::store::checkpoint::sha256(&read(&dir.join("checkpoints").join(name)));
        let best = dir.join("checkpoints/best.safetensors").exists().then(|| sum("best.safetensors"));
        let sum = format!("{} {best:?}", sum("last.safetensors"));
        (sum, String::from_utf8(read(&dir.join("metrics.jsonl"))).unwrap())
    }
}

pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a programme of Python, `$EBM_PYTHON`, in a folder; says so and gives `false` where there is none, or it lacks
/// one of the modules that the programme `needs`.
pub fn python(needs: &[&str], programme: &str, folder: &Path) -> bool {
    let listed = needs.join(", ");
    let Some(python) = std::env::var_os("EBM_PYTHON") else {
        println!("skipped: EBM_PYTHON names no Python with {listed}");
        return false;
    };
    let run = |words: &[&str]| {
        let mut command = Command::new(&python);
        outcome(command.current_dir(folder).args(words).stdin(Stdio::null()).env("OMP_NUM_THREADS", "1"))
    };
    // Found, not imported: that takes seconds.
    let known = format!("import importlib.util as u; assert all(u.find_spec(m) for m in {needs:?})");
    if run(&["-c", &known]).code != Some(0) {
        println!("skipped: the Python of EBM_PYTHON lacks one of {listed}");
        return false;
    }
    std::fs::write(folder.join("programme.py"), programme).unwrap();
    let Outcome { code, stdout, stderr } = run(&["programme.py"]);
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    true
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Waits until something holds; gives up (and fails) only after three minutes, as SLURM lets what it queued again
/// wait for two.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..90_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("{what}: not within three minutes");
}

/// The small experiment of a method's row: `[dataset]`, `[model]` and `[method]`.
fn example(method: &str) -> &'static str {
    find(METHODS, method).unwrap_or_else(|| panic!("no method `{method}`")).example
}

/// Everything that a checkpoint must carry over is switched on: an average, dropout, probes, a schedule.
pub fn experiment(method: &str) -> String {
    let example = example(method);
    // A classifier is looked at by its accuracy, anything else by its likelihood on a grid.
    let (best, look) = match example.contains("name = \"classifier\"") {
        true => ("test_accuracy", "name = \"accuracy\"\nevery = 3\nitems = 50\n"),
        false => ("test_ll", "name = \"nll\"\nevery = 3\npoints = 16\nitems = 50\nsamples = 20\n"),
    };
    format!(
        "seed = 3\n{example}\
         [sampler]\nname = \"mala\"\nsteps = 3\n\
         [train]\nsteps = 8\nbatch_size = 16\nlog_every = 1\ncheckpoint_every = 1\nkeep = 0\nema = 0.9\nwarmup = 4\n\
         decay = \"cosine\"\nbest = \"{best}\"\n\
         [[probe]]\n{look}\
         [[probe]]\nname = \"samples\"\nevery = 4\nn = 4\n\
         [[probe]]\nname = \"lsd\"\nevery = 5\nepochs = 1\nitems = 50\ncritic = {{ name = \"mlp\", hidden = [8] }}\n"
    )
}

/// A method and a network, nothing else: a step takes well under a millisecond.
pub fn bare(method: &str, steps: u64) -> String {
    let example = example(method).replace(", spectral_norm = true", "");
    format!("{example}[train]\nsteps = {steps}\nbatch_size = 16\nlog_every = 10\n")
}
