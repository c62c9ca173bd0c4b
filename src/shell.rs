//! Commands of this program as a user can paste them into a shell.

#[cfg(not(unix))]
compile_error!("ebm runs on Linux and macOS; on Windows, build and run it in WSL 2");

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How this program was called, as a shell reads it; unknown in a program that uses the library.
static PROGRAM: OnceLock<String> = OnceLock::new();

/// From here on, commands begin with `first`, the first word of the command line, where a shell would find this program
/// by it, and with the path of the program's file otherwise.
pub fn called_as(first: Option<OsString>) {
    let found = first.map(PathBuf::from).filter(|word| leads_somewhere(word, std::env::var_os("PATH").as_deref()));
    if let Some(program) = found.or_else(|| std::env::current_exe().ok()) {
        // A process is called once; a second time (tests) is not wanted.
        let _ = PROGRAM.set(path(&program));
    }
}

/// Whether a shell that is given `word` finds a program: at that path, or by that name in a folder of `folders`.
fn leads_somewhere(word: &Path, folders: Option<&OsStr>) -> bool {
    let runs = |file: &Path| file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    match word.as_os_str().as_bytes().contains(&b'/') {
        true => runs(word),
        false => folders.is_some_and(|all| std::env::split_paths(all).any(|folder| runs(&folder.join(word)))),
    }
}

/// `ebm WORDS`, with this program in the place of `ebm`. The words are ours: they need no quotes.
pub fn ebm(words: &str) -> String {
    format!("{} {words}", PROGRAM.get().map_or("ebm", String::as_str))
}

/// `ebm WORDS FILE`.
pub fn ebm_on(words: &str, file: &Path) -> String {
    format!("{} {}", ebm(words), path(file))
}

/// A path as one word of a command, and never an option.
pub fn path(path: &Path) -> String {
    match path.as_os_str().as_bytes() {
        [b'-', ..] => word(Path::new(".").join(path).as_os_str()),
        _ => word(path.as_os_str()),
    }
}

/// Text as one word of a command: bare where every character stands for itself, in single quotes, or with escapes
/// (`$'…'`) where it holds line breaks or other characters that a terminal does not show.
pub fn word(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref();
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    match text.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => format!("$'{}'", escaped(text.as_bytes())),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '\\' => text.extend(['\\', c]),
                c if c.is_control() => c.to_string().bytes().for_each(|byte| octal(&mut text, byte)),
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| octal(&mut text, *byte));
    }
    text
}

/// Always three digits, so that a digit behind it stands for itself.
fn octal(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "\\{byte:03o}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_written() {
        let odd: [&[u8]; 12] = [
            b"runs/a-s0-20260101-120000",
            b"my run",
            b"it's $HOME; `rm` \"x\" \\ & | > < * ? [a] {b,c} #d !e",
            b"",
            b"~",
            b"-rf",
            "größe=1,000%".as_bytes(),
            "日本 R̂".as_bytes(),
            b"two\nlines\tand 'more'\x1b[31m",
            b"not utf-8: \xff\xfe7",
            b"\\n",
            b"=x",
        ];
        for bytes in odd {
            let script = format!("printf '%s.' {}", word(OsStr::from_bytes(bytes)));
            let said = std::process::Command::new("bash").args(["-c", &script]).output().unwrap().stdout;
            assert_eq!(said, [bytes, b"."].concat(), "{script}");
        }
    }

    #[test]
    fn what_needs_no_quotes_has_none_and_a_path_is_no_option() {
        assert_eq!(ebm_on("resume", Path::new("runs/a-s0")), "ebm resume runs/a-s0");
        assert_eq!(ebm_on("sample --ckpt", Path::new("my runs/it's")), r"ebm sample --ckpt 'my runs/it'\''s'");
        assert_eq!([path(Path::new("-n 3")), path(Path::new("-n"))], ["'./-n 3'", "./-n"]);
    }

    #[test]
    fn a_name_is_looked_for_where_a_shell_would() {
        let leads = |word: &str, folders: Option<&str>| leads_somewhere(Path::new(word), folders.map(OsStr::new));
        assert!(leads("sh", Some("/nowhere:/bin")) && leads("/bin/sh", None));
        assert!(
            !leads("sh", Some("/nowhere")) && !leads("sh", None) && !leads("/etc/passwd", None) && !leads("/", None)
        );
    }
}
