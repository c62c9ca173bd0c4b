//! The skeletons of the recipes in `docs/` compile, and are held to what every row of their registry is held to.

mod data_set;
