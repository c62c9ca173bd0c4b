#!/usr/bin/env bash
# Every 2-D toy by LSD and by exact maximum likelihood with the same energy; the table is `ebm ls`.
#   scripts/toys2d.sh [ROOT=runs/toys2d] [arguments of ebm train, such as --set train.steps=3000, for LSD]
set -euo pipefail
cd "$(dirname "$0")/.."

root=${1:-runs/toys2d}
shift || true
ebm=${EBM:-target/release/ebm}
toys="8gaussians 25gaussians 2spirals moons rings circles checkerboard pinwheel swissroll cos image2d"
for toy in $toys; do
  for method in ml_grid lsd; do
    run=$root/$method-$toy
    arguments=()
    [ $method = lsd ] && arguments=("$@")
    if [ -e "$run/checkpoints/last.safetensors" ]; then
      "$ebm" resume --quiet "$run"
    else
      "$ebm" train "configs/${method}_toy2d.toml" --quiet --overwrite --run-dir "$run" \
        --set "dataset.name=$toy" ${arguments[@]+"${arguments[@]}"}
    fi
  done
done
"$ebm" ls "$root" --sort test_ll
