//! serde's refusals in the words of a user who has never heard of serde.

use super::suggest;

/// Completes "`key` ...": the sentence and a hint, from what decoding said and the value as written.
pub(super) fn sentence(what: &str, written: Option<&str>) -> (String, Option<String>) {
    let what = what.lines().next().unwrap_or_default();
    let got = written.map(|w| format!(", got {w}")).unwrap_or_default();
    if let Some(rest) = what.strip_prefix("unknown variant ") {
        return variant(rest);
    }
    if what.starts_with("invalid type: ") || what.starts_with("invalid value: ") {
        let expected = what.rsplit_once(", expected ").map_or("something else", |(_, expected)| expected);
        return (format!("must be {}{got}", kind(expected)), None);
    }
    if let Some(rest) = what.strip_prefix("invalid length ") {
        let found = rest.split(',').next().unwrap_or_default();
        let wanted = rest.rsplit_once(" of length ").map(|(_, n)| format!("must be a list of {n} values"));
        return (format!("{}, got {found}", wanted.unwrap_or_else(|| "has too many values".into())), None);
    }
    if what.starts_with("wanted ") || what.starts_with("expected ") {
        return (format!("has the wrong form{got}: {what}"), None);
    }
    (what.to_owned(), None)
}

/// "`swihs`, expected one of `swish`, `relu`".
fn variant(rest: &str) -> (String, Option<String>) {
    let words = quoted_words(rest);
    let (wrong, allowed) = words.split_first().map_or(("", [].as_slice()), |(w, a)| (*w, a));
    (format!("cannot be `{}`", suggest::short(wrong)), suggest::hint(wrong, "values", allowed))
}

/// What stands in backticks.
pub(super) fn quoted_words(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A Rust type in plain words.
fn kind(expected: &str) -> String {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more".into(),
        "isize" | "i64" | "i32" | "i16" | "i8" => "a whole number".into(),
        "f64" | "f32" => "a number".into(),
        "a boolean" => "`true` or `false`".into(),
        "a sequence" => "a list".into(),
        "a map" => "a table".into(),
        "string only" => "a string".into(),
        other => match other.strip_prefix("an array of length ") {
            Some(n) => format!("a list of {n} values"),
            None => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_like_sentences() {
        let say = |what, written| sentence(what, Some(written)).0;
        assert_eq!(
            say("invalid type: string \"a, expected b\", expected usize\nin `x`", "the string \"a, expected b\""),
            "must be a whole number, 0 or more, got the string \"a, expected b\""
        );
        assert_eq!(
            say("invalid length 1, expected an array of length 2", "a list"),
            "must be a list of 2 values, got 1"
        );
        assert_eq!(say("invalid length 3, expected fewer elements in array", "a list"), "has too many values, got 3");
        assert_eq!(say("must be at least 1, got 0", "`0`"), "must be at least 1, got 0");
        let (text, hint) = sentence("unknown variant `swihs`, expected one of `swish`, `relu`", None);
        assert_eq!((text.as_str(), hint.as_deref()), ("cannot be `swihs`", Some("did you mean `swish`?")));
    }
}
