//! State by name: its parts put together and taken apart, compared, and written back.
//!
//! The tensors of a [`State`] are handles: they share storage with what they were taken from and follow it when it is
//! updated in place. Bytes are copied when a checkpoint is encoded, and when a variable is overwritten.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{Tensor, Var};

use crate::{Error, Result, ops};

/// The tensors that a run needs to go on as if never stopped (weights, moments, buffers, chains), by name.
pub type State = BTreeMap<String, Tensor>;

/// Adds `part`'s entries to `state` under `prefix.`.
pub fn put(state: &mut State, prefix: &str, part: State) {
    state.extend(part.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
}

/// The entries of `state` under `prefix.`, without the prefix.
pub fn take(state: &State, prefix: &str) -> State {
    let below = |name: &str| name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
    state.iter().filter_map(|(name, tensor)| Some((below(name)?, tensor.clone()))).collect()
}

/// The number of bytes that the values of a tensor take.
pub fn size(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

/// The differences between tensors that are wanted and tensors that are given, in names and shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    missing: Vec<String>,
    unknown: Vec<String>,
    misshapen: Vec<String>,
}

impl Mismatch {
    /// Compares the names and shapes of `want` with those of `given`, both ways.
    pub fn between<'a>(want: impl IntoIterator<Item = (&'a str, &'a [usize])>, given: &State) -> Self {
        let want: BTreeMap<&str, &[usize]> = want.into_iter().collect();
        let unknown = given.keys().filter(|name| !want.contains_key(name.as_str())).cloned().collect();
        let mut mismatch = Mismatch { unknown, ..Self::default() };
        for (name, shape) in want {
            match given.get(name).map(Tensor::dims) {
                None => mismatch.missing.push(name.to_owned()),
                Some(have) if have != shape => mismatch.misshapen.push(format!("{name} {have:?} instead of {shape:?}")),
                Some(_) => {}
            }
        }
        mismatch
    }

    /// The same differences without the given tensors that are not wanted, where these belong to another part.
    pub fn of_wanted(self) -> Self {
        Mismatch { unknown: Vec::new(), ..self }
    }

    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty() && self.misshapen.is_empty()
    }

    /// Refuses a difference; `whose` names the owner of the wanted tensors in the error.
    ///
    /// # Errors
    /// There is a difference.
    pub fn refuse(&self, whose: &str) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(Error::Other(format!("tensors do not fit {whose}: {self}"))) }
    }
}

/// Writes a line such as `1 missing: critic.bias; 2 unknown: image, mask`, with the first eight names of each kind.
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("missing", &self.missing), ("unknown", &self.unknown), ("of another shape", &self.misshapen)];
        for (i, (what, names)) in kinds.iter().filter(|(_, names)| !names.is_empty()).enumerate() {
            let first = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
            let (semicolon, more) = (if i > 0 { "; " } else { "" }, if names.len() > 8 { ", …" } else { "" });
            write!(f, "{semicolon}{} {what}: {first}{more}", names.len())?;
        }
        Ok(())
    }
}

/// Overwrites each variable by the tensor of its name. All are found, checked for their shape and converted to the
/// variable's type and device before the first one changes.
///
/// # Errors
/// A tensor is missing or has another shape, and nothing has changed then; or the device fails.
pub fn overwrite<'a>(whose: &str, vars: impl IntoIterator<Item = (&'a str, &'a Var)>, given: &State) -> Result<()> {
    let vars: Vec<(&str, &Var)> = vars.into_iter().collect();
    Mismatch::between(vars.iter().map(|(name, var)| (*name, var.dims())), given).of_wanted().refuse(whose)?;
    let mut writes = Vec::with_capacity(vars.len());
    for (name, var) in vars {
        if let Some(tensor) = given.get(name) {
            writes.push((var, tensor.to_dtype(var.dtype())?.to_device(var.device())?));
        }
    }
    writes.iter().try_for_each(|(var, tensor)| Ok(ops::assign(var, tensor)?))
}

/// Overwrites each variable for which there is a tensor of its name and shape, and leaves the others as they are.
///
/// # Errors
/// The device fails.
pub fn overwrite_fitting(vars: &BTreeMap<String, Var>, given: &State) -> Result<()> {
    for (name, var) in vars {
        if let Some(tensor) = given.get(name).filter(|tensor| tensor.dims() == var.dims()) {
            ops::assign(var, &tensor.to_dtype(var.dtype())?.to_device(var.device())?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_mismatch_lists_everything_at_once() {
        let given =
            State::from([("a", zeros(&[2])), ("b", zeros(&[3])), ("d", zeros(&[1]))].map(|(n, t)| (n.into(), t)));
        let want: [(&str, &[usize]); 3] = [("a", &[2]), ("b", &[4]), ("c", &[1])];
        let mismatch = Mismatch::between(want, &given);
        assert_eq!(mismatch.to_string(), "1 missing: c; 1 unknown: d; 1 of another shape: b [3] instead of [4]");
        assert_eq!(mismatch.of_wanted().to_string(), "1 missing: c; 1 of another shape: b [3] instead of [4]");
        let nine: Vec<String> = (0..9).map(|i| format!("w{i}")).collect();
        let many = Mismatch::between(nine.iter().map(|name| (name.as_str(), &[1][..])), &State::new());
        assert_eq!(many.to_string(), "9 missing: w0, w1, w2, w3, w4, w5, w6, w7, …");
        assert!(
            Mismatch::between(want[..1].to_vec(), &take(&State::from([("x.a".into(), zeros(&[2]))]), "x")).is_empty()
        );
    }

    #[test]
    fn variables_are_overwritten_all_or_none() {
        let [a, b] = [2, 3].map(|n| Var::zeros(n, DType::F64, &Device::Cpu).unwrap());
        let ones = |n: usize| Tensor::ones(n, DType::F32, &Device::Cpu).unwrap();
        let sum = |var: &Var| var.sum_all().unwrap().to_scalar::<f64>().unwrap();
        let vars = [("a", &a), ("b", &b)];
        for second in [State::new(), State::from([("b".into(), ones(2))])] {
            let given = State::from([("a".to_owned(), ones(2))]).into_iter().chain(second).collect();
            let text = overwrite("mine", vars, &given).unwrap_err().to_string();
            assert!(text.starts_with("tensors do not fit mine: 1 "), "{text}");
            assert_eq!(sum(&a), 0.0, "{text}");
        }
        let given = State::from([("a", ones(2)), ("b", ones(3)), ("other", ones(1))].map(|(n, t)| (n.into(), t)));
        overwrite("mine", vars, &given).unwrap();
        assert_eq!((sum(&a), sum(&b)), (2.0, 3.0));
    }
}
