//! The likelihood of a VAE on pixels with grey levels: a discretised mixture of logistics (Salimans et al. 2017,
//! "PixelCNN++", §2.1, without its dependence between channels), spread evenly over each level.

use candle_core::Tensor;

use crate::config::{Spec, rule};
use crate::nets::{Builder, Io, Network, Pass};
use crate::{Result, rng::Key};

crate::config! {
    /// Keys of a mixture of logistics as likelihood.
    pub struct LogisticKeys {
        /// Of discretised_logistic: logistics in each coordinate's mixture.
        components: usize = 5, rule::at_least(1);
        /// Of discretised_logistic: grey levels (256; the shipped digits have 17).
        levels: usize = 256, rule::at_least(2);
        /// Of discretised_logistic: the range of pixels, divided evenly among the levels.
        pixel_range: [f64; 2] = [-1.0, 1.0], ascending;
    }
}

fn ascending(v: &[f64; 2]) -> rule::Complaint {
    let fine = v[0] < v[1] && v.iter().all(|end| end.is_finite());
    (!fine).then(|| format!("must be two numbers, the smaller one first, got {v:?}"))
}

/// A discretised mixture of logistics for every coordinate (Salimans et al. 2017, "PixelCNN++", §2.1): P(level) = Σ_k
/// π_k (F((c + w/2 - μ_k)/s_k) - F((c - w/2 - μ_k)/s_k)), with F the logistic function and c and w the centre and width
/// of the level; the first and the last level take the tails. The network gives the logits of π, μ and log s for every
/// coordinate.
///
/// As a density it is constant over each level, P/w, so that it has no slope in x, and it integrates to one over the
/// range of pixels.
pub struct LogisticDecoder {
    net: Network,
    components: usize,
    levels: usize,
    range: [f64; 2],
}

/// The parameters of the mixture, `[B, K, item..]` each.
struct Mixture {
    log_share: Tensor,
    mean: Tensor,
    log_scale: Tensor,
}

/// The smallest log-scale; a scale below it is as good as a point.
const LOG_SCALE_FLOOR: f64 = -7.0;

impl LogisticDecoder {
    /// A decoder whose network, as `net` specifies it, makes mixtures for items of the shape `item` from z of `latent`
    /// numbers.
    ///
    /// # Errors
    /// The network does not fit.
    pub fn new(config: &LogisticKeys, net: &Spec, latent: usize, item: &[usize], builder: &Builder) -> Result<Self> {
        let mut output = item.to_vec();
        output.iter_mut().take(1).for_each(|channels| *channels *= 3 * config.components);
        Ok(LogisticDecoder {
            net: Network::new(net, &Io { input: vec![latent], output }, &builder.sub("net"))?,
            components: config.components,
            levels: config.levels,
            range: config.pixel_range,
        })
    }

    /// The width w of a level.
    fn width(&self) -> f64 {
        let [low, high] = self.range;
        (high - low) / self.levels as f64
    }

    fn mixture(&self, z: &Tensor) -> Result<Mixture> {
        let out = self.net.forward(z, Pass::EVAL)?;
        let mut dims = out.dims().to_vec();
        let channels = dims.get(1).map_or(0, |c| c / (3 * self.components));
        dims.splice(1..2, [3, self.components, channels]);
        let out = out.reshape(dims)?;
        let part = |i: usize| -> Result<Tensor> { Ok(out.narrow(1, i, 1)?.squeeze(1)?) };
        let (logits, [low, high]) = (part(0)?, self.range);
        let log_share = logits.broadcast_sub(&logits.log_sum_exp(1)?.unsqueeze(1)?)?;
        // Means start in the middle of the range, scales at a quarter of it.
        let mean = part(1)?.affine(0.5 * (high - low), 0.5 * (high + low))?;
        let log_scale = (part(2)? + (0.25 * (high - low)).ln())?.maximum(LOG_SCALE_FLOOR)?;
        Ok(Mixture { log_share, mean, log_scale })
    }

    /// One power iteration of every spectral norm of the network, in place.
    pub fn power_iterate(&self) -> Result<()> {
        self.net.power_iterate()
    }

