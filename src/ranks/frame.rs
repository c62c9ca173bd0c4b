//! What goes over a socket: a kind, a length, and so many bytes.

use std::io::{self, Read, Write};

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Numbers of tensors.
    Numbers = 1,
    /// Words.
    Words = 2,
}

/// The bytes of a head: the kind and the length.
const HEAD: usize = 9;

/// A frame in one piece.
pub fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Writes a frame.
///
/// # Errors
/// The other end has gone.
pub fn write(to: &mut impl Write, kind: Kind, body: &[u8]) -> io::Result<()> {
    to.write_all(&frame(kind, body))?;
    to.flush()
}

/// The body of the next frame, which is of this kind and has `most` bytes at most.
///
/// # Errors
/// The other end has gone, or sends something else.
pub fn read(from: &mut impl Read, kind: Kind, most: usize) -> io::Result<Vec<u8>> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let length = head[1..].iter().rev().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if head[0] != kind as u8 || length > most {
        let what = format!("{kind:?} of {most} bytes at most are due, and {length} of kind {} come", head[0]);
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

/// The numbers of a tensor, in little-endian order.
///
/// # Errors
/// It has numbers of another type than f32 and f64.
pub fn bytes_of(t: &Tensor) -> Result<Vec<u8>> {
    let t = t.to_device(&Device::Cpu)?.flatten_all()?;
    match t.dtype() {
        DType::F32 => Ok(t.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect()),
        DType::F64 => Ok(t.to_vec1::<f64>()?.into_iter().flat_map(f64::to_le_bytes).collect()),
        other => Err(unknown(other)),
    }
}

/// The tensor of so many numbers that [`bytes_of`] wrote.
///
/// # Errors
/// There are more or fewer.
pub fn tensor_of(bytes: &[u8], numbers: usize, like: &Tensor) -> Result<Tensor> {
    let (dtype, device) = (like.dtype(), like.device());
    if bytes.len() != numbers * dtype.size_in_bytes() {
        let what = format!("{numbers} numbers of {dtype:?} are due, and {} bytes come", bytes.len());
        return Err(Error::Other(format!("the ranks are not at the same place: {what}")));
    }
    let t = match dtype {
        DType::F32 => {
            let (all, _) = bytes.as_chunks();
            Tensor::from_vec(all.iter().copied().map(f32::from_le_bytes).collect::<Vec<_>>(), numbers, device)?
        }
        DType::F64 => {
            let (all, _) = bytes.as_chunks();
            Tensor::from_vec(all.iter().copied().map(f64::from_le_bytes).collect::<Vec<_>>(), numbers, device)?
        }
        other => return Err(unknown(other)),
    };
    Ok(t)
}

fn unknown(dtype: DType) -> Error {
    Error::Other(format!("ranks exchange numbers of f32 and f64, not of {dtype:?}"))
}
