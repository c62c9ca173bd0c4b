//! `sequential`: a network of the user's own, a list of layers that the configuration writes down.

mod place;
mod plain;
mod text;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::io::size;
use super::layer_list::{LayerList, ListedLayer};
use super::{Builder, Io, Layer, Residual, Sequence, Skip};
use crate::config::{Entry, Schema, Spec, decode, find, nearest};
use crate::{Error, Result};
pub use place::LayerLine;
use place::{Made, Place};
use plain::BuildLayer;
pub(super) use text::text;

/// Every layer that a list can name.
pub const LAYERS: &[Entry<BuildLayer>] = &[
    plain::LINEAR,
    plain::CONV,
    plain::ACTIVATION,
    plain::NORM,
    plain::POOL,
    plain::GLOBAL_POOL,
    plain::UPSAMPLE,
    plain::ATTENTION,
    plain::DROPOUT,
    plain::FOURIER,
    plain::TIME_EMBEDDING,
    plain::RESHAPE,
    plain::FLATTEN,
    RESIDUAL,
    SKIP,
];

/// A layer as a list writes it: its name, and its keys completed with their defaults.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct LayerSpec(toml::Table);

impl<'de> Deserialize<'de> for LayerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        completed(toml::Table::deserialize(deserializer)?).map(LayerSpec).map_err(D::Error::custom)
    }
}

/// A layer's table with every key, or what is wrong with it.
fn completed(mut table: toml::Table) -> std::result::Result<toml::Table, String> {
    let names: Vec<&str> = LAYERS.iter().map(|row| row.name).collect();
    let Some(toml::Value::String(name)) = table.remove("name") else {
        return Err(format!("a layer needs a `name`: one of {}", names.join(", ")));
    };
    let meant = |wrong: &str, known: &[&str]| match nearest(wrong, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("known: {}", known.join(", ")),
    };
    let Some(row) = find(LAYERS, &name) else {
        return Err(format!("there is no layer `{name}`; {}", meant(&name, &names)));
    };
    let keys = row.schema.keys();
    let known: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("the layer `{name}` has no key `{key}`; {}", meant(key, &known)));
    }
    let mut whole = row.schema.decode(&table).map_err(|wrong| match wrong.into_iter().next() {
        Some((path, what)) => format!("`{path}` of the layer `{name}`: {what}"),
        None => format!("the layer `{name}` cannot be read"),
    })?;
    whole.insert("name".into(), name.into());
    Ok(whole)
}

/// A small perceptron, for what has no list.
fn default_layers() -> Vec<LayerSpec> {
    let layer = |name: &str, keys: &str| {
        let mut table: toml::Table = keys.parse().unwrap_or_default();
        table.insert("name".into(), name.into());
        completed(table).map(LayerSpec)
    };
    let layers = [("flatten", ""), ("linear", "units = 64"), ("activation", ""), ("linear", "")];
    layers.into_iter().filter_map(|(name, keys)| layer(name, keys).ok()).collect()
}

crate::config! {
    /// Keys of the network `sequential`.
    pub struct SequentialConfig {
        /// The layers, first to last, each a table with the name of a layer and its keys, such as
        /// { name = "conv", channels = 64 }: linear, conv, activation, norm, pool, global_pool, upsample, attention,
        /// dropout, fourier, time_embedding, reshape, flatten, residual and skip. `ebm explain conv` describes that
        /// one.
        layers: Vec<LayerSpec> = default_layers();
    }
}

crate::config! {
    /// Keys of the layer `residual`.
    pub struct ResidualConfig {
        /// The layers of f in y = s(x) + f(x).
        layers: Vec<LayerSpec> = Vec::new();
        /// The layers of s; none is the identity.
        shortcut: Vec<LayerSpec> = Vec::new();
    }
}

crate::config! {
    /// Keys of the layer `skip`.
    pub struct SkipConfig {
        /// The layers of f in y = [x, f(x)].
        layers: Vec<LayerSpec> = Vec::new();
    }
}

const RESIDUAL: Entry<BuildLayer> = Entry {
    name: "residual",
    about: "s(x) + f(x), f and s lists of layers, s the identity if it is empty",
    cite: "He, Zhang, Ren, Sun 2016, Deep residual learning for image recognition",
    schema: Schema::of::<ResidualConfig>(),
    build: residual,
};

const SKIP: Entry<BuildLayer> = Entry {
    name: "skip",
    about: "x and f(x) side by side, joined along the channels, f a list of layers",
    cite: "Huang, Liu, van der Maaten, Weinberger 2017, Densely connected convolutional networks",
    schema: Schema::of::<SkipConfig>(),
    build: skip,
};

fn residual(table: &toml::Table, place: &Place) -> Result<Made> {
    let ResidualConfig { layers, shortcut } = decode(table)?;
    let body = list("layers", &layers, place, place.builder)?;
    let beside = list("shortcut", &shortcut, place, &place.builder.sub("shortcut"))?;
    if body.item != beside.item {
        return Err(Error::config(format!("f makes {:?} and s makes {:?}: no sum", body.item, beside.item))
            .at("layers")
            .hint("end both with the same number of channels; `shortcut` with a `conv` of kernel 1 changes them"));
    }
    let mut layer = Residual::new(body.sequence);
    if !shortcut.is_empty() {
        layer = layer.with_shortcut(beside.sequence);
    }
    let multiplications = body.multiplications.saturating_add(beside.multiplications);
    let inner = body.lines.into_iter().chain(beside.lines).collect();
    Ok(Made { multiplications, inner, ..Made::light(layer, &body.item) })
}

