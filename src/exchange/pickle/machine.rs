//! The machine that a pickle is a programme for, restricted to making values.

use std::collections::HashMap;

use super::{Bytes, Id, Pickle, Value};

/// Reads one pickle of protocol 2 or later from the front of `bytes`.
///
/// # Errors
/// What is wrong, and at which byte.
pub fn read(bytes: &mut Bytes) -> Result<Pickle, String> {
    let mut machine = Machine::default();
    loop {
        let at = bytes.position();
        let wrong = |what: String| format!("pickle, byte {at}: {what}");
        let op = bytes.byte().map_err(wrong)?;
        if op == b'.' {
            let root = machine.pop().map_err(wrong)?;
            return Ok(Pickle { values: machine.values, root });
        }
        machine.step(op, bytes).map_err(wrong)?;
    }
}

#[derive(Default)]
struct Machine {
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine {
    /// Obeys one instruction.
    fn step(&mut self, op: u8, bytes: &mut Bytes) -> Result<(), String> {
        match op {
            0x80 => drop(bytes.byte()?),
            0x95 => drop(bytes.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.above_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'q' => self.note(u64::from(bytes.byte()?))?,
            b'r' => self.note(u64::from(u32::from_le_bytes(bytes.array()?)))?,
            0x94 => self.note(self.memo.len() as u64)?,
            b'h' => self.recall(u64::from(bytes.byte()?))?,
            b'j' => self.recall(u64::from(u32::from_le_bytes(bytes.array()?)))?,
            b'a' | b'e' | 0x90 => self.extend(op == b'a')?,
            b's' | b'u' => self.set_items(op == b's')?,
            b'b' => self.build()?,
            _ => {
                let value = self.made(op, bytes)?;
                self.push(value);
            }
        }
        Ok(())
    }

    /// The value that an instruction puts on the stack.
    fn made(&mut self, op: u8, bytes: &mut Bytes) -> Result<Value, String> {
        let text = |bytes: &[u8]| Value::Text(String::from_utf8_lossy(bytes).into_owned());
        Ok(match op {
            b'N' => Value::Nothing,
            0x88 | 0x89 => Value::Bool(op == 0x88),
            b'K' => Value::Int(i64::from(bytes.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(bytes.array()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(bytes.array()?))),
            0x8a => integer(bytes.counted(1)?),
            0x8b => integer(bytes.counted(4)?),
            b'G' => Value::Float(f64::from_be_bytes(bytes.array()?)),
            b'X' | b'T' => text(bytes.counted(4)?),
            0x8c | b'U' => text(bytes.counted(1)?),
            0x8d => text(bytes.counted(8)?),
            b'C' => skipped(bytes.counted(1)?),
            b'B' => skipped(bytes.counted(4)?),
            0x8e | 0x96 => skipped(bytes.counted(8)?),
            b')' | b']' | 0x8f => Value::Items(Vec::new()),
            b't' | b'l' | 0x91 => Value::Items(self.above_mark()?),
            0x85..=0x87 => Value::Items(self.pop_many(usize::from(op - 0x84))?),
            b'}' => Value::Dict(Vec::new()),
            b'd' => Value::Dict(pairs(&self.above_mark()?)?),
            b'c' => Value::Global(format!("{}.{}", bytes.line()?, bytes.line()?)),
            0x93 => self.stack_global()?,
            b'R' | 0x81 => self.object()?,
            0x92 => {
                self.pop()?; // arguments by name
                self.object()?
            }
            b'Q' => Value::Persistent(self.pop()?),
            _ => return Err(format!("the instruction {op:#04x} is none that PyTorch writes")),
        })
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "the stack is empty".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn pop_many(&mut self, n: usize) -> Result<Vec<Id>, String> {
        let from = self.stack.len().checked_sub(n).ok_or("the stack is empty")?;
        Ok(self.stack.split_off(from))
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark was set")?;
        match mark <= self.stack.len() {
            true => Ok(self.stack.split_off(mark)),
            false => Err("a mark above the stack".into()),
        }
    }

    fn note(&mut self, key: u64) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), String> {
        let id = self.memo.get(&key).ok_or_else(|| format!("value {key} was never noted"))?;
        self.stack.push(*id);
        Ok(())
    }

    /// Appends one item, or those above the mark, to the list below them.
    fn extend(&mut self, one: bool) -> Result<(), String> {
        let items = if one { vec![self.pop()?] } else { self.above_mark()? };
        let list = self.top()?;
        match self.values.get_mut(list) {
            Some(Value::Items(list)) => list.extend(items),
            // A subclass of list is an object; what it holds beside its state is of no use here.
            Some(Value::Object { .. }) => {}
            _ => return Err("items are added to what is no list".into()),
        }
        Ok(())
    }

    /// Puts one entry, or those above the mark, into the dictionary below them.
    fn set_items(&mut self, one: bool) -> Result<(), String> {
        let items = if one { self.pop_many(2)? } else { self.above_mark()? };
        let (entries, dict) = (pairs(&items)?, self.top()?);
        match self.values.get_mut(dict) {
            Some(Value::Dict(dict)) => dict.extend(entries),
            Some(Value::Object { .. }) => {}
            _ => return Err("entries are put into what is no dictionary".into()),
        }
        Ok(())
    }

    /// Sets the state of an object. That of a dictionary, such as the versions in a state dict, is of no use here.
    fn build(&mut self) -> Result<(), String> {
        let given = self.pop()?;
        let object = self.top()?;
        if let Some(Value::Object { state, .. }) = self.values.get_mut(object) {
            *state = Some(given);
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Result<Value, String> {
        let names = self.pop_many(2)?;
        let text = |id: &Id| match self.values.get(*id) {
            Some(Value::Text(text)) => Ok(text.as_str()),
            _ => Err("the name of a class is no string".to_owned()),
        };
        Ok(Value::Global(names.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(".")))
    }

    /// What would be called; a new dictionary of one of Python's own kinds is one.
    fn object(&mut self) -> Result<Value, String> {
        let (args, callable) = (self.pop()?, self.pop()?);
        Ok(match self.values.get(callable) {
            Some(Value::Global(name)) if DICTIONARIES.contains(&name.as_str()) => Value::Dict(Vec::new()),
            _ => Value::Object { callable, args, state: None },
        })
    }
}

/// Classes of dictionaries, filled after they are made.
const DICTIONARIES: [&str; 4] =
    ["collections.OrderedDict", "collections.defaultdict", "builtins.dict", "collections.Counter"];

/// Bytes that nobody asks for.
fn skipped(_: &[u8]) -> Value {
    Value::Nothing
}

/// A two's complement of any length, little end first.
fn integer(bytes: &[u8]) -> Value {
    let Some((last, _)) = bytes.split_last() else { return Value::Int(0) };
    if bytes.len() > 8 {
        return Value::Nothing;
    }
    let mut whole = [if *last >= 0x80 { 0xff } else { 0 }; 8];
    whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Value::Int(i64::from_le_bytes(whole))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let pair = |pair: &[Id]| match *pair {
        [key, value] => Ok((key, value)),
        _ => Err("a key without a value".to_owned()),
    };
    items.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Pickle, String> {
        read(&mut Bytes::new(bytes))
    }

    #[test]
    fn a_dictionary_of_all_kinds_is_read() {
        // pickle.dumps({"a": (1, -2, 300, 2**40), "b": [None, True, 0.5], "c": (7,)}, p) for p = 2 and 4.
        let two =
            b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01(K\x01J\xfe\xff\xff\xffM,\x01\x8a\x06\x00\x00\x00\x00\x00\x01\
            tq\x02X\x01\x00\x00\x00bq\x03]q\x04(N\x88G?\xe0\x00\x00\x00\x00\x00\x00e\
            X\x01\x00\x00\x00cq\x05K\x07\x85q\x06u.";
        let four = b"\x80\x04\x95<\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94(K\x01J\xfe\xff\xff\xffM,\x01\
            \x8a\x06\x00\x00\x00\x00\x00\x01t\x94\x8c\x01b\x94]\x94(N\x88G?\xe0\x00\x00\x00\x00\x00\x00e\
            \x8c\x01c\x94K\x07\x85\x94u.";
        for bytes in [&two[..], &four[..]] {
            let pickle = of(bytes).unwrap();
            let items = |key: &str| pickle.items(pickle.entry(pickle.root(), key).unwrap()).unwrap();
            let numbers: Vec<&Value> = items("a").iter().map(|id| pickle.get(*id)).collect();
            assert_eq!(numbers, [&Value::Int(1), &Value::Int(-2), &Value::Int(300), &Value::Int(1 << 40)]);
            let others: Vec<&Value> = items("b").iter().map(|id| pickle.get(*id)).collect();
            assert_eq!(others, [&Value::Nothing, &Value::Bool(true), &Value::Float(0.5)]);
            assert_eq!(pickle.counts(pickle.entry(pickle.root(), "c").unwrap()), Some(vec![7]));
        }
    }

    #[test]
    fn what_would_be_called_is_only_named() {
        let pickle = of(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.").unwrap();
        let Value::Object { callable, args, .. } = pickle.get(pickle.root()) else { panic!("no object") };
        assert_eq!(pickle.get(*callable), &Value::Global("posix.system".into()));
        assert_eq!(pickle.text(pickle.items(*args).unwrap()[0]), Some("true"));
    }

    #[test]
    fn nonsense_is_an_error_with_its_place() {
        for (bytes, says) in [
            (&b""[..], "byte 0: ends"),
            (b"\x80", "ends"),
            (b"\x80\x02X\xff\xff\xff\xffab", "byte 2: ends"),
            (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "ends"),
            (b"R.", "the stack is empty"),
            (b"t.", "no mark"),
            (b"(0.", "the stack is empty"),
            (b"K\x01(0t.", "a mark above the stack"),
            (b"h\x05.", "never noted"),
            (b"}K\x01a.", "no list"),
            (b"]K\x01K\x02s.", "no dictionary"),
            (b"}(K\x01u.", "a key without a value"),
            (b"K\x01\x85K\x02\x93.", "no string"),
            (b"cposix", "a line without an end"),
            (b"S'x'\n.", "none that PyTorch writes"),
            (b".", "the stack is empty"),
        ] {
            let error = of(bytes).unwrap_err();
            assert!(error.contains(says), "{bytes:?}: {error}");
        }
        // Deep and shared values take no more than their bytes.
        let deep = [&b")"[..], &[0x85; 1_000_000], b"."].concat();
        assert!(of(&deep).is_ok());
    }
}
