//! Projected gradient descent (Madry et al. 2018) along the gradient of the cross-entropy of the logits.

use candle_core::{D, DType, Device, Tensor};

use super::Norm;
use crate::density::Model;
use crate::probes::support::items::not_finite;
use crate::probes::support::labels::{logits, without_logits};
use crate::probes::support::rows::host_rows;
use crate::samplers::{Kernel, Target};
use crate::{Result, rng::Key};

/// The classifier as an attacker meets it.
pub struct Victim<'a> {
    /// Gives the logits.
    pub model: &'a Model,
    /// Refines inputs before they are classified.
    pub kernel: &'a dyn Kernel,
    /// By so many steps.
    pub refine: usize,
}

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// The norm of the ball around an item that the attacker stays in.
    pub norm: Norm,
    /// Its radius.
    pub eps: f64,
    /// Steps.
    pub steps: usize,
    /// Length of a step in that norm.
    pub step: f64,
    /// Random starts.
    pub restarts: usize,
    /// Numbers stay between these two, or where they are if they lie outside.
    pub limits: Option<[f64; 2]>,
}

impl Victim<'_> {
    /// x after `refine` steps of the kernel; the noise is that of `key`.
    fn refined(&self, key: Key, x: &Tensor) -> Result<Tensor> {
        if self.refine == 0 {
            return Ok(x.detach());
        }
        let on = Target::of(self.model);
        let mut chain = self.kernel.init(&on, x)?;
        for step in 0..self.refine {
            chain = self.kernel.step(key.at(step as u64), &on, &chain)?.0;
        }
        Ok(chain.x)
    }

    /// The lead max_k≠y f_k - f_y of the best wrong class, `[B]`: above 0 the item is classified wrongly; a tie is
    /// wrong too.
    pub(super) fn lead(&self, key: Key, x: &Tensor, y: &[u32]) -> Result<Vec<f64>> {
        let rows = host_rows(&logits("robustness", self.model, &self.refined(key, x)?)?)?;
        leads(&rows, y)
    }

    /// The lead, and the gradient of m = log Σ_k≠y exp f_k - f_y at the refined input: that of the cross-entropy,
    /// log(1 + eᵐ), up to a positive factor, which for a confident classifier would round to nothing and hide where its
    /// boundary is.
    ///
    /// It is taken for the gradient at x: refinement counts as the identity in the backward pass (BPDA, Athalye,
    /// Carlini & Wagner 2018), with fresh noise in every step. A stronger attacker would differentiate through the
    /// chain.
    fn lead_and_gradient(&self, key: Key, x: &Tensor, y: &[u32]) -> Result<(Vec<f64>, Tensor)> {
        let labels = Tensor::new(y, x.device())?.unsqueeze(1)?;
        let margins = |values: &Tensor| -> Result<Tensor> {
            let own = values.gather(&labels, 1)?;
            let hidden = (own.ones_like()? * -1e30)?;
            let others = (values + values.zeros_like()?.scatter_add(&labels, &hidden, 1)?)?.log_sum_exp(D::Minus1)?;
            Ok((others.sum_all()? - own.sum_all()?)?)
        };
        let found = self.model.slope_of_logits(&self.refined(key, x)?, margins)?;
        let [values, slope] = found.ok_or_else(|| without_logits("robustness"))?;
        Ok((leads(&host_rows(&values)?, y)?, slope))
    }
}

fn leads(rows: &[Vec<f64>], y: &[u32]) -> Result<Vec<f64>> {
    let lead = |(row, &label): (&Vec<f64>, &u32)| {
        let own = row.get(label as usize).copied().unwrap_or(f64::NAN);
        let others = row.iter().enumerate().filter(|(k, _)| *k != label as usize).map(|(_, v)| *v);
        others.fold(f64::NEG_INFINITY, f64::max) - own
    };
    let leads: Vec<f64> = rows.iter().zip(y).map(lead).collect();
    match rows.iter().flatten().all(|v| v.is_finite()) {
        true => Ok(leads),
        false => Err(not_finite("the logits of an attacked or refined item are not finite")),
    }
}

