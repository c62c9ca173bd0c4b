//! Ranks in threads of one process, for tests.

use std::thread;
use std::time::Duration;

use super::{Rendezvous, Sockets, join};

/// Time for them to meet.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What each of so many ranks makes, side by side in threads that talk by sockets.
pub fn in_threads<R: Send>(n: usize, f: impl Fn(Sockets) -> R + Sync) -> Vec<R> {
    let rendezvous = Rendezvous::here("token").unwrap();
    let address = rendezvous.address().unwrap().to_string();
    thread::scope(|scope| {
        let (f, address) = (&f, &address);
        let others: Vec<_> =
            (1..n).map(|rank| scope.spawn(move || f(join(address, "token", rank, n, PATIENCE).unwrap()))).collect();
        let first = f(rendezvous.gather(n, PATIENCE, &|| Ok(())).unwrap());
        std::iter::once(first).chain(others.into_iter().map(|other| other.join().unwrap())).collect()
    })
}
