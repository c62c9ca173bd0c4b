//! Work of unknown length, on standard error: what it is, how long it has taken and how far it is.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::out::is_watched;
use super::signal::stop_requested;

/// Without a terminal, a line at most this often.
const EVERY: Duration = Duration::from_secs(10);

/// Work that takes long says so this often.
const RARELY: Duration = Duration::from_secs(60);

/// On a terminal, the line is written anew this often.
const GLANCE: Duration = Duration::from_millis(200);

/// One stage of some work; it is shown until it is dropped.
pub struct Stage(Option<(Sender<()>, JoinHandle<()>)>);

impl Stage {
    /// Shows `what`, and behind it what `so_far` says from time to time; `quiet` shows nothing.
    pub fn new(what: &str, quiet: bool, so_far: impl Fn() -> String + Send + 'static) -> Self {
        if quiet {
            return Stage(None);
        }
        let ((sender, receiver), what) = (channel(), what.to_owned());
        let show = move || match is_watched() {
            true => spinner(&receiver, &what, so_far),
            false => lines(&receiver, &what, so_far),
        };
        Stage(Some((sender, std::thread::spawn(show))))
    }

    /// Says nothing of work that is short as a rule: after ten seconds that `what` goes on, then once a minute; and at
    /// once that a signal has to wait for it.
    pub fn long(what: String) -> Self {
        let (sender, receiver) = channel();
        let say = |line: &str| tracing::info!("{line}");
        let show = move || patient(&receiver, &what, [EVERY, RARELY], stop_requested, say);
        Stage(Some((sender, std::thread::spawn(show))))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            // The thread writes and nothing else; what it could not write is lost anyway.
            let _ = thread.join();
        }
    }
}

fn spinner(stop: &Receiver<()>, what: &str, so_far: impl Fn() -> String) {
    let style = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    loop {
        bar.set_message(format!("{what}  {}", so_far()));
        bar.tick();
        if !waits(stop, GLANCE) {
            return bar.finish_and_clear();
        }
    }
}

fn lines(stop: &Receiver<()>, what: &str, so_far: impl Fn() -> String) {
    let begin = Instant::now();
    tracing::info!("{what}");
    while waits(stop, EVERY) {
        let line = format!("{what}  {} s  {}", begin.elapsed().as_secs(), so_far());
        tracing::info!("{}", line.trim_end());
    }
}

/// Says what goes on after the first of two times, then after each of the second; and of a signal at once.
fn patient(
    stop: &Receiver<()>,
    what: &str,
    [first, then]: [Duration; 2],
    asked: impl Fn() -> Option<i32>,
    say: impl Fn(&str),
) {
    let (begin, mut due, mut told) = (Instant::now(), first, false);
    while waits(stop, GLANCE.min(then)) {
        if !told && asked().is_some() {
            told = true;
            say(&format!(
                "{what} is at work, and the signal is answered after it; a second one ends the run at once, and \
                 `ebm resume` goes on from the last checkpoint"
            ));
        }
        if begin.elapsed() >= due {
            due = begin.elapsed() + then;
            say(&format!("{what} is at work, for {} s so far", begin.elapsed().as_secs()));
        }
    }
}

/// Waits for so long; whether the stage goes on.
fn waits(stop: &Receiver<()>, time: Duration) -> bool {
    matches!(stop.recv_timeout(time), Err(RecvTimeoutError::Timeout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_stage_ends_when_it_is_dropped() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let (sender, receiver) = channel::<()>();
        let thread = std::thread::spawn(move || {
            spinner(&receiver, "work", || count.fetch_add(1, Ordering::Relaxed).to_string());
        });
        drop(sender);
        thread.join().unwrap();
        assert!(asked.load(Ordering::Relaxed) > 0);
        drop(Stage::new("work", true, String::new));
        drop(Stage::new("work", false, String::new));
    }

    /// Nothing of short work, the time of long work, and once that a signal waits for it.
    #[test]
    fn long_work_says_so_and_that_a_signal_waits() {
        let said = |first: Duration, signal: Option<i32>, lines: usize| {
            let (sender, receiver) = channel::<()>();
            let (line, all) = channel::<String>();
            let say = move |text: &str| line.send(text.to_owned()).unwrap_or_default();
            let times = [first, Duration::from_millis(1)];
            let thread = std::thread::spawn(move || patient(&receiver, "probe `x`", times, || signal, say));
            let heard: Vec<String> = all.iter().take(lines).collect();
            drop(sender);
            thread.join().unwrap();
            heard.into_iter().chain(all.try_iter()).collect::<Vec<_>>()
        };
        let hour = Duration::from_secs(3600);
        assert!(said(hour, None, 0).is_empty());
        let asked = said(hour, Some(15), 1);
        assert!(asked.len() == 1 && asked[0].contains("the signal is answered after it"), "{asked:?}");
        let long = said(Duration::ZERO, None, 2);
        assert!(long.iter().all(|line| line.starts_with("probe `x` is at work, for 0 s")), "{long:?}");
    }
}
