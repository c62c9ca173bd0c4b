//! What `torch.save` writes: a pickle that describes tensors, and their numbers beside it; since PyTorch 1.6 in a zip
//! archive, before that one after another.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read as _};

use candle_core::Shape;
use zip::ZipArchive;

use super::foreign::{Foreign, Raw};
use super::pickle::{self, Bytes, Id, Pickle, Value};

/// The numbers of tensors by the keys of their storages.
type Storages<'a> = HashMap<String, Cow<'a, [u8]>>;

/// Tensors by name; those of nested dictionaries have the keys on the way, joined by dots.
type Tensors = BTreeMap<String, Foreign>;

/// How deep dictionaries may lie in each other.
const DEEPEST: usize = 64;
/// How many functions may be wrapped around the one that makes a tensor.
const WRAPPED: usize = 4;
/// How many values are looked at; shared ones count every time.
const MOST: usize = 1_000_000;

/// The tensors of a zip archive.
///
/// # Errors
/// What is wrong with it.
pub fn of_archive(bytes: &[u8]) -> Result<Tensors, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| format!("a broken archive: {e}"))?;
    let names: Vec<String> = archive
        .file_names()
        .map(|name| name.map(|n| n.into_owned()))
        .collect::<Result<_, _>>()
        .map_err(|e| format!("a broken archive: {e}"))?;
    let inner = names.iter().find(|name| name.ends_with("data.pkl"));
    let root = inner.and_then(|name| name.strip_suffix("data.pkl")).ok_or("an archive without a data.pkl")?;
    if names.iter().any(|name| name.strip_prefix(root).is_some_and(|rest| rest.starts_with("code/"))) {
        return Err("a TorchScript programme; save the state_dict() of the module instead".into());
    }
    let mut member = |name: &str| -> Result<Vec<u8>, String> {
        let mut file = archive.by_name(name).map_err(|e| format!("`{name}`: {e}"))?;
        let mut content = Vec::new();
        // A member holds no more than the archive has room for: torch.save compresses nothing.
        let most = bytes.len() as u64;
        let read = file.by_ref().take(most + 1).read_to_end(&mut content).map_err(|e| format!("`{name}`: {e}"))?;
        if read as u64 > most { Err(format!("`{name}` is larger than the file")) } else { Ok(content) }
    };
    let order = format!("{root}byteorder");
    if names.contains(&order) && member(&order)? != b"little" {
        return Err("its numbers have the big end first".into());
    }
    let pickle = pickle::read(&mut Bytes::new(&member(&format!("{root}data.pkl"))?))?;
    let folder = format!("{root}data/");
    let mut storages = Storages::new();
    for name in &names {
        if let Some(key) = name.strip_prefix(&folder) {
            storages.insert(key.to_owned(), member(name)?.into());
        }
    }
    collect(&pickle, &storages)
}

/// The tensors of a file before PyTorch 1.6: four pickles (a magic number, the version, the machine, the object), the
/// keys of the storages, then for each its length and numbers.
///
/// # Errors
/// What is wrong with it.
pub fn of_stream(bytes: &[u8]) -> Result<Tensors, String> {
    /// `0x1950a86a20f9469cfc6c`, as a pickle of protocol 2.
    const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let mut rest = Bytes::new(bytes);
    if rest.take(MAGIC.len()).ok() != Some(MAGIC) {
        return Err("a pickle, but none of torch.save".into());
    }
    pickle::read(&mut rest)?;
    let machine = pickle::read(&mut rest)?;
    let little = machine.entry(machine.root(), "little_endian").map(|id| machine.get(id));
    if little == Some(&Value::Bool(false)) {
        return Err("its numbers have the big end first".into());
    }
    let object = pickle::read(&mut rest)?;
    let keys = pickle::read(&mut rest)?;
    let sizes = sizes(&object);
    let mut storages = Storages::new();
    for key in keys.items(keys.root()).unwrap_or_default() {
        let key = keys.text(*key).ok_or("the key of a storage is no string")?;
        let size = sizes.get(key).ok_or_else(|| format!("storage {key} has no type"))?;
        let count = usize::try_from(u64::from_le_bytes(rest.array()?)).map_err(|e| e.to_string())?;
        let length = count.checked_mul(*size).ok_or_else(|| format!("storage {key} of {count} numbers"))?;
        storages.insert(key.to_owned(), rest.take(length).map_err(|what| format!("storage {key}: {what}"))?.into());
    }
    collect(&object, &storages)
}

