//! Raw items on their way to a batch: split, ordered, augmented, dequantised, transformed.

pub mod augment;
pub mod columns;
pub mod dependence;
pub mod division;
pub mod lens;
pub mod order;
pub mod rows;
pub mod split;
pub mod transform;
