//! An energy as a graph of ONNX: x in, E(x) out, of a classifier the logits too; of a model of noise levels x and σ in.

mod graph;
mod ladder;
mod layers;
mod proto;

use candle_core::{DType, Tensor};
use prost::Message as _;

use super::architecture::Architecture;
use crate::density::OfNet;
use crate::store::State;
use crate::{Error, Result};
use graph::{Given, Graph};
use layers::Layers;

/// The set of operators that the graph is written in, and the version of the format that came with it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// A file of protobuf holds no more.
const LARGEST: usize = 1 << 31;

/// The bytes of a `.onnx` of an energy on `weights`, for items of the shape `item`.
///
/// # Errors
/// Weights beyond 2 GiB, which the format cannot hold.
pub fn encode(architecture: &Architecture, weights: &State, item: &[usize]) -> Result<Vec<u8>> {
    let mut graph = Graph::default();
    graph.input("x", item);
    let mut energy = None;
    if let (Some(net), Some(ladder)) = (&architecture.net, &architecture.ladder) {
        energy = Some(ladder::energy(&mut graph, weights, ladder, net, item)?);
    } else if let Some(net) = &architecture.net {
        let out = Layers { graph: &mut graph, weights, told: None }.list(net, "x")?;
        energy = Some(match architecture.of_net {
            OfNet::Potential(form, factor) => graph.potential(form, [&out, "x"], factor),
            OfNet::Logits => {
                let classes = weights_out(net, weights);
                graph.named("logits", "Identity", &[&out], &[]);
                graph.output("logits", &[classes]);
                let axes = [("axes", Given::Ints(vec![1])), ("keepdims", Given::Int(0))];
                let log_sum = graph.node("ReduceLogSumExp", &["logits"], &axes);
                graph.node("Neg", &[&log_sum], &[])
            }
        });
    }
    if let Some([mean, log_std]) = &architecture.normal {
        let normal = normal(&mut graph, weights, [mean, log_std], item)?;
        energy = Some(match energy {
            Some(energy) => graph.node("Add", &[&energy, &normal], &[]),
            None => normal,
        });
    }
    let energy = energy.ok_or_else(|| Error::Other("an energy without parts".into()))?;
    graph.named("energy", "Identity", &[&energy], &[]);
    graph.output("energy", &[]);
    let model = proto::Model {
        ir_version: IR_VERSION,
        producer_name: "ebm".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph.finish("energy")),
        opset_import: vec![proto::Opset { domain: String::new(), version: OPSET }],
    };
    match model.encoded_len() {
        n if n < LARGEST => Ok(model.encode_to_vec()),
        n => Err(Error::config(format!("{n} bytes are more than a .onnx can hold")).hint("--format torch")),
    }
}

fn stored<'a>(weights: &'a State, name: &str) -> Result<&'a Tensor> {
    weights.get(name).ok_or_else(|| Error::Other(format!("the tensor `{name}` is missing")))
}

/// How many numbers the last linear layer makes.
fn weights_out(net: &[super::architecture::NamedLayer], weights: &State) -> usize {
    let bias = net.iter().rev().find_map(|layer| layer.tensor("bias"));
    bias.and_then(|name| weights.get(name)).map_or(0, Tensor::elem_count)
}

/// ½ Σ ((x - μ)/σ)² + Σ log σ + D/2 log 2π.
fn normal(graph: &mut Graph, weights: &State, names: [&String; 2], item: &[usize]) -> Result<String> {
    let [mean, log_std] = names.map(|name| stored(weights, name));
    let (mean, log_std) = (mean?, log_std?);
    let count: usize = item.iter().product();
    let copies = count as f64 / log_std.elem_count().max(1) as f64;
    let sum = log_std.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
    let constant = graph.number(copies * sum + 0.5 * count as f64 * (2.0 * std::f64::consts::PI).ln());
    let mean = graph.tensor(names[0], mean)?;
    let rate = graph.tensor("normal.rate", &log_std.neg()?.exp()?)?;
    let half = graph.number(0.5);
    let centred = graph.node("Sub", &["x", &mean], &[]);
    let unit = graph.node("Mul", &[&centred, &rate], &[]);
    let sum = graph.dot(&unit, &unit);
    let scaled = graph.node("Mul", &[&sum, &half], &[]);
    Ok(graph.node("Add", &[&scaled, &constant], &[]))
}
