//! Opening data sets in tests: a resolved section is the row's defaults with some keys replaced.

use candle_core::{DType, Device, Tensor};
use ebm::config::Spec;
use ebm::data::{DATASETS, Data};

/// A resolved `[dataset]` section.
pub fn section(name: &str, keys: &str) -> Spec {
    let row = DATASETS.iter().find(|row| row.name == name).unwrap();
    let mut table = row.schema.defaults();
    table.extend(keys.parse::<toml::Table>().unwrap());
    table.insert("name".into(), name.into());
    Spec::new(table)
}

/// Opens it on the CPU with seed 7.
pub fn try_open(name: &str, keys: &str) -> ebm::Result<Data> {
    Data::open(&section(name, keys), 7, &Device::Cpu)
}

/// All numbers of a tensor.
pub fn values(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}