impl Attack {
    /// For each item the point with the largest lead among all that the attacker visited, `[B, ..]`.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn run(&self, victim: &Victim, x: &Tensor, y: &[u32], key: Key) -> Result<Tensor> {
        let (mut best, mut found) = (x.copy()?, vec![f64::NEG_INFINITY; y.len()]);
        for restart in 0..self.restarts {
            let key = key.at(restart as u64);
            let mut at = self.bounded(&(x + self.start(x, key.with("start"))?)?, x)?;
            for step in 0..=self.steps {
                let key = key.with("step").at(step as u64);
                let (leads, grad) = match step < self.steps {
                    true => victim.lead_and_gradient(key, &at, y)?,
                    false => (victim.lead(key, &at, y)?, at.zeros_like()?),
                };
                let better: Vec<u8> = leads.iter().zip(&found).map(|(new, old)| u8::from(new > old)).collect();
                best = choose(&better, &at, &best)?;
                found.iter_mut().zip(leads).for_each(|(old, new)| *old = old.max(new));
                at = self.bounded(&(&at + self.direction(&grad)?)?, x)?;
            }
        }
        Ok(best)
    }

    /// A random point of the ball around 0: uniform in the cube; in the ball, a uniform direction and radius
    /// u^(1/D)·eps.
    fn start(&self, x: &Tensor, key: Key) -> Result<Tensor> {
        if self.norm == Norm::Linf {
            return Ok(key.uniform(x.dims(), x.dtype(), x.device())?.affine(2.0 * self.eps, -self.eps)?);
        }
        let normal = key.with("direction").normal(x.dims(), x.dtype(), x.device())?;
        let (n, dim) = (x.dim(0)?, x.elem_count() / x.dim(0)?.max(1));
        let radii: Vec<f64> = key.with("radius").uniform(n, DType::F64, &Device::Cpu)?.to_vec1()?;
        let radii: Vec<f64> = radii.into_iter().map(|u| self.eps * u.powf(1.0 / dim as f64)).collect();
        scaled(&normal, |i, length| radii.get(i).map_or(0.0, |r| r / length))
    }

    /// One step along the gradient: of its sign, or of its direction. No step where it vanishes.
    fn direction(&self, grad: &Tensor) -> Result<Tensor> {
        match self.norm {
            Norm::Linf => Ok((grad.sign()? * self.step)?),
            Norm::L2 => scaled(grad, |_, length| if length > 0.0 { self.step / length } else { 0.0 }),
        }
    }

    /// The nearest point of the ball around x, then of the limits, which hold x and so lead out of no ball.
    fn bounded(&self, at: &Tensor, x: &Tensor) -> Result<Tensor> {
        let moved = (at - x)?;
        let moved = match self.norm {
            Norm::Linf => moved.clamp(-self.eps, self.eps)?,
            Norm::L2 => scaled(&moved, |_, length| if length > self.eps { self.eps / length } else { 1.0 })?,
        };
        let at = (x + moved)?;
        let Some([low, high]) = self.limits else { return Ok(at) };
        Ok(at.maximum(&x.minimum(low)?)?.minimum(&x.maximum(high)?)?)
    }
}

/// Every item times a number that follows from its place and its Euclidean length.
fn scaled(x: &Tensor, factor: impl Fn(usize, f64) -> f64) -> Result<Tensor> {
    let squares = x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.sqr()?.flatten_from(1)?.sum(1)?.to_vec1::<f64>()?;
    let factors: Vec<f64> = squares.iter().enumerate().map(|(i, square)| factor(i, square.sqrt())).collect();
    let shape: Vec<usize> = std::iter::once(factors.len()).chain(vec![1; x.rank().saturating_sub(1)]).collect();
    // In f64: the factor that stretches a short gradient may be beyond f32.
    let factors = Tensor::from_vec(factors, shape, x.device())?;
    Ok(x.to_dtype(DType::F64)?.broadcast_mul(&factors)?.to_dtype(x.dtype())?)
}

