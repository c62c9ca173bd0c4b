//! The words of an expression, each with its place.

use std::ops::Range;

use super::Operator;

/// What is wrong, where, and a hint.
pub(super) type Wrong = (Range<usize>, String, Option<String>);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    Operator(Operator),
    /// A name or a value; quoted ones are no keyword.
    Word {
        text: String,
        quoted: bool,
    },
}

/// Operators, the longer one before its beginning.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::Unequal),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::More),
];

/// What others write, and what it is here.
const FOREIGN: [(&str, &str); 6] = [("==", "="), ("&&", "and"), ("||", "or"), ("&", "and"), ("|", "or"), ("!", "not")];

/// Every token of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Wrong> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let blank = rest.len() - rest.trim_start().len();
        if blank > 0 {
            at += blank;
            continue;
        }
        let (token, length) = token(rest, at)?;
        found.push((token, at..at + length));
        at += length;
    }
    Ok(found)
}

/// The token that `rest` begins with, and its length in bytes.
fn token(rest: &str, at: usize) -> Result<(Token, usize), Wrong> {
    let operator = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign));
    let foreign = FOREIGN.iter().find(|(sign, _)| rest.starts_with(sign));
    match (rest.chars().next(), operator, foreign) {
        (Some('('), ..) => Ok((Token::Open, 1)),
        (Some(')'), ..) => Ok((Token::Close, 1)),
        (Some(quote @ ('"' | '\'')), ..) => quoted(rest, at, quote),
        (Some('['), ..) => list(rest, at),
        (_, Some((sign, operator)), _) if !rest.starts_with("==") => Ok((Token::Operator(*operator), sign.len())),
        (.., Some((sign, ours))) => {
            let place = at..at + sign.len();
            Err((place, format!("`{sign}` is no part of a filter"), Some(format!("write `{ours}`"))))
        }
        _ => {
            let ends = |c: char| c.is_whitespace() || "()=!<>\"'[]&|".contains(c);
            match rest.find(ends).unwrap_or(rest.len()) {
                0 => Err((at..at + 1, "a `]` without its `[`".to_owned(), None)),
                length => Ok((word(rest.get(..length).unwrap_or_default(), false), length)),
            }
        }
    }
}

fn word(text: &str, quoted: bool) -> Token {
    Token::Word { text: text.to_owned(), quoted }
}

fn quoted(rest: &str, at: usize, quote: char) -> Result<(Token, usize), Wrong> {
    let inside = rest.get(1..).unwrap_or_default();
    match inside.split_once(quote) {
        Some((text, _)) => Ok((word(text, true), text.len() + 2)),
        None => Err((at..at + rest.len(), format!("a quote without its end, which is {quote}"), None)),
    }
}

/// `[300, 300]`, up to the bracket that ends it.
fn list(rest: &str, at: usize) -> Result<(Token, usize), Wrong> {
    let mut depth = 0usize;
    for (i, c) in rest.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let text = rest.get(..=i).unwrap_or_default();
            return Ok((word(text, true), text.len()));
        }
    }
    Err((at..at + rest.len(), "a list without its `]`".to_owned(), None))
}