/// The bytes of one number in each storage that a pickle names.
fn sizes(pickle: &Pickle) -> HashMap<String, usize> {
    let storage = |id: Id| match pickle.get(id) {
        Value::Persistent(_) => Storage::of(pickle, id).ok().map(|s| (s.key.to_owned(), s.size)),
        _ => None,
    };
    pickle.ids().filter_map(storage).collect()
}

/// A storage as a pickle names it.
struct Storage<'a> {
    key: &'a str,
    kind: &'static str,
    /// Bytes of one number.
    size: usize,
}

impl<'a> Storage<'a> {
    /// `("storage", torch.FloatStorage, key, device, count, …)`.
    fn of(pickle: &'a Pickle, id: Id) -> Result<Self, String> {
        let Value::Persistent(inner) = pickle.get(id) else { return Err("a tensor without a storage".into()) };
        let parts = pickle.items(*inner).unwrap_or_default();
        let [_, class, key, ..] = parts else { return Err("a storage without a key".into()) };
        let (Value::Global(class), Some(key)) = (pickle.get(*class), pickle.text(*key)) else {
            return Err("a storage without a type".into());
        };
        let (kind, size) = match class.rsplit('.').next().unwrap_or_default() {
            "FloatStorage" => ("f32", 4),
            "DoubleStorage" => ("f64", 8),
            "HalfStorage" => ("f16", 2),
            "BFloat16Storage" => ("bf16", 2),
            "LongStorage" => ("i64", 8),
            "IntStorage" => ("i32", 4),
            "ShortStorage" => ("i16", 2),
            "CharStorage" => ("i8", 1),
            "ByteStorage" => ("u8", 1),
            "BoolStorage" => ("bool", 1),
            other => return Err(format!("a storage of the type {other}, which is none of torch's plain ones")),
        };
        Ok(Storage { key, kind, size })
    }
}

fn collect(pickle: &Pickle, storages: &Storages) -> Result<Tensors, String> {
    let mut walk = Walk { pickle, storages, seen: 0, tensors: Tensors::new() };
    walk.visit(pickle.root(), "", 0)?;
    Ok(walk.tensors)
}

