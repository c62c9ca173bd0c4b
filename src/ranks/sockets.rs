//! Ranks that are connected by TCP, each with each: on one machine or several, on any device.

use std::io;
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use candle_core::Tensor;

use super::Comm;
use super::frame::{self, Kind};
use crate::{Error, Result};

/// The most bytes of words.
const WORDS: usize = 1 << 20;

/// The connections of one rank to all others.
pub struct Sockets {
    rank: usize,
    /// By rank; none to itself.
    peers: Vec<Option<Peer>>,
}

/// A connection. A thread writes, so that no two ranks wait for each other to read.
struct Peer {
    outgoing: Option<Sender<Arc<Vec<u8>>>>,
    writer: Option<JoinHandle<()>>,
    incoming: Mutex<TcpStream>,
}

impl Peer {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(None)?;
        let mut to = stream.try_clone()?;
        let (outgoing, frames) = channel::<Arc<Vec<u8>>>();
        // Whoever does not get what was written finds out by reading.
        let write =
            move || frames.iter().take_while(|frame| io::Write::write_all(&mut to, frame).is_ok()).for_each(drop);
        let writer = std::thread::Builder::new().name("rank".into()).spawn(write)?;
        Ok(Peer { outgoing: Some(outgoing), writer: Some(writer), incoming: Mutex::new(stream) })
    }
}

impl Drop for Peer {
    /// What was sent is written before the connection ends.
    fn drop(&mut self) {
        drop(self.outgoing.take());
        self.writer.take().map(JoinHandle::join);
    }
}

impl Sockets {
    /// The rank with these connections, by rank; the place of its own is empty.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn new(rank: usize, streams: Vec<Option<TcpStream>>) -> Result<Self> {
        let peers = streams.into_iter().map(|stream| stream.map(Peer::new).transpose()).collect::<io::Result<_>>();
        Ok(Sockets { rank, peers: peers.map_err(|e| Error::Other(format!("a connection between ranks: {e}")))? })
    }

    fn peer(&self, rank: usize) -> Option<&Peer> {
        self.peers.get(rank).and_then(Option::as_ref)
    }

    fn send(&self, rank: usize, frame: Arc<Vec<u8>>) -> Result<()> {
        let Some(outgoing) = self.peer(rank).and_then(|peer| peer.outgoing.as_ref()) else { return Ok(()) };
        outgoing.send(frame).map_err(|_| gone(rank, &io::ErrorKind::BrokenPipe.into()))
    }

    fn receive(&self, rank: usize, kind: Kind, most: usize) -> Result<Option<Vec<u8>>> {
        let Some(peer) = self.peer(rank) else { return Ok(None) };
        let mut incoming = peer.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        frame::read(&mut *incoming, kind, most).map(Some).map_err(|error| gone(rank, &error))
    }
}

impl Comm for Sockets {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.peers.len()
    }

    fn exchange(&self, to: &[Tensor], from: &[usize]) -> Result<Vec<Tensor>> {
        // What goes to all is written out once.
        let mut last: Option<(candle_core::TensorId, Arc<Vec<u8>>)> = None;
        for (rank, numbers) in to.iter().enumerate().filter(|(rank, _)| self.peer(*rank).is_some()) {
            let frame = match &last {
                Some((id, frame)) if *id == numbers.id() => Arc::clone(frame),
                _ => Arc::new(frame::frame(Kind::Numbers, &frame::bytes_of(numbers)?)),
            };
            last = Some((numbers.id(), Arc::clone(&frame)));
            self.send(rank, frame)?;
        }
        let one = |(rank, (own, numbers)): (usize, (&Tensor, &usize))| match self.receive(
            rank,
            Kind::Numbers,
            numbers * own.dtype().size_in_bytes(),
        )? {
            Some(bytes) => frame::tensor_of(&bytes, *numbers, own),
            None => Ok(own.clone()),
        };
        to.iter().zip(from).enumerate().map(one).collect()
    }

    fn tell(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        let frame = Arc::new(frame::frame(Kind::Words, own));
        (0..self.ranks()).try_for_each(|rank| self.send(rank, Arc::clone(&frame)))?;
        let one = |rank| Ok(self.receive(rank, Kind::Words, WORDS)?.unwrap_or_else(|| own.to_vec()));
        (0..self.ranks()).map(one).collect()
    }
}

/// The error of a rank that does not answer.
fn gone(rank: usize, error: &io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::InvalidData => format!("is at another place of the run: {error}"),
        _ => "has gone".to_owned(),
    };
    Error::Rank { rank, what, code: 1 }
}
