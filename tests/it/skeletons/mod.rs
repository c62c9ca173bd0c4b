//! The skeletons of the recipes in `docs/` compile, and are held to what every row of their registry is held to.
//!
//! Those of a method and of an operation are compiled inside `src/methods/` and `src/ops/`, with tests of their own.

mod data_set;
mod model;
mod probe;
mod recipes;
mod sampler;
