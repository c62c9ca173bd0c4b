//! Tokens to an expression: `or` of `and` of `not` of comparisons.

use std::ops::Range;

use super::lexer::{Token, Wrong, tokens};
use super::{Comparison, Expression};
use crate::config::nearest;

/// Parentheses and `not`s inside each other at most.
const DEEPEST: usize = 64;

const EXAMPLE: &str = "write for example `method=vera and test_ll>-40`";

/// The words that join comparisons.
const KEYWORDS: [&str; 3] = ["and", "or", "not"];

struct Parser {
    tokens: Vec<(Token, Range<usize>)>,
    next: usize,
    /// Where the text ends.
    end: usize,
    depth: usize,
}

/// The expression that `text` is.
pub(super) fn parse(text: &str) -> Result<Expression, Wrong> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.trim_end().len(), depth: 0 };
    let expression = parser.any()?;
    let Some((token, place)) = parser.tokens.get(parser.next) else { return Ok(expression) };
    Err(match token {
        Token::Close => (place.clone(), "a `)` without its `(`".to_owned(), None),
        Token::Word { text, quoted: false } if nearest(text, &KEYWORDS).is_some() => {
            let hint = nearest(text, &KEYWORDS).map(|word| format!("did you mean `{word}`?"));
            (place.clone(), format!("`{text}` joins nothing"), hint)
        }
        _ => {
            let message = "a comparison is complete before this".to_owned();
            (place.clone(), message, Some("join two with `and` or `or`".to_owned()))
        }
    })
}

impl Parser {
    fn any(&mut self) -> Result<Expression, Wrong> {
        let mut parts = vec![self.all()?];
        while self.takes("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, Wrong> {
        let mut parts = vec![self.part()?];
        while self.takes("and") {
            parts.push(self.part()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    /// A comparison, or `not` before one, or an expression in parentheses.
    fn part(&mut self) -> Result<Expression, Wrong> {
        let place = self.place();
        if self.depth == DEEPEST {
            let message = format!("more than {DEEPEST} parentheses and `not`s inside each other");
            return Err((place, message, Some("write it flatter".to_owned())));
        }
        self.depth += 1;
        let part = if self.takes("not") {
            Expression::Not(Box::new(self.part()?))
        } else if self.tokens.get(self.next).is_some_and(|(token, _)| *token == Token::Open) {
            self.next += 1;
            let inside = self.any()?;
            self.close(place)?;
            inside
        } else {
            Expression::Is(self.comparison()?)
        };
        self.depth -= 1;
        Ok(part)
    }

    fn close(&mut self, opened: Range<usize>) -> Result<(), Wrong> {
        match self.tokens.get(self.next) {
            Some((Token::Close, _)) => {
                self.next += 1;
                Ok(())
            }
            Some((_, place)) => {
                let message = "neither `and` nor `or` nor the `)` that is open".to_owned();
                Err((place.clone(), message, Some("join two comparisons with `and` or `or`".to_owned())))
            }
            None => Err((opened, "a `(` without its `)`".to_owned(), None)),
        }
    }

    fn comparison(&mut self) -> Result<Comparison, Wrong> {
        let example = || Some(EXAMPLE.to_owned());
        let name = match self.tokens.get(self.next) {
            Some((Token::Word { text, quoted }, place)) if *quoted || !is_keyword(text) => {
                (text.clone(), place.clone())
            }
            Some((_, place)) => {
                return Err((place.clone(), "no name where a comparison begins".to_owned(), example()));
            }
            None => return Err((self.place(), "a comparison is missing".to_owned(), example())),
        };
        self.next += 1;
        let Some((Token::Operator(operator), _)) = self.tokens.get(self.next) else {
            let message = format!("no comparison behind `{}`", name.0);
            return Err((self.place(), message, Some("compare with = != < <= > >=".to_owned())));
        };
        let operator = *operator;
        self.next += 1;
        let value = match self.tokens.get(self.next) {
            Some((Token::Word { text, quoted }, place)) if *quoted || !is_keyword(text) => {
                (text.clone(), place.clone())
            }
            Some((Token::Word { text, .. }, place)) => {
                let hint = format!("put the value in quotes: \"{text}\"");
                return Err((place.clone(), format!("`{text}` joins comparisons"), Some(hint)));
            }
            _ => return Err((self.place(), format!("no value to compare `{}` with", name.0), example())),
        };
        self.next += 1;
        Ok(Comparison { name, operator, value })
    }

    /// Whether the next token is this keyword, which is passed over then.
    fn takes(&mut self, keyword: &str) -> bool {
        let found = matches!(self.tokens.get(self.next),
            Some((Token::Word { text, quoted: false }, _)) if text == keyword);
        self.next += usize::from(found);
        found
    }

    /// Where the next token is, or where it would be.
    fn place(&self) -> Range<usize> {
        self.tokens.get(self.next).map_or(self.end..self.end, |(_, place)| place.clone())
    }
}

fn is_keyword(text: &str) -> bool {
    KEYWORDS.contains(&text)
}

fn one_or(mut parts: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            several(parts)
        }
        None => several(parts),
    }
}
