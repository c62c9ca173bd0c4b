//! 10,000 mutated configurations: none panics, every refusal has a position inside its text, and every one that is
//! accepted survives dump → parse → equal.

use std::path::Path;

use ebm::config::{Document, Problems, Section};
use ebm::rng::Key;
use ebm::run::sections;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

/// Configurations by hand, in the ways of writing that the shipped ones do not use.
const TEXTS: [&str; 3] = [
    "seed = 7\ndevice = \"cpu\"\n\n[dataset]\nname = \"rings\"\n\n[method]\nname = \"lsd\"\nlambda = 10\n\n[optim]\n\
     betas = [0.5, 0.9]\n\n[method.critic]\nname = \"mlp\"\nhidden = [300, 300]\nactivation = \"swish\"\n\n[train]\n\
     steps = 1_000\nbatch_size = 0x40\n",
    "dataset = { name = \"gaussian\", dim = 10, std = 1e-1 }\nmethod.name = 'ml_grid'\nsampler.name = 'mala'\n\
     sampler.step_size = 0.5e0\ntrain.steps = 5\nguard.enabled = false\n",
    "# größe\r\n[dataset]\r\nname = \"mnist\"\r\npath = \"\"\"\nä/日本\"\"\"\r\n[method]\r\nname = \"lsd\"\r\n\
     [[probe]]\r\n\
     name = \"nll\"\r\n[[probe]]\r\nname = \"lsd\"\r\nevery = 5\r\ncritic = { name = \"mlp\", dropout = 0.1 }\r\n\
     [sampler]\r\nname = \"mala\"\r\nsteps = 5\r\n",
];

/// Valid configurations, the beginning of every mutation: those by hand, and the shipped ones with all that they
/// extend, once with every key filled in and once with what is written in the file alone.
fn texts(sections: &[Section]) -> Vec<String> {
    let mut texts: Vec<String> = TEXTS.map(str::to_owned).into();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "toml")) {
        let document = Document::load(&path, &[]).unwrap();
        texts.push(document.resolve(sections).unwrap().to_toml());
        let text = std::fs::read_to_string(&path).unwrap();
        texts.extend(Some(text).filter(|text| !text.contains("extends")));
    }
    texts
}

/// Pieces that mistakes are made of.
const TOKENS: [&str; 38] = [
    "=",
    ".",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "\n",
    "\r",
    "\t",
    "\0",
    "\u{feff}",
    "é",
    "日",
    "nan",
    "-inf",
    "1e999",
    "-1",
    "0",
    "2.5",
    "99999999999999999999",
    "true",
    "name",
    "steps",
    "critic",
    "[probe]",
    "[[probe]]\nname = 'nll'\n",
    "hidden = [1]\n",
    "1979-05-27",
    "extends = \"configs\"\n",
    "\\u00e9",
    "\u{1b}[31m",
];

const SETS: [&str; 8] = [
    "train.steps=5",
    "dataset.name=8gaussians",
    "method.critic={name=\"resnet\"}",
    "probe.0.every=9",
    "probe[1].critic.hidden=[3]",
    "sampler.name=sgld",
    "optim.betas=[0.1,0.2]",
    "seed=3",
];

/// One change to a text: a byte, a piece, a line, or two words exchanged.
fn mutate(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..=text.len());
    let end = rng.random_range(at..=text.len().min(at + 12));
    match rng.random_range(0..10) {
        0 => text.insert(at, rng.random()),
        1 => drop(text.drain(at..end)),
        2 if at < text.len() => text[at] ^= 1 << rng.random_range(0..8),
        3 => drop(text.splice(at..end, TOKENS[rng.random_range(0..TOKENS.len())].bytes())),
        4 => exchange_lines(text, rng),
        5 => replace_word(text, rng),
        6 => remove_line(text, rng),
        7 | 8 => change_digit(text, rng),
        _ => {
            let piece = text[at..end].to_vec();
            drop(text.splice(at..at, piece));
        }
    }
}

fn exchange_lines(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let (a, b) = (rng.random_range(0..lines.len()), rng.random_range(0..lines.len()));
    lines.swap(a, b);
    *text = lines.join(&b'\n');
}

fn remove_line(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    lines.remove(rng.random_range(0..lines.len()));
    *text = lines.join(&b'\n');
}

