//! Any network as a list of layers and as a table of them, without making its weights.

use candle_core::{DType, Device};

use super::sequential::{self, LayerLine};
use super::{Builder, Io, Network};
use crate::Result;
use crate::config::Spec;

/// A network as the list of its layers.
pub struct Outline {
    /// The section of a `sequential` network that computes the same; its layers have only the keys that differ from
    /// their defaults.
    pub spec: Spec,
    /// A line for each layer, those inside a block behind it.
    pub lines: Vec<LayerLine>,
}

/// The outline of the network that `spec` names.
///
/// # Errors
/// The network does not fit the shapes, or one of its layers has no place in a list. Whether the model tells a layer
/// the noise level that it reads is not asked here.
pub fn outline(spec: &Spec, io: &Io) -> Result<Outline> {
    let builder = || Builder::measuring(DType::F32, &Device::Cpu);
    let spec = Network::with_level(spec, io, &builder())?.sequential()?.0;
    let lines = sequential::lines(&spec, io, &builder())?;
    Ok(Outline { spec, lines })
}

impl Outline {
    /// The lines of the layers in no block.
    fn outer(&self) -> impl Iterator<Item = &LayerLine> {
        self.lines.iter().filter(|line| !line.place.contains('.'))
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        self.outer().map(|line| line.parameters).sum()
    }

    /// Multiplications of linear maps and of attention for one item.
    pub fn multiplications(&self) -> usize {
        self.outer().map(|line| line.multiplications).fold(0, usize::saturating_add)
    }

    /// The keys of the section as TOML, a layer a line.
    pub fn to_toml(&self) -> String {
        let layers = self.spec.table.get("layers").and_then(toml::Value::as_array);
        format!("name = \"sequential\"\nlayers = {}\n", sequential::text(layers.map_or(&[], Vec::as_slice)))
    }
}
