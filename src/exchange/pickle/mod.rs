//! Python's pickles as plain data: what a file describes is read, and nothing of it is ever called.
//!
//! Every value lies in one arena and refers to others by number, so that shared and circular values cost nothing, and a
//! file of n bytes makes at most n values.

mod bytes;
mod machine;

pub use bytes::Bytes;
pub use machine::read;

/// The number of a value in its [`Pickle`].
pub type Id = usize;

/// A value of Python's.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`, and whatever is of no use here: bytes, integers beyond 64 bits.
    Nothing,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// A tuple, a list or a set.
    Items(Vec<Id>),
    /// A dictionary, in order.
    Dict(Vec<(Id, Id)>),
    /// The name of a class or function.
    Global(String),
    /// An object: what would have been called, with which arguments, and the state that would have been set.
    Object {
        /// A [`Value::Global`] in all files of PyTorch.
        callable: Id,
        /// A tuple.
        args: Id,
        /// Usually a dictionary.
        state: Option<Id>,
    },
    /// What the file keeps elsewhere, such as the numbers of a tensor, by its key.
    Persistent(Id),
}

/// A pickle: all of its values, and which of them it stands for.
#[derive(Debug)]
pub struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// The value that the pickle stands for.
    pub fn root(&self) -> Id {
        self.root
    }

    /// The numbers of all values.
    pub fn ids(&self) -> std::ops::Range<Id> {
        0..self.values.len()
    }

    /// The value of a number.
    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::Nothing)
    }

    /// The string of a number, if it is one.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a tuple or a list, if it is one.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Items(items) => Some(items),
            _ => None,
        }
    }

    /// A tuple of counts, if it is one.
    pub fn counts(&self, id: Id) -> Option<Vec<usize>> {
        self.items(id)?.iter().map(|item| self.count(*item)).collect()
    }

    /// A count, if it is one.
    pub fn count(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The entry `key` of a dictionary, if there is one.
    pub fn entry(&self, id: Id, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.get(id) else { return None };
        entries.iter().rev().find(|(k, _)| self.text(*k) == Some(key)).map(|(_, value)| *value)
    }
}
