//! Data sets: one file a set or a family of sets, with its row.

pub mod celeba;
pub mod cifar;
pub mod digits;
pub mod edges;
pub mod far_modes;
pub mod gaussian;
pub mod ica;
pub mod image2d;
pub mod mixture;
pub mod mnist;
pub mod phi4;
pub mod pictures;
pub mod rbm;
pub mod stacked;
pub mod svhn;
pub mod table;
pub mod toy2d;
