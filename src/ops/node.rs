//! A tensor whose gradients for any number of others come from one function: how a pass that is no composition of
//! candle's operations takes part in an ordinary `backward()`.
//!
//! candle's own operations have at most three arguments. So the arguments are threaded, two at a time, on a chain of
//! tokens, scalars 0, and the last token is an argument of the tensor. `backward()` comes to the tensor first, where
//! all gradients are computed, and then along the chain, which hands them out.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage};

use super::cpu::{Output, access};
#[cfg(feature = "cuda")]
use super::cuda::access::Output as OnGpu;
use crate::Result;

/// The function from the gradient for a tensor to those for the tensors it depends on, `None` where it does not.
type Pull = Box<dyn Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync>;

/// The tensor y as a function of `arguments`, which are tracked: `pull` turns ȳ into the gradients for them, in their
/// order. It is called once in each `backward()`; its results are not differentiated.
///
/// # Errors
/// y is of another type than f32 and f64, or the device fails.
pub fn node(
    y: &Tensor,
    arguments: &[Tensor],
    pull: impl Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    let shared = Arc::new(Shared { pull: Box::new(pull), made: Mutex::default() });
    let mut token = Tensor::zeros((), y.dtype(), y.device())?;
    for (i, pair) in arguments.chunks(2).enumerate() {
        let part = Part { shared: Arc::clone(&shared), first: 2 * i };
        token = match pair {
            [a, b] => token.apply_op3(a, b, part)?,
            [a] => token.apply_op2(a, part)?,
            _ => token,
        };
    }
    Ok(y.detach().force_contiguous()?.apply_op2(&token, Whole(shared))?)
}

/// What the tensor and the chain share.
struct Shared {
    pull: Pull,
    /// The gradients that wait for the chain.
    made: Mutex<Vec<Option<Tensor>>>,
}

impl Shared {
    /// The gradient for argument i, in the backward pass that is going on. candle goes on from each argument that is no
    /// variable, so that it has to have one.
    fn take(&self, i: usize, argument: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).get_mut(i).and_then(Option::take);
        match made {
            None if !argument.is_variable() => argument.zeros_like().map(Some),
            made => Ok(made),
        }
    }
}

/// The operation (y, token) ↦ y.
struct Whole(Arc<Shared>);

impl CustomOp2 for Whole {
    fn name(&self) -> &'static str {
        "pass"
    }

    fn cpu_fwd(&self, y: &CpuStorage, ly: &Layout, _: &CpuStorage, _: &Layout) -> Output {
        copied(y, ly)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, y: &CudaStorage, ly: &Layout, _: &CudaStorage, _: &Layout) -> OnGpu {
        Ok((y.try_clone(ly)?, ly.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        token: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let made = (self.0.pull)(g)?;
        *self.0.made.lock().unwrap_or_else(PoisonError::into_inner) = made;
        Ok((None, Some(token.zeros_like()?)))
    }
}

/// The operation (token, a, b) ↦ token, or (token, a) ↦ token, for arguments number `first` and the one behind it.
struct Part {
    shared: Arc<Shared>,
    first: usize,
}

impl CustomOp2 for Part {
    fn name(&self) -> &'static str {
        "argument of a pass"
    }

    fn cpu_fwd(&self, token: &CpuStorage, lt: &Layout, _: &CpuStorage, _: &Layout) -> Output {
        copied(token, lt)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, token: &CudaStorage, lt: &Layout, _: &CudaStorage, _: &Layout) -> OnGpu {
        Ok((token.try_clone(lt)?, lt.shape().clone()))
    }

    fn bwd(
        &self,
        token: &Tensor,
        a: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((token.track_op().then(|| g.clone()), self.shared.take(self.first, a)?))
    }
}

impl CustomOp3 for Part {
    fn name(&self) -> &'static str {
        CustomOp2::name(self)
    }

    fn cpu_fwd(
        &self,
        token: &CpuStorage,
        lt: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Output {
        copied(token, lt)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        token: &CudaStorage,
        lt: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> OnGpu {
        Ok((token.try_clone(lt)?, lt.shape().clone()))
    }

    fn bwd(
        &self,
        token: &Tensor,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (token, first) = CustomOp2::bwd(self, token, a, y, g)?;
        Ok((token, first, self.shared.take(self.first + 1, b)?))
    }
}

/// The same numbers in storage of their own.
fn copied(storage: &CpuStorage, layout: &Layout) -> Output {
    access::on_floats!(storage, T => access::output(access::slice::<T>((storage, layout))?.to_vec(), layout.shape()))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::Error;

    fn scalar(v: f64) -> Var {
        Var::new(v, &Device::Cpu).unwrap()
    }

    #[test]
    fn gradients_for_any_number_of_arguments_come_from_one_function() {
        for count in 0..6usize {
            let vars: Vec<Var> = (0..count).map(|i| scalar(i as f64)).collect();
            // The last argument is made of the first. Number 1 gets none, be it a variable or not.
            let mut arguments: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
            arguments.extend(vars.first().map(|v| (v.as_tensor() * 3.0).unwrap()));
            let y = Tensor::new(&[1.0, 2.0], &Device::Cpu).unwrap();
            let wanted = arguments.len();
            let passed = node(&y, &arguments, move |g| {
                let sum = g.sum_all()?;
                (0..wanted).map(|i| Ok((i != 1).then(|| &sum * (i + 1) as f64).transpose()?)).collect()
            })
            .unwrap();
            assert_eq!(passed.to_vec1::<f64>().unwrap(), [1.0, 2.0]);
            for factor in [1.0, 2.0] {
                let store = (passed.sum_all().unwrap() * factor).unwrap().backward().unwrap();
                for (i, var) in vars.iter().enumerate() {
                    let have = store.get(var).map(|g| g.to_scalar::<f64>().unwrap());
                    let own = 2.0 * factor * (i + 1) as f64;
                    let through = if wanted == 2 { 0.0 } else { 3.0 * 2.0 * factor * wanted as f64 };
                    let want = match i {
                        0 => Some(own + through),
                        1 => None,
                        _ => Some(own),
                    };
                    assert_eq!(have, want, "argument {i} of {count}");
                }
            }
        }
    }

    #[test]
    fn a_failure_in_the_function_is_that_of_the_backward_pass() {
        let var = scalar(1.0);
        let passed = node(&var, &[var.as_tensor().clone()], |_| Err(Error::Other("a reason".into()))).unwrap();
        let error = passed.backward().unwrap_err();
        assert!(matches!(&Error::from(error), Error::Other(said) if said == "a reason"));
    }
}
