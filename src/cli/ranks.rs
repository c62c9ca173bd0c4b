//! `--ranks N`: the processes of one run.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{env, thread};

use clap::Args;

use crate::config::Document;
use crate::ranks::{self, Rank, Rendezvous};
use crate::run::{Experiment, sections};
use crate::{Error, Result, device, process};

/// Time for all ranks to come: those of SLURM may wait for their nodes.
const COMING: Duration = Duration::from_secs(300);

/// Time for a rank to end by itself, once the run has.
const ENDING: Duration = Duration::from_secs(20);

/// Time between two looks at what a rank does.
const PAUSE: Duration = Duration::from_millis(20);

/// The bytes of what a rank said that are kept.
const SAID: usize = 16 << 10;

/// The number of processes that share a run.
#[derive(Args)]
pub struct RankArgs {
    /// Shares every batch among so many processes, on one machine or as the tasks of `srun -n N`, each with a GPU or a
    /// share of the cores of its own; the numbers depend on `train.parts` alone
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    ranks: u64,
}

/// The ranks of a run, as one of them sees them.
pub struct Crew {
    ranks: usize,
    /// The place of a process that others have started.
    place: Option<Rank>,
    /// The ranks that this one has started.
    started: Vec<Started>,
}

/// A rank in a process of its own.
struct Started {
    rank: usize,
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Crew {
    /// The ranks that the command line asks for, before any is started.
    ///
    /// # Errors
    /// The environment gives another number of ranks.
    pub fn new(args: &RankArgs) -> Result<Self> {
        let ranks = usize::try_from(args.ranks).unwrap_or(usize::MAX);
        let place = if ranks > 1 { Rank::of(ranks, &|name| env::var(name).ok())? } else { None };
        device::prefer(place.as_ref().map_or(0, |place| place.local));
        if ranks > 1 && place.is_none() {
            process::take_threads((process::threads() / ranks).max(1))?;
        }
        Ok(Crew { ranks, place, started: Vec::new() })
    }

    /// Whether this is rank 0, which alone writes.
    pub fn is_first(&self) -> bool {
        self.place.as_ref().is_none_or(|place| place.rank == 0)
    }

    /// What the ranks set on top of a configuration: as many parts as there are ranks, where it divides nothing.
    ///
    /// # Errors
    /// The configuration has mistakes.
    pub fn overrides(&self, config: &std::path::Path, sets: &[String]) -> Result<Vec<String>> {
        if self.ranks == 1 {
            return Ok(Vec::new());
        }
        let resolved = Document::load(config, sets)?.resolve(&sections())?;
        let parts = resolved.section("train").get("parts").and_then(toml::Value::as_integer);
        Ok(if parts == Some(1) { vec![format!("train.parts={}", self.ranks)] } else { Vec::new() })
    }

    /// The experiment shared by all ranks, when they have come; those that nobody else starts are started.
    ///
    /// # Errors
    /// A rank does not come, or has another configuration.
    pub fn share(&mut self, experiment: Experiment) -> Result<Experiment> {
        if self.ranks == 1 {
            return Ok(experiment);
        }
        let sockets = match &self.place {
            Some(place) if place.rank > 0 => ranks::join(&place.address, &place.token, place.rank, self.ranks, COMING)?,
            Some(place) => Rendezvous::open(place.port()?, &place.token)?.gather(self.ranks, COMING, &|| Ok(()))?,
            None => self.start()?,
        };
        experiment.shared(sockets)
    }

    /// Starts the other ranks on this machine, with the same arguments, and waits for them.
    fn start(&mut self) -> Result<ranks::Sockets> {
        let token = token();
        let rendezvous = Rendezvous::here(&token)?;
        let address = rendezvous.address()?;
        let program = env::current_exe().map_err(|e| Error::Other(format!("cannot find this program's file: {e}")))?;
        for rank in 1..self.ranks {
            let mut command = Command::new(&program);
            command.args(env::args_os().skip(1)).envs(ranks::spawned(rank, address, &token));
            command.env(process::THREADS, (process::threads() / self.ranks).max(1).to_string());
            // A Ctrl-C at the terminal reaches rank 0, which tells the others.
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let child = command.spawn().map_err(Error::io(&program))?;
            self.started.push(Started::new(rank, child));
        }
        let started = Mutex::new(&mut self.started);
        rendezvous.gather(self.ranks, COMING, &|| {
            let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
            started.iter_mut().try_for_each(|rank| rank.failed().map_or(Ok(()), Err))
        })
    }

    /// How the run ended, once all ranks that this one started have. Where one of them failed, that is why.
    ///
    /// # Errors
    /// Those of the run.
    pub fn end(mut self, result: Result<()>) -> Result<()> {
        let end = Instant::now() + ENDING;
        let mut why = None;
        for rank in &mut self.started {
            while rank.is_running() && Instant::now() < end {
                thread::sleep(PAUSE);
            }
            match &result {
                Err(Error::Rank { rank: gone, .. }) if *gone == rank.rank => why = rank.failed(),
                _ => {}
            }
            rank.kill();
        }
        match why {
            Some(error) => Err(error),
            None => result,
        }
    }
}

impl Drop for Crew {
    /// A rank that nobody leads any more ends.
    fn drop(&mut self) {
        self.started.iter_mut().for_each(Started::kill);
    }
}

impl Started {
    fn new(rank: usize, mut child: Child) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let (stderr, heard) = (child.stderr.take(), Arc::clone(&said));
        let listen = move || {
            let (Some(mut stderr), mut piece) = (stderr, [0; 4096]) else { return };
            while let Ok(n @ 1..) = stderr.read(&mut piece) {
                let mut said = heard.lock().unwrap_or_else(PoisonError::into_inner);
                said.extend_from_slice(piece.get(..n).unwrap_or_default());
                let surplus = said.len().saturating_sub(SAID);
                said.drain(..surplus);
            }
        };
        Started { rank, child, said, reader: Some(thread::spawn(listen)) }
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Why it ended, if it has and failed.
    fn failed(&mut self) -> Option<Error> {
        let status = self.child.try_wait().ok().flatten().filter(|status| !status.success())?;
        self.reader.take().map(JoinHandle::join);
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said);
        // What it says last begins with `error`, as all programs here do.
        let last = said.rfind("error").map_or(said.trim(), |from| said[from..].trim());
        let what = match status.code() {
            Some(code) => format!("failed (exit code {code}): {last}"),
            None => format!("was killed ({status}); memory that ran out does that"),
        };
        Some(Error::Rank { rank: self.rank, what, code: status.code().unwrap_or(1) })
    }

    fn kill(&mut self) {
        if self.is_running() {
            // It may end in this moment.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        self.reader.take().map(JoinHandle::join);
    }
}

/// What nobody else on this machine guesses.
fn token() -> String {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's maps are keyed by the system's randomness.
    let random: Vec<String> = (0..4u64).map(|i| format!("{:016x}", RandomState::new().hash_one(i))).collect();
    random.concat()
}
