//! What the house knows about a kernel.

use super::kernel::Kernel;
use crate::Result;
use crate::config::{Head, Row, Schema};
use crate::metrics::{Number, Spent};

/// Makes a kernel from its resolved section.
pub type BuildKernel = fn(&toml::Table) -> Result<Box<dyn Kernel>>;

/// A row of [`SAMPLERS`](super::SAMPLERS): all that the house knows about a kernel.
#[derive(Clone, Copy)]
pub struct SamplerRow {
    /// What the configuration says: `name = "mala"`.
    pub name: &'static str,
    /// One line for listings.
    pub about: &'static str,
    /// Where it comes from: authors, year, equation or algorithm; empty where it is folklore.
    pub cite: &'static str,
    /// The keys of its section.
    pub schema: Schema,
    /// The numbers that it reports step by step.
    pub numbers: &'static [Number],
    /// Whether it leaves exp(-E) invariant at any step size.
    pub exact: bool,
    /// Its keys as the local move of `flow_mcmc`, if it may be one.
    pub local: Option<Schema>,
    /// What a step of one chain costs at the default keys, once the chain has begun.
    pub cost: Spent,
    /// Makes it from its resolved section.
    pub build: BuildKernel,
}

impl Row for SamplerRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: self.numbers }
    }
}
