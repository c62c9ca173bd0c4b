#!/usr/bin/env python3
"""What a step costs on the stand-in for a GPU: launches, copies and waits of the host.

    counts.py EBM OUT      needs what scripts/check_cuda.sh sets up

Each count is the difference of two runs that differ in their number of steps alone, divided by it. Exit code 1 where one is
over its bound.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "bench"))
from gpu import save

EBM, OUT = sys.argv[1:]
wrong = False


def ebm(*words, graphs="off"):
    """How often what was done in a run, whose chains go step by step unless `graphs` is on."""
    env = {**os.environ, "STANDIN_NAMES": "1", "EBM_GRAPHS": graphs}
    done = subprocess.run([EBM, "-q", *words], env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words}: exit code {done.returncode}\n{done.stderr}")
    return {name: int(count) for name, count in re.findall(r"^standin (.*?) +(\d+)$", done.stderr, re.M)}


def per_step(run, few, many):
    """Counts of one step: run(steps) gives those of a run."""
    before, after = run(few), run(many)
    return {name: (after[name] - before.get(name, 0)) / (many - few) for name in after}


def bounded(what, count, most):
    global wrong
    wrong |= count > most
    print(f"{what:60} {count:6.1f}, at most {most}{'' if count <= most else ': TOO MANY'}")


def chain(what, folder, launches, *sets, uploads=0, replayed=None, rearranged=None):
    """A step of Langevin: gradient and move, in chains that go on from a checkpoint. `replayed` bounds what is left of the
    launches where the step is a graph. Where `rearranged` is a number, all convolutions have channels last, and so many tensors
    are rearranged."""

    def run(steps, graphs="off"):
        out = f"{OUT}/chain-{graphs}.npy"
        words = ["--ckpt", folder, "--device", "cuda:0", "--n", "4", "--steps", str(steps), "--out", out]
        return ebm("sample", *words, *(word for one in sets for word in ("--set", one)), graphs=graphs)

    counts = per_step(run, 12, 24)
    if os.environ.get("STANDIN_SHOW"):
        print({name: count for name, count in counts.items() if count})
    bounded(f"{what}: copies to the device", counts.get("copies to the device", 0), uploads)
    bounded(f"{what}: copies to the host, each a wait", counts.get("copies to the host", 0), 0)
    bounded(f"{what}: other waits", counts.get("waits", 0), 0)
    libraries = sum(count for name, count in counts.items() if name.startswith(("convolutions", "products", "additions")))
    bounded(f"{what}: launches and calls of libraries", counts["launches"] + libraries, launches)
    if rearranged is not None:
        first = sum(count for name, count in counts.items() if name.startswith("convolutions")) - counts["channels last"]
        bounded(f"{what}: convolutions whose channels are not last", first, 0)
        bounded(f"{what}: tensors rearranged", sum(n for name, n in counts.items() if name.startswith("kernel ucopy")), rearranged)
    if replayed is None:
        return
    counts = per_step(lambda steps: run(steps, "on"), 12, 24)
    for copies in ("copies to the device", "copies to the host", "waits", "recordings"):
        bounded(f"{what}, as a graph: {copies}", counts.get(copies, 0), 0)
    bounded(f"{what}, as a graph: launches, its own too", counts["launches"] + counts["graphs"], replayed)
    with open(f"{OUT}/chain-off.npy", "rb") as off, open(f"{OUT}/chain-on.npy", "rb") as on:
        bounded(f"{what}, as a graph: draws that are others", off.read() != on.read(), 0)


def training(what, config, *sets):
    """What a step of training costs, and the optimisers' part of it."""

    def run(steps):
        words = [config, "--device", "cuda:0", "--run-dir", f"{OUT}/{what}-{steps}", "--overwrite"]
        fixed = ["train.epochs=0", f"train.steps={steps}", "train.log_every=1", "train.checkpoint_every=0", "probe=[]"]
        words += (word for one in [*fixed, 'train.best=""', *sets] for word in ("--set", one))
        return ebm("train", *words)

    counts = per_step(run, 2, 4)
    kernels = [name for name in counts if re.fullmatch(r"kernel (adam|sgd|norm|lerp|squares)_f32|kernel sums", name)]
    if os.environ.get("STANDIN_SHOW"):
        print({name: count for name, count in counts.items() if count})
    return counts, sum(counts[name] for name in kernels)