/// Items of `a` where `which` is 1, else those of `b`.
fn choose(which: &[u8], a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let shape: Vec<usize> = std::iter::once(which.len()).chain(vec![1; a.rank().saturating_sub(1)]).collect();
    let which = Tensor::from_slice(which, shape, a.device())?.broadcast_as(a.shape())?;
    Ok(which.where_cond(a, b)?)
}

/// Share of the items that are still classified correctly: without attack, then under each attack, the weakest first.
///
/// The attacker chooses a point; whether it is classified correctly is then seen with noise of the refinement that it
/// did not know. An item that a weaker attack broke stays broken, as its point is within the reach of the stronger one.
pub(super) fn curve(victim: &Victim, attacks: &[Attack], x: &Tensor, y: &[u32], key: Key) -> Result<Vec<f64>> {
    /// Items attacked at a time.
    const CHUNK: usize = 200;
    let mut standing: Vec<u32> = (0..y.len() as u32).collect();
    let mut shares = Vec::with_capacity(attacks.len() + 1);
    for (i, attack) in std::iter::once(None).chain(attacks.iter().map(Some)).enumerate() {
        let key = key.with("attack").at(i as u64);
        let mut left = Vec::with_capacity(standing.len());
        for (j, rows) in standing.chunks(CHUNK).enumerate() {
            let key = key.at(j as u64);
            let labels: Vec<u32> = rows.iter().filter_map(|r| y.get(*r as usize)).copied().collect();
            let items = x.index_select(&Tensor::new(rows, x.device())?, 0)?;
            let point = match attack {
                None => items,
                Some(attack) => attack.run(victim, &items, &labels, key)?,
            };
            let leads = victim.lead(key.with("judge"), &point, &labels)?;
            left.extend(rows.iter().zip(leads).filter(|(_, lead)| *lead < 0.0).map(|(row, _)| *row));
        }
        standing = left;
        shares.push(standing.len() as f64 / y.len() as f64);
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Spec;
    use crate::density::Energy as _;
    use crate::density::{Context, Model};
    use crate::samplers::Sgld;

    const CPU: Device = Device::Cpu;

    /// f(x) = Wx + b with two classes.
    fn linear() -> Model {
        let text = "name = \"classifier\"\nclasses = 0\nnet = { name = \"mlp\", hidden = [], activation = \"swish\", \
                    learned_beta = false, dropout = 0.0, spectral_norm = false, norm = \"none\" }";
        let context = Context { shape: vec![6], classes: Some(2), moments: None };
        Model::new(&Spec::new(text.parse().unwrap()), &context, Key::new(1), DType::F32, &CPU).unwrap()
    }

    /// f_y - f_other over the dual norm of the difference of the weights: the distance to the boundary.
    fn distances(model: &Model, x: &Tensor, y: &[u32], norm: Norm) -> Vec<f64> {
        let tensors = model.params().tensors();
        let weight = tensors.iter().find(|(name, _)| name.ends_with("weight")).unwrap().1;
        let w: Vec<Vec<f64>> = host_rows(weight).unwrap();
        let difference: Vec<f64> = w[0].iter().zip(&w[1]).map(|(a, b)| a - b).collect();
        let dual = match norm {
            Norm::Linf => difference.iter().map(|d| d.abs()).sum::<f64>(),
            Norm::L2 => difference.iter().map(|d| d * d).sum::<f64>().sqrt(),
        };
        let victim = Victim { model, kernel: &Sgld::default(), refine: 0 };
        victim.lead(Key::new(0), x, y).unwrap().iter().map(|lead| -lead / dual).collect()
    }

    fn attack(norm: Norm, eps: f64) -> Attack {
        Attack { norm, eps, steps: 200, step: 0.0625 * eps, restarts: 1, limits: None }
    }

    #[test]
    fn a_linear_classifier_breaks_exactly_at_the_distance_to_its_boundary() {
        let x = Key::new(2).normal((100, 6), DType::F32, &CPU).unwrap();
        let y: Vec<u32> = (0..100).map(|i| i % 2).collect();
        // However sure the classifier is: the boundary stays where it is, and cross-entropy's gradient would vanish.
        for (loudness, norm) in [(1.0, Norm::Linf), (1.0, Norm::L2), (16384.0, Norm::Linf), (16384.0, Norm::L2)] {
            let trained = linear();
            for var in trained.params().weights.values() {
                crate::ops::assign(var, &(var.as_tensor() * loudness).unwrap()).unwrap();
            }
            let model = trained.frozen().unwrap();
            let victim = Victim { model: &model, kernel: &Sgld::default(), refine: 0 };
            let distances = distances(&trained, &x, &y, norm);
            let attacks = [0.1, 0.3, 0.9].map(|eps| attack(norm, eps));
            let shares = curve(&victim, &attacks, &x, &y, Key::new(3)).unwrap();
            let want = [0.0, 0.1, 0.3, 0.9].map(|eps| distances.iter().filter(|d| **d > eps).count() as f64 / 100.0);
            assert_eq!(shares, want, "{norm:?}, logits times {loudness}");
            assert!(want[0] > want[1] && want[2] > want[3], "{want:?}");
        }
    }

    #[test]
    fn the_attacker_keeps_to_its_ball_and_the_limits() {
        let model = linear().frozen().unwrap();
        let x = Key::new(2).normal((50, 2, 3, 1), DType::F32, &CPU).unwrap();
        let (flat, y) = (x.flatten_from(1).unwrap(), vec![1; 50]);
        let victim = Victim { model: &model, kernel: &Sgld::default(), refine: 0 };
        for norm in [Norm::Linf, Norm::L2] {
            let attack = Attack { limits: Some([-0.5, 0.5]), restarts: 2, ..attack(norm, 0.7) };
            let point = attack.run(&victim, &flat, &y, Key::new(4)).unwrap();
            let moved = host_rows(&(&point - &flat).unwrap()).unwrap();
            let rows = host_rows(&point).unwrap().into_iter().zip(host_rows(&flat).unwrap());
            for ((at, from), moved) in rows.zip(moved) {
                let size = match norm {
                    Norm::Linf => moved.iter().fold(0.0, |m: f64, v| m.max(v.abs())),
                    Norm::L2 => moved.iter().map(|v| v * v).sum::<f64>().sqrt(),
                };
                assert!(size <= 0.7 + 1e-6, "{norm:?}: {size}");
                let inside = |(a, f): (&f64, &f64)| *a >= f.min(-0.5) && *a <= f.max(0.5);
                assert!(at.iter().zip(&from).all(inside), "{norm:?}: {at:?} from {from:?}");
            }
            let start = attack.start(&x, Key::new(5)).unwrap();
            assert_eq!(start.dims(), x.dims());
        }
    }

    #[test]
    fn a_step_along_the_shortest_gradient_has_its_length() {
        let grad = Tensor::new(&[[3e-42f32, 4e-42], [0.0, 0.0]], &CPU).unwrap();
        let step = host_rows(&attack(Norm::L2, 1.0).direction(&grad).unwrap()).unwrap();
        assert!((step[0][0].hypot(step[0][1]) - 0.0625).abs() < 1e-7 && step[1] == [0.0, 0.0], "{step:?}");
    }

    #[test]
    fn refinement_moves_the_input_by_the_kernel_before_it_is_classified() {
        let model = linear().frozen().unwrap();
        let x = Key::new(2).normal((20, 6), DType::F32, &CPU).unwrap();
        let y = vec![0; 20];
        let kernel = Sgld { drift: 0.5, noise: 0.0, ..Sgld::default() };
        let victim = |refine| Victim { model: &model, kernel: &kernel, refine };
        let once = (&x - (model.grad(&x).unwrap().1 * 0.5).unwrap()).unwrap();
        let twice = (&once - (model.grad(&once).unwrap().1 * 0.5).unwrap()).unwrap();
        let want = victim(0).lead(Key::new(0), &twice, &y).unwrap();
        let got = victim(2).lead(Key::new(0), &x, &y).unwrap();
        assert!(want.iter().zip(&got).all(|(a, b)| (a - b).abs() < 1e-5), "{want:?} and {got:?}");
        assert_ne!(victim(0).lead(Key::new(0), &x, &y).unwrap(), got);
    }
}
