"""Steps of `ebm` on a GPU beside those of PyTorch: milliseconds, ratios, launches and waits.

python gpu.py EBM OUT [--device cuda:0] [--small] [--rounds N] [--seconds S] [--works …] [--no-ebm]

`ebm` trains or samples for few and for many steps, and the difference of the times is divided by that of the steps: so a
time is a whole step of the program, with its data and metrics, and without its start. PyTorch does the works of
torch_works.py, in TF32 and under bf16 autocast, channel by channel and channels last, with Adam fused; `ebm` computes in f32,
TF32 and bf16. Launches and
waits of PyTorch are those that its profiler sees; those of `ebm` are counted by count.c, if there is a C compiler: its own
and candle's launches and the calls of cuBLAS and cuDNN, not what these launch.

Without PyTorch, or without CUDA in it, nothing is done and the exit code is 0. `--small` takes small networks and
whatever device PyTorch has, to try this script.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

WIDE = """[dataset]
name = "images"
path = "{pictures}"
test = 0
validation = 0
transform = "scaled"
[model]
name = "classifier"
net = {{ name = "wide_resnet", depth = {depth}, width = {width}, activation = "leaky_relu" }}
"""
DENSE = """[dataset]
name = "gaussian"
dim = {dim}
"""
ENERGY = 'model = {{ base = "none", net = {{ hidden = [{hidden}, {hidden}] }} }}\n'
SGLD = 'name = "sgld"\nsteps = {steps}\ndrift = 1.0\nnoise = 0.01\nclamp = [-1.0, 1.0]\ninit = "uniform"\n'

# name: (title, works of PyTorch for full and small sizes, layouts, few and many steps, configuration, sampler's keys).
# A work with such keys is timed in a run of `ebm sample`, the others in one of `ebm train`.
IMAGES, FLAT = ("eager", "last"), ("eager",)
WORKS = {
    "train": (
        "WRN-28-10, batch 64: training step", ("wrn28-train-64", "wrn10-train-2"), IMAGES, (5, 45),
        WIDE + '[method]\nname = "classifier"\n', None,
    ),
    "jem": (
        "WRN-28-10, batch 64: JEM step, K = 20", ("wrn28-jem-64", "wrn10-jem-2"), IMAGES, (2, 12),
        WIDE + '[method]\nname = "jem"\nbuffer = 1000\nsampler = {{ name = "sgld", steps = 20, init = "uniform" }}\n', None,
    ),
    "moves": (
        "WRN-28-10, 64 chains: step of SGLD", ("wrn28-moves-64", "wrn10-moves-2"), IMAGES, (20, 220),
        WIDE + '[method]\nname = "classifier"\n', SGLD,
    ),
    "lsd": (
        "LSD step, 784-1000-1000, batch 128", ("lsd-image", "critic-2d"), FLAT, (50, 1050),
        ENERGY + 'method.name = "lsd"\nmethod.critic_steps = 1\nmethod.critic = {{ hidden = [{hidden}, {hidden}] }}\n' + DENSE,
        None,
    ),
    "vera": (
        "VERA step, 784-1000-1000-1, generator 128-500-500-784, S = 20, batch 128", ("vera-image", "nce-2d"), FLAT, (20, 220),
        ENERGY + 'method.name = "vera"\nmethod.generator = {{ name = "mlp", hidden = [500, 500] }}\n'
        "method.gradient_penalty = 0.1\nmethod.entropy_weight = 1e-4\nmethod.samples = 20\n" + DENSE, None,
    ),
    "adam": (
        "dense classifier of 36 million weights on one item: Adam", ("adam-36M", "adam"), FLAT, (20, 220),
        WIDE.split("net =")[0] + 'net = {{ name = "mlp", hidden = [{dense}] }}\n[method]\nname = "classifier"\n', None,
    ),
}
FULL = {"depth": 28, "width": 10, "dim": 784, "hidden": 1000, "dense": "5000, 4000", "batch": 64}
SMALL = {"depth": 10, "width": 1, "dim": 8, "hidden": 16, "dense": "50, 40", "batch": 2}
BATCH = {"lsd": 128, "vera": 128, "adam": 1}


def save(path, shape, numbers):
    """An array of bytes as `.npy`."""
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}"
    path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + f"{head:<117}\n".encode() + bytes(numbers))


def counter(out):
    """The library that counts calls of the driver, cuBLAS and cuDNN; nothing where nobody compiles it."""
    library = out / "count.so"
    command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("count.c"), "-ldl"]
    try:
        return library if subprocess.run(command, capture_output=True).returncode == 0 else None
    except OSError:
        return None


class Ebm:
    """Times works by runs of the program."""

    def __init__(self, args):
        self.args, self.count = args, counter(args.out)
        self.sizes = SMALL if args.small else FULL
        pictures = args.out / "pictures"
        pictures.mkdir(exist_ok=True)
        state = 1
        pixels = bytearray()
        for _ in range(64 * 3 * 32 * 32):
            state = (1103515245 * state + 12345) % 2**31
            pixels.append(state >> 16 & 255)
        save(pictures / "x_train.npy", "64, 3, 32, 32", pixels)
        save(pictures / "y_train.npy", "64,", [i % 10 for i in range(64)])
        self.sizes["pictures"] = pictures.resolve()

    def run(self, *words):
        """Seconds of a run, and its counts."""
        env = dict(os.environ, **({"LD_PRELOAD": str(self.count.resolve())} if self.count else {}))
        begin = time.perf_counter()
        done = subprocess.run([self.args.ebm, "-q", *map(str, words)], env=env, capture_output=True, text=True)
        took = time.perf_counter() - begin
        if done.returncode:
            raise RuntimeError(f"ebm {words[0]}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        return took, {key: int(n) for key, n in re.findall(r"^counted (.*?) (\d+)$", done.stderr, re.M)}

    def step(self, name, precision, layout):
        """Milliseconds of a step and what was counted in it."""
        _, _, _, steps, text, sampler = WORKS[name]
        sizes = self.sizes
        few, many = (2, 6) if self.args.small else steps
        batch = BATCH.get(name, sizes["batch"])
        file = self.args.out / f"{name}.toml"
        train = f'[train]\nsteps = 1\nbatch_size = {batch}\nlog_every = 1000000\ncheckpoint_every = 0\nprecision = "{precision}"\nlayout = "{layout}"\n'
        head = f'device = "{self.args.device}"\n'
        file.write_text(head + text.format(**sizes) + train)
        folder = self.args.out / f"{name}-{precision}-{layout}"
        made = ["train", file, "--run-dir", folder, "--overwrite", "--set", "train.epochs=0", "--set", "probe=[]"]
        if sampler is None:
            runs = [self.run(*made, "--set", f"train.steps={n}") for n in (few, many)]
        else:
            self.run(*made, "--set", "train.steps=1")
            sample = ["sample", "--ckpt", folder, "--device", self.args.device, "--n", batch, "--out", self.args.out / "chain.npy"]
            keys = [f"sampler.{line}" for line in sampler.format(steps=1).split("\n") if line and "steps" not in line]
            sample += [word for key in keys for word in ("--set", key.replace(" = ", "=", 1))]
            runs = [self.run(*sample, "--steps", n) for n in (few, many)]
        (first, before), (last, after) = runs
        counts = {key: (after[key] - before.get(key, 0)) / (many - few) for key in after}
        return (last - first) / (many - few) * 1e3, counts


def synchronised(torch, step):
    """A step that ends when the GPU has done it."""

    def whole():
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return whole


def torch_step(torch, work, form, precision, seconds):
    """Milliseconds of a step of PyTorch, the launches and the waits in it."""
    from torch_works import works

    step = synchronised(torch, works(form)[work]())
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
        for _ in range(3):
            step()
        times = []
        until = time.perf_counter() + seconds
        while not times or time.perf_counter() < until:
            begin = time.perf_counter()
            step()
            times.append((time.perf_counter() - begin) * 1e3)
        with torch.profiler.profile() as profile:
            step()
    calls = [event.name for event in profile.events()]
    launches = sum("LaunchKernel" in name for name in calls)
    waits = sum("Synchronize" in name for name in calls)
    return statistics.median(times), launches, waits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ebm")
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--no-ebm", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--works", nargs="+", default=list(WORKS), choices=list(WORKS))
    args = parser.parse_args()
    try:
        import torch
    except ImportError:
        return print("skipped: this Python has no PyTorch")
    if not torch.cuda.is_available() and not args.small:
        return print("skipped: PyTorch sees no GPU")
    args.out.mkdir(parents=True, exist_ok=True)
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
        print(f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {torch.cuda.get_device_name()}")
    plain = torch.optim.Adam
    torch.optim.Adam = lambda weights, **options: plain(weights, **{"fused": True, **options})
    ours = None if args.no_ebm else Ebm(args)
    rows = {}
    for name in args.works:
        title, works, forms = WORKS[name][:3]
        print(f"\n{title}", flush=True)
        rows[name] = row = {"peers": {}, "ebm": {}}
        for precision in ("tf32", "bf16"):
            for form in forms:
                try:
                    found = torch_step(torch, works[args.small], form, precision, args.seconds)
                except Exception as error:  # a form that a library does not have, or no memory left
                    print(f"  PyTorch {precision} {form}: {str(error).splitlines()[0][:120]}")
                    continue
                row["peers"][f"{precision} {form}"] = found
                print(f"  PyTorch {precision} {form:6} {found[0]:10.3f} ms, {found[1]} launches, {found[2]} waits", flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        ways = [(precision, "auto") for precision in ("f32", "tf32", "bf16")]
        ways += [(precision, "channels_first") for precision in ("tf32", "bf16") if forms is IMAGES]
        for precision, layout in () if ours is None else ways:
            way = precision if layout == "auto" else f"{precision} {layout}"
            try:
                found = [ours.step(name, precision, layout) for _ in range(args.rounds)]
            except RuntimeError as error:
                print(f"  ebm {way}: {error}")
                row["failed"] = True
                continue
            ms, counts = statistics.median(ms for ms, _ in found), found[-1][1]
            said = ", ".join(f"{count:.1f} {key}" for key, count in counts.items()) or "not counted"
            row["ebm"][way] = (ms, counts)
            print(f"  ebm     {way:20} {ms:10.3f} ms, {said}", flush=True)
    (args.out / "speed.json").write_text(json.dumps(rows, indent=1))
    if args.small:
        print("\nnetworks to try the script, not the same on both sides: no ratios")
        sys.exit(any(row.get("failed") for row in rows.values()))
    print(f"\n{'best of PyTorch : ebm, each in':34} {'TF32':>8} {'bf16':>8}")
    for name, row in rows.items():
        best = {p: min((ms for key, (ms, *_) in row["peers"].items() if key.startswith(p)), default=None) for p in ("tf32", "bf16")}
        mine = {p: row["ebm"].get(p, (0,))[0] for p in best}
        ratio = [f"{best[p] / mine[p]:8.2f}" if best[p] and mine[p] > 0 else f"{'–':>8}" for p in best]
        print(f"{name:34} {ratio[0]} {ratio[1]}")
    sys.exit(any(row.get("failed") for row in rows.values()))


if __name__ == "__main__":
    main()
