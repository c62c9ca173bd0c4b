//! Inside a room no two files use each other, and no row imports from the file that lists it.
//!
//! Names are followed through the `use` lines of a `mod.rs`: `use super::Chain` counts as a use of the file that
//! defines `Chain`. A `mod.rs` that only hands on what its files define is not used by them thereby.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::sources;

/// The files that list the rows of a registry.
const REGISTRIES: &[&str] = &["data", "density", "methods", "optim", "probes", "samplers"];

/// Pairs that use each other for a reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("density::capabilities", "density::vae", "what a model can do besides names the VAE that it may hold"),
    ("samplers", "samplers::flow_mcmc", "its key `local` names a row of the registry that lists it"),
];

/// `config::schema` of `src/config/schema.rs`, `config` of `src/config/mod.rs`.
fn module_of(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().with_extension("");
    let steps = inside.iter().map(|step| step.to_str().unwrap().to_owned());
    steps.filter(|step| step != "mod" && step != "lib").collect()
}

/// The code without comments and without the tests at its end.
fn code(text: &str) -> String {
    // `pub(in crate::probes)` says who may see an item, not what it uses.
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().replace("(in crate::", "(in ");
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// `a::b` and `a::c` of `a::{b, c as d}`.
fn paths(text: &str) -> Vec<String> {
    let text = text.trim();
    let Some((head, inside)) = text.split_once('{') else {
        return vec![text.split(" as ").next().unwrap_or_default().replace(char::is_whitespace, "")];
    };
    let inside = inside.trim_end().trim_end_matches('}');
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in inside.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    // The brace that closes a nested list may have been cut off with the outer one.
    parts.iter_mut().for_each(|part| part.extend(vec!['}'; part.matches('{').count() - part.matches('}').count()]));
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| paths(part)).map(|part| format!("{}{part}", head.trim())).collect()
}

/// How a path is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// `pub use`: handed on.
    HandedOn,
    /// `use`: the name is one of the module's own from there on.
    Used,
    /// In an expression, a type or a pattern.
    Inside,
}

/// Every path that the code names.
pub fn named(code: &str) -> Vec<(String, How)> {
    let (mut found, mut rest) = (Vec::new(), String::new());
    let mut statement: Option<(String, How)> = None;
    for line in code.lines() {
        let plain = line.trim_start();
        let handed_on =
            ["pub use ", "pub(super) use ", "pub(crate) use "].iter().find_map(|lead| plain.strip_prefix(lead));
        match (handed_on, plain.strip_prefix("use ")) {
            (Some(text), _) => statement = Some((text.to_owned(), How::HandedOn)),
            (_, Some(text)) => statement = Some((text.to_owned(), How::Used)),
            _ => match &mut statement {
                Some((text, _)) => text.push_str(line),
                None => rest.push_str(&format!("{line}\n")),
            },
        }
        if let Some((text, how)) = statement.take_if(|(text, _)| text.contains(';')) {
            let text = text.split(';').next().unwrap_or_default();
            found.extend(paths(text).into_iter().map(|path| (path, how)));
        }
    }
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let tokens = rest.split(|c: char| !word(c)).filter(|token| token.contains("::") && !token.ends_with(':'));
    found.extend(tokens.map(|token| (token.to_owned(), How::Inside)));
    found
}

/// The modules of the crate and what each hands on: name -> module that defines it.
pub struct Crate {
    pub code: BTreeMap<Vec<String>, String>,
    handed_on: BTreeMap<(Vec<String>, String), Vec<String>>,
}