    /// The mean of the mixture within the range of pixels, `[B, L]` -> `[B, item..]`.
    pub fn mean(&self, z: &Tensor) -> Result<Tensor> {
        let [low, high] = self.range;
        let mixture = self.mixture(z)?;
        Ok((mixture.log_share.exp()? * mixture.mean)?.sum(1)?.clamp(low, high)?)
    }

    /// The log-likelihood: log (P/w) of the level that each coordinate lies in, summed over coordinates, `[B]`. It is
    /// never -∞: a number beyond the range counts as its first or last level.
    pub fn log_likelihood(&self, x: &Tensor, z: &Tensor) -> Result<Tensor> {
        let ([low, _], width) = (self.range, self.width());
        let level = x.affine(1.0 / width, -low / width)?.floor()?.clamp(0.0, self.levels as f64 - 1.0)?.detach();
        let left = level.affine(width, low)?.unsqueeze(1)?;
        let Mixture { log_share, mean, log_scale } = self.mixture(z)?;
        let rate = log_scale.neg()?.exp()?;
        let scaled = |edge: &Tensor| -> Result<Tensor> { Ok((edge.broadcast_sub(&mean)? * &rate)?) };
        let (below, above) = (scaled(&left)?, scaled(&(&left + width)?)?);
        // log (F(a) - F(b)) = log F(a) + log F(-b) + log (1 - e^(b - a)), where a - b = w/s.
        let between = rate.affine(-width, 0.0)?.exp()?.affine(-1.0, 1.0)?.maximum(1e-12)?.log()?;
        let (up, down) = (log_logistic(&above)?, log_logistic(&below.neg()?)?);
        let inner = ((&up + &down)? + between)?;
        let edge = |at: f64| -> Result<Tensor> { Ok(level.eq(at)?.unsqueeze(1)?.broadcast_as(inner.shape())?) };
        let log_p = edge(0.0)?.where_cond(&up, &inner)?;
        let log_p = edge(self.levels as f64 - 1.0)?.where_cond(&down, &log_p)?;
        let log_p = (log_p + log_share)?.log_sum_exp(1)?.flatten_from(1)?.sum(1)?;
        let size = x.elem_count() / x.dim(0)?.max(1);
        Ok((log_p - size as f64 * width.ln())?)
    }

    /// Draws of x ~ p(x|z), `[B, item..]`: a component, a draw of it cut to the range, and a uniform draw within its
    /// level.
    pub fn draw(&self, key: Key, z: &Tensor) -> Result<Tensor> {
        let Mixture { log_share, mean, log_scale } = self.mixture(z)?;
        let uniform = |name: &str, like: &Tensor| -> Result<Tensor> {
            Ok(key.with(name).uniform(like.shape(), like.dtype(), like.device())?.clamp(1e-6, 1.0 - 1e-6)?)
        };
        // The largest of log π - log(-log u) is at k with probability π_k.
        let gumbel = uniform("component", &log_share)?.log()?.neg()?.log()?.neg()?;
        let noisy = (&log_share + gumbel)?;
        let chosen = noisy.broadcast_eq(&noisy.max_keepdim(1)?)?.to_dtype(mean.dtype())?;
        let pick = |t: &Tensor| -> Result<Tensor> { Ok((t * &chosen)?.sum(1)?) };
        let (mean, log_scale) = (pick(&mean)?, pick(&log_scale)?);
        let u = uniform("logistic", &mean)?;
        let logistic = (u.log()? - u.affine(-1.0, 1.0)?.log()?)?;
        let value = (mean + (logistic * log_scale.exp()?)?)?;
        let ([low, _], width) = (self.range, self.width());
        let level = value.affine(1.0 / width, -low / width)?.floor()?.clamp(0.0, self.levels as f64 - 1.0)?;
        Ok((level + uniform("within", &value)?)?.affine(width, low)?.detach())
    }
}

/// The logarithm of the logistic function, log F(t) = min(t, 0) - log(1 + e^-|t|).
fn log_logistic(t: &Tensor) -> Result<Tensor> {
    Ok((t.minimum(0.0)? - (t.abs()?.neg()?.exp()? + 1.0)?.log()?)?)
}
