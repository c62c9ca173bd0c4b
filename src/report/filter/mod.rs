//! Which runs are meant: `method=vera and test_ll>-40`, comparisons joined by `and`, `or`, `not` and parentheses.
//!
//! [`Filter::parse`] reads the expression, [`Filter::check`] holds its names against the runs, [`Filter::holds`] asks
//! it of one. A comparison with what a run does not have is false, and `!=` is `not =`.

mod lexer;
mod parser;

use std::cmp::Ordering;
use std::ops::Range;

use super::facts::{Fact, hint_at_name, is_always_known};
use super::{Run, same};
use crate::config::Problem;
use crate::math::Numeral;
use crate::{Error, Result};

/// As messages name the place of an expression.
const SOURCE: &str = "--filter";

/// An expression that says yes or no of a run.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    expression: Expression,
}

#[derive(Clone, Debug)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Is(Comparison),
}

/// `name op value`, with the places of both words.
#[derive(Clone, Debug)]
struct Comparison {
    name: (String, Range<usize>),
    operator: Operator,
    value: (String, Range<usize>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Operator {
    fn is_order(self) -> bool {
        !matches!(self, Operator::Equal | Operator::Unequal)
    }

    fn fits(self, order: Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::Unequal => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::AtMost => order.is_le(),
            Operator::More => order.is_gt(),
            Operator::AtLeast => order.is_ge(),
        }
    }
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`Error::Config`] with the place of what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |(range, message, hint)| problem(text, range, message, hint);
        let expression = parser::parse(text).map_err(refused)?;
        Ok(Filter { text: text.to_owned(), expression })
    }

    /// The names that it asks for.
    pub fn names(&self) -> Vec<&str> {
        self.expression.comparisons().into_iter().map(|c| c.name.0.as_str()).collect()
    }

    /// Holds the names and values against what the runs have. Nothing is known, and nothing refused, where there are no
    /// runs.
    ///
    /// # Errors
    /// A name that no run has; an order of things that have none, each with its place.
    pub fn check(&self, runs: &[&Run]) -> Result<()> {
        let wrong = |c: &Comparison| c.wrong(runs);
        match self.expression.comparisons().into_iter().find_map(wrong).filter(|_| !runs.is_empty()) {
            Some((range, message, hint)) => Err(problem(&self.text, range, message, Some(hint))),
            None => Ok(()),
        }
    }

    /// Whether it is true of a run.
    pub fn holds(&self, run: &Run) -> bool {
        self.expression.holds(run)
    }
}

fn problem(text: &str, range: Range<usize>, message: String, hint: Option<String>) -> Error {
    Error::from(Problem::in_text(SOURCE, text, range, message, hint))
}

impl Expression {
    fn holds(&self, run: &Run) -> bool {
        match self {
            Expression::All(parts) => parts.iter().all(|part| part.holds(run)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(run)),
            Expression::Not(part) => !part.holds(run),
            Expression::Is(comparison) => comparison.holds(run),
        }
    }

    fn comparisons(&self) -> Vec<&Comparison> {
        match self {
            Expression::All(parts) | Expression::Any(parts) => parts.iter().flat_map(Self::comparisons).collect(),
            Expression::Not(part) => part.comparisons(),
            Expression::Is(comparison) => vec![comparison],
        }
    }
}

impl Comparison {
    fn holds(&self, run: &Run) -> bool {
        let (value, operator) = (self.value.0.as_str(), self.operator);
        let fact = run.fact(&self.name.0);
        match (operator, fact) {
            (Operator::Equal, fact) => fact.is_some_and(|fact| fact.is(value)),
            (Operator::Unequal, fact) => !fact.is_some_and(|fact| fact.is(value)),
            (_, None | Some(Fact::Words(_))) => false,
            (_, Some(Fact::Number(number))) => {
                let order = value.parse().ok().and_then(|value: f64| number.partial_cmp(&value));
                order.is_some_and(|order| operator.fits(order))
            }
            (_, Some(Fact::Text(text))) => match (Numeral::parse(&text), Numeral::parse(value)) {
                (Some(a), Some(b)) => operator.fits(a.cmp(&b)),
                (None, None) => operator.fits(text.as_ref().cmp(value)),
                _ => false,
            },
        }
    }

