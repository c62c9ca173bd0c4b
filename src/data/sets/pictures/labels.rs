//! The labels of pictures in a table: their names in one column, their classes in another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::folder;
use crate::data::files::locate;
use crate::{Error, Result};

const REMEDY: &str = "one picture a line: its name and its label between commas, with a line of names above or none";

/// The labels of pictures called `names` (their paths within the folder), in their order. A line may name a picture by
/// its path, by its file name alone, and without its ending.
///
/// # Errors
/// A table that cannot be read, has no column of names, leaves open which column holds the labels, says two things of a
/// picture or nothing.
pub fn of(path: &Path, column: &str, names: &[&str]) -> Result<Vec<String>> {
    let bytes = locate::uncompressed(path)?;
    let rows = records(path, &bytes)?;
    let mut owners: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, name) in names.iter().enumerate() {
        let all: HashSet<&str> = spellings(name).collect();
        all.into_iter().for_each(|spelling| owners.entry(spelling).or_default().push(i));
    }
    let (name_at, header) = column_of_names(path, &rows, &owners)?;
    let label_at = column_of_labels(path, column, &rows, name_at, header)?;
    let mut found: Vec<Option<&str>> = vec![None; names.len()];
    for (line, row) in rows.iter().enumerate().skip(usize::from(header)) {
        let (Some(name), Some(label)) = (row.get(name_at), row.get(label_at).filter(|label| !label.is_empty())) else {
            continue;
        };
        let refuse = |what: String, remedy: &str| {
            Err(Error::data(path, format!("record {}: `{}` {what}", line + 1, name.escape_debug()), remedy))
        };
        let of = owners.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        // A whole path is that picture, whatever others end in it.
        let of = match of.iter().find(|&&i| names.get(i) == Some(&name.as_str())) {
            Some(&own) => Some(own),
            None if of.len() > 1 => {
                return refuse(format!("is the name of {} pictures", of.len()), "write their paths");
            }
            None => of.first().copied(),
        };
        let Some(place) = of.and_then(|i| found.get_mut(i)) else { continue };
        if place.replace(label).is_some_and(|other| other != label) {
            return refuse("has another label above".into(), "leave one of the two");
        }
    }
    let missing: Vec<&str> = names.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(name, _)| *name).collect();
    match missing.first() {
        Some(first) => Err(Error::data(
            path,
            format!("has no label for {} of {} pictures, such as `{first}`", missing.len(), names.len()),
            "add their lines, or move the pictures away",
        )),
        None => Ok(found.into_iter().flatten().map(str::to_owned).collect()),
    }
}

/// More classes than this are taken for a mistake.
const MOST_CLASSES: usize = 10_000;

/// The names of the classes in their order ([`folder::ordered`]), and the number of each label.
///
/// # Errors
/// Absurdly many classes.
pub fn numbered(labels: &[String]) -> Result<(Vec<String>, Vec<u16>)> {
    let names = folder::ordered(labels.iter().cloned());
    if names.len() > MOST_CLASSES {
        return Err(Error::config(format!("{} different labels are no classes", names.len()))
            .at("labels")
            .hint("`dataset.labels = \"none\"` reads the pictures without labels"));
    }
    let numbers: HashMap<&str, u16> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i as u16)).collect();
    let labels = labels.iter().filter_map(|label| numbers.get(label.as_str()).copied()).collect();
    Ok((names, labels))
}

/// The ways to write a picture's name: its path, its file name, and both without the ending.
fn spellings(name: &str) -> impl Iterator<Item = &str> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let bare = |name| str::rsplit_once(name, '.').map_or(name, |(bare, _)| bare);
    [name, file, bare(name), bare(file)].into_iter()
}

fn records(path: &Path, bytes: &[u8]) -> Result<Vec<Vec<String>>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::data(path, "is no text in UTF-8", REMEDY))?;
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    let delimiter = [b'\t', b';'].into_iter().find(|d| first.contains(char::from(*d))).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let rows = reader.records().map(|row| Ok(row?.iter().map(str::to_owned).collect()));
    let rows: Vec<Vec<String>> =
        rows.collect::<std::result::Result<_, csv::Error>>().map_err(|e| Error::data(path, e.to_string(), REMEDY))?;
    if rows.is_empty() {
        return Err(Error::data(path, "holds no lines", REMEDY));
    }
    Ok(rows)
}

