//! What many runs say together: means over repeats with their error, as tables and figures for papers.
//!
//! [`read`] finds runs, [`observe`] takes the asked numbers out of them, [`compare`] groups and summarises,
//! [`Tables`] writes the result down and [`plot`] draws it. Nothing is dropped silently: runs that diverged, failed or
//! did not finish, and values that are not finite, are counted beside every mean.

mod alike;
mod apart;
mod baseline;
mod compare;
mod difference;
mod facts;
mod filter;
mod found;
mod goal;
mod group;
mod json;
mod number;
mod observe;
mod page;
mod plot;
mod published;
mod render;
mod request;
mod source;
mod summary;
mod table;
mod thin;

pub use compare::{Comparison, GroupMetric, GroupRow, compare};
pub use facts::{Fact, hint_at_name, missing};
pub use filter::Filter;
pub use goal::{Choice, Goal};
pub use number::{ErrorKind, Flavour};
pub use observe::{At, Observation, metric_names, observe};
pub use page::page;
pub use plot::{Correlation, Drawing, correlations, plot};
pub use render::{Format, csv};
pub use request::Request;
pub use source::{Run, read};
pub use summary::{Interval, Summary, Tally};
pub use table::Tables;
pub use thin::thin;

use crate::Error;
use crate::config::nearest;
use crate::math::Numeral;

/// Whether two written values mean the same: `0.001` and `1e-3`, but not `ml` and `ML`.
fn same(a: &str, b: &str) -> bool {
    a == b || Numeral::parse(a).is_some_and(|number| Some(number) == Numeral::parse(b))
}

/// The place of a written value in an order: numbers by size and before words, words by the alphabet.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank<'a> {
    Number(Numeral),
    Word(&'a str),
}

impl<'a> Rank<'a> {
    fn of(text: &'a str) -> Self {
        Numeral::parse(text).map_or(Rank::Word(text), Rank::Number)
    }
}

/// A word on the command line that nothing answers to: the nearest one, or all there are (at most 30).
fn unknown(what: &str, wrong: &str, known: &[String]) -> Error {
    let words: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = match nearest(wrong, &words) {
        Some(word) => format!("did you mean `{word}`?"),
        None if words.is_empty() => "there are none: did the runs log anything?".into(),
        None => {
            let shown: Vec<_> = words.iter().take(30).map(|word| format!("`{word}`")).collect();
            let more = if words.len() > 30 { ", …" } else { "" };
            format!("there are {}{more}", shown.join(", "))
        }
    };
    refusal(&format!("no run has the {what} `{wrong}`"), &hint)
}

/// A question that cannot be answered as it was put: exit code 2.
fn refusal(message: &str, hint: &str) -> Error {
    Error::config(message).hint(hint)
}