    /// What is wrong with it on these runs, where, and a hint.
    fn wrong(&self, runs: &[&Run]) -> Option<(Range<usize>, String, String)> {
        let (name, place) = &self.name;
        let facts: Vec<Fact<'_>> = runs.iter().filter_map(|run| run.fact(name)).collect();
        if facts.is_empty() && !is_always_known(name) {
            return Some((place.clone(), format!("no run has `{name}`"), hint_at_name(name, runs)));
        }
        if !self.operator.is_order() || facts.is_empty() {
            return None;
        }
        let numeric = |fact: &Fact<'_>| match fact {
            Fact::Number(_) => true,
            Fact::Text(text) => Numeral::parse(text).is_some(),
            Fact::Words(_) => false,
        };
        let (value, at) = &self.value;
        let words = |fact: &Fact<'_>| matches!(fact, Fact::Words(_));
        if facts.iter().all(words) {
            let hint = format!("`{name} = WORD` asks for one of them, `{name} != WORD` for none such");
            return Some((place.clone(), format!("`{name}` are words, which are neither more nor less"), hint));
        }
        match (facts.iter().any(numeric), Numeral::parse(value).is_some()) {
            (true, false) if facts.iter().all(numeric) => {
                Some((at.clone(), format!("`{name}` is a number, and `{value}` is none"), "write a number".to_owned()))
            }
            (false, true) => {
                let hint = format!("`{name} = {}` is true of some run", facts.first().map(Fact::text)?);
                Some((place.clone(), format!("`{name}` is no number in any run"), hint))
            }
            _ => None,
        }
    }
}