/// The column that names pictures most often, and whether the first line is one of names of columns.
fn column_of_names<T>(path: &Path, rows: &[Vec<String>], known: &HashMap<&str, T>) -> Result<(usize, bool)> {
    let mut hits: BTreeMap<usize, usize> = BTreeMap::new();
    for row in rows {
        for (column, _) in row.iter().enumerate().filter(|(_, cell)| known.contains_key(cell.as_str())) {
            *hits.entry(column).or_default() += 1;
        }
    }
    let best = hits.iter().max_by_key(|(column, n)| (**n, std::cmp::Reverse(**column))).map(|(column, _)| *column);
    let Some(best) = best else {
        return Err(Error::data(path, "has no column with names of the pictures", REMEDY));
    };
    let header = rows.first().and_then(|row| row.get(best)).is_some_and(|cell| !known.contains_key(cell.as_str()));
    Ok((best, header))
}

fn column_of_labels(path: &Path, column: &str, rows: &[Vec<String>], name_at: usize, header: bool) -> Result<usize> {
    let first: &[String] = rows.first().map_or(&[], |row| row);
    let named = |wanted: &str| first.iter().position(|cell| header && cell.eq_ignore_ascii_case(wanted));
    let others: Vec<usize> = (0..first.len()).filter(|column| *column != name_at).collect();
    let usual = || ["label", "class", "target", "category", "y"].into_iter().find_map(named);
    let found = match (column, others.as_slice()) {
        ("", [one]) => Some(*one),
        ("", _) => usual(),
        (name, _) => named(name).or_else(|| name.parse().ok().filter(|at| others.contains(at))),
    };
    found.filter(|at| *at != name_at).ok_or_else(|| {
        let columns = first.join(", ").escape_debug().to_string();
        let what = match column {
            "" => format!("{} has {} columns beside the names: {columns}", path.display(), others.len()),
            name => format!("{} has no column of labels `{name}`: {columns}", path.display()),
        };
        Error::config(what).at("label_column").hint("set `dataset.label_column` to one of them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a/1.png", "a/2.png", "3.jpeg"];

    fn labels(text: &str, column: &str) -> Result<Vec<String>> {
        labels_of(&NAMES, text, column)
    }

    fn labels_of(names: &[&str], text: &str, column: &str) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        of(&path, column, names)
    }

    #[test]
    fn names_and_labels_are_found_in_any_columns() {
        let want = ["cat", "dog", "cat"];
        assert_eq!(labels("a/1.png,cat\n2.png,dog\n3,cat\n", "").unwrap(), want);
        assert_eq!(labels("label;file\ncat;1\ndog;2\ncat;3.jpeg\n", "").unwrap(), want);
        let three = "file,size,Class\n1,3,cat\n2,3,dog\n3,4,cat\nunknown,1,dog\n";
        assert_eq!(labels(three, "").unwrap(), want);
        assert_eq!(labels(three, "size").unwrap(), ["3", "3", "4"]);
    }

    #[test]
    fn tables_that_leave_something_open_are_refused() {
        for (text, column, word) in [
            ("1,cat\n2,dog\n", "", "1 of 3"),
            ("1,cat\n1,dog\n2,cat\n3,cat\n", "", "another label"),
            ("a/1.png,cat\n1,dog\n2,cat\n3,cat\n", "", "another label"),
            ("1,cat\n2,\n3,cat\n", "", "1 of 3"),
            ("x,cat\ny,dog\n", "", "no column with names"),
            ("1,cat,big\n2,dog,small\n3,cat,big\n", "", "2 columns"),
            ("1,cat\n2,dog\n3,cat\n", "colour", "colour"),
            ("", "", "no lines"),
        ] {
            let error = labels(text, column).unwrap_err().to_string();
            assert!(error.contains(word), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_name_of_two_pictures_is_refused_but_for_a_whole_path() {
        let names = ["a/1.png", "b/1.png", "1.png"];
        let error = labels_of(&names[..2], "1.png,cat\nb/1,dog\n", "").unwrap_err().to_string();
        assert!(error.contains("record 1: `1.png` is the name of 2 pictures"), "{error}");
        assert_eq!(labels_of(&names, "a/1,cat\nb/1,dog\n1.png,emu\n", "").unwrap(), ["cat", "dog", "emu"]);
    }
}