fn skip(table: &toml::Table, place: &Place) -> Result<Made> {
    let SkipConfig { layers } = decode(table)?;
    let body = list("layers", &layers, place, place.builder)?;
    if body.item.get(1..) != place.item.get(1..) {
        return Err(Error::config(format!("x is {:?} and f(x) {:?}: they cannot be joined", place.item, body.item))
            .at("layers")
            .hint("keep the height and width within a `skip`"));
    }
    let mut item = body.item;
    item.iter_mut().take(1).for_each(|channels| *channels += place.channels());
    let (multiplications, inner) = (body.multiplications, body.lines);
    Ok(Made { multiplications, inner, ..Made::light(Skip::new(body.sequence), &item) })
}

/// A list of layers that was made.
struct List {
    sequence: Sequence,
    item: Vec<usize>,
    multiplications: usize,
    lines: Vec<LayerLine>,
}

/// Makes the layers under `key` one after another, each on the items of the one before; parameters are called by their
/// numbers.
fn list(key: &str, layers: &[LayerSpec], place: &Place, builder: &Builder) -> Result<List> {
    let mut made = List { sequence: Sequence::new(), item: place.item.clone(), multiplications: 0, lines: Vec::new() };
    for (i, LayerSpec(table)) in layers.iter().enumerate() {
        let name = table.get("name").and_then(toml::Value::as_str).unwrap_or_default();
        let here = builder.sub(i);
        let at = Place { item: made.item.clone(), output: place.output, builder: &here };
        let layer = find(LAYERS, name)
            .ok_or_else(|| Error::config(format!("there is no layer `{name}`")).at("name"))
            .and_then(|row| (row.build)(table, &at))
            .and_then(Made::of_a_size)
            .map_err(|error| error.within(&format!("{key}.{i}"), false))?;
        let parameters = here.count();
        let place = if key == "layers" { i.to_string() } else { format!("{key}.{i}") };
        let inner = layer.inner.into_iter().map(|line| LayerLine { place: format!("{place}.{}", line.place), ..line });
        let (item, multiplications) = (layer.item.clone(), layer.multiplications);
        made.lines.push(LayerLine { place: place.clone(), name: name.into(), item, parameters, multiplications });
        made.lines.extend(inner);
        made.multiplications = made.multiplications.saturating_add(layer.multiplications);
        made.item = layer.item;
        made.sequence.push_boxed(layer.layer);
    }
    Ok(made)
}

/// Builds a `sequential` from a resolved section.
///
/// # Errors
/// Layers that do not fit what they read, at the layer; a last layer that does not make what the model needs.
pub(super) fn build(spec: &Spec, io: &Io, builder: &Builder) -> Result<Box<dyn Layer>> {
    let (mut made, last) = whole(spec, io, builder)?;
    made.sequence.push(last);
    Ok(Box::new(made.sequence))
}

/// The layers, and what gives their result the shape of the output.
fn whole(spec: &Spec, io: &Io, builder: &Builder) -> Result<(List, super::Reshape)> {
    let SequentialConfig { layers } = decode(&spec.table)?;
    let place = Place { item: io.input.clone(), output: io.output_size(), builder };
    let made = list("layers", &layers, &place, builder)?;
    if size(&made.item) != io.output_size() {
        let wanted = match io.output.as_slice() {
            [] => "one number an item".to_owned(),
            shape => format!("{shape:?}"),
        };
        let what = format!("the layers make {:?} of {:?}, and the model needs {wanted}", made.item, io.input);
        return Err(Error::config(what).at("layers").hint(
            "end with `{ name = \"linear\" }`, which makes as many numbers as are needed (after `flatten` or \
             `global_pool`)",
        ));
    }
    Ok((made, super::Reshape::to(&io.output)))
}

/// A line for each layer that a section lists, for items of this shape.
///
/// # Errors
/// As those of building it.
pub(super) fn lines(spec: &Spec, io: &Io, builder: &Builder) -> Result<Vec<LayerLine>> {
    Ok(spec.within(whole(spec, io, builder))?.0.lines)
}

/// The list of a network for these items without what goes without saying: keys that have their defaults, the last
/// layer's number of units, and the last reshaping, which every list is followed by.
pub(super) fn shortened(mut list: LayerList, io: &Io) -> LayerList {
    while list.0.last().is_some_and(|layer| ["flatten", "reshape"].contains(&layer.name)) {
        list.0.pop();
    }
    list.0.iter_mut().for_each(drop_defaults);
    if let Some(last) = list.0.last_mut().filter(|last| last.name == "linear")
        && last.keys.get("units").and_then(toml::Value::as_integer).map(usize::try_from) == Some(Ok(io.output_size()))
    {
        last.keys.remove("units");
    }
    list
}

/// Removes the keys that have their defaults, in the layers inside too; how wide a layer is stays.
fn drop_defaults(layer: &mut ListedLayer) {
    let defaults = find(LAYERS, layer.name).map(|row| row.schema.defaults()).unwrap_or_default();
    layer.keys.retain(|key, value| key == "channels" || defaults.get(key) != Some(value));
    layer.lists.iter_mut().for_each(|(_, list)| list.0.iter_mut().for_each(drop_defaults));
}
