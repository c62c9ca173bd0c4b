//! Registries: a new method, sampler, data set, layer or probe is one file and one row.

use serde::Serialize;

use super::{Config, KeyDoc, Part, schema::to_table};
use crate::metrics::Number;

/// What every row of every registry says about itself.
#[derive(Clone, Copy, Serialize)]
pub struct Head {
    /// What the configuration says: `name = "lsd"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    #[serde(skip)]
    pub schema: Schema,
    /// The numbers that it reports while training; empty for rows that report none.
    pub numbers: &'static [Number],
}

/// A row of a registry. How it is built, and what else a registry asks of its rows, are fields of the implementor.
pub trait Row {
    /// What the row says about itself.
    fn head(&self) -> Head;
}

/// The row called `name`.
pub fn find<'a, R: Row>(rows: &'a [R], name: &str) -> Option<&'a R> {
    rows.iter().find(|row| row.head().name == name)
}

/// Name and keys of every row, as a section's `name` selects them.
pub fn schemas<R: Row>(rows: &[R]) -> Vec<(&'static str, Schema)> {
    rows.iter().map(|row| (row.head().name, row.head().schema)).collect()
}

/// A row that has nothing beside a constructor, of type `B`.
#[derive(Clone, Copy)]
pub struct Entry<B> {
    /// What the configuration says: `name = "lsd"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    pub schema: Schema,
    /// Makes it from a resolved table.
    pub build: B,
}

impl<B> Row for Entry<B> {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: &[] }
    }
}

/// The section completed with defaults, or all that is wrong as (path below the section, what).
pub type Decoded = Result<toml::Table, Vec<(String, String)>>;

/// The keys that a section may have, with what is needed to check and to complete it.
#[derive(Clone, Copy)]
pub struct Schema {
    /// The plain keys, documented.
    pub keys: fn() -> Vec<KeyDoc>,
    /// The sub-sections that name rows of other registries.
    pub parts: fn() -> Vec<Part>,
    /// The section when nothing is written (without `name`).
    pub defaults: fn() -> toml::Table,
    /// Decodes the plain keys.
    pub decode: fn(toml::Table) -> Decoded,
}

impl Schema {
    /// The schema of one struct.
    pub const fn of<C: Config>() -> Self {
        Schema { keys: C::docs, parts: C::parts, defaults: || to_table(&C::default()), decode: decode_one::<C> }
    }

    /// The schema of one struct with some other defaults, for a part whose experiment has others than the row itself.
    pub const fn changed<C: Config, D: Defaults>() -> Self {
        Schema {
            keys: || {
                let mut keys = C::docs();
                let other = D::table();
                keys.iter_mut().for_each(|key| key.default = other.get(&key.name).unwrap_or(&key.default).clone());
                keys
            },
            parts: C::parts,
            defaults: || {
                let mut table = to_table(&C::default());
                table.extend(D::table());
                table
            },
            decode: |table| {
                let mut whole = D::table();
                whole.extend(table);
                decode_one::<C>(whole)
            },
        }
    }

    /// [`Schema::joined`] of three.
    pub const fn joined3<A: Config, B: Config, C: Config>() -> Self {
        Schema {
            keys: || [A::docs(), B::docs(), C::docs()].concat(),
            parts: || [A::parts(), B::parts(), C::parts()].concat(),
            defaults: || {
                let mut table = (Schema::joined::<A, B>().defaults)();
                table.extend(to_table(&C::default()));
                table
            },
            decode: |table| {
                let (c, rest) = split::<C>(table);
                merge((Schema::joined::<A, B>().decode)(rest), decode_one::<C>(c))
            },
        }
    }

    /// The schema of two structs that share one section, such as a sampler's own keys and `steps`, `init` of every chain.
    pub const fn joined<A: Config, B: Config>() -> Self {
        Schema {
            keys: || [A::docs(), B::docs()].concat(),
            parts: || [A::parts(), B::parts()].concat(),
            defaults: || {
                let mut table = to_table(&A::default());
                table.extend(to_table(&B::default()));
                table
            },
            decode: |table| {
                let (a, b) = split::<A>(table);
                merge(decode_one::<A>(a), decode_one::<B>(b))
            },
        }
    }
}

/// Defaults that replace those of a struct, for [`Schema::changed`].
pub trait Defaults {
    /// The keys that differ.
    fn table() -> toml::Table;
}

fn split<A: Config>(table: toml::Table) -> (toml::Table, toml::Table) {
    let parts = A::parts();
    table.into_iter().partition(|(k, _)| A::KEYS.iter().any(|row| row.0 == k) || parts.iter().any(|p| p.key == k))
}

fn merge(a: Decoded, b: Decoded) -> Decoded {
    match (a, b) {
        (Ok(mut a), Ok(b)) => {
            a.extend(b);
            Ok(a)
        }
        (Err(mut a), Err(b)) => {
            a.extend(b);
            Err(a)
        }
        (Err(e), Ok(_)) | (Ok(_), Err(e)) => Err(e),
    }
}

/// Decodes again and again without the key that was refused, so that all mistakes are found at once.
///
/// A default that breaks its own rule is how a key is made obligatory: it is refused where nothing is written.
fn decode_one<C: Config>(mut table: toml::Table) -> Decoded {
    let mut wrong: Vec<(String, String)> = Vec::new();
    let mut removed = Vec::new();
    loop {
        match serde_path_to_error::deserialize::<_, C>(toml::Value::Table(table.clone())) {
            Ok(config) => {
                let complaints = config.check().into_iter().map(|(key, what)| (key.to_owned(), what));
                wrong.extend(complaints.filter(|(key, _)| !removed.contains(key)));
                return if wrong.is_empty() { Ok(to_table(&config)) } else { Err(wrong) };
            }
            Err(error) => {
                let path = error.path().to_string();
                let key = path.split(['.', '[']).next().unwrap_or_default().to_owned();
                wrong.push((path, error.into_inner().to_string().trim_end().to_owned()));
                if table.remove(&key).is_none() {
                    return Err(wrong);
                }
                removed.push(key);
            }
        }
    }
}