fn change_digit(text: &mut [u8], rng: &mut ChaCha8Rng) {
    let digits: Vec<usize> = (0..text.len()).filter(|i| text[*i].is_ascii_digit()).collect();
    if !digits.is_empty() {
        text[digits[rng.random_range(0..digits.len())]] = b'0' + rng.random_range(0..10);
    }
}

/// Puts a number, a key or a name in the place of another.
fn replace_word(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let mut words = Vec::new();
    let mut start = 0;
    for end in 0..=text.len() {
        if end == text.len() || !is_word(text[end]) {
            if end > start {
                words.push(start..end);
            }
            start = end + 1;
        }
    }
    if words.is_empty() {
        return;
    }
    let by = text[words[rng.random_range(0..words.len())].clone()].to_vec();
    let place = words[rng.random_range(0..words.len())].clone();
    drop(text.splice(place, by));
}

/// Every problem lies inside the text, or the argument, that it names.
fn check_places(problems: &Problems, text: &str, set: Option<&str>) {
    assert!(!problems.is_empty() && problems.to_string().starts_with("error: "));
    for problem in problems.list() {
        let place = problem.place.as_ref().unwrap_or_else(|| panic!("no position: {problem}"));
        let source = if place.source == "--set" { set.unwrap() } else { text };
        assert!(source.get(place.span.clone()).is_some(), "{problem}\n{source:?}");
        let line = source.split('\n').nth(place.line - 1).unwrap_or_else(|| panic!("no such line: {problem}"));
        assert!((1..=line.chars().count() + 1).contains(&place.column), "{problem}\n{source:?}");
        let before: usize = source.split('\n').take(place.line - 1).map(|l| l.len() + 1).sum();
        let start = before + line.chars().take(place.column - 1).map(char::len_utf8).sum::<usize>();
        assert_eq!(start, place.span.start, "line and column agree with the bytes: {problem}");
    }
}

fn try_one(text: &str, set: Option<&str>, sections: &[Section]) -> bool {
    let sets: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    let outcome = Document::parse("configs/fuzz.toml", text, &sets).and_then(|d| d.check(sections));
    let resolved = match outcome {
        Ok(resolved) => resolved,
        Err(problems) => {
            check_places(&problems, text, set);
            return false;
        }
    };
    let dump = resolved.to_toml();
    let again = Document::parse("dump", &dump, &[]).and_then(|d| d.check(sections));
    let again = again.unwrap_or_else(|problems| panic!("{problems}\n{dump}"));
    assert_eq!((&again, again.to_toml()), (&resolved, dump), "{text}");
    true
}

#[test]
fn mutated_configurations_are_accepted_or_refused_with_a_position() {
    let sections = sections();
    let texts = texts(&sections);
    assert!(texts.len() >= 9, "{} texts", texts.len());
    for text in &texts {
        assert!(try_one(text, None, &sections), "{text}");
    }
    // A fifth where nothing is optimised; `cargo test --release` tries them all.
    let rounds = if cfg!(debug_assertions) { 2_000 } else { 10_000 };
    let mut accepted = 0;
    for round in 0..rounds {
        let mut rng = Key::new(1).with("fuzz").at(round).rng();
        let mut bytes = texts[rng.random_range(0..texts.len())].as_bytes().to_vec();
        for _ in 0..rng.random_range(1..4) {
            mutate(&mut bytes, &mut rng);
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut set = rng.random_bool(0.3).then(|| SETS[rng.random_range(0..SETS.len())].as_bytes().to_vec());
        set.iter_mut().filter(|_| round % 2 == 0).for_each(|argument| mutate(argument, &mut rng));
        let set = set.map(|argument| String::from_utf8_lossy(&argument).into_owned());
        accepted += usize::from(try_one(&text, set.as_deref(), &sections));
    }
    println!("{accepted} of {rounds} accepted");
    assert!(
        (rounds as usize / 10..rounds as usize / 10 * 9).contains(&accepted),
        "the mutations are too mild or too wild: {accepted} accepted"
    );
}

#[test]
fn deep_nesting_is_refused() {
    let sections = sections();
    let dotted = vec!["a"; 70].join(".");
    let texts = [
        format!("[{dotted}]\n{dotted}.x = {}{}", "[".repeat(70), "]".repeat(70)),
        "[".repeat(100_000),
        format!("x = {}", "{a=".repeat(100_000)),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!("[[probe]]\nname = 'nll'\nx = {}1{}", "{ a = [".repeat(35), "] }".repeat(35)),
    ];
    for text in texts {
        assert!(!try_one(&text, None, &sections));
    }
}
