//! Signals change the whole process, so they are tested in processes of their own.

use std::process::Command;

use ebm::run::signal::{install, stop_requested};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::raise;

/// Runs `body` in a child process that is this very test, and returns the child's exit code.
fn in_a_child(test: &str, body: impl FnOnce()) -> Option<i32> {
    if std::env::var("EBM_TEST_CHILD").as_deref() == Ok(test) {
        body();
        #[allow(clippy::exit)] // the parent reads it
        std::process::exit(99);
    }
    let this = std::env::current_exe().unwrap();
    Command::new(this).args(["--exact", test]).env("EBM_TEST_CHILD", test).output().unwrap().status.code()
}

#[test]
fn the_first_signal_is_noted_and_does_not_kill() {
    let code = in_a_child("signal::the_first_signal_is_noted_and_does_not_kill", || {
        install().unwrap();
        assert_eq!(stop_requested(), None);
        raise(SIGTERM).unwrap();
        assert_eq!(stop_requested(), Some(SIGTERM));
    });
    assert_eq!(code, Some(99));
}

#[test]
fn the_second_signal_ends_the_process_with_its_own_code() {
    let code = in_a_child("signal::the_second_signal_ends_the_process_with_its_own_code", || {
        install().unwrap();
        raise(SIGTERM).unwrap();
        raise(SIGINT).unwrap();
    });
    assert_eq!(code, Some(130));
}
