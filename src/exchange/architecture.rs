//! A model as data: its layers with the names of their tensors, which any program can follow.

use std::collections::HashMap;

use candle_core::{Tensor, TensorId};
use serde_json::{Map, Value, json};

use crate::density::{Form, LadderForm, LadderScales, MODELS, Model, OfNet};
use crate::nets::{LayerList, ListedLayer};
use crate::store::State;
use crate::{Error, Result};

/// An energy as data.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// The layers of the network, if there is one.
    pub net: Option<Vec<NamedLayer>>,
    /// The energy that the network gives.
    pub of_net: OfNet,
    /// The names of μ and log σ of a normal density whose energy is added.
    pub normal: Option<[String; 2]>,
    /// What makes it an energy of noise levels.
    pub ladder: Option<Ladder>,
}

/// What makes a network an energy of noise levels, as [`LadderForm`] describes it.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// The names of μ and log s.
    pub normal: [String; 2],
    /// All that is no tensor.
    pub scales: LadderScales,
}

/// A layer as data.
#[derive(Clone, Debug)]
pub struct NamedLayer {
    /// Its name in a list of layers.
    pub name: &'static str,
    /// Its keys.
    pub keys: toml::Table,
    /// The names of its tensors, by what they are.
    pub tensors: Vec<(String, String)>,
    /// The lists of layers inside, by key.
    pub lists: Vec<(&'static str, Vec<NamedLayer>)>,
}

/// Layers that other programs are told how to compute.
const KNOWN: &[&str] = &[
    "linear",
    "conv",
    "activation",
    "norm",
    "pool",
    "global_pool",
    "upsample",
    "dropout",
    "fourier",
    "reshape",
    "flatten",
    "residual",
    "skip",
    "attention",
    "time_embedding",
];

impl Architecture {
    /// The architecture of `model`, called `name`, which stands on `weights`.
    ///
    /// # Errors
    /// A model or a layer that only this program knows.
    pub fn of(name: &str, model: &Model, weights: &State) -> Result<Self> {
        let Form { net, of_net, normal, ladder } = model.form().ok_or_else(|| unknown(name))?;
        let names = Names(weights.iter().map(|(name, tensor)| (tensor.id(), name.as_str())).collect());
        let net = net.map(|net| names.layers(&net.layer().list()?)).transpose()?;
        let normal = match normal {
            Some(normal) => Some([names.of(normal.mean)?, names.of(normal.log_std)?]),
            None => None,
        };
        let ladder = ladder.map(|ladder| names.ladder(ladder)).transpose()?;
        Ok(Architecture { net, of_net, normal, ladder })
    }

    /// The energy as JSON.
    pub fn to_json(&self) -> Value {
        let net = self.net.as_ref().map(|layers| layers.iter().map(NamedLayer::to_json).collect::<Vec<_>>());
        let tensors = |[mean, log_std]: &[String; 2]| json!({"mean": mean, "log_std": log_std});
        let normal = self.normal.as_ref().map(tensors);
        match &self.ladder {
            None => {
                let (form, factor) = match self.of_net {
                    OfNet::Logits => (json!("logits"), 1.0),
                    OfNet::Potential(form, factor) => (json!(form), factor),
                };
                json!({"net": net, "form": form, "factor": factor, "normal": normal})
            }
            // The network alone is no energy here: whoever looks for one finds none.
            Some(Ladder { normal, scales }) => json!({"ladder": {
                "net": net, "form": scales.form, "told": if scales.in_channels { "channels" } else { "layers" },
                "weight": if scales.growing { "growing" } else { "bounded" }, "gain": scales.gain,
                "sigmas": scales.sigmas, "lowest": scales.lowest, "normal": tensors(normal)}}),
        }
    }
}

impl NamedLayer {
    /// The name of the tensor that is `what` to the layer, if it has one.
    pub fn tensor(&self, what: &str) -> Option<&str> {
        self.tensors.iter().find(|(own, _)| own == what).map(|(_, name)| name.as_str())
    }

    /// The list of layers under `key`; empty without one.
    pub fn list(&self, key: &str) -> &[NamedLayer] {
        self.lists.iter().find(|(own, _)| *own == key).map_or(&[], |(_, layers)| layers)
    }

    /// The whole number under `key`; 1 without one.
    pub fn count(&self, key: &str) -> i64 {
        self.keys.get(key).and_then(toml::Value::as_integer).unwrap_or(1)
    }

    fn to_json(&self) -> Value {
        let mut layer = Map::from_iter([("name".to_owned(), self.name.into())]);
        layer.extend(self.keys.iter().map(|(key, value)| (key.clone(), json!(value))));
        if !self.tensors.is_empty() {
            let tensors = self.tensors.iter().map(|(what, name)| (what.clone(), name.as_str().into()));
            layer.insert("tensors".into(), Value::Object(tensors.collect()));
        }
        for (key, list) in &self.lists {
            layer.insert((*key).to_owned(), list.iter().map(NamedLayer::to_json).collect());
        }
        Value::Object(layer)
    }
}

/// The names of a model's tensors, by their identity: the layers hold the very tensors that they were built on.
struct Names<'a>(HashMap<TensorId, &'a str>);

impl Names<'_> {
    fn ladder(&self, of: LadderForm<'_>) -> Result<Ladder> {
        Ok(Ladder { normal: [self.of(of.mean)?, self.of(of.log_std)?], scales: of.scales })
    }

    fn of(&self, tensor: &Tensor) -> Result<String> {
        let name = self.0.get(&tensor.id()).map(|name| (*name).to_owned());
        name.ok_or_else(|| Error::Other("a layer holds a tensor that is none of the model's".into()))
    }

    fn layers(&self, list: &LayerList) -> Result<Vec<NamedLayer>> {
        list.0.iter().map(|layer| self.layer(layer)).collect()
    }

    fn layer(&self, layer: &ListedLayer) -> Result<NamedLayer> {
        if !KNOWN.contains(&layer.name) {
            return Err(Error::config(format!("the layer `{}` is known to this program alone", layer.name))
                .hint(format!("layers that can be exported: {}", KNOWN.join(", "))));
        }
        let tensors = layer.tensors.iter().map(|(what, tensor)| Ok((what.clone(), self.of(tensor)?)));
        let lists = layer.lists.iter().map(|(key, list)| Ok((*key, self.layers(list)?)));
        Ok(NamedLayer {
            name: layer.name,
            keys: layer.keys.clone(),
            tensors: tensors.collect::<Result<_>>()?,
            lists: lists.collect::<Result<_>>()?,
        })
    }
}

fn unknown(name: &str) -> Error {
    let known = MODELS
        .iter()
        .map(|row| row.name)
        .filter(|row| ["neural", "potential", "classifier", "gaussian", "ladder"].contains(row));
    let known = known.collect::<Vec<_>>().join(", ");
    Error::config(format!("the model `{name}` cannot be exported: its parts are known to this program alone"))
        .hint(format!("models that can be: {known}, and `tilted` on the base `gaussian`"))
}
