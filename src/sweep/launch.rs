//! A sweep as it runs: trials are started, watched and, at a signal, stopped.

use std::time::Duration;

use super::agenda::{Agenda, Left};
use super::climb::Climb;
use super::folder::Folder;
use super::pool::{LOOK, Launch, Pool, TrialEnd};
use super::progress::Progress;
use super::queue::Queue;
use super::rungs::Halving;
use super::search::Search;
use super::trial::Trial;
use crate::run::signal;
use crate::{Error, Result};

/// How often trials that another process has are looked at.
const LOOK_ELSEWHERE: Duration = Duration::from_millis(200);

/// Runs every trial that is not done; gives the outcome of each, in their order. A trial that another process has is
/// left to it, and waited for.
///
/// # Errors
/// [`Error::Interrupted`] after a signal, when every trial has saved its state; a folder that cannot be written.
pub fn run(folder: &Folder, trials: &[Trial], launch: &Launch) -> Result<Vec<TrialEnd>> {
    drive(Pool::new(folder, trials, launch), &mut Queue::new(folder, trials, launch.retry))
}

/// The same for a plan with `[halving]`: trials are sent up rung by rung, and those that are not among the best stay
/// where they are. `shared`: trials that other processes have count among those that run at a time, so that the order
/// of decisions is kept; without it, this process does what there is to do now and waits for nobody.
///
/// # Errors
/// As [`run`].
pub fn search(
    folder: &Folder,
    halving: &Halving,
    trials: &[Trial],
    launch: &Launch,
    shared: bool,
) -> Result<Vec<TrialEnd>> {
    let search = Search::new(halving, trials, folder)?;
    drive(Pool::new(folder, trials, launch), &mut Climb::new(search, launch.retry, shared))
}

fn drive(mut pool: Pool<'_>, agenda: &mut dyn Agenda) -> Result<Vec<TrialEnd>> {
    let _mark = pool.folder.mark_driver()?;
    let mut progress = Progress::new(pool.trials.len(), agenda.done(), pool.launch.quiet);
    let result = work(&mut pool, agenda, &mut progress);
    if let Err(error) = &result {
        pool.stop(matches!(error, Error::Interrupted(signal) if signal::insists(*signal)));
    }
    progress.finish();
    result.map(|()| agenda.ends())
}

fn work(pool: &mut Pool<'_>, agenda: &mut dyn Agenda, progress: &mut Progress) -> Result<()> {
    loop {
        if let Some(signal) = signal::take() {
            return Err(Error::Interrupted(signal));
        }
        pool.reap()?.into_iter().for_each(|(trial, state)| agenda.ended(trial, state));
        agenda.fill(pool)?;
        progress.show(agenda.done(), &pool.names());
        match agenda.left() {
            Left::Nothing if pool.len() == 0 => return Ok(()),
            Left::Elsewhere => std::thread::sleep(LOOK_ELSEWHERE),
            _ => std::thread::sleep(LOOK),
        }
    }
}
