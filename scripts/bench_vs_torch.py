"""The PyTorch side of the comparison (`work`), and what runs both sides in turn (`drive`).

The PyTorch steps are written as one would for speed: the score is detached, only the gradients that are needed are
asked for, one double backward pass where the mathematics has one. Plain torch.optim.Adam; its fused variant is a row
of its own.
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

WORKS = {
    "critic-2d": "LSD critic step, 2-300-300-2, batch 100",
    "model-2d": "LSD model step, 2-300-300-1, batch 100",
    "grad-2d": "∇ₓE, 2-300-300-1, batch 100",
    "critic-50d": "LSD critic step, 50-300-300-50, batch 800",
    "critic-image": "LSD critic step, 784-1000-1000-784, batch 128",
    "model-image": "LSD model step, 784-1000-1000-1, batch 128",
    "grad-image": "∇ₓE, 784-1000-1000-1, batch 128",
    "langevin-60": "60 Langevin steps, 4 convolutions, 32×32, batch 64",
    "conv-train": "training step of the same energy",
    "wrn10-train": "WRN-10-2, 3×32×32, batch 32: training step",
    "wrn10-train-last": "the same, against channels last",
    "wrn10-grad": "WRN-10-2, batch 32: ∇ₓE",
    "wrn10-grad-last": "the same, against channels last",
    "wrn10-jem": "WRN-10-2, batch 32: JEM step, K = 20",
    "wrn10-jem-last": "the same, against channels last",
    "wrn28-train": "WRN-28-10, batch 4: training step",
    "wrn28-train-last": "the same, against channels last",
    "wrn28-grad": "WRN-28-10, batch 4: ∇ₓE",
    "wrn28-grad-last": "the same, against channels last",
    "adam": "Adam, 2.6 M weights",
    "adam-fused": "Adam, 2.6 M weights, against PyTorch's fused=True",
}
LAST = "-last"
SAME_AS = {"adam-fused": "adam"} | {name: name.removesuffix(LAST) for name in WORKS if name.endswith(LAST)}


def torch_works():
    """name -> a function that sets a work up and gives its step."""
    import torch
    from torch import nn
    from torch.autograd import grad

    def mlp(*sizes):
        layers = []
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            layers += [nn.Linear(a, b)] + ([nn.SiLU()] if i + 2 < len(sizes) else [])
        return nn.Sequential(*layers)

    def pair(batch, dim, hidden):
        return torch.randn(batch, dim), mlp(dim, hidden, hidden, 1), mlp(dim, hidden, hidden, dim)

    def finish(optimiser, loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def critic(*sizes):
        x, energy, critic = pair(*sizes)
        energy.requires_grad_(False)
        optimiser = torch.optim.Adam(critic.parameters())

        def step():
            at = x.detach().requires_grad_()
            score = -grad(energy(at).sum(), at)[0]
            f, probe = critic(at), torch.randn_like(x)
            trace = (grad(f, at, probe, create_graph=True)[0] * probe).sum(1)
            loss = (10.0 * (f * f).sum(1) - (score * f).sum(1) - trace).mean()
            finish(optimiser, loss)

        return step

    def model(*sizes):
        x, energy, critic = pair(*sizes)
        optimiser = torch.optim.Adam(energy.parameters())

        def step():
            with torch.no_grad():
                f = critic(x)
            at = x.detach().requires_grad_()
            score = -grad(energy(at).sum(), at, create_graph=True)[0]
            finish(optimiser, (score * f).sum(1).mean())

        return step

    def gradient(*sizes):
        x, energy, _ = pair(*sizes)
        energy.requires_grad_(False)

        def step():
            at = x.detach().requires_grad_()
            grad(energy(at).sum(), at)

        return step

    def conv_energy():
        def block(a, b, k, s):
            return [nn.Conv2d(a, b, k, s, 1), nn.SiLU()]

        body = block(3, 32, 3, 1) + block(32, 64, 4, 2) + block(64, 128, 4, 2) + block(128, 256, 4, 2)
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(4096, 1)), torch.randn(64, 3, 32, 32)

    def langevin():
        energy, start = conv_energy()
        energy.requires_grad_(False)

        def step():
            x = start
            for _ in range(60):
                x = x.detach().requires_grad_()
                x = x - 5e-5 * grad(energy(x).sum(), x)[0] + 1e-2 * torch.randn_like(x)

        return step

    def conv_train():
        energy, x = conv_energy()
        optimiser = torch.optim.Adam(energy.parameters())

        def step():
            y = energy(x)
            finish(optimiser, y[:32].mean() - y[32:].mean())

        return step

    class Block(nn.Module):
        """A pre-activation block as in the released code of JEM: biases, stride on the second convolution."""

        def __init__(self, a, b, stride):
            super().__init__()
            self.body = nn.Sequential(
                nn.LeakyReLU(0.2), nn.Conv2d(a, b, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(b, b, 3, stride, 1)
            )
            self.shortcut = nn.Identity() if a == b and stride == 1 else nn.Conv2d(a, b, 1, stride)

        def forward(self, x):
            return self.shortcut(x) + self.body(x)

    def wide(depth, width, batch, layout):
        blocks, inner = [nn.Conv2d(3, 16, 3, 1, 1)], 16
        for stage in range(3):
            for block in range((depth - 4) // 6):
                outer = 16 * width * 2**stage
                blocks.append(Block(inner, outer, 2 if stage and not block else 1))
                inner = outer
        net = nn.Sequential(*blocks, nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, 10))
        x = torch.rand(batch, 3, 32, 32) * 2 - 1
        return net.to(memory_format=layout), x.to(memory_format=layout), torch.arange(batch) % 10

    def input_gradient(net, x):
        at = x.detach().requires_grad_()
        return grad(net(at).logsumexp(1).sum(), at)[0]

    def wide_train(*sizes):
        net, x, y = wide(*sizes)
        optimiser = torch.optim.Adam(net.parameters())
        return lambda: finish(optimiser, nn.functional.cross_entropy(net(x), y))

    def wide_gradient(*sizes):
        net, x, _ = wide(*sizes)
        net.requires_grad_(False)
        return lambda: input_gradient(net, x)

    def wide_jem(*sizes):
        net, x, y = wide(*sizes)
        optimiser = torch.optim.Adam(net.parameters())

        def step():
            net.requires_grad_(False)
            at = torch.rand_like(x) * 2 - 1
            for _ in range(20):
                at = at + input_gradient(net, at) + 0.01 * torch.randn_like(at)
            net.requires_grad_(True)
            logits = net(x)
            gap = net(at).logsumexp(1).mean() - logits.logsumexp(1).mean()
            finish(optimiser, nn.functional.cross_entropy(logits, y) + gap)

        return step

    def adam(**options):
        weights = list(mlp(784, 1000, 1000, 784).parameters())
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        return torch.optim.Adam(weights, **options).step

    two_d, image = (100, 2, 300), (128, 784, 1000)
    layouts = {"": torch.contiguous_format, LAST: torch.channels_last}
    residual = {
        f"{name}{suffix}": lambda make=make, sizes=sizes, layout=layout: make(*sizes, layout)
        for name, make, sizes in [
            ("wrn10-train", wide_train, (10, 2, 32)),
            ("wrn10-grad", wide_gradient, (10, 2, 32)),
            ("wrn10-jem", wide_jem, (10, 2, 32)),
            ("wrn28-train", wide_train, (28, 10, 4)),
            ("wrn28-grad", wide_gradient, (28, 10, 4)),
        ]
        for suffix, layout in layouts.items()
    }
    return residual | {
        "critic-2d": lambda: critic(*two_d),
        "model-2d": lambda: model(*two_d),
        "grad-2d": lambda: gradient(*two_d),
        "critic-50d": lambda: critic(800, 50, 300),
        "critic-image": lambda: critic(*image),
        "model-image": lambda: model(*image),
        "grad-image": lambda: gradient(*image),
        "langevin-60": langevin,
        "conv-train": conv_train,
        "adam": adam,
        "adam-fused": lambda: adam(fused=True),
    }


def work():
    """Reads `work milliseconds` lines and answers with the times of steps, as benches/versus.rs does."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    works = torch_works()
    print(json.dumps(torch.__version__), flush=True)
    for line in sys.stdin:
        name, budget = line.split()
        step = works[name]()
        step()
        begin, cpu, times = time.perf_counter(), time.process_time(), []
        while not times or (time.perf_counter() - begin) * 1e3 < float(budget):
            now = time.perf_counter()
            step()
            times.append((time.perf_counter() - now) * 1e3)
        cpu = (time.process_time() - cpu) * 1e3 / len(times)
        print(json.dumps([statistics.median(times), cpu]), flush=True)


