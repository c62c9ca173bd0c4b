//! "Did you mean": the nearest of the words that are allowed.

/// The allowed word that `wrong` was most likely meant to be.
///
/// Distance is Damerau-Levenshtein on lower-case letters with `-` read as `_`; a third of the letters may be wrong.
pub fn nearest<'a>(wrong: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let wrong = plain(wrong);
    if wrong.chars().count() > 64 {
        return None;
    }
    let distance = |word: &str| strsim::damerau_levenshtein(&wrong, &plain(word));
    let (best, word) = allowed.iter().map(|word| (distance(word), *word)).min_by_key(|(d, _)| *d)?;
    (best <= (wrong.chars().count() / 3).max(1) && best < word.chars().count()).then_some(word)
}

/// The hint for a wrong word: the nearest one, else all that are allowed; `what` they are, in the plural.
pub(super) fn hint(wrong: &str, what: &str, allowed: &[&str]) -> Option<String> {
    match (nearest(wrong, allowed), allowed) {
        (Some(word), _) => Some(format!("did you mean `{word}`?")),
        (None, []) => None,
        (None, all) => Some(format!("known {what}: {}", quoted(all))),
    }
}

/// `a`, `b`, `c`.
pub(super) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// A word of the user's as messages repeat it: at most 60 characters.
pub(super) fn short(word: &str) -> String {
    if word.chars().count() <= 60 { word.to_owned() } else { word.chars().take(60).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_their_word() {
        let keys = ["steps", "step_size", "noise", "lr"];
        for (wrong, right) in [("stpes", "steps"), ("step-size", "step_size"), ("Noise", "noise"), ("l", "lr")] {
            assert_eq!(nearest(wrong, &keys), Some(right));
        }
        for wrong in ["momentum", "", "x", &"s".repeat(100_000)] {
            assert_eq!(nearest(wrong, &keys), None, "{wrong:.20}");
        }
    }
}
