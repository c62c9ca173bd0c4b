#!/usr/bin/env bash
# Times ebm against PyTorch and JAX on the same works, in turn within one run, and writes docs/results/speed.md; then the growth of a
# Langevin step over batch, dimension, chains and steps, docs/results/growth.png.
#
#   scripts/bench_vs_torch.sh                        # installs the peers into a temporary environment (about 5 GB)
#   EBM_TORCH_VENV=~/torch scripts/bench_vs_torch.sh # uses, or makes and keeps, this environment
#   ROUNDS=7 THREADS="1 2" WORKS="critic-2d adam" scripts/bench_vs_torch.sh
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${EBM_TORCH_VENV:-}
if [[ -z $venv ]]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    venv=$scratch/venv
fi
if [[ ! -x $venv/bin/python ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch numpy jax matplotlib
fi

cargo build --profile bench --bench versus
bench=$(cargo build --profile bench --bench versus --message-format json 2>/dev/null |
    "$venv/bin/python" -c 'import json, sys
lines = (json.loads(line) for line in sys.stdin)
print(next(l["executable"] for l in lines if l.get("target", {}).get("name") == "versus" and l.get("executable")))')

mkdir -p docs/results
"$venv/bin/python" scripts/bench/drive.py "$bench" --rounds "${ROUNDS:-5}" --threads ${THREADS:-1 2} \
    ${WORKS:+--works $WORKS} --out docs/results/speed.md
"$venv/bin/python" scripts/bench/growth.py "$bench" --out docs/results/growth.png