class Side:
    """A process that times works on request and sleeps otherwise."""

    def __init__(self, command, threads):
        n = str(threads)
        env = dict(os.environ, OMP_NUM_THREADS=n, MKL_NUM_THREADS=n, RAYON_NUM_THREADS=n, CANDLE_NUM_THREADS=n)
        self.process = subprocess.Popen(command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self):
        return json.loads(self.process.stdout.readline())

    def times(self, name, budget):
        self.process.stdin.write(f"{name} {budget}\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(bench, works, threads, rounds):
    """(torch version, [(work, PyTorch ms, ebm ms, (smallest, largest) ratio of the rounds)])."""
    ours, theirs = Side([bench], threads), Side([sys.executable, __file__, "work"], threads)
    clock = 1 if threads == 1 else 0
    version, rows = theirs.read(), []
    for name in works:
        pairs = []
        for _ in range(rounds):
            mine = ours.times(SAME_AS.get(name, name), 400)[clock]
            time.sleep(0.05)
            other = theirs.times(name, 400)[clock]
            time.sleep(0.25)  # OpenMP's threads spin for a while after their last task
            pairs.append((other, mine))
        ratios = sorted(other / mine for other, mine in pairs)
        torch_ms, ebm_ms = (statistics.median(column) for column in zip(*pairs))
        rows.append((name, torch_ms, ebm_ms, statistics.median(ratios), ratios[0], ratios[-1]))
        print(f"{threads} thread(s) {name}: {torch_ms:.2f} : {ebm_ms:.2f} = {rows[-1][3]:.2f}", file=sys.stderr)
    ours.close()
    theirs.close()
    return version, rows


def machine():
    """Processor and cores, as the kernel tells them."""
    model, flags = platform.processor() or platform.machine(), ""
    if os.path.exists("/proc/cpuinfo"):
        lines = [line.split(":", 1) for line in open("/proc/cpuinfo") if ":" in line]
        facts = {key.strip(): value.strip() for key, value in lines}
        model, flags = facts.get("model name", model), facts.get("flags", "")
    wide = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{model}, {os.cpu_count()} cores, {wide}"


def loads(before):
    """Runnable processes before and at the end; more than the threads we use is other people's work."""
    return f"{before:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


NOTES = "## What stands in the way"


def notes(path):
    """The section that people write at the end of the results: a new run keeps it."""
    text = open(path).read() if os.path.exists(path) else ""
    return NOTES + text.partition(NOTES)[2] if NOTES in text else ""


def drive(args):
    tables, version, before = [], "", os.getloadavg()[0]
    for threads in args.threads:
        version, rows = compare(args.bench, args.works, threads, args.rounds)
        lines = [
            f"## {threads} thread{'s' if threads > 1 else ''}\n",
            "| work | PyTorch, ms | ebm, ms | PyTorch : ebm | range over rounds |",
            "|---|---|---|---|---|",
        ]
        for name, torch_ms, ebm_ms, ratio, low, high in rows:
            lines.append(f"| {WORKS[name]} | {torch_ms:.2f} | {ebm_ms:.2f} | **{ratio:.2f}** | {low:.2f} – {high:.2f} |")
        tables.append("\n".join(lines))
    head = f"""# Speed against PyTorch

Written by `scripts/bench_vs_torch.sh` on {date.today()}. A ratio above 1 means that ebm is faster.

{machine()}; {platform.system()}; PyTorch {version} (CPU), Python {platform.python_version()}; {output("rustc", "--version")}.
Both sides do the same work in turn within one run, {args.rounds} rounds of about 0.4 s each; a time is the median of the
rounds, a ratio the median of the rounds' ratios. The ebm side is the code that `ebm train` and `ebm sample` run; its
steps also compute the gradient's norm and the metrics that are logged, which PyTorch's do not. One thread: processor
time of the process, which other work on the machine disturbs least. More threads: wall time, which means something on
an idle machine only: PyTorch's threads wait for each other after every operation. Load average over the run: {loads(before)}.
"""
    text = head + "\n" + "\n\n".join([*tables, notes(args.out)]).rstrip() + "\n"
    with open(args.out, "w") as file:
        file.write(text)
    print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    sub = parser.add_subparsers(required=True)
    sub.add_parser("work").set_defaults(run=lambda _: work())
    driver = sub.add_parser("drive")
    driver.add_argument("bench")
    driver.add_argument("--rounds", type=int, default=5)
    driver.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    driver.add_argument("--works", nargs="+", default=list(WORKS), choices=list(WORKS))
    driver.add_argument("--out", default="docs/results/speed.md")
    driver.set_defaults(run=drive)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
