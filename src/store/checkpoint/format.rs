//! The encoding of a checkpoint in bytes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::super::fs::Content;
use super::super::size;
use super::{Checkpoint, FORMAT, hex};
use crate::Error;

/// The largest header that is read, far above any that this program writes.
const HEADER_LIMIT: u64 = 16 << 20;
/// The bytes at the start of a safetensors file that hold the length of its header.
const LEN: usize = 8;
/// The first bytes of every header of a checkpoint; the 64 digits of the checksum follow.
const OPENING: &[u8] = br#"{"__metadata__":{"checksum":""#;
const DIGITS: usize = 64;
/// The prefix of the keys of [`Checkpoint::meta`] in the header, so that they cannot collide with the other keys.
const META: &str = "meta.";

/// The reason why a file is refused and its remedy, before the path is known.
pub(super) struct Wrong {
    what: String,
    remedy: &'static str,
}

impl Wrong {
    fn new(what: impl Into<String>, remedy: &'static str) -> Self {
        Wrong { what: what.into(), remedy }
    }

    /// The error about the file at `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        Error::checkpoint(path, self.what, self.remedy)
    }
}

const EARLIER: &str = "use an earlier checkpoint of the run; `ebm resume` falls back to one by itself";
const FOREIGN: &str = "name a file that `ebm train` wrote, such as runs/<run>/checkpoints/last.safetensors";

/// The bytes of the whole file: its length is known and its header checked before memory is taken.
pub(super) fn read(path: &Path) -> crate::Result<Vec<u8>> {
    let mut file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::checkpoint(path, "there is no such file", FOREIGN),
        _ => Error::io(path)(e),
    })?;
    let meta = file.metadata().map_err(Error::io(path))?;
    if !meta.is_file() {
        return Err(Error::checkpoint(path, "not a file", FOREIGN));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(LEN as u64).read_to_end(&mut bytes).map_err(Error::io(path))?;
    header_len(&bytes, meta.len()).map_err(|wrong| wrong.at(path))?;
    bytes.reserve_exact((meta.len() as usize).saturating_sub(bytes.len()));
    file.take(meta.len()).read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

/// The claims of a file's header, unverified: good enough for the order in which files are tried.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    /// The layout of the header.
    pub(super) format: u64,
    /// The number of steps done.
    pub(super) step: u64,
}

/// The claims of a file, from its header alone; `None` if that cannot be read.
pub(super) fn claim(path: &Path) -> Option<Claim> {
    let mut file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.by_ref().take(LEN as u64).read_to_end(&mut bytes).ok()?;
    let length = header_len(&bytes, file.metadata().ok()?.len()).ok()?;
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    let parsed = serde_json::from_slice::<Metadata>(&header).ok()?;
    let number = |key: &str| parsed.metadata().as_ref()?.get(key)?.parse().ok();
    Some(Claim { format: number("format")?, step: number("step")? })
}

/// The place where the header ends, from the first 8 bytes and the length of the file.
fn header_len(bytes: &[u8], file_len: u64) -> Result<u64, Wrong> {
    let Some(head) = bytes.get(..LEN).and_then(|b| <[u8; LEN]>::try_from(b).ok()) else {
        return Err(Wrong::new(format!("truncated: {file_len} bytes, too short for any checkpoint"), EARLIER));
    };
    match u64::from_le_bytes(head) {
        0 => Err(Wrong::new("begins with zeros: never written to the end, or not a checkpoint", EARLIER)),
        n if n > HEADER_LIMIT => {
            Err(Wrong::new(format!("not a checkpoint: header of {n} bytes (the limit is {HEADER_LIMIT})"), FOREIGN))
        }
        n if n > file_len.saturating_sub(LEN as u64) => {
            Err(Wrong::new(format!("truncated inside the header: {file_len} bytes"), EARLIER))
        }
        n => Ok(n),
    }
}

