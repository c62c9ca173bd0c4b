//! The row of a kernel in the registry.

use super::kernel::Kernel;
use crate::Result;
use crate::config::{Head, Row, Schema};
use crate::metrics::{Number, Spent};

/// The function that makes a kernel from its resolved section.
pub type BuildKernel = fn(&toml::Table) -> Result<Box<dyn Kernel>>;

/// A row of [`SAMPLERS`](super::SAMPLERS): everything that the program knows about a kernel.
#[derive(Clone, Copy)]
pub struct SamplerRow {
    /// The name in the configuration, as in `name = "mala"`.
    pub name: &'static str,
    /// The description for listings, in one line.
    pub about: &'static str,
    /// The source: authors, year, equation or algorithm; empty for common knowledge.
    pub cite: &'static str,
    /// The keys of the kernel's section.
    pub schema: Schema,
    /// The numbers that the kernel reports step by step.
    pub numbers: &'static [Number],
    /// Whether the kernel leaves exp(-E) invariant at any step size.
    pub exact: bool,
    /// The keys of the kernel as the local move of `flow_mcmc`, if it may be one.
    pub local: Option<Schema>,
    /// The cost of a step of one chain at the default keys, once the chain has begun.
    pub cost: Spent,
    /// The function that makes the kernel from its resolved section.
    pub build: BuildKernel,
}

impl Row for SamplerRow {
    fn head(&self) -> Head {
        Head { name: self.name, about: self.about, cite: self.cite, schema: self.schema, numbers: self.numbers }
    }
}
