#!/usr/bin/env python3
"""Faults that a reading of the code for GPUs once found, tried on the stand-in for one.

    faults.py EBM OUT      after counts.py with the same folder, whose checkpoints it uses

Exit code 1 where one is back. What else was found is tried elsewhere: pieces of a batch of 2³¹ entries and slopes at exactly 0
in `cargo test`, runs that are resumed in scripts/gpu_check.sh; and the stand-in's libraries refuse another stream than the one that
all work goes to, and algorithms that add in any order.
"""

import os
import re
import subprocess
import sys

EBM, OUT = sys.argv[1:]
wrong = False


def ebm(*words, **more):
    """Exit code, what was said, and how often what was done."""
    done = subprocess.run([EBM, *words], env={**os.environ, **more}, capture_output=True, text=True)
    counts = re.findall(r"^standin (.*?) +(\d+)$", done.stderr, re.M)
    return done.returncode, done.stderr, {name: int(count) for name, count in counts}


def holds(what, fine, said=""):
    global wrong
    wrong |= not fine
    print(f"{what}: {'fine' if fine else 'WRONG ' + said[-500:]}")


def sampled(*sets):
    """Words that draw from the dense network."""
    words = ["-q", "sample", "--ckpt", f"{OUT}/dense-0-2", "--device", "cuda:0", "--n", "3", "--steps", "4", "--out", f"{OUT}/f.npy"]
    return words + [word for one in ("sampler.init=normal", *sets) for word in ("--set", one)]


if __name__ == "__main__":
    code, said, _ = ebm(*sampled("sampler.name=parallel_tempering", "sampler.step_size=0.01", "sampler.rungs=2"))
    holds("two temperatures, where every other round has no pair to swap", code == 0, said)
    code, said, counts = ebm("-q", "eval", "--ckpt", f"{OUT}/wide-2", "--device", "cuda:0", "--probe", "accuracy")
    rounded = sum(counts.get(name, 0) for name in ("convolutions, default math", "convolutions, bf16", "products in TF32"))
    holds("f32 is f32: convolutions and products with rounded factors", code == 0 and rounded == 0, said)
    holds("of which there are some", counts.get("convolutions, FMA", 0) > 0, said)
    code, said, _ = ebm(*sampled("sampler.name=mala"), STANDIN_MEMORY="100000")
    holds("memory of the card that runs out: exit code 5 and what to do", code == 5 and "memory" in said, f"{code} {said}")
    code, said, counts = ebm(*sampled("sampler.name=mala"))
    holds("the pool keeps its memory", counts.get("pool keeps memory") == 1, said)
    code, said, _ = ebm("doctor", "--device", "auto", "--facts", STANDIN_CARDS="0")
    holds("auto says why it takes the CPU", code == 0 and "the CPU computes, since" in said, f"{code} {said}")
    sys.exit(wrong)
