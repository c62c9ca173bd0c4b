//! What a configuration struct declares about itself.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Schema, rule};
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
pub struct Part {
    /// The key of the sub-section.
    pub key: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// The row taken when `name` is left out.
    pub default: &'static str,
    /// The rows that can be named.
    pub rows: fn() -> Vec<(&'static str, Schema)>,
}

/// The resolved content of a [`Part`]: a table with `name` and every key filled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spec(pub toml::Table);

impl Spec {
    /// The registry row that was chosen; empty if the table has no name (resolving never leaves that).
    pub fn name(&self) -> &str {
        self.0.get("name").and_then(toml::Value::as_str).unwrap_or_default()
    }

    /// The part as it is when nothing is written: the default row with its defaults.
    pub fn of_default(part: &Part) -> Self {
        let rows = (part.rows)();
        let mut table = toml::Table::new();
        table.insert("name".into(), part.default.into());
        if let Some((_, schema)) = rows.iter().find(|(name, _)| *name == part.default) {
            table.extend((schema.defaults)());
        }
        Spec(table)
    }
}

/// A struct that is one section (or a share of one) of the configuration file. Declare it with [`config!`](macro@crate::config).
pub trait Config: Default + Serialize + DeserializeOwned {
    /// (key, type, documentation) of every plain key, in order of declaration.
    const KEYS: &'static [(&'static str, &'static str, &'static str)];

    /// The sub-sections that select rows of other registries.
    fn parts() -> Vec<Part> {
        Vec::new()
    }

    /// Every value that is out of range: (key, the rest of the sentence).
    fn check(&self) -> Vec<(&'static str, String)>;

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

/// A configuration struct as a table. Infallible in practice: `config!` structs hold plain values only.
pub(super) fn to_table<C: Config>(config: &C) -> toml::Table {
    toml::Table::try_from(config).unwrap_or_default()
}

/// Reads a struct from a resolved table, taking the keys it declares and leaving the others.
///
/// # Errors
/// A value of the wrong type or out of range. Tables that the resolver made have none; those out of a
/// hand-edited checkpoint may.
pub fn decode<C: Config>(table: &toml::Table) -> Result<C> {
    let parts = C::parts();
    let mine = |key: &str| C::KEYS.iter().any(|k| k.0 == key) || parts.iter().any(|p| p.key == key);
    let own: toml::Table = table.iter().filter(|(k, _)| mine(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let config: C = own.try_into().map_err(|e| Error::Config(format!("error: {}", e.to_string().trim_end())))?;
    match config.check().first() {
        None => Ok(config),
        Some((key, what)) => Err(Error::Config(format!("error: `{key}` {what}"))),
    }
}

/// Runs a rule; here so that the macro needs no type annotations.
#[doc(hidden)]
pub fn verdict<T>(value: &T, rule: impl Fn(&T) -> rule::Verdict) -> rule::Verdict {
    rule(value)
}

/// Declares a configuration struct: documentation, type, default and range of each key, once.
///
/// ```
/// ebm::config! {
///     /// Keys of the method.
///     pub struct Lsd {
///         /// Critic updates for each model update.
///         critic_steps: usize = 5, ebm::config::rule::at_least(1);
///         /// Weight of the penalty on |f|².
///         lambda: f64 = 10.0, ebm::config::rule::positive;
///     }
///     parts {
///         // critic: "mlp" of crate::nets::schemas;
///     }
/// }
/// assert_eq!(Lsd::default().critic_steps, 5);
/// ```
#[macro_export]
macro_rules! config {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident {
            $( $(#[doc = $doc:expr])* $key:ident : $kind:ty = $default:expr $(, $rule:expr)? ; )*
        }
        $(parts { $( $(#[doc = $pdoc:expr])* $pkey:ident : $pdefault:literal of $rows:path ; )* })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default)]
        $vis struct $Name {
            $( $(#[doc = $doc])* pub $key: $kind, )*
            $($( $(#[doc = $pdoc])* pub $pkey: $crate::config::Spec, )*)?
        }

        impl ::std::default::Default for $Name {
            fn default() -> Self {
                Self {
                    $( $key: $default, )*
                    $($( $pkey: $crate::config::Spec::of_default(&$crate::config::Part {
                        key: stringify!($pkey), doc: "", default: $pdefault, rows: $rows,
                    }), )*)?
                }
            }
        }

        impl $crate::config::Config for $Name {
            const KEYS: &'static [(&'static str, &'static str, &'static str)] =
                &[ $( (stringify!($key), stringify!($kind), concat!($($doc),*)), )* ];

            fn parts() -> Vec<$crate::config::Part> {
                vec![ $($( $crate::config::Part {
                    key: stringify!($pkey), doc: concat!($($pdoc),*), default: $pdefault, rows: $rows,
                }, )*)? ]
            }

            fn check(&self) -> Vec<(&'static str, String)> {
                #[allow(unused_mut)]
                let mut complaints = Vec::new();
                $( $( if let Some(what) = $crate::config::verdict(&self.$key, $rule) {
                    complaints.push((stringify!($key), what));
                } )? )*
                complaints
            }
        }
    };
}
