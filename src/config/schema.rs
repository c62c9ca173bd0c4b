//! What configuration structs declare about themselves, and how a section is read into them.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// One key as `ebm explain` and `ebm init` show it.
#[derive(Clone, Debug, Serialize)]
pub struct KeyDoc {
    /// The key, as written in TOML.
    pub name: String,
    /// Its Rust type, as a hint to the reader: `usize`, `f64`, `[f64; 2]`.
    pub kind: String,
    /// Its documentation, one paragraph.
    pub doc: String,
    /// The value when the key is left out.
    pub default: toml::Value,
}

/// A sub-section that selects a row of another registry by its own `name`, such as `[method.critic]`.
#[derive(Clone, Copy)]
pub struct SubSection {
    /// The key of the sub-section.
    pub key: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// The row taken when `name` is left out.
    pub default: &'static str,
    /// The rows that can be named.
    pub rows: fn() -> Vec<(&'static str, Schema)>,
}

/// A struct that is one section (or a share of one) of the configuration file. Declare it with
/// [`config!`](macro@crate::config).
pub trait Config: Default + Serialize + DeserializeOwned {
    /// (key, type, documentation) of every plain key, in order of declaration.
    const KEYS: &'static [(&'static str, &'static str, &'static str)];

    /// The plain keys of which a run may go on with another value.
    const MAY_CHANGE: &'static [&'static str];

    /// The sub-sections that select rows of other registries.
    fn parts() -> Vec<SubSection> {
        Vec::new()
    }

    /// Every value that is out of range: (key, the rest of the sentence).
    fn check(&self) -> Vec<(&'static str, String)>;

    /// Tells every part the key that it stands under.
    fn place_parts(&mut self) {}

    /// The plain keys with their defaults.
    fn docs() -> Vec<KeyDoc> {
        let defaults = to_table(&Self::default());
        let row = |&(name, kind, doc): &(&str, &str, &str)| KeyDoc {
            name: name.into(),
            kind: kind.into(),
            doc: doc.trim().into(),
            default: defaults.get(name).cloned().unwrap_or_else(|| toml::Value::String(String::new())),
        };
        Self::KEYS.iter().map(row).collect()
    }
}

/// The section completed with defaults, or all that is wrong as (path below the section, what).
pub type Decoded = std::result::Result<toml::Table, Vec<(String, String)>>;

/// What one struct contributes to a section.
#[derive(Clone, Copy)]
pub struct Share {
    names: &'static [(&'static str, &'static str, &'static str)],
    may_change: &'static [&'static str],
    keys: fn() -> Vec<KeyDoc>,
    parts: fn() -> Vec<SubSection>,
    defaults: fn() -> toml::Table,
    decode: fn(toml::Table) -> Decoded,
}

impl Share {
    const fn of<C: Config>() -> Self {
        Share {
            names: C::KEYS,
            may_change: C::MAY_CHANGE,
            keys: C::docs,
            parts: C::parts,
            defaults: || to_table(&C::default()),
            decode: complete::<C>,
        }
    }

    const fn changed<C: Config, D: Defaults>() -> Self {
        Share {
            keys: || {
                let mut keys = C::docs();
                let other = D::table();
                keys.iter_mut().for_each(|key| key.default = other.get(&key.name).unwrap_or(&key.default).clone());
                keys
            },
            defaults: || {
                let mut table = to_table(&C::default());
                table.extend(D::table());
                table
            },
            decode: |table| {
                let mut whole = D::table();
                whole.extend(table);
                complete::<C>(whole)
            },
            ..Share::of::<C>()
        }
    }

