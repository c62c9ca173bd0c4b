"""Times ebm and its peers on the same works, in turn within one run, and writes docs/results/speed.md.

python drive.py BENCH --out PAGE [--rounds N] [--threads 1 2] [--works …] [--torch PYTHON] [--jax PYTHON]

BENCH is the binary of benches/versus.rs. Every side is a process that sleeps unless it is asked. A peer that can't be
had is left out, and the page says so.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent

# name: (title, goal: the ratio to the best peer that was asked for, forms of PyTorch)
DENSE, IMAGES = ("eager", "compile"), ("eager", "last", "compile")
WORKS = {
    "critic-2d": ("LSD critic step, 2-300-300-2, batch 100", 2.0, ("eager",)),
    "model-2d": ("LSD model step, 2-300-300-1, batch 100", 2.0, ("eager",)),
    "grad-2d": ("∇ₓE, 2-300-300-1, batch 100", 2.0, DENSE),
    "nce-2d": ("NCE step, 2-300-300-1, 100 + 100 items", None, DENSE),
    "flow-mcmc-2d": ("flow-MCMC step, 256 walkers, 1 + 5 moves, 2-128-128-1", None, ("eager",)),
    "critic-50d": ("LSD critic step, 50-300-300-50, batch 800", None, ("eager",)),
    "critic-image": ("LSD critic step, 784-1000-1000-784, batch 128", 1.3, ("eager",)),
    "model-image": ("LSD model step, 784-1000-1000-1, batch 128", 1.3, ("eager",)),
    "grad-image": ("∇ₓE, 784-1000-1000-1, batch 128", 1.3, DENSE),
    "vera-image": ("VERA step, 784-1000-1000-1, generator 128-500-500-784, S = 20, batch 128", None, ("eager",)),
    "vaebm-image": ("VAEBM step, 784-512-512-1, decoder 32-256-512-784, 10 moves, batch 128", None, ("eager",)),
    "langevin-60": ("60 Langevin steps, 4 convolutions, 3×32×32, batch 64", 1.6, IMAGES),
    "conv-train": ("training step of the same energy", 1.3, IMAGES),
    "wrn10-train": ("WRN-10-2, 3×32×32, batch 32: training step", 1.3, IMAGES),
    "wrn10-grad": ("WRN-10-2, batch 32: ∇ₓE", 1.5, IMAGES),
    "wrn10-jem": ("WRN-10-2, batch 32: JEM step, K = 20", 1.4, IMAGES),
    "wrn28-train": ("WRN-28-10, batch 4: training step", 1.3, ("eager", "last")),
    "wrn28-grad": ("WRN-28-10, batch 4: ∇ₓE", 1.5, ("eager", "last")),
    "swish": ("swish of 1 M numbers, and its pull-back", None, ("eager",)),
    "norm": ("group norm of 32 images of 64×32×32 in 8 groups, with gradients", None, ("eager",)),
    "adam": ("Adam, 2.6 M weights", None, ("eager",)),
    "adam-fused": ("the same, against fused=True", None, ("eager",)),
}
SAME_AS = {"adam-fused": "adam"}
JAX = ("critic-2d", "model-2d", "grad-2d", "critic-50d", "critic-image", "model-image", "grad-image", "conv-train")
SHOWN = {"eager": "PyTorch", "last": "channels last", "compile": "compiled", "jax": "JAX"}
BUDGET = 400  # milliseconds of a measurement


class Side:
    """A process that times works on request and sleeps otherwise."""

    def __init__(self, command, threads, greets=True):
        n = str(threads)
        env = dict(os.environ, OMP_NUM_THREADS=n, MKL_NUM_THREADS=n, RAYON_NUM_THREADS=n)
        pinned = (lambda: os.sched_setaffinity(0, {0})) if threads == 1 else None
        self.process = subprocess.Popen(
            command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pinned
        )
        if greets:
            self.process.stdout.readline()

    def times(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measured(name, ours, torch, jax, rounds, clock):
    """{side: [milliseconds of each round]}, the sides in turn."""
    found = {}
    for _ in range(rounds):
        for form in WORKS[name][2]:
            found.setdefault(form, []).append(torch.times(name, form, BUDGET))
            time.sleep(0.2)  # OpenMP's threads spin for a while after their last task
        if jax and name in JAX:
            found.setdefault("jax", []).append(jax.times(name, "jit", BUDGET))
            time.sleep(0.1)
        found.setdefault("ebm", []).append(ours.times(SAME_AS.get(name, name), BUDGET))
    return {side: [times[clock] for times in rows] for side, rows in found.items() if all(rows)}


def row(name, found, flops, peak):
    """A line of the table, and whether the goal is met: None where there is none."""
    title, goal, _ = WORKS[name]
    mid = {side: statistics.median(times) for side, times in found.items()}
    peers = {side: ms for side, ms in mid.items() if side != "ebm"}
    best = min(peers, key=peers.get)
    ratios = sorted(theirs / mine for theirs, mine in zip(found[best], found["ebm"]))
    ratio = statistics.median(ratios)
    cells = [f"{mid[side]:.2f}" if side in mid else "–" for side in (*SHOWN, "ebm")]
    rate = flops.get(name, 0) / mid["ebm"] / 1e6
    share = f"{rate:.0f} · {rate / peak * 100:.0f} %" if rate else "–"
    met = None if goal is None else ratio >= goal
    wanted = "–" if goal is None else f"{goal} {'✓' if met else '✗'}"
    line = f"| {title} | {' | '.join(cells)} | **{ratio:.2f}** ({ratios[0]:.2f} – {ratios[-1]:.2f}) | {wanted} | {share} |"
    print(f"{name}: {mid}, {ratio:.2f} of {SHOWN[best]}", file=sys.stderr)
    return line


def table(args, threads, flops):
    ours = Side([args.bench], threads, greets=False)
    torch = Side([args.python, HERE / "torch_works.py"], threads)
    jax = Side([args.python, HERE / "jax_works.py"], threads) if args.jax else None
    clock = 1 if threads == 1 else 0
    peak = 2 * 1024**3 / min(ours.times("gemm", BUDGET)[clock] for _ in range(3)) / 1e6
    lines = [row(name, measured(name, ours, torch, jax, args.rounds, clock), flops, peak) for name in args.works]
    for side in filter(None, (ours, torch, jax)):
        side.close()
    head = (
        f"## {threads} thread{'s' if threads > 1 else ''}\n\n"
        f"The machine's own product of matrices, 1024³ in f32 by `gemm`: {peak:.0f} GFLOP/s.\n\n"
        f"| work | {' | '.join(SHOWN.values())} | ebm | best peer : ebm | goal | GFLOP/s · of the product's |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *lines])


def machine():
    """Processor and cores, as the kernel tells them."""
    model, flags = platform.processor() or platform.machine(), ""
    if os.path.exists("/proc/cpuinfo"):
        lines = [line.split(":", 1) for line in open("/proc/cpuinfo") if ":" in line]
        facts = {key.strip(): value.strip() for key, value in lines}
        model = f"{facts.get('model name', model)} (family {facts.get('cpu family')}, model {facts.get('model')})"
        flags = facts.get("flags", "")
    wide = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{model}, {os.cpu_count()} cores, {wide}"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


NOTES = "## What stands in the way"


def notes(path):
    """The section that people write at the end of the results: a new run keeps it."""
    text = open(path).read() if os.path.exists(path) else ""
    return NOTES + text.partition(NOTES)[2] if NOTES in text else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--works", nargs="+", default=list(WORKS), choices=list(WORKS))
    parser.add_argument("--out", default="docs/results/speed.md")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    args = parser.parse_args()
    before = os.getloadavg()[0]
    args.jax = output(args.python, "-c", "import jax; print(jax.__version__)")
    counted = json.loads(output(args.python, HERE / "torch_works.py", "flops"))
    tables = [table(args, threads, counted["flops"]) for threads in args.threads]
    head = f"""# Speed against PyTorch and JAX

Written by `scripts/bench_vs_torch.sh` on {date.today()}. Times in milliseconds; a ratio above 1 means that ebm is faster.

{machine()}; {platform.system()}; PyTorch {counted["version"]} (CPU), {"JAX " + args.jax if args.jax else "no JAX"}, Python {platform.python_version()}; {output("rustc", "--version")}.
All sides do the same work in turn within one run, {args.rounds} rounds of {BUDGET / 1e3} s each or one step; a time is the median of the
rounds, the ratio that to the fastest peer, with the smallest and the largest of the rounds. The ebm side is the code that
`ebm train` and `ebm sample` run; its steps also compute the gradient's norm and the metrics that are logged, which the peers'
do not. One thread: processor time, all sides on one core. More threads: wall time, which means something on an idle machine
only. Load average: {before:.1f} at the start, {os.getloadavg()[0]:.1f} at the end.

"Compiled" is `torch.compile` of the networks, which has no second derivatives. GFLOP/s count products, and convolutions as if they were
direct (PyTorch's own count): minimal filtering needs a quarter of them, so that ebm may pass 100 %.
"""
    text = head + "\n" + "\n\n".join([*tables, notes(args.out)]).rstrip() + "\n"
    with open(args.out, "w") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    main()
