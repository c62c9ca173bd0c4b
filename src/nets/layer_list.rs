//! What a layer is, written as a list of layers: the form in which networks are shown and exported.

use candle_core::Tensor;

use crate::config::Spec;
use crate::store::State;

/// One layer of a list, as `{ name = "conv", channels = 64 }` writes it, with its tensors.
#[derive(Clone, Debug)]
pub struct ListedLayer {
    /// The layer's name.
    pub name: &'static str,
    /// Its keys, without lists of layers.
    pub keys: toml::Table,
    /// The lists of layers inside, by key.
    pub lists: Vec<(&'static str, LayerList)>,
    /// Its own weights and buffers by name, detached, on the storage of the network.
    pub tensors: Vec<(String, Tensor)>,
}

/// A list of layers, applied one after another.
#[derive(Clone, Debug, Default)]
pub struct LayerList(pub Vec<ListedLayer>);

impl LayerList {
    /// The list of one layer with these keys and tensors.
    pub fn of(name: &'static str, keys: &[(&str, toml::Value)], tensors: &[(&str, &Tensor)]) -> Self {
        let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let tensors = tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.detach())).collect();
        LayerList(vec![ListedLayer { name, keys, lists: Vec::new(), tensors }])
    }

    /// The list of one layer that holds these lists.
    pub fn block(name: &'static str, lists: Vec<(&'static str, LayerList)>) -> Self {
        LayerList(vec![ListedLayer { name, keys: toml::Table::new(), lists, tensors: Vec::new() }])
    }

    /// Appends the layers of another list.
    pub fn append(&mut self, other: LayerList) {
        self.0.extend(other.0);
    }

    /// The layers as a configuration has them.
    pub fn tables(&self) -> Vec<toml::Table> {
        self.0.iter().map(ListedLayer::table).collect()
    }

    /// The section of a `sequential` network of these layers.
    pub fn section(&self) -> Spec {
        let layers = self.tables().into_iter().map(toml::Value::Table).collect();
        let section = [("name", "sequential".into()), (LAYERS, toml::Value::Array(layers))];
        Spec::new(section.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
    }

    /// All tensors under the names that a `sequential` network of this list gives them, such as `2.weight` and
    /// `3.shortcut.0.weight`.
    pub fn tensors(&self) -> State {
        let mut all = State::new();
        for (i, layer) in self.0.iter().enumerate() {
            all.extend(layer.tensors.iter().map(|(name, tensor)| (format!("{i}.{name}"), tensor.clone())));
            for (key, list) in &layer.lists {
                let path = if *key == LAYERS { i.to_string() } else { format!("{i}.{key}") };
                all.extend(list.tensors().into_iter().map(|(name, tensor)| (format!("{path}.{name}"), tensor)));
            }
        }
        all
    }
}

/// The key of the list whose parameters stand right below the layer's own number.
pub const LAYERS: &str = "layers";

impl ListedLayer {
    /// The layer as a configuration has it.
    pub fn table(&self) -> toml::Table {
        let mut table = toml::Table::from_iter([("name".to_owned(), self.name.into())]);
        table.extend(self.keys.clone());
        for (key, list) in self.lists.iter().filter(|(_, list)| !list.0.is_empty()) {
            let layers = list.tables().into_iter().map(toml::Value::Table).collect();
            table.insert((*key).to_owned(), toml::Value::Array(layers));
        }
        table
    }
}

/// A count as a value of a configuration.
pub fn number(n: usize) -> toml::Value {
    toml::Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}
