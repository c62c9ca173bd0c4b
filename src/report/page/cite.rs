//! The sources of what a configuration names, as BibTeX.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Serialize;

use super::super::source::Run;
use crate::config::{Row, find};
use crate::{data, density, methods, probes, samplers};

/// One source.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Source {
    /// The sections that name it: `method lsd`.
    used: Vec<String>,
    /// As the registry writes it.
    text: String,
    bibtex: String,
    #[serde(skip)]
    arxiv: Option<String>,
}

/// The sources of the methods, models, samplers, data sets and probes of `runs`, each once.
pub(super) fn sources(runs: &[Run]) -> Vec<Source> {
    let mut rows: BTreeMap<(&str, &str), &'static str> = BTreeMap::new();
    for (key, value) in runs.iter().flat_map(Run::keys) {
        let Some(section) = key.strip_suffix(".name") else { continue };
        let kind = section.split(['.', '[']).next().unwrap_or_default();
        let cite = match kind {
            "method" if section == kind => cite(methods::METHODS, value),
            "model" if section == kind => cite(density::MODELS, value),
            "dataset" if section == kind => cite(data::DATASETS, value),
            "sampler" => cite(samplers::SAMPLERS, value),
            "probe" => cite(probes::PROBES, value),
            _ => None,
        };
        rows.extend(cite.map(|cite| ((kind, value), cite)));
    }
    let mut sources: Vec<Source> = Vec::new();
    for ((kind, name), cite) in rows {
        for text in pieces(cite) {
            add(&mut sources, format!("{kind} {name}"), text);
        }
    }
    sources
}

/// Adds a source, or another use of one that is there. Two with the same number at arXiv are one, and the longer entry
/// stays.
fn add(sources: &mut Vec<Source>, used: String, text: String) {
    let (bibtex, arxiv) = (bibtex(&text), arxiv(&text));
    let same = |source: &&mut Source| source.bibtex == bibtex || (arxiv.is_some() && source.arxiv == arxiv);
    match sources.iter_mut().find(same) {
        None => sources.push(Source { used: vec![used], text, bibtex, arxiv }),
        Some(source) => {
            source.used.push(used);
            if bibtex.len() > source.bibtex.len() {
                (source.text, source.bibtex) = (text, bibtex);
            }
        }
    }
}

fn arxiv(text: &str) -> Option<String> {
    Some(Regex::new(r"arXiv (\d{4}\.\d{4,5})").ok()?.captures(text)?.get(1)?.as_str().to_owned())
}