/// The checkpoint in `bytes`, parsed and verified. Nothing in the file is used before its checksum fits.
pub(super) fn decode(bytes: &[u8], device: &Device) -> Result<Checkpoint, Wrong> {
    let end = LEN + header_len(bytes, bytes.len() as u64)? as usize;
    let (header, data) = (bytes.get(LEN..end).unwrap_or_default(), bytes.get(end..).unwrap_or_default());
    if !header.starts_with(OPENING) {
        return Err(Wrong::new("not a checkpoint of this program (or corrupt at its beginning)", FOREIGN));
    }
    let parsed = serde_json::from_slice::<Metadata>(header);
    verify(bytes).map_err(|wrong| match &parsed {
        Ok(m) if m.data_len() > data.len() => {
            Wrong::new(format!("truncated: {} bytes of tensors, should be {}", data.len(), m.data_len()), EARLIER)
        }
        _ => wrong,
    })?;
    let parsed = parsed.map_err(|e| Wrong::new(format!("malformed header: {e}"), FOREIGN))?;
    if parsed.data_len() != data.len() {
        return Err(Wrong::new("malformed: the tensors do not fill the file", FOREIGN));
    }
    assemble(&parsed, data, device)
}

/// Checks that the checksum fits the bytes.
fn verify(bytes: &[u8]) -> Result<(), Wrong> {
    let at = LEN + OPENING.len();
    let told = bytes.get(at..at + DIGITS).unwrap_or_default();
    if checksum(bytes).as_bytes() == told {
        return Ok(());
    }
    Err(Wrong::new("corrupt: the checksum does not fit the content", EARLIER))
}

/// The sha256 of the file with zeros in the place of the checksum's digits.
fn checksum(bytes: &[u8]) -> String {
    let (before, rest) = bytes.split_at((LEN + OPENING.len()).min(bytes.len()));
    let after = rest.get(DIGITS..).unwrap_or_default();
    hex(&Sha256::new().chain_update(before).chain_update([b'0'; DIGITS]).chain_update(after).finalize())
}

fn assemble(parsed: &Metadata, data: &[u8], device: &Device) -> Result<Checkpoint, Wrong> {
    let meta = parsed.metadata().as_ref();
    let get = |key: &str| meta.and_then(|m| m.get(key)).map(String::as_str).unwrap_or_default();
    let number = |key: &str| {
        get(key).parse::<u64>().map_err(|_| Wrong::new(format!("malformed header: no number `{key}`"), FOREIGN))
    };
    let format = number("format")?;
    if format > FORMAT {
        let what = format!("format {format}, and this program reads up to {FORMAT}");
        return Err(Wrong::new(what, "it was written by a newer `ebm`: upgrade this one"));
    }
    let tensors =
        parsed.tensors().into_iter().map(|(name, info)| Ok((name.clone(), tensor(&name, info, data, device)?)));
    Ok(Checkpoint {
        step: number("step")?,
        config: get("config").to_owned(),
        meta: meta.map(own_meta).unwrap_or_default(),
        tensors: tensors.collect::<Result<_, Wrong>>()?,
    })
}

fn own_meta(all: &HashMap<String, String>) -> BTreeMap<String, String> {
    all.iter().filter_map(|(k, v)| Some((k.strip_prefix(META)?.to_owned(), v.clone()))).collect()
}

fn tensor(name: &str, info: &TensorInfo, data: &[u8], device: &Device) -> Result<Tensor, Wrong> {
    let malformed = |what: String| Wrong::new(format!("tensor `{name}`: {what}"), FOREIGN);
    let dtype = known(info.dtype).ok_or_else(|| malformed(format!("type {:?} is not supported", info.dtype)))?;
    let (from, to) = info.data_offsets;
    let bytes = data.get(from..to).ok_or_else(|| malformed("outside the file".into()))?;
    Tensor::from_raw_buffer(bytes, dtype, &info.shape, device).map_err(|e| malformed(Error::from(e).to_string()))
}

fn known(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F64 => Some(DType::F64),
        Dtype::U32 => Some(DType::U32),
        Dtype::I64 => Some(DType::I64),
        Dtype::U8 => Some(DType::U8),
        _ => None,
    }
}

/// The file of a checkpoint: its header, and the tensors, whose values are read where they are.
pub(super) struct Encoded<'a> {
    header: Vec<u8>,
    rows: Vec<(&'a str, &'a Tensor)>,
    len: usize,
}

