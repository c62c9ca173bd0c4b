//! What suits pictures at the size of a CPU, in the place of defaults that suit vectors.

use crate::config::{Schema, SectionKind};
use crate::run::sections;

/// Values by their paths, the first of a path counts.
type Chosen = Vec<(String, String)>;

/// Keys of a row, with their values.
type Keys = &'static [(&'static str, &'static str)];

/// The side, in pixels, from which on convolutions that halve three times leave something to look at.
const LARGE: i64 = 16;

/// Three convolutions that halve: of a classifier or an energy of CIFAR-10 that a CPU trains (docs/results/vera), on
/// pictures of any size.
const DOWN: (&str, Keys) =
    ("conv", &[("channels", "[32, 64, 128]"), ("kernels", "[4, 4, 4]"), ("strides", "[2, 2, 2]")]);

/// Blocks that double the size, as many as it takes.
const UP: (&str, Keys) = ("resnet_generator", &[("widths", "[32]")]);

/// A generator of which a step of VERA computes many times as many draws as the batch has items.
const GENERATOR: (&str, Keys) = ("resnet_generator", &[("widths", "[16]")]);

/// The network of a part, by the part's key; critics, which make a vector of an item, stay as they are.
const NETWORKS: &[(&str, (&str, Keys))] =
    &[("net", DOWN), ("encoder", DOWN), ("decoder", UP), ("generator", GENERATOR)];

/// A U-Net on pictures whose size halves twice.
/// Layouts of pictures lie far apart, so that noise must be wide before all of them are one mode.
const ON_LADDERS: &[(&str, &str)] = &[
    ("model.levels", "64"),
    ("model.sigma_max", "20.0"),
    ("model.net", "unet"),
    ("model.net.blocks", "[0, 1, 1]"),
    ("model.net.level", "true"),
    ("model.form", "\"dot\""),
    ("model.weight", "\"growing\""),
    ("model.told", "\"layers\""),
];

/// Batches and chains that a CPU gets through, and a buffer whose chains are taken up some tens of times in a thousand
/// steps.
const COSTS: &[(&str, &str)] = &[("train.batch_size", "32"), ("method.sampler.steps", "20"), ("method.buffer", "1000")];

/// The function that keeps a generator's pixels where a transform has them.
const SQUASHES: &[(&str, &str)] = &[("scaled", "\"tanh\""), ("unit", "\"sigmoid\"")];

/// Whether pictures are large and keep their shape under what the user `said`.
pub fn are_large(said: &[(String, String)]) -> bool {
    let value = |key: &str| said.iter().find(|(path, _)| path == key).map(|(_, value)| value.as_str());
    let small =
        |key: &str| value(key).and_then(|side| side.parse().ok()).is_some_and(|side: i64| 0 < side && side < LARGE);
    value("dataset.flatten") != Some("true") && !small("dataset.size") && !small("dataset.width")
}

/// Appends networks that suit pictures to what is `chosen`, wherever the rows of method and model have a network, the
/// function behind a generator, and lengths.
pub fn to_pictures(chosen: &mut Chosen) {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    chosen.extend(COSTS.iter().map(owned));
    let is_ladder = value(chosen, "model").as_deref() == Some("ladder");
    let free = ["model.net", "model.form", "model.told"].iter().all(|path| value(chosen, path).is_none());
    if is_ladder && free && halve_twice(chosen) {
        chosen.extend(ON_LADDERS.iter().map(owned));
    }
    for section in sections().iter().filter(|section| ["method", "model"].contains(&section.key)) {
        if let SectionKind::Named { rows, default } = section.kind {
            let name = value(chosen, section.key).or(default.map(str::to_owned));
            let row = rows().into_iter().find(|(row, _)| Some(*row) == name.as_deref());
            row.into_iter().for_each(|(_, schema)| below(section.key, &schema, chosen));
        }
    }
}

/// Whether the size of pictures halves twice: that of data sets by name does, that of pictures of one's own where it is
/// said to.
fn halve_twice(chosen: &Chosen) -> bool {
    let side = |key: &str| value(chosen, key).and_then(|side| side.parse::<u64>().ok()).unwrap_or(0);
    let [size, width] = [side("dataset.size"), side("dataset.width")];
    value(chosen, "dataset").is_some_and(|name| name != "images") || (size > 0 && size % 4 == 0 && width % 4 == 0)
}

fn value(chosen: &Chosen, path: &str) -> Option<String> {
    chosen.iter().find(|(own, _)| own == path).map(|(_, value)| value.clone())
}

/// As [`to_pictures`], of a row whose section is at `path`.
fn below(path: &str, schema: &Schema, chosen: &mut Chosen) {
    if schema.keys().iter().any(|key| key.name == "squash") {
        let transform = value(chosen, "dataset.transform");
        let transform = transform.as_deref().map_or("scaled", |transform| transform.trim_matches('"'));
        let squash = SQUASHES.iter().find(|(of, _)| *of == transform);
        chosen.extend(squash.map(|(_, squash)| (format!("{path}.squash"), (*squash).to_owned())));
    }
    for part in schema.parts() {
        let (path, rows) = (format!("{path}.{}", part.key), (part.rows)());
        let named = value(chosen, &path);
        match NETWORKS.iter().find(|(key, (net, _))| *key == part.key && rows.iter().any(|(row, _)| row == net)) {
            Some((_, (net, keys))) if named.is_none() => {
                chosen.push((path.clone(), (*net).to_owned()));
                chosen.extend(keys.iter().map(|(key, value)| (format!("{path}.{key}"), (*value).to_owned())));
            }
            Some(_) => {}
            None => {
                let name = named.as_deref().unwrap_or(part.default);
                let row = rows.iter().find(|(row, _)| *row == name);
                row.into_iter().for_each(|(_, schema)| below(&path, schema, chosen));
            }
        }
    }
}