def pictures():
    """The folder of a few pictures with three channels."""
    folder = Path(OUT, "pictures").resolve()
    folder.mkdir(exist_ok=True)
    save(folder / "x_train.npy", "64, 3, 8, 8", [i * i // 7 % 256 for i in range(64 * 3 * 8 * 8)])
    save(folder / "y_train.npy", "64,", [i % 10 for i in range(64)])
    return folder


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    # One optimiser, its norm, and gradients that are limited.
    for limit, launches in [(0, 2), (1, 3)]:
        counts, updates = training(f"dense-{limit}", "configs/sm_toy2d.toml", f"optim.clip_norm={limit}")
        bounded(f"an optimiser step, clip_norm = {limit}: launches", updates, launches)
        bounded(f"an optimiser step, clip_norm = {limit}: copies to the host", counts["copies to the host"], 2)
    langevin = ["sampler.name=langevin", "sampler.step_size=0.01", "sampler.init=normal"]
    chain("Langevin, dense network", f"{OUT}/dense-0-2", 40, *langevin, replayed=1)
    # Accept-reject is drawn and decided on the device.
    for name, launches, replayed in [("mala", 55, 2), ("rwm", 30, 2)]:
        sets = [f"sampler.name={name}", *langevin[1:]]
        chain(f"{name}, dense network", f"{OUT}/dense-0-2", launches, *sets, replayed=replayed)
    hmc = ["sampler.name=hmc", "sampler.leapfrog=2", "sampler.jitter=0", *langevin[1:]]
    chain("HMC with 2 leapfrog steps, dense network", f"{OUT}/dense-0-2", 90, *hmc, replayed=2)
    ladder = ["sampler.name=parallel_tempering", *langevin[1:]]
    chain("parallel tempering, dense network", f"{OUT}/dense-0-2", 96, *ladder, uploads=13)
    wide = ["dataset.name=digits", "dataset.flip=false", "dataset.crop_pad=0", "dataset.validation=100"]
    wide += ["model.net.width=1", "model.net.stem=2", "method.buffer=8", "method.sampler.steps=1", "train.batch_size=4"]
    counts, updates = training("wide", "configs/jem_cifar.toml", *wide)
    bounded("an optimiser step, WRN-28: launches", updates, 3)
    bounded("a JEM step, WRN-28: copies to the host", counts["copies to the host"], 2)
    noisy = ["sampler.name=sgld", "sampler.init=uniform"]
    chain("Langevin, WRN-28", f"{OUT}/wide-2", 150, *noisy, replayed=1)
    # Channels last: no more is told of shapes than without.
    uploads = counts["copies to the device"]
    counts, _ = training("wide-tf32", "configs/jem_cifar.toml", *wide, 'train.precision="tf32"')
    bounded("a JEM step, WRN-28 in TF32: copies to the device", counts["copies to the device"], uploads)
    first = counts["convolutions, default math"] - counts["channels last"]
    bounded("a JEM step, WRN-28 in TF32: convolutions whose channels are not last", first, 0)
    # Rearranged are the images and their gradient, where they have more than one channel, and what the mean sends back.
    chain("Langevin, WRN-28 in TF32", f"{OUT}/wide-2", 155, *noisy, 'train.precision="tf32"', rearranged=1, replayed=1)
    colours = ["dataset.name=images", f'dataset.path="{pictures()}"', "dataset.test=0", "dataset.validation=0"]
    training("colours", "configs/jem_cifar.toml", *colours, *wide[1:3], *wide[4:])
    chain("Langevin, WRN-28 in TF32, colours", f"{OUT}/colours-2", 155, *noisy, 'train.precision="tf32"', rearranged=3)
    chain("Langevin, WRN-28 in bf16", f"{OUT}/wide-2", 262, *noisy, 'train.precision="bf16"', rearranged=3, replayed=1)
    # Group norm: two launches each way.
    normed = [*wide, "model.net.norm=group", "model.net.groups=2"]
    training("normed", "configs/jem_cifar.toml", *normed)
    chain("Langevin, WRN-28 with group norm", f"{OUT}/normed-2", 250, *noisy)
    chain("Langevin, WRN-28 with group norm in TF32", f"{OUT}/normed-2", 255, *noisy, 'train.precision="tf32"', rearranged=3)
    # Factors in bf16: what products and convolutions multiply, and nothing else.
    counts, _ = training("brief", "configs/jem_cifar.toml", *wide, 'train.precision="bf16"')
    full = sum(counts.get(name, 0) for name in ("convolutions, FMA", "convolutions, default math", "products in f32"))
    bounded("a JEM step, WRN-28 in bf16: convolutions and products that are not", full, 0)
    sys.exit(wrong)