impl<'a> Encoded<'a> {
    /// The file of `checkpoint`, or an error that says which tensor cannot be stored.
    pub(super) fn new(checkpoint: &'a Checkpoint) -> Result<Self, String> {
        let mut rows: Vec<(&str, &Tensor)> = checkpoint.tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
        // Wide types first, as safetensors does: every tensor is then aligned.
        rows.sort_by_key(|(name, tensor)| (Reverse(tensor.dtype().size_in_bytes()), *name));
        let (header, len) = header(checkpoint, &rows)?;
        let header = [&(header.len() as u64).to_le_bytes(), header.as_slice()].concat();
        let mut file = Encoded { len: header.len() + len, header, rows };
        // The checksum is that of the file with zeros in its place, which stand there now.
        let sum = file.sha256()?;
        let at = LEN + OPENING.len();
        file.header.splice(at..at + DIGITS, sum.into_bytes());
        Ok(file)
    }

    /// The sha256 of the whole file.
    pub(super) fn sha256(&self) -> Result<String, String> {
        let mut hash = Sha256::new();
        let all = self.each(&mut |bytes| {
            hash.update(bytes);
            Ok(())
        });
        all.map_err(|e| e.to_string())?;
        Ok(hex(&hash.finalize()))
    }
}

impl Content for Encoded<'_> {
    fn size(&self) -> usize {
        self.len
    }

    fn each(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        take(&self.header)?;
        let named = |name: &str, e: Error| io::Error::other(format!("tensor `{name}`: {e}"));
        self.rows.iter().try_for_each(|(name, tensor)| values(tensor, take).map_err(|e| named(name, e))?)
    }
}

/// The header, with zeros for the checksum, and the length in bytes of the values that follow it.
fn header(checkpoint: &Checkpoint, rows: &[(&str, &Tensor)]) -> Result<(Vec<u8>, usize), String> {
    let mut header = Map::from_iter([("__metadata__".to_owned(), metadata(checkpoint))]);
    let mut from = 0;
    for (name, tensor) in rows {
        let kind = kind(tensor.dtype()).map_err(|what| format!("tensor `{name}`: {what}"))?;
        let to = from + size(tensor);
        let info = json!({"dtype": kind, "shape": tensor.dims(), "data_offsets": [from, to]});
        if header.insert((*name).to_owned(), info).is_some() {
            return Err(format!("`{name}` is a reserved name"));
        }
        from = to;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(LEN), b' ');
    if header.len() as u64 > HEADER_LIMIT {
        return Err(format!("its header has {} bytes, and the limit is {HEADER_LIMIT}", header.len()));
    }
    Ok((header, from))
}

fn metadata(checkpoint: &Checkpoint) -> Value {
    let mut map = Map::new();
    map.insert("checksum".into(), "0".repeat(DIGITS).into());
    map.insert("format".into(), FORMAT.to_string().into());
    map.insert("step".into(), checkpoint.step.to_string().into());
    map.insert("config".into(), checkpoint.config.as_str().into());
    map.extend(checkpoint.meta.iter().map(|(k, v)| (format!("{META}{k}"), Value::from(v.as_str()))));
    Value::Object(map)
}

/// The name of a type in the header.
fn kind(dtype: DType) -> Result<&'static str, String> {
    match dtype {
        DType::F32 => Ok("F32"),
        DType::F64 => Ok("F64"),
        DType::U32 => Ok("U32"),
        DType::I64 => Ok("I64"),
        DType::U8 => Ok("U8"),
        other => Err(not_stored(other)),
    }
}

/// Hands the values of a tensor to `take`, little-endian. The outer error is the tensor's, the inner one `take`'s.
fn values(tensor: &Tensor, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> crate::Result<io::Result<()>> {
    let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    let (storage, layout) = flat.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err(Error::Other("its values are not in memory".into()));
    };
    let from = layout.start_offset();
    let range = from..from + flat.elem_count();
    macro_rules! le {
        ($values:expr) => {
            $values.get(range).unwrap_or_default().chunks(VALUES).try_for_each(|some| {
                let bytes: Vec<u8> = some.iter().flat_map(|v| v.to_le_bytes()).collect();
                take(&bytes)
            })
        };
    }
    Ok(match storage {
        CpuStorage::F32(values) => le!(values),
        CpuStorage::F64(values) => le!(values),
        CpuStorage::U32(values) => le!(values),
        CpuStorage::I64(values) => le!(values),
        CpuStorage::U8(values) => le!(values),
        _ => return Err(Error::Other(not_stored(flat.dtype()))),
    })
}

/// How many values are turned into bytes at a time.
const VALUES: usize = 1 << 16;

fn not_stored(dtype: DType) -> String {
    format!("type {dtype:?} is not stored; convert it to f32")
}