impl Fact<'_> {
    /// Whether it is this value: the same number however it is written, the same word, the same list; one of several
    /// words. `nan` is what is not a number.
    fn is(&self, value: &str) -> bool {
        match self {
            Fact::Number(number) => match value.parse::<f64>() {
                Ok(value) => *number == value || (number.is_nan() && value.is_nan()),
                Err(_) => false,
            },
            Fact::Text(text) if value.starts_with('[') => {
                let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != '"').collect::<String>();
                plain(text) == plain(value)
            }
            Fact::Text(text) => same(text, value),
            Fact::Words(words) => words.contains(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, metrics: &[(&str, f64)], tags: &[&str]) -> Run {
        let mut run = Run::written("runs/a-1", text);
        run.last = metrics.iter().copied().collect();
        run.remarks.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        run
    }

    fn two() -> Vec<Run> {
        let text = "seed = 3\n[method]\nname = \"vera\"\nlambda = 0.5\n[model.net]\nhidden = [300, 300]\n";
        let other = "seed = 9007199254740993\n[method]\nname = \"lsd\"\n[dataset]\nname = \"two words\"\n";
        vec![run(text, &[("test_ll", -39.5), ("a/b-c", f64::NAN)], &["best"]), run(other, &[("test_ll", -41.0)], &[])]
    }

    fn chosen(text: &str) -> String {
        let both = two();
        let runs: Vec<&Run> = both.iter().collect();
        let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        filter.check(&runs).unwrap_or_else(|e| panic!("{text}: {e}"));
        runs.iter().map(|run| if filter.holds(run) { '1' } else { '0' }).collect()
    }

    #[test]
    fn comparisons_ask_keys_numbers_and_tags() {
        for (text, says) in [
            ("method=vera", "10"),
            ("method.name = 'vera'", "10"),
            ("method != vera", "01"),
            ("test_ll>-40", "10"),
            ("test_ll <= -41", "01"),
            ("test_ll = -4.1e1", "01"),
            ("method.lambda = 5e-1", "10"),
            ("method.lambda != 0.5", "01"),
            ("method.lambda > 0.1", "10"),
            ("seed >= 9007199254740993", "01"),
            ("seed > 9007199254740992", "01"),
            ("dataset = \"two words\"", "01"),
            ("model.net.hidden = [300,300]", "10"),
            ("tags = best", "10"),
            ("tags != best", "01"),
            ("a/b-c = nan", "10"),
            ("a/b-c > 0", "00"),
            ("not a/b-c > 0", "11"),
            ("name = a-1", "11"),
            ("name < b", "11"),
            ("status = finished", "11"),
            ("tags = other", "00"),
        ] {
            assert_eq!(chosen(text), says, "{text}");
        }
    }

    #[test]
    fn and_binds_more_than_or_and_not_more_than_both() {
        for (text, says) in [
            ("method=vera and test_ll>-40", "10"),
            ("method=lsd or method=vera and test_ll>0", "01"),
            ("(method=lsd or method=vera) and test_ll>-40", "10"),
            ("not method=vera and test_ll<0", "01"),
            ("not (method=vera or method=lsd)", "00"),
            ("not not method=vera", "10"),
            (" ( ( method=vera ) ) ", "10"),
            ("method=vera or method=lsd or seed=3", "11"),
        ] {
            assert_eq!(chosen(text), says, "{text}");
        }
    }

    #[test]
    fn what_no_run_has_is_refused_at_its_place() {
        let both = two();
        let runs: Vec<&Run> = both.iter().collect();
        for (text, column, says) in [
            ("method=vera and tset_ll>-40", 17, "did you mean `test_ll`?"),
            ("metod=vera", 1, "did you mean `method`?"),
            ("not (seed=3 or method.lamda=1)", 16, "did you mean `method.lambda`?"),
            ("amari<1", 1, "the probe `amari` reports it"),
            ("test_ll > good", 11, "write a number"),
            ("method > 3", 1, "no number in any run"),
            ("tags < best", 1, "tags = WORD"),
        ] {
            let error = Filter::parse(text).unwrap().check(&runs).unwrap_err();
            let said = error.to_string();
            assert_eq!(error.exit_code(), 2);
            assert!(said.contains(&format!("--filter:1:{column}\n")) && said.contains(says), "{text}: {said}");
            assert!(Filter::parse(text).unwrap().check(&[]).is_ok(), "nothing is known of no runs");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_at_its_place() {
        for (text, column, says) in [
            ("", 1, "a comparison is missing"),
            ("method", 7, "comparison"),
            ("method=", 8, "value"),
            ("method==vera", 7, "`=`"),
            ("method=vera and", 16, "comparison"),
            ("method=vera && seed=1", 13, "`and`"),
            ("method=vera || seed=1", 13, "`or`"),
            ("!(seed=1)", 1, "`not`"),
            ("method=vera AND seed=1", 13, "`and`"),
            ("method=vera seed=1", 13, "`and`"),
            ("(method=vera", 1, "`)`"),
            ("method=vera)", 12, "`(`"),
            ("method='vera", 8, "quote"),
            ("hidden=[1, 2", 8, "`]`"),
            ("=3", 1, "name"),
            ("seed=and", 6, "quote"),
            ("1 < seed < 3", 10, "`and`"),
        ] {
            let said = Filter::parse(text).unwrap_err().to_string();
            assert!(said.contains(&format!("--filter:1:{column}\n")) && said.contains(says), "{text}: {said}");
        }
    }

    #[test]
    fn no_expression_is_too_deep_or_too_odd_to_be_refused() {
        for text in ["(".repeat(100_000), "not ".repeat(100_000), "a=1 or ".repeat(10_000), "é='\u{1b}[2J".to_owned()]
        {
            assert!(Filter::parse(&text).is_err());
        }
        assert_eq!(chosen(&format!("seed=3{}", " or seed=3".repeat(10_000))), "10");
        let words = ["seed", "=", "3", "(", ")", "and", "or", "not", "'", "[", "<", "!", "é", "&", "\u{202e}"];
        let mut state = 1u64;
        for _ in 0..3000 {
            let mut text = String::new();
            for _ in 0..8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text += words[(state >> 33) as usize % words.len()];
                text += if state >> 40 & 1 == 0 { " " } else { "" };
            }
            if let Ok(filter) = Filter::parse(&text) {
                let _ = filter.check(&two().iter().collect::<Vec<_>>());
            }
        }
    }
}
