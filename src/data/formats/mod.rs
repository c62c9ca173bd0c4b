//! File formats: bytes in, arrays out, errors with the place in the file.

pub mod byte_records;
pub mod file;
pub mod frame;
pub mod grown;
pub mod idx;
pub mod mat5;
pub mod npy;
pub mod npz;
pub mod parquet;
pub mod pieces;
pub mod records;
pub mod stream;
pub mod text;
pub mod vectors;
