//! The recipes `docs/adding-*.md` and `docs/glossary.md` name files, skeletons and types that exist.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The recipes, by file name, with their text.
fn recipes() -> Vec<(String, String)> {
    let files = root().join("docs").read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let recipes: Vec<_> = files.filter(|name| name.starts_with("adding-")).collect();
    assert!(recipes.len() >= 5, "{recipes:?}");
    recipes
        .into_iter()
        .map(|name| (name.clone(), std::fs::read_to_string(root().join("docs").join(name)).unwrap()))
        .collect()
}

/// What stands between backticks on one line, outside of blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let mut in_block = false;
    let lines = text.lines().filter(|line| {
        in_block ^= line.trim_start().starts_with("```");
        !in_block && !line.trim_start().starts_with("```")
    });
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The path that a quotation is, if it is one; of `src/samplers/<name>.rs` the folder.
fn path(quoted: &str) -> Option<PathBuf> {
    let name = quoted.rsplit('/').next().unwrap_or_default();
    let is_file = [".rs", ".toml", ".md", ".sh"].iter().any(|end| name.ends_with(end) && name != *end);
    let is_path = !quoted.contains(char::is_whitespace) && (is_file || quoted.ends_with('/'));
    let whole = Path::new(quoted).iter().take_while(|step| !step.to_string_lossy().contains(['<', '*', '{']));
    is_path.then(|| whole.collect())
}

/// Targets of links to files, relative to `docs/`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

#[test]
fn every_file_that_a_recipe_names_exists() {
    for (recipe, text) in recipes() {
        let paths: Vec<PathBuf> = quoted(&text).into_iter().filter_map(path).collect();
        assert!(paths.len() >= 4, "{recipe} names {paths:?}");
        for path in paths {
            let exists = [root().to_path_buf(), root().join("docs")].iter().any(|from| from.join(&path).exists());
            assert!(exists, "{recipe} names `{}`, which is not there", path.display());
        }
        for link in links(&text) {
            assert!(root().join("docs").join(link).exists(), "{recipe} links to {link}, which is not there");
        }
    }
}

#[test]
fn a_path_is_told_from_other_quotations() {
    let text = "`src/lib.rs`, `src/samplers/<name>.rs` and `Spec`\n```\n`src/none.rs`\n```\n`pub mod x;` `a/b` `nets/`";
    let found: Vec<_> = quoted(text).into_iter().filter_map(path).collect();
    assert_eq!(found, ["src/lib.rs", "src/samplers", "nets"].map(PathBuf::from));
    assert_eq!(links("[a](b.md#c), [d](https://e.f) and [g](h/i.rs)").collect::<Vec<_>>(), ["b.md", "h/i.rs"]);
}

#[test]
fn every_skeleton_belongs_to_a_recipe() {
    for entry in root().join("docs/skeletons").read_dir().unwrap() {
        let link = format!("(skeletons/{})", entry.unwrap().file_name().into_string().unwrap());
        assert!(recipes().iter().any(|(_, text)| text.contains(&link)), "no recipe links to {link}");
    }
}

/// Whether a line of a file below the folder defines a public item of this name.
fn defines(folder: &Path, name: &str) -> bool {
    let entries = if folder.is_dir() {
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    } else {
        vec![folder.with_extension("rs")]
    };
    entries.into_iter().any(|path| {
        if path.is_dir() {
            return defines(&path, name);
        }
        let text = std::fs::read_to_string(path).unwrap();
        let word = |rest: &str| {
            rest.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        text.lines()
            .map(str::trim_start)
            .filter(|line| line.starts_with("pub") || line.starts_with("macro_rules!"))
            .any(|line| {
                ["struct ", "trait ", "enum ", "const ", "fn ", "type ", "macro_rules! "]
                    .iter()
                    .any(|kind| line.split_once(kind).is_some_and(|(_, rest)| word(rest)))
            })
    })
}

#[test]
fn every_type_of_the_glossary_exists() {
    let text = std::fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let types: Vec<_> = quoted(&text).into_iter().filter(|word| word.contains("::") && !word.contains(' ')).collect();
    assert!(types.len() >= 25, "{types:?}");
    for path in types {
        let (room, _) = path.split_once("::").unwrap();
        let name = path.rsplit("::").next().unwrap();
        assert!(defines(&root().join("src").join(room), name), "the glossary names `{path}`, which is not there");
    }
    for link in links(&text) {
        assert!(root().join("docs").join(link).exists(), "the glossary links to {link}, which is not there");
    }
}
