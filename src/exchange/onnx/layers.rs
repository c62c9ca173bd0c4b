//! The layers of a network as nodes of a graph.

use candle_core::Tensor;

use super::graph::{Given, Graph, whole};
use crate::exchange::architecture::NamedLayer;
use crate::store::State;
use crate::{Error, Result};

/// The ε of group norm.
const EPSILON: f32 = 1e-5;

/// A graph that layers are added to, and the weights that they are made of.
pub struct Layers<'a> {
    /// The graph.
    pub graph: &'a mut Graph,
    /// All weights by name.
    pub weights: &'a State,
    /// The value that holds the functions of the noise level, where there is one.
    pub told: Option<String>,
}

impl Layers<'_> {
    /// Adds layers one after another behind the value `x`; gives the name of what they make.
    pub fn list(&mut self, layers: &[NamedLayer], x: &str) -> Result<String> {
        layers.iter().try_fold(x.to_owned(), |x, layer| self.layer(layer, &x))
    }

    fn layer(&mut self, layer: &NamedLayer, x: &str) -> Result<String> {
        Ok(match layer.name {
            "linear" => {
                let (w, b) = (self.weight(layer, "")?, self.stored(layer, "bias")?);
                self.graph.node("Gemm", &[x, &w, &b], &[("transB", Given::Int(1))])
            }
            "conv" => self.conv(layer, x)?,
            "activation" => self.activation(layer, x)?,
            "norm" => self.norm(layer, x)?,
            "pool" | "global_pool" | "upsample" => self.resized(layer, x),
            "fourier" => {
                let frequencies = self.stored(layer, "frequencies")?;
                let turned = self.graph.node("Transpose", &[&frequencies], &[]);
                let phases = self.graph.node("MatMul", &[x, &turned], &[]);
                let [sin, cos] = ["Sin", "Cos"].map(|op| self.graph.node(op, &[&phases], &[]));
                self.graph.node("Concat", &[x, &sin, &cos], &[("axis", Given::Int(1))])
            }
            "flatten" => self.reshaped(x, &[0, -1]),
            "reshape" => {
                let item = layer.keys.get("shape").and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
                let item = item.iter().filter_map(toml::Value::as_integer);
                let shape: Vec<i64> = std::iter::once(0).chain(item).collect();
                self.reshaped(x, if shape.len() == 1 { &[-1] } else { &shape })
            }
            "dropout" => x.to_owned(),
            "residual" => {
                let beside = self.list(layer.list("shortcut"), x)?;
                let made = self.list(layer.list("layers"), x)?;
                self.graph.node("Add", &[&beside, &made], &[])
            }
            "skip" => {
                let made = self.list(layer.list("layers"), x)?;
                self.graph.node("Concat", &[x, &made], &[("axis", Given::Int(1))])
            }
            "attention" => self.attention(layer, x)?,
            "time_embedding" => self.embedded(layer, x)?,
            other => return Err(Error::config(format!("the layer `{other}` has no counterpart in ONNX"))),
        })
    }

    /// Pooling and upsampling.
    fn resized(&mut self, layer: &NamedLayer, x: &str) -> String {
        let (graph, flat) = (&mut *self.graph, ("keepdims", Given::Int(0)));
        match (layer.name, layer.keys.get("of").and_then(toml::Value::as_str)) {
            ("pool", _) => {
                let side = || Given::Ints(vec![layer.count("window"); 2]);
                graph.node("AveragePool", &[x], &[("kernel_shape", side()), ("strides", side())])
            }
            ("global_pool", Some("mean")) => graph.node("ReduceMean", &[x], &[("axes", Given::Ints(vec![2, 3])), flat]),
            ("global_pool", _) => {
                let pixels = graph.ints(&[2, 3]);
                graph.node("ReduceSum", &[x, &pixels], &[flat])
            }
            _ => {
                let factor = layer.count("factor") as f32;
                let scales = graph.numbers(&[1.0, 1.0, factor, factor]);
                let words = [
                    ("mode", Given::Word("nearest")),
                    ("coordinate_transformation_mode", Given::Word("asymmetric")),
                    ("nearest_mode", Given::Word("floor")),
                ];
                graph.node("Resize", &[x, "", &scales], &words)
            }
        }
    }

    fn conv(&mut self, layer: &NamedLayer, x: &str) -> Result<String> {
        let (w, b) = (self.weight(layer, "")?, self.stored(layer, "bias")?);
        let (kernel, stride) = (layer.count("kernel"), layer.count("stride"));
        let given = [
            ("kernel_shape", Given::Ints(vec![kernel; 2])),
            ("strides", Given::Ints(vec![stride; 2])),
            ("pads", Given::Ints(vec![(kernel - 1) / 2; 4])),
        ];
        Ok(self.graph.node("Conv", &[x, &w, &b], &given))
    }

    fn activation(&mut self, layer: &NamedLayer, x: &str) -> Result<String> {
        let alpha = |alpha: f32| vec![("alpha", Given::Float(alpha))];
        let (op, given) = match layer.keys.get("function").and_then(toml::Value::as_str).unwrap_or_default() {
            "swish" => {
                let turned = match layer.tensor("beta") {
                    Some(_) => {
                        let beta = self.stored(layer, "beta")?;
                        self.graph.node("Mul", &[x, &beta], &[])
                    }
                    None => x.to_owned(),
                };
                let gate = self.graph.node("Sigmoid", &[&turned], &[]);
                return Ok(self.graph.node("Mul", &[x, &gate], &[]));
            }
            "softplus" => ("Softplus", Vec::new()),
            "leaky_relu" => ("LeakyRelu", alpha(0.2)),
            "tanh" => ("Tanh", Vec::new()),
            "relu" => ("Relu", Vec::new()),
            "elu" => ("Elu", alpha(1.0)),
            "sigmoid" => ("Sigmoid", Vec::new()),
            other => return Err(Error::config(format!("the non-linearity `{other}` has no counterpart in ONNX"))),
        };
        Ok(self.graph.node(op, &[x], &given))
    }

    /// Instance norm of the groups, then the gain and shift of each channel.
    fn norm(&mut self, layer: &NamedLayer, x: &str) -> Result<String> {
        let groups = layer.count("groups");
        let (gain, shift) = (self.column(layer, "gain")?, self.column(layer, "shift")?);
        let shape = self.graph.node("Shape", &[x], &[]);
        let grouped = self.reshaped(x, &[0, groups, -1]);
        let ones = self.graph.numbers(&vec![1.0; groups as usize]);
        let zeros = self.graph.numbers(&vec![0.0; groups as usize]);
        let given = [("epsilon", Given::Float(EPSILON))];
        let unit = self.graph.node("InstanceNormalization", &[&grouped, &ones, &zeros], &given);
        let channels =
            layer.tensor("gain").and_then(|name| self.weights.get(name)).map_or(-1, |g| whole(g.elem_count()));
        let unit = self.reshaped(&unit, &[0, channels, -1]);
        let scaled = self.graph.node("Mul", &[&unit, &gain], &[]);
        let shifted = self.graph.node("Add", &[&scaled, &shift], &[]);
        Ok(self.graph.node("Reshape", &[&shifted, &shape], &[]))
    }

    /// Attention of the pixels, `[B, C, H, W]`: heads `[B, h, N, d]`.
    fn attention(&mut self, layer: &NamedLayer, x: &str) -> Result<String> {
        let shape = self.graph.node("Shape", &[x], &[]);
        let channels = self.tensor(layer, "out.bias")?.elem_count();
        let width = channels as f64 / layer.count("heads").max(1) as f64;
        let perm = |perm: &[i64]| [("perm", Given::Ints(perm.to_vec()))];
        let flat = self.reshaped(x, &[0, whole(channels), -1]);
        let rows = self.graph.node("Transpose", &[&flat], &perm(&[0, 2, 1]));
        let made = self.rows(layer, "qkv.", &rows)?;
        let parts = self.reshaped(&made, &[0, 0, 3, layer.count("heads"), -1]);
        let parts = self.graph.node("Transpose", &[&parts], &perm(&[2, 0, 3, 1, 4]));
        let [q, k, v] = [0, 1, 2].map(|i| {
            let one = self.graph.ints(&[i]);
            let (part, axis) = (self.graph.node("Gather", &[&parts, &one], &[]), self.graph.ints(&[0]));
            self.graph.node("Squeeze", &[&part, &axis], &[])
        });
        let turned = self.graph.node("Transpose", &[&k], &perm(&[0, 1, 3, 2]));
        let (scores, rate) = (self.graph.node("MatMul", &[&q, &turned], &[]), self.graph.number(width.powf(-0.5)));
        let scores = self.graph.node("Mul", &[&scores, &rate], &[]);
        let shares = self.graph.node("Softmax", &[&scores], &[("axis", Given::Int(-1))]);
        let read = self.graph.node("MatMul", &[&shares, &v], &[]);
        let read = self.graph.node("Transpose", &[&read], &perm(&[0, 2, 1, 3]));
        let read = self.reshaped(&read, &[0, 0, whole(channels)]);
        let out = self.rows(layer, "out.", &read)?;
        let out = self.graph.node("Transpose", &[&out], &perm(&[0, 2, 1]));
        Ok(self.graph.node("Reshape", &[&out, &shape], &[]))
    }

    /// The functions of the level by two linear layers, the same at every pixel, on top of x.
    fn embedded(&mut self, layer: &NamedLayer, x: &str) -> Result<String> {
        let none = || Error::Other("`time_embedding` outside of a model of noise levels".into());
        let told = self.told.clone().ok_or_else(none)?;
        let hidden = self.rows(layer, "inner.", &told)?;
        let gate = self.graph.node("Sigmoid", &[&hidden], &[]);
        let bent = self.graph.node("Mul", &[&hidden, &gate], &[]);
        let shift = self.rows(layer, "outer.", &bent)?;
        // The axes of x behind its channels: [B, C, 1, ..].
        let shape = self.graph.node("Shape", &[x], &[]);
        let ones = self.graph.node("Div", &[&shape, &shape], &[]);
        let (head, [from, to]) =
            (self.graph.node("Shape", &[&shift], &[]), [2, i64::MAX].map(|end| self.graph.ints(&[end])));
        let rest = self.graph.node("Slice", &[&ones, &from, &to], &[]);
        let narrow = self.graph.node("Concat", &[&head, &rest], &[("axis", Given::Int(0))]);
        let shift = self.graph.node("Reshape", &[&shift, &narrow], &[]);
        Ok(self.graph.node("Add", &[x, &shift], &[]))
    }

    /// W x + b on the rows of `[B, N, C]` or `[B, C]`.
    fn rows(&mut self, layer: &NamedLayer, part: &str, x: &str) -> Result<String> {
        let (w, b) = (self.weight(layer, part)?, self.stored(layer, &format!("{part}bias"))?);
        let turned = self.graph.node("Transpose", &[&w], &[]);
        let product = self.graph.node("MatMul", &[x, &turned], &[]);
        Ok(self.graph.node("Add", &[&product, &b], &[]))
    }

    fn reshaped(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.graph.ints(shape);
        self.graph.node("Reshape", &[x, &shape], &[])
    }

    fn tensor(&self, layer: &NamedLayer, what: &str) -> Result<&Tensor> {
        let found = layer.tensor(what).and_then(|name| self.weights.get(name));
        found.ok_or_else(|| Error::Other(format!("a layer `{}` without `{what}`", layer.name)))
    }

    /// A tensor as it is stored.
    fn stored(&mut self, layer: &NamedLayer, what: &str) -> Result<String> {
        let tensor = self.tensor(layer, what)?.clone();
        self.graph.tensor(layer.tensor(what).unwrap_or(what), &tensor)
    }

    /// A vector as a column, `[C, 1]`.
    fn column(&mut self, layer: &NamedLayer, what: &str) -> Result<String> {
        let column = self.tensor(layer, what)?.unsqueeze(1)?;
        self.graph.tensor(layer.tensor(what).unwrap_or(what), &column)
    }

    /// The weight that is applied: under spectral norm W/(uᵀWv), under weight norm exp(s) W/‖W‖ output by output.
    fn weight(&mut self, layer: &NamedLayer, part: &str) -> Result<String> {
        let what = |name: &str| format!("{part}{name}");
        let raw = self.tensor(layer, &what("weight"))?;
        let flat = raw.flatten_from(1)?;
        let per_output = vec![1; raw.rank().saturating_sub(1)];
        let applied = match (layer.tensor(&what("u")), layer.tensor(&what("log_scale"))) {
            (Some(_), _) => {
                let (u, v) = (self.tensor(layer, &what("u"))?, self.tensor(layer, &what("v"))?);
                let sigma = u.unsqueeze(0)?.matmul(&flat.matmul(&v.unsqueeze(1)?)?)?.flatten_all()?;
                raw.broadcast_div(&sigma.reshape([&[1], per_output.as_slice()].concat())?)?
            }
            (None, Some(_)) => {
                let lengths = flat.sqr()?.sum(1)?.sqrt()?.maximum(1e-12)?;
                let rate = (self.tensor(layer, &what("log_scale"))?.exp()? / lengths)?;
                raw.broadcast_mul(&rate.reshape([&[rate.elem_count()], per_output.as_slice()].concat())?)?
            }
            (None, None) => raw.clone(),
        };
        self.graph.tensor(layer.tensor(&what("weight")).unwrap_or("weight"), &applied)
    }
}
