//! A graph under construction: every value is known by its name.

use candle_core::Tensor;

use super::proto::{self, Attribute, Constant, Dim, Kind, Named, Node, Shape, TensorKind};
use crate::Result;
use crate::density::PotentialForm;
use crate::exchange::floats::Floats;

/// The codes of types in `onnx.proto`.
const FLOAT: i32 = 1;
const INT64: i32 = 7;

/// A graph to which nodes are added one after another.
#[derive(Default)]
pub struct Graph(proto::Graph);

/// The attribute of a node.
pub enum Given<'a> {
    /// A number.
    Float(f32),
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// A word.
    Word(&'a str),
}

impl Graph {
    /// Adds a node; gives the name of its value.
    pub fn node(&mut self, op: &str, inputs: &[&str], given: &[(&str, Given)]) -> String {
        let name = format!("{}_{}", op.to_lowercase(), self.0.node.len());
        self.named(&name, op, inputs, given);
        name
    }

    /// Adds a node whose value has this name.
    pub fn named(&mut self, name: &str, op: &str, inputs: &[&str], given: &[(&str, Given)]) {
        self.0.node.push(Node {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: op.to_owned(),
            attribute: given.iter().map(|(name, given)| attribute(name, given)).collect(),
        });
    }

    /// Adds the scalar product of each two rows, `[B]`; gives its name.
    pub fn dot(&mut self, a: &str, b: &str) -> String {
        let (flat, axes) = (self.ints(&[0, -1]), self.ints(&[1]));
        let product = self.node("Mul", &[a, b], &[]);
        let rows = self.node("Reshape", &[&product, &flat], &[]);
        self.node("ReduceSum", &[&rows, &axes], &[("keepdims", Given::Int(0))])
    }

    /// Adds the potential of this form of a network's output f at x, times `factor`, `[B]`; gives its name.
    pub fn potential(&mut self, form: PotentialForm, [f, x]: [&str; 2], factor: f64) -> String {
        let (value, factor) = match form {
            PotentialForm::Scalar => (f.to_owned(), factor),
            PotentialForm::Dot => (self.dot(f, x), -factor),
            PotentialForm::Square => (self.dot(f, f), 0.5 * factor),
        };
        if factor == 1.0 {
            return value;
        }
        let factor = self.number(factor);
        self.node("Mul", &[&value, &factor], &[])
    }

    /// Adds a tensor as f32; gives its name.
    pub fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<String> {
        if !self.0.initializer.iter().any(|constant| constant.name == name) {
            let dims = tensor.dims().iter().copied().map(whole).collect();
            let raw_data = Floats::of(tensor)?.into_bytes();
            self.0.initializer.push(Constant { dims, data_type: FLOAT, name: name.to_owned(), raw_data });
        }
        Ok(name.to_owned())
    }

    /// Adds a number; gives its name.
    pub fn number(&mut self, value: f64) -> String {
        self.constant(FLOAT, Vec::new(), (value as f32).to_le_bytes().to_vec())
    }

    /// Adds a list of numbers; gives its name.
    pub fn numbers(&mut self, values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(FLOAT, vec![whole(values.len())], bytes)
    }

    /// Adds a list of whole numbers, as shapes and axes are given; gives its name.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(INT64, vec![whole(values.len())], bytes)
    }

    fn constant(&mut self, data_type: i32, dims: Vec<i64>, raw_data: Vec<u8>) -> String {
        let name = format!("constant_{}", self.0.initializer.len());
        self.0.initializer.push(Constant { dims, data_type, name: name.clone(), raw_data });
        name
    }

    /// Declares the input: a batch of items of this shape.
    pub fn input(&mut self, name: &str, item: &[usize]) {
        self.0.input.push(batch(name, item));
    }

    /// Declares an output.
    pub fn output(&mut self, name: &str, item: &[usize]) {
        self.0.output.push(batch(name, item));
    }

    /// The whole.
    pub fn finish(self, name: &str) -> proto::Graph {
        proto::Graph { name: name.to_owned(), ..self.0 }
    }
}

/// A count as ONNX writes it.
pub fn whole(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn batch(name: &str, item: &[usize]) -> Named {
    let any = Dim { value: None, param: Some("batch".into()) };
    let fixed = item.iter().map(|d| Dim { value: Some(whole(*d)), param: None });
    let shape = Shape { dim: std::iter::once(any).chain(fixed).collect() };
    let tensor = TensorKind { elem_type: FLOAT, shape: Some(shape) };
    Named { name: name.to_owned(), kind: Some(Kind { tensor: Some(tensor) }) }
}

fn attribute(name: &str, given: &Given) -> Attribute {
    let named = Attribute { name: name.to_owned(), ..Attribute::default() };
    match given {
        Given::Float(value) => Attribute { f: Some(*value), kind: 1, ..named },
        Given::Int(value) => Attribute { i: Some(*value), kind: 2, ..named },
        Given::Word(word) => Attribute { s: Some(word.as_bytes().to_vec()), kind: 3, ..named },
        Given::Ints(values) => Attribute { ints: values.clone(), kind: 7, ..named },
    }
}
