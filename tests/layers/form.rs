//! The form of the sources: what rustfmt and clippy do not see to. (Functions of more than 50 lines are clippy's.)

use std::path::{Path, PathBuf};

use super::sources;

/// Characters of a line, in comments and literals too, which rustfmt leaves as they are.
const WIDTH: usize = 120;

/// Lines of a file: what can be read at a sitting.
const LENGTH: usize = 350;

fn all() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["src", "tests", "benches", "examples"].iter().flat_map(|dir| sources(&root.join(dir))).collect()
}

#[test]
fn no_line_is_too_wide_and_no_file_too_long() {
    let mut found = Vec::new();
    for path in all() {
        let text = std::fs::read_to_string(&path).unwrap();
        let wide = text.lines().enumerate().filter(|(_, line)| line.chars().count() > WIDTH);
        found.extend(wide.map(|(i, _)| format!("{}:{}: wider than {WIDTH}", path.display(), i + 1)));
        let length = text.lines().count();
        if length > LENGTH {
            found.push(format!("{}: {length} lines", path.display()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
