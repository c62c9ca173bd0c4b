//! [`config!`](macro@crate::config): a configuration struct with its documentation, defaults and ranges in one place.

use super::rule;

/// Runs a rule; here so that the macro needs no type annotations.
#[doc(hidden)]
pub fn verdict<T>(value: &T, rule: impl Fn(&T) -> rule::Complaint) -> rule::Complaint {
    rule(value)
}

/// Declares a configuration struct: documentation, type, default and range of each key, once. `[may_change]` before a
/// key says that a run may go on with another value of it, since no training step depends on it.
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
    (@may_change $key:ident) => { stringify!($key) };
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident {
            $( $(#[doc = $doc:expr])* $([$mark:ident])? $key:ident : $kind:ty = $default:expr $(, $rule:expr)? ; )*
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
                    $($( $pkey: $crate::config::Spec::of_default(&$crate::config::SubSection {
                        key: stringify!($pkey), doc: "", default: $pdefault, rows: $rows,
                    }), )*)?
                }
            }
        }

        impl $crate::config::Config for $Name {
            const KEYS: &'static [(&'static str, &'static str, &'static str)] =
                &[ $( (stringify!($key), stringify!($kind), concat!($($doc),*)), )* ];

            const MAY_CHANGE: &'static [&'static str] = &[ $( $( $crate::config!(@$mark $key), )? )* ];

            fn parts() -> Vec<$crate::config::SubSection> {
                vec![ $($( $crate::config::SubSection {
                    key: stringify!($pkey), doc: concat!($($pdoc),*), default: $pdefault, rows: $rows,
                }, )*)? ]
            }

            fn place_parts(&mut self) {
                $($( self.$pkey.place(stringify!($pkey)); )*)?
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