    /// The entries of `table` that belong to this struct.
    fn of_table(&self, table: &toml::Table) -> toml::Table {
        let parts = (self.parts)();
        let mine = |key: &str| self.names.iter().any(|k| k.0 == key) || parts.iter().any(|p| p.key == key);
        table.iter().filter(|(key, _)| mine(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// The type that a section is read into: one [`Config`] struct, or a tuple of those whose keys stand side by side in
/// it, such as a sampler's own keys and `steps`, `init` of every chain.
pub trait Keys: Sized {
    /// What each struct contributes, in order.
    const SHARES: &'static [Share];

    /// Reads every struct, each from the keys that it declares.
    ///
    /// # Errors
    /// As [`decode`].
    fn read(table: &toml::Table) -> Result<Self>;
}

impl<C: Config> Keys for C {
    const SHARES: &'static [Share] = &[Share::of::<C>()];

    fn read(table: &toml::Table) -> Result<Self> {
        let own = Share::of::<C>().of_table(table);
        // A part that is not there would be taken for its default, whatever was written.
        if let Some(part) = C::parts().iter().find(|part| !own.contains_key(part.key)) {
            return Err(Error::config(format!("`{}` is missing: a resolved section has it", part.key)).at(part.key));
        }
        let mut config: C = own.try_into().map_err(|e| Error::config(e.to_string().trim_end()))?;
        config.place_parts();
        match config.check().first() {
            None => Ok(config),
            Some((key, what)) => Err(Error::config(format!("`{key}` {what}")).at(*key)),
        }
    }
}

macro_rules! keys_of_tuple {
    ($($C:ident)+) => {
        impl<$($C: Config),+> Keys for ($($C,)+) {
            const SHARES: &'static [Share] = &[$(Share::of::<$C>()),+];

            fn read(table: &toml::Table) -> Result<Self> {
                Ok(($($C::read(table)?,)+))
            }
        }
    };
}
keys_of_tuple!(A B);
keys_of_tuple!(A B C);
keys_of_tuple!(A B C D);
keys_of_tuple!(A B C D E);

/// Reads a struct, or a tuple of structs, from a resolved table: each takes the keys that it declares and leaves the
/// others.
///
/// # Errors
/// A value of the wrong type or out of range, a part that is missing. Tables that the resolver made have none of
/// these; those out of a hand-edited checkpoint may.
pub fn decode<K: Keys>(table: &toml::Table) -> Result<K> {
    K::read(table)
}

/// The keys that a section may have, with what is needed to check and to complete it.
#[derive(Clone, Copy)]
pub struct Schema {
    shares: &'static [Share],
}

impl Schema {
    /// The schema of one struct, or of a tuple of structs that share one section.
    pub const fn of<K: Keys>() -> Self {
        Schema { shares: K::SHARES }
    }

    /// The schema of one struct with some other defaults, for a part whose experiment has others than the row itself.
    pub const fn changed<C: Config, D: Defaults>() -> Self {
        Schema { shares: Changed::<C, D>::SHARES }
    }

    /// The plain keys, documented.
    pub fn keys(&self) -> Vec<KeyDoc> {
        self.shares.iter().flat_map(|share| (share.keys)()).collect()
    }

    /// Whether a run may go on with another value of a plain key.
    pub fn may_change(&self, key: &str) -> bool {
        self.shares.iter().any(|share| share.may_change.contains(&key))
    }

    /// The sub-sections that name rows of other registries.
    pub fn parts(&self) -> Vec<SubSection> {
        self.shares.iter().flat_map(|share| (share.parts)()).collect()
    }

    /// The section when nothing is written (without `name`).
    pub fn defaults(&self) -> toml::Table {
        self.shares.iter().flat_map(|share| (share.defaults)()).collect()
    }

    /// The plain keys checked and completed with defaults.
    ///
    /// # Errors
    /// Everything that is wrong, in all structs.
    pub fn decode(&self, table: &toml::Table) -> Decoded {
        let (mut whole, mut wrong) = (toml::Table::new(), Vec::new());
        for share in self.shares {
            match (share.decode)(share.of_table(table)) {
                Ok(completed) => whole.extend(completed),
                Err(found) => wrong.extend(found),
            }
        }
        if wrong.is_empty() { Ok(whole) } else { Err(wrong) }
    }
}

/// Defaults that replace those of a struct, for [`Schema::changed`].
pub trait Defaults {
    /// The keys that differ.
    fn table() -> toml::Table;
}

/// C with the defaults of D.
struct Changed<C, D>(std::marker::PhantomData<(C, D)>);

impl<C: Config, D: Defaults> Changed<C, D> {
    const SHARES: &'static [Share] = &[Share::changed::<C, D>()];
}

/// A configuration struct as a table. Infallible in practice: `config!` structs hold plain values only.
pub(super) fn to_table<C: Config>(config: &C) -> toml::Table {
    toml::Table::try_from(config).unwrap_or_default()
}

/// Decodes again and again without the key that was refused, so that all mistakes are found at once.
///
/// A default that breaks its own rule is how a key is made obligatory: it is refused where nothing is written.
fn complete<C: Config>(mut table: toml::Table) -> Decoded {
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