impl Crate {
    pub fn read() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let read = |path: &std::path::PathBuf| (module_of(path), code(&std::fs::read_to_string(path).unwrap()));
        Self::of(
            sources(&src).iter().map(read).filter(|(module, _)| module.last().is_none_or(|m| m != "tests")).collect(),
        )
    }

    fn of(code: BTreeMap<Vec<String>, String>) -> Self {
        let mut all = Crate { code, handed_on: BTreeMap::new() };
        let mut handed_on = BTreeMap::new();
        for (module, text) in &all.code {
            for (path, _) in named(text).iter().filter(|(path, how)| *how != How::Inside && !path.ends_with('*')) {
                if let Some((owner, Some(name))) = all.resolve(module, path)
                    && owner != *module
                {
                    handed_on.insert((module.clone(), name), owner);
                }
            }
        }
        all.handed_on = handed_on;
        all
    }

    /// The module that a path leads to, and the name taken from it.
    pub fn resolve(&self, from: &[String], path: &str) -> Option<(Vec<String>, Option<String>)> {
        let mut steps = path.split("::").peekable();
        let mut at = from.to_vec();
        match *steps.peek()? {
            "crate" => {
                at.clear();
                steps.next();
            }
            "self" => drop(steps.next()),
            "super" => {
                while steps.next_if_eq(&"super").is_some() {
                    at.pop();
                }
            }
            first => {
                let child = [from, &[first.to_owned()]].concat();
                self.code.get(&child)?;
            }
        }
        while let Some(step) = steps.peek() {
            at.push((*step).to_owned());
            if !self.code.contains_key(&at) {
                at.pop();
                break;
            }
            steps.next();
        }
        let name = steps.next().map(str::to_owned);
        Some((at, name))
    }

    /// module -> (module it names, how).
    fn uses(&self) -> BTreeMap<&[String], BTreeSet<(Vec<String>, How)>> {
        let mut all: BTreeMap<&[String], BTreeSet<(Vec<String>, How)>> = BTreeMap::new();
        for (module, text) in &self.code {
            for (path, how) in named(text) {
                let Some((mut target, name)) = self.resolve(module, &path) else { continue };
                // A name that is handed on from one `mod.rs` to the next comes to its file in a few steps.
                for _ in 0..self.code.len() {
                    let owner = name.as_ref().and_then(|name| self.handed_on.get(&(target.clone(), name.clone())));
                    let Some(owner) = owner.filter(|owner| *owner != module) else { break };
                    target.clone_from(owner);
                }
                let inside = !target.is_empty() && target.first() == module.first();
                if inside && target != *module {
                    all.entry(module).or_default().insert((target, how));
                }
            }
        }
        all
    }

    /// Pairs of files that use each other: two beside each other, or a row and the file that lists it.
    fn circles(&self) -> Vec<(String, String)> {
        let uses = self.uses();
        let really = |a: &[String], b: &[String]| {
            uses.get(a).is_some_and(|used| used.iter().any(|(target, how)| target == b && *how != How::HandedOn))
        };
        let counts = |a: &[String], b: &[String]| {
            let (above, below) = if a.len() < b.len() { (a, b) } else { (b, a) };
            !below.starts_with(above) || REGISTRIES.contains(&above.join("::").as_str())
        };
        let pairs = uses.iter().flat_map(|(a, used)| used.iter().map(move |(b, _)| (*a, b.as_slice())));
        let both = pairs.filter(|(a, b)| a < b && counts(a, b) && really(a, b) && really(b, a));
        both.map(|(a, b)| (a.join("::"), b.join("::"))).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

#[test]
fn no_two_files_of_a_room_use_each_other() {
    let found = Crate::read().circles();
    let allowed = |(a, b): &(String, String)| ALLOWED.iter().any(|(x, y, _)| x == a && y == b);
    let new: Vec<String> = found.iter().filter(|pair| !allowed(pair)).map(|(a, b)| format!("{a} <-> {b}")).collect();
    assert!(new.is_empty(), "these files use each other:\n{}", new.join("\n"));
    let gone = ALLOWED.iter().find(|(a, b, _)| !found.contains(&((*a).to_owned(), (*b).to_owned())));
    assert!(gone.is_none(), "{gone:?} are parted: remove them from the list");
}

#[test]
fn the_reading_finds_circles() {
    let files = |list: &[(&str, &str)]| {
        let module = |name: &str| name.split("::").map(str::to_owned).collect();
        Crate::of(list.iter().map(|(name, text)| (module(name), (*text).to_owned())).collect()).circles().len()
    };
    let parent = ("r", "mod a;\nmod b;\npub use a::{A, C};\npub use b::B;\npub trait T {}\n");
    assert_eq!(files(&[parent, ("r::a", "use super::B;\npub struct A;"), ("r::b", "use super::A;\n")]), 1);
    assert_eq!(
        files(&[parent, ("r::a", "use super::{T,\n  b::{B, x::{y, z}}, q};"), ("r::b", "fn f() { super::a::g() }")]),
        1
    );
    assert_eq!(files(&[parent, ("r::a", "use super::T;"), ("r::b", "use super::{A, T};")]), 0);
    let registry = ("optim", "mod a;\npub trait T {}\npub const ROWS: &[Row] = &[a::ENTRY];\n");
    assert_eq!(files(&[registry, ("optim::a", "use super::T;")]), 1);
    assert_eq!(
        files(&[
            ("r", "mod a;\nmod t;\npub use t::T;\nconst R: &[X] = &[a::ENTRY];"),
            ("r::a", "use super::T;"),
            ("r::t", "")
        ]),
        0
    );
}
