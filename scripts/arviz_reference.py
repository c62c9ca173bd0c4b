# What ArviZ says about small arrays: writes tests/data/arviz.json, which tests/convergence.rs reads.
# python3 -m venv /tmp/az && /tmp/az/bin/pip install arviz==0.23.4 && /tmp/az/bin/python scripts/arviz_reference.py > tests/data/arviz.json
import arviz as az, json, numpy as np, warnings
warnings.simplefilter("ignore")
rng = np.random.default_rng(20)
def ar(chains, draws, a):
    x = rng.normal(size=(chains, draws))
    for t in range(1, draws): x[:, t] += a * x[:, t - 1]
    return x.round(4)
def sticky(chains, draws):
    x = rng.normal(size=(chains, draws)).round(3)
    for t in range(1, draws): x[:, t] = np.where(rng.random(chains) < .6, x[:, t - 1], x[:, t])
    return x
nan = ar(2, 10, 0.); nan[1, 3] = np.nan
cases = {
 "autoregressive": ar(4, 60, .6), "antithetic": ar(2, 64, -.5), "one chain": ar(1, 50, .3),
 "apart": (ar(3, 40, .5) + np.array([[0.], [1.], [3.]])).round(4), "heavy tails, odd": rng.standard_cauchy((3, 41)).round(3),
 "repeats": sticky(3, 50), "mode indicator": (ar(2, 40, .8) > .2).astype(float), "three modes": np.digitize(ar(2, 45, .9), [-1, 1]).astype(float),
 "constant": np.full((2, 20), .1), "one of two constant": np.vstack([ar(1, 20, 0.), np.full((1, 20), .3)]),
 "two constants": np.repeat([[1.], [2.]], 20, 1), "short": ar(2, 4, 0.), "too short": ar(2, 3, 0.), "not a number": nan,
}
num = lambda v: None if np.isnan(v) else ("inf" if np.isinf(v) else float(v))
out = {"arviz": az.__version__, "draws": [], "weights": []}
for name, x in cases.items():
    e = lambda m: num(az.ess(x, method=m))
    out["draws"].append({"name": name, "x": [[num(v) for v in c] for c in x], "rhat": num(az.rhat(x)), "ess_bulk": e("bulk"), "ess_tail": e("tail"),
      "ess_mean": e("mean"), "bfmi": [num(v) for v in az.bfmi(x)], "autocorrelation": [num(v) for v in az.autocorr(x[0])[:3]]})
for name, w, reff in [("normal", rng.normal(size=200), 1.), ("narrow", .1 * rng.normal(size=100), .7), ("heavy", 3 * rng.standard_normal(150), .4),
      ("pareto", rng.pareto(1.2, 120), 1.), ("ties", rng.integers(0, 4, 80).astype(float), 1.), ("equal", np.zeros(30), 1.), ("few", rng.normal(size=12), 1.)]:
    w = w.round(4)
    lw, k = az.psislw(w, reff=reff)
    out["weights"].append({"name": name, "log_weights": w.tolist(), "efficiency": reff, "k": num(float(k)), "smoothed": [num(v) for v in lw[:3]]})
print(json.dumps(out).replace('{"name"', '\n{"name"'))
