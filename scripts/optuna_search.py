#!/usr/bin/env python3
"""Searches the settings of an experiment with Optuna: ask, train, tell. Run again, the study goes on.

    optuna_search.py configs/lsd_digits.toml test_lsd --float optim.lr=1e-4:1e-1:log --int method.critic_steps=1:8 --trials 20

A run that diverges, or leaves no result (exit code 3), is told as failed; any other error ends the search. The runs are
ordinary run folders: `ebm ls`, `ebm compare` and `ebm watch` take the folder that holds them.
"""

import argparse
import json
import os
import subprocess
import sys

import optuna
from optuna.trial import TrialState

DIVERGED = 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="the experiment")
    parser.add_argument("metric", help="the number to judge by, as `ebm explain METHOD` and `ebm explain PROBE` list them")
    parser.add_argument("--float", action="append", default=[], metavar="KEY=LOW:HIGH[:log]")
    parser.add_argument("--int", action="append", default=[], metavar="KEY=LOW:HIGH[:log]")
    parser.add_argument("--choice", action="append", default=[], metavar="KEY=A,B,C")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--direction", choices=["maximize", "minimize"], default="minimize")
    parser.add_argument("--runs", default="runs/optuna", help="where the run folders and the study go")
    return parser.parse_args()


def settings(trial, args):
    """The keys of the configuration that this trial tries, with their values."""
    found = {}
    for kind, suggest, number in [("float", trial.suggest_float, float), ("int", trial.suggest_int, int)]:
        for text in getattr(args, kind):
            key, bounds = text.split("=", 1)
            low, high, *log = bounds.split(":")
            found[key] = suggest(key, number(low), number(high), log=log == ["log"])
    for text in args.choice:
        key, words = text.split("=", 1)
        found[key] = trial.suggest_categorical(key, words.split(","))
    return found


def main():
    args = arguments()
    os.makedirs(args.runs, exist_ok=True)
    storage = f"sqlite:///{os.path.join(args.runs, 'study.db')}"
    study = optuna.create_study(storage=storage, study_name="ebm", direction=args.direction, load_if_exists=True)
    for _ in range(args.trials):
        trial = study.ask()
        sets = [word for key, value in settings(trial, args).items() for word in ("--set", f"{key}={value}")]
        folder = os.path.join(args.runs, f"trial-{trial.number:04}")
        command = [os.environ.get("EBM", "ebm"), "-q", "train", args.config, "--run-dir", folder, "--json", *sets]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if run.returncode == 0:
            study.tell(trial, json.loads(run.stdout)["metrics"][args.metric])
        elif run.returncode == DIVERGED:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, state=TrialState.FAIL)
            sys.exit(run.returncode)
    if any(trial.state == TrialState.COMPLETE for trial in study.trials):
        print(json.dumps({"value": study.best_value, "settings": study.best_params, "trial": study.best_trial.number}))


if __name__ == "__main__":
    main()
