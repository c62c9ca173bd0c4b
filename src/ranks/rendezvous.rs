//! How ranks find each other: all come to rank 0, which tells them where the others listen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Sockets;
use super::frame::{self, Kind};
use crate::{Error, Result};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Time for a greeting.
const GREETING: Duration = Duration::from_secs(5);

/// The most bytes of a greeting, and of the list of all.
const WORDS: usize = 1 << 16;

/// What a rank says to another when it comes.
#[derive(Serialize, Deserialize)]
struct Greeting {
    /// What only ranks of this run know.
    token: String,
    /// The program's version.
    version: String,
    rank: usize,
    ranks: usize,
    /// Where it listens.
    port: u16,
}

/// Rank 0, waiting for the others.
pub struct Rendezvous {
    listener: TcpListener,
    token: String,
}

impl Rendezvous {
    /// A place on this machine alone, at a port that is free.
    ///
    /// # Errors
    /// The system has none.
    pub fn here(token: &str) -> Result<Self> {
        Self::at((Ipv4Addr::LOCALHOST, 0), token)
    }

    /// A place for other machines too, at this port.
    ///
    /// # Errors
    /// The port is taken.
    pub fn open(port: u16, token: &str) -> Result<Self> {
        Self::at((Ipv4Addr::UNSPECIFIED, port), token)
    }

    fn at(address: (Ipv4Addr, u16), token: &str) -> Result<Self> {
        let cannot = |e: io::Error| Error::Other(format!("rank 0 cannot listen at {}:{}: {e}", address.0, address.1));
        let listener = TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        Ok(Rendezvous { listener, token: token.to_owned() })
    }

    /// Where it is.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(|e| Error::Other(format!("the address of rank 0: {e}")))
    }

    /// Rank 0 of so many, when all have come. `watch` is asked meanwhile whether to go on waiting.
    ///
    /// # Errors
    /// They do not come in time, or are other programs; `watch` fails.
    pub fn gather(self, ranks: usize, patience: Duration, watch: &dyn Fn() -> Result<()>) -> Result<Sockets> {
        let mut streams: Vec<Option<TcpStream>> = (0..ranks).map(|_| None).collect();
        let mut addresses: Vec<Option<SocketAddr>> = vec![None; ranks];
        let end = Instant::now() + patience;
        while streams.iter().skip(1).any(Option::is_none) {
            watch()?;
            let Some((stream, greeting)) = self.greeted(end)? else {
                if Instant::now() > end {
                    let here = 1 + streams.iter().flatten().count();
                    return Err(Error::Other(format!("{here} of {ranks} ranks came within {} s", patience.as_secs())));
                }
                continue;
            };
            if greeting.ranks != ranks || greeting.rank == 0 || greeting.rank >= ranks {
                let (rank, of) = (greeting.rank, greeting.ranks);
                return Err(Error::Other(format!("rank {rank} of {of} came, and this run has {ranks} ranks")));
            }
            let from = stream.peer_addr().map_err(lost)?;
            addresses[greeting.rank] = Some(SocketAddr::new(from.ip(), greeting.port));
            if streams[greeting.rank].replace(stream).is_some() {
                return Err(Error::Other(format!("rank {} came twice", greeting.rank)));
            }
        }
        for stream in streams.iter_mut().flatten() {
            say(stream, &addresses)?;
        }
        Sockets::new(0, streams)
    }

    /// The next one who comes with the token.
    fn greeted(&self, end: Instant) -> Result<Option<(TcpStream, Greeting)>> {
        let accepted = self.listener.accept();
        accepted_by(accepted, &self.token, end)
    }
}

/// Rank number `rank` of so many, when it has found rank 0 and all others.
///
/// # Errors
/// Rank 0 does not answer in time, or is another program.
pub fn join(address: &str, token: &str, rank: usize, ranks: usize, patience: Duration) -> Result<Sockets> {
    let end = Instant::now() + patience;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(lost)?;
    listener.set_nonblocking(true).map_err(lost)?;
    let port = listener.local_addr().map_err(lost)?.port();
    let greeting =
        Greeting { token: token.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), rank, ranks, port };
    let mut streams: Vec<Option<TcpStream>> = (0..ranks).map(|_| None).collect();
    let mut first = connected(address, end)?;
    say(&mut first, &greeting)?;
    first.set_read_timeout(Some(patience)).map_err(lost)?;
    let addresses: Vec<Option<SocketAddr>> = hear(&mut first)?;
    streams[0] = Some(first);
    for (other, address) in addresses.iter().enumerate().take(rank).skip(1) {
        let address = address.ok_or_else(|| Error::Other(format!("rank 0 does not know rank {other}")))?;
        let mut stream = connected(&address.to_string(), end)?;
        say(&mut stream, &greeting)?;
        streams[other] = Some(stream);
    }
    while streams.iter().enumerate().any(|(other, stream)| other != rank && stream.is_none()) {
        if Instant::now() > end {
            return Err(Error::Other(format!("rank {rank} waited {} s for others", patience.as_secs())));
        }
        if let Some((stream, greeting)) = accepted_by(listener.accept(), token, end)?
            && let Some(place) = streams.get_mut(greeting.rank)
        {
            *place = Some(stream);
        }
    }
    Sockets::new(rank, streams)
}

/// Who came, if it is one with the token and of this version; a stranger is let go.
fn accepted_by(
    accepted: io::Result<(TcpStream, SocketAddr)>,
    token: &str,
    end: Instant,
) -> Result<Option<(TcpStream, Greeting)>> {
    let Ok((mut stream, _)) = accepted else {
        std::thread::sleep(PAUSE.min(end.saturating_duration_since(Instant::now())));
        return Ok(None);
    };
    stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(GREETING))).map_err(lost)?;
    let Ok(greeting) = hear::<Greeting>(&mut stream) else { return Ok(None) };
    if greeting.token != token {
        return Ok(None);
    }
    let version = env!("CARGO_PKG_VERSION");
    if greeting.version != version {
        let (rank, other) = (greeting.rank, greeting.version);
        return Err(Error::Other(format!("rank {rank} is version {other} of this program, and this is {version}")));
    }
    Ok(Some((stream, greeting)))
}

/// A connection, as soon as someone listens.
fn connected(address: &str, end: Instant) -> Result<TcpStream> {
    loop {
        let tried = address.to_socket_addrs().and_then(|mut all| {
            let first = all.find(|a| matches!(a.ip(), IpAddr::V4(_))).ok_or(io::ErrorKind::AddrNotAvailable)?;
            TcpStream::connect_timeout(&first, GREETING)
        });
        match tried {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > end => {
                return Err(Error::Other(format!("no rank answers at {address}: {error}")));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn say(to: &mut TcpStream, what: &impl Serialize) -> Result<()> {
    let words = serde_json::to_vec(what).map_err(|e| Error::Other(format!("a greeting of ranks: {e}")))?;
    frame::write(to, Kind::Words, &words).map_err(lost)
}

fn hear<T: DeserializeOwned>(from: &mut TcpStream) -> Result<T> {
    let words = frame::read(from, Kind::Words, WORDS).map_err(lost)?;
    serde_json::from_slice(&words).map_err(|e| Error::Other(format!("a greeting of ranks: {e}")))
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn lost(error: io::Error) -> Error {
    Error::Other(format!("ranks cannot meet: {error}"))
}