fn cite<R: Row>(rows: &'static [R], name: &str) -> Option<&'static str> {
    find(rows, name).map(|row| row.head().cite).filter(|cite| !cite.is_empty())
}

/// A list of sources one by one, without the words that lead to each; what stands behind a semicolon and names no
/// authors belongs to the source before it.
fn pieces(cite: &str) -> Vec<String> {
    let source = |piece: &str| -> Option<String> {
        let behind = piece.split_once(": ").map(|(_, behind)| behind);
        let places = [Some(piece), behind].into_iter().flatten();
        places.filter(|text| split_at_year(text).is_some()).map(str::to_owned).next()
    };
    let mut pieces: Vec<String> = Vec::new();
    for piece in cite.split("; ") {
        match (source(piece), pieces.last_mut()) {
            (None, Some(last)) => *last = format!("{last}; {piece}"),
            (found, _) => pieces.push(found.unwrap_or_else(|| piece.to_owned())),
        }
    }
    pieces
}

/// Authors, year and what follows, where the text begins with a name.
fn split_at_year(text: &str) -> Option<(&str, &str, &str)> {
    let found = Regex::new(r"^(\p{Lu}[^\d:;]*?),? ((?:19|20)\d\d)\b").ok()?.captures(text)?;
    let (whole, authors, year) = (found.get(0)?, found.get(1)?, found.get(2)?);
    Some((authors.as_str(), year.as_str(), text.get(whole.end()..)?))
}

/// An entry with what the text says; what is not known to be a field is its note.
fn bibtex(text: &str) -> String {
    let (authors, year, rest) = split_at_year(text).unwrap_or(("", "", text));
    let title = rest.split('"').nth(1).unwrap_or_default();
    let arxiv = arxiv(rest).unwrap_or_default();
    let note = rest.replacen(&format!("\"{title}\""), "", 1).replacen(&format!("arXiv {arxiv}"), "", 1);
    let note = note.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let names = authors.replace(" et al.", ", others").replace(" & ", ", ");
    let names: Vec<&str> = names.split(", ").filter(|name| !name.is_empty()).collect();
    let plain = |word: &str| word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let word = title.split(' ').map(plain).find(|word| word.len() > 3).unwrap_or_default();
    let key = format!("{}{year}{word}", plain(names.first().copied().unwrap_or("source")));
    let prefix = if arxiv.is_empty() { "" } else { "arXiv" };
    let joined = names.join(" and ");
    let fields = [
        ("author", joined.as_str()),
        ("title", title),
        ("year", year),
        ("eprint", arxiv.as_str()),
        ("archiveprefix", prefix),
        ("note", note.as_str()),
    ];
    let said = fields.iter().filter(|(_, value)| !value.is_empty());
    let lines: String = said.map(|(name, value)| format!("  {name} = {{{}}},\n", escaped(value))).collect();
    format!("@misc{{{key},\n{lines}}}")
}

/// Text that TeX takes as it is.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '&' | '%' | '#' | '_' | '$').then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_and_the_rest_is_a_note() {
        let text = "Song & Ermon 2019, \"Sliced Score Matching: A Scalable Approach\", UAI, SSM-VR; arXiv 1905.07088";
        let entry = "@misc{song2019sliced,\n  author = {Song and Ermon},\n  title = {Sliced Score Matching: A Scalable \
                     Approach},\n  year = {2019},\n  eprint = {1905.07088},\n  archiveprefix = {arXiv},\n  \
                     note = {UAI, SSM-VR},\n}";
        assert_eq!(bibtex(text), entry);
        assert_eq!(
            bibtex("Roberts & Tweedie 1996"),
            "@misc{roberts1996,\n  author = {Roberts and Tweedie},\n  year = {1996},\n}"
        );
    }

    #[test]
    fn several_sources_are_several_entries() {
        assert_eq!(pieces("Swendsen & Wang 1986; Geyer 1991"), ["Swendsen & Wang 1986", "Geyer 1991"]);
        let named = pieces("Tieleman 2008; with a replay buffer: Du & Mordatch 2019, arXiv 1903.08689");
        assert_eq!(named, ["Tieleman 2008", "Du & Mordatch 2019, arXiv 1903.08689"]);
        let one = "Dinh et al. 2017, NVP; arXiv 1605.08803";
        assert_eq!(pieces(one), [one]);
        assert!(bibtex(one).contains("{Dinh and others}") && bibtex("folklore").contains("note = {folklore}"));
    }

    #[test]
    fn one_paper_is_one_entry_however_it_is_written() {
        let mut sources = Vec::new();
        let full = "Ho & Liu 2020, \"On Energies\", ICML; arXiv 2002.05616";
        for (used, text) in [("a", "Ho 2020, arXiv 2002.05616"), ("b", full), ("c", "Ho 2020, arXiv 2002.05617")] {
            add(&mut sources, used.into(), text.into());
        }
        assert_eq!(sources.len(), 2);
        assert!(sources[0].used == ["a", "b"] && sources[0].text == full && sources[1].used == ["c"]);
    }

    #[test]
    fn every_row_of_the_registries_has_an_entry_with_a_year() {
        let rows = methods::METHODS.iter().map(|row| row.cite).filter(|cite| !cite.is_empty());
        for piece in rows.flat_map(pieces) {
            assert!(bibtex(&piece).contains("year = {") && bibtex(&piece).contains("author = {"), "{piece}");
        }
    }
}