/// A walk through nested dictionaries and modules, on which tensors are picked up.
struct Walk<'a> {
    pickle: &'a Pickle,
    storages: &'a Storages<'a>,
    seen: usize,
    tensors: Tensors,
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, path: &str, depth: usize) -> Result<(), String> {
        self.seen += 1;
        if depth > DEEPEST || self.seen > MOST {
            return Err(format!("`{path}`: dictionaries too deep or too many"));
        }
        match self.pickle.get(id) {
            Value::Dict(entries) => self.entries(entries, path, depth),
            Value::Object { callable, args, state } => match self.pickle.get(*callable) {
                Value::Global(name) if name.starts_with("torch._utils.") || name.starts_with("torch._tensor.") => {
                    let tensor = self.tensor(name, *args, 0).map_err(|what| format!("`{path}`: {what}"))?;
                    self.tensors.extend(tensor.map(|tensor| (path.to_owned(), tensor)));
                    Ok(())
                }
                _ => state.map_or(Ok(()), |state| self.module(state, path, depth)),
            },
            _ => Ok(()),
        }
    }

    fn entries(&mut self, entries: &[(Id, Id)], path: &str, depth: usize) -> Result<(), String> {
        for (key, value) in entries {
            let name = match self.pickle.get(*key) {
                Value::Text(name) => name.clone(),
                Value::Int(n) => n.to_string(),
                _ => continue,
            };
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            self.visit(*value, &path, depth + 1)?;
        }
        Ok(())
    }

    /// The state of a module that was saved whole: its own tensors, and its modules by name.
    fn module(&mut self, state: Id, path: &str, depth: usize) -> Result<(), String> {
        for part in ["_parameters", "_buffers", "_modules"] {
            if let Some(part) = self.pickle.entry(state, part) {
                self.visit(part, path, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The tensor that a function of PyTorch would make of these arguments; `None` if it makes something else.
    fn tensor(&self, function: &str, args: Id, depth: usize) -> Result<Option<Foreign>, String> {
        let pickle = self.pickle;
        let args = pickle.items(args).ok_or("a call without arguments")?;
        let called = |function: Id, args: Id| match pickle.get(function) {
            Value::Global(name) if depth < WRAPPED => self.tensor(name, args, depth + 1),
            _ => Err("a tensor within something unknown".to_owned()),
        };
        match (function.rsplit('.').next().unwrap_or_default(), args) {
            ("_rebuild_tensor" | "_rebuild_tensor_v2", [storage, offset, shape, strides, ..]) => {
                self.rebuilt(*storage, *offset, *shape, *strides).map(Some)
            }
            ("_rebuild_from_type_v2", [function, _, args, ..]) => called(*function, *args),
            ("_rebuild_parameter" | "_rebuild_parameter_with_state", [tensor, ..]) => match pickle.get(*tensor) {
                Value::Object { callable, args, .. } => called(*callable, *args),
                _ => Err("a parameter without a tensor".to_owned()),
            },
            (name, _) if name.starts_with("_rebuild") => {
                Err(format!("a tensor of a kind that is not read ({name}); save a plain, dense one"))
            }
            _ => Ok(None),
        }
    }

    fn rebuilt(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Foreign, String> {
        let pickle = self.pickle;
        let Storage { key, kind, size } = Storage::of(pickle, storage)?;
        let bytes = self.storages.get(key).ok_or_else(|| format!("storage {key} is missing"))?;
        let (Some(offset), Some(shape), Some(strides)) =
            (pickle.count(offset), pickle.counts(shape), pickle.counts(strides))
        else {
            return Err("a tensor without a shape".into());
        };
        let bytes = gathered(bytes, size, offset, &shape, &strides)
            .ok_or_else(|| format!("{shape:?} by {strides:?} from {offset} does not lie in {} bytes", bytes.len()))?;
        Foreign::of(&Raw { shape, kind, bytes: &bytes })
    }
}

/// The numbers of a view, `size` bytes each, without gaps; `None` if they do not lie in `bytes`, or repeat themselves
/// into more than that.
fn gathered<'a>(
    bytes: &'a [u8],
    size: usize,
    offset: usize,
    shape: &[usize],
    strides: &[usize],
) -> Option<Cow<'a, [u8]>> {
    let length = shape.iter().try_fold(size, |n, d| n.checked_mul(*d))?;
    if shape.len() != strides.len() || length > bytes.len() {
        return None;
    }
    if Shape::from(shape).is_contiguous(strides) {
        let from = offset.checked_mul(size)?;
        return bytes.get(from..from.checked_add(length)?).map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(length);
    let mut index = vec![0usize; shape.len()];
    while out.len() < length {
        let mut steps = index.iter().zip(strides).map(|(i, stride)| i.checked_mul(*stride));
        let at = steps.try_fold(offset, |at, step| at.checked_add(step?))?.checked_mul(size)?;
        out.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        for (i, d) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *d {
                break;
            }
            *i = 0;
        }
    }
    Some(out.into())
}
