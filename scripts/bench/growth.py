"""Time and memory of Langevin steps over batch, dimension, width and steps: a plot with the slopes of its lines.

python growth.py BENCH --out PLOT.png     BENCH is the binary of benches/versus.rs; needs matplotlib and numpy
"""

import argparse
import json
import os
import subprocess

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

BASE = {"chains": 256, "dim": 64, "hidden": 256, "steps": 10}
SWEEPS = {
    "chains": [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192],
    "dim": [2, 8, 32, 128, 512, 2048, 8192],
    "hidden": [32, 64, 128, 256, 512, 1024, 2048],
    "steps": [1, 3, 10, 30, 100, 300],
}


def point(bench, sizes, threads):
    """[milliseconds, megabytes at most] of the steps in a fresh process."""
    name = ",".join(["growth", *(str(sizes[key]) for key in ("chains", "dim", "hidden", "steps"))])
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), CANDLE_NUM_THREADS=str(threads))
    side = subprocess.Popen([bench], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    side.stdin.write(f"{name} 300\n")
    side.stdin.flush()
    wall, _ = json.loads(side.stdout.readline())
    status = open(f"/proc/{side.pid}/status").read()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    side.stdin.close()
    side.wait()
    return wall, int(peak.split()[1]) / 1024


def slope(x, y):
    """The exponent of growth over the upper half of the sizes."""
    half = len(x) // 2
    return np.polyfit(np.log(x[half:]), np.log(y[half:]), 1)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--out", default="docs/results/growth.png")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    figure, axes = plt.subplots(2, len(SWEEPS), figsize=(16, 7))
    print("| over | threads | exponent of time | exponent of memory |\n|---|---|---|---|")
    for column, (key, values) in zip(axes.T, SWEEPS.items()):
        for threads in args.threads:
            times, peaks = zip(*(point(args.bench, BASE | {key: value}, threads) for value in values))
            exponents = [slope(values, times), slope(values, peaks)]
            for axis, y, exponent in zip(column, (times, peaks), exponents):
                axis.loglog(values, y, "o-", label=f"{threads} thread{'s' * (threads > 1)}, slope {exponent:.2f}")
            print(f"| {key} | {threads} | {exponents[0]:.2f} | {exponents[1]:.2f} |", flush=True)
        for axis, what in zip(column, ("ms", "MB at most")):
            axis.set_xlabel(key)
            axis.set_ylabel(what)
            axis.legend()
            axis.grid(True, which="both", alpha=0.3)
    base = ", ".join(f"{key} {value}" for key, value in BASE.items())
    figure.suptitle(f"Langevin steps of a dense energy D-H-H-1; where not varied: {base}; slopes over the upper half")
    figure.tight_layout()
    figure.savefig(args.out, dpi=80)


if __name__ == "__main__":
    main()
