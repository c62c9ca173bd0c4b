//! Derivatives of every network, first and second order, against finite differences in f64.

use candle_core::{DType, Device, Tensor};
use ebm::config::{Part, Spec};
use ebm::nets::{Builder, Io, Network};
use ebm::rng::Key;

#[test]
fn smoke() {
    let part = Part { key: "net", doc: "", default: "mlp", rows: ebm::nets::schemas };
    let spec = Spec::of_default(&part);
    let net =
        Network::new(&spec, &Io::field(&[3]), &Builder::new(Key::new(1), DType::F64, &Device::Cpu).sub("net")).unwrap();
    let x = Key::new(2).normal((4, 3), DType::F64, &Device::Cpu).unwrap();
    let t: Tensor = net.exact_trace(&x).unwrap();
    println!("{t} {:?}", net.params().weights.keys());
    net.frozen().unwrap();
}
