//! The energy of noise levels as a graph: x and σ in.

use std::f64::consts::PI;

use candle_core::DType;

use super::graph::{Given, Graph, whole};
use super::layers::Layers;
use super::stored;
use crate::Result;
use crate::exchange::architecture::{Ladder, NamedLayer};
use crate::nets::LEVEL_FREQUENCIES;
use crate::store::State;

/// Adds E(x, σ) of a network for items of the shape `item`, and the input `sigma`, `[B]`; gives its name.
pub fn energy(
    graph: &mut Graph,
    weights: &State,
    ladder: &Ladder,
    net: &[NamedLayer],
    item: &[usize],
) -> Result<String> {
    graph.input("sigma", &[]);
    let (ladder, [mean, log_std]) = (&ladder.scales, &ladder.normal);
    let s = stored(weights, log_std)?.to_dtype(DType::F64)?.exp()?.sum_all()?.to_scalar::<f64>()?;
    let mean = graph.tensor(mean, stored(weights, mean)?)?;
    // s_σ, and what is made of it for each pixel.
    let (square, above) = (graph.node("Mul", &["sigma", "sigma"], &[]), graph.number(s * s - ladder.lowest.powi(2)));
    let variance = graph.node("Add", &[&square, &above], &[]);
    let width = graph.node("Sqrt", &[&variance], &[]);
    let spread = |graph: &mut Graph, of: &str, head: &[i64]| {
        let shape = [head, vec![1; item.len().saturating_sub(head.len() - 1)].as_slice()].concat();
        let shape = graph.ints(&shape);
        graph.node("Reshape", &[of, &shape], &[])
    };
    let (each, centred) = (spread(graph, &width, &[-1]), graph.node("Sub", &["x", &mean], &[]));
    let y = graph.node("Div", &[&centred, &each], &[]);
    let told = features(graph);
    let input = if ladder.in_channels {
        let (narrow, ones) = (spread(graph, &told, &[0, -1]), [1, 1]);
        let pixels = item.iter().skip(1).copied().map(whole);
        let shape = graph.ints(&ones.into_iter().chain(pixels).collect::<Vec<_>>());
        let wide = graph.node("Expand", &[&narrow, &shape], &[]);
        graph.node("Concat", &[&y, &wide], &[("axis", Given::Int(1))])
    } else {
        y.clone()
    };
    let f = Layers { graph, weights, told: Some(told) }.list(net, &input)?;
    let scaled = graph.potential(ladder.form, [&f, &y], ladder.gain * s);
    let tilt = graph.node("Div", &[&scaled, if ladder.growing { "sigma" } else { &width }], &[]);
    // -log N(x; μ, s_σ² I).
    let count = item.iter().product::<usize>() as f64;
    let [half, dim, constant] = [0.5, count, 0.5 * count * (2.0 * PI).ln()].map(|value| graph.number(value));
    let length = graph.dot(&y, &y);
    let (inside, log_width) = (graph.node("Mul", &[&length, &half], &[]), graph.node("Log", &[&width], &[]));
    let volume = graph.node("Mul", &[&log_width, &dim], &[]);
    let normal = [inside, volume].iter().fold(constant, |sum, part| graph.node("Add", &[&sum, part], &[]));
    Ok(graph.node("Add", &[&tilt, &normal], &[]))
}

/// What a network reads of σ, `[B, 9]`: c = ¼ ln σ, sin ωc and cos ωc.
fn features(graph: &mut Graph) -> String {
    let (log, quarter, axis) = (graph.node("Log", &["sigma"], &[]), graph.number(0.25), graph.ints(&[1]));
    let scaled = graph.node("Mul", &[&log, &quarter], &[]);
    let c = graph.node("Unsqueeze", &[&scaled, &axis], &[]);
    let frequencies = graph.numbers(&LEVEL_FREQUENCIES);
    let phases = graph.node("Mul", &[&c, &frequencies], &[]);
    let [sin, cos] = ["Sin", "Cos"].map(|op| graph.node(op, &[&phases], &[]));
    graph.node("Concat", &[&c, &sin, &cos], &[("axis", Given::Int(1))])
}
