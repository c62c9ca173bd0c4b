//! A public type has a name of its own, so that a word means one thing in the whole crate.

use std::collections::{BTreeMap, BTreeSet};

use super::circles::{Crate, How, named};

/// Names that several public types share for a reason.
const SHARED: &[(&str, &str)] = &[
    ("Lsd", "the learned Stein discrepancy trains a model in `methods` and tests one in `probes::gof`"),
    ("LsdConfig", "each module `lsd` has the keys of its row: the method, the probe, the test"),
];

/// The names of the types that a file makes public, leaving out those inside macros and functions.
fn types(code: &str) -> impl Iterator<Item = &str> {
    let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
    code.lines().filter_map(move |line| {
        let rest = kinds.iter().find_map(|kind| line.trim_start().strip_prefix(kind))?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    })
}

#[test]
fn no_two_public_types_share_a_name() {
    let all = Crate::read();
    // A module is public if it is declared so, all the way up; a type is, if its module is or a public one hands it on.
    let declared = |module: &[String]| {
        (1..=module.len()).all(|n| {
            let (parent, name) = (&module[..n - 1], &module[n - 1]);
            all.code.get(parent).is_some_and(|code| code.lines().any(|line| line.trim() == format!("pub mod {name};")))
        })
    };
    let mut handed_on = BTreeSet::new();
    for (module, code) in all.code.iter().filter(|(module, _)| declared(module)) {
        for (path, _) in named(code).iter().filter(|(_, how)| *how == How::HandedOn) {
            handed_on.extend(all.resolve(module, path).and_then(|(owner, name)| Some((owner, name?))));
        }
    }
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (module, code) in &all.code {
        for name in
            types(code).filter(|name| declared(module) || handed_on.contains(&(module.clone(), (*name).to_owned())))
        {
            places.entry(name).or_default().push(module.join("::"));
        }
    }
    assert!(places.len() > 100, "found {} public types only: is the reading broken?", places.len());
    let several: BTreeMap<_, _> = places.iter().filter(|(_, modules)| modules.len() > 1).collect();
    let new = several.iter().filter(|(name, _)| !SHARED.iter().any(|(known, _)| known == **name));
    let new: Vec<String> = new.map(|(name, modules)| format!("{name}: {}", modules.join(", "))).collect();
    assert!(new.is_empty(), "these names mean several things:\n{}", new.join("\n"));
    let gone = SHARED.iter().find(|(name, _)| !several.contains_key(name));
    assert!(gone.is_none(), "{gone:?} is one type's name now: remove it from the list");
}
