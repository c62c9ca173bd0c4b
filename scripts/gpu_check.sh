#!/usr/bin/env bash
# Looks in a few minutes whether `ebm` does on a GPU what it does on a CPU, and writes what it saw to OUT/report.txt.
#
#   scripts/gpu_check.sh OUT [DEVICE]      DEVICE is cuda:0 unless given; cpu tries the script itself
#
# What it takes beside PyTorch is printed where this python3 has one that sees a GPU.
#
# EBM is the binary, default target/cuda/release/ebm (scripts/build_cuda.sh --cudnn). Needs python3, and nothing of its
# packages; libraries of CUDA are taken from a PyTorch if it has some. STEPS, default 20, is the length of the runs. Exit
# code 1 where something is wrong.
set -uo pipefail
out=${1:?usage: scripts/gpu_check.sh OUT [DEVICE]} device=${2:-cuda:0}
cd "$(dirname "$0")/.." || exit
ebm=${EBM:-target/cuda/release/ebm} steps=${STEPS:-20}
wheels=$(python3 -c 'import nvidia, pathlib
print(":".join(map(str, pathlib.Path(list(nvidia.__path__)[0]).glob("*/lib"))))' 2> /dev/null)
export LD_LIBRARY_PATH=$wheels${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
mkdir -p "$out" || exit
exec > >(tee "$out/report.txt") 2>&1
wrong=0
say() { printf '\n== %s (%s s)\n' "$*" $SECONDS; }
fails() { echo "WRONG: $*"; wrong=1; }
# Trains a configuration for a few steps: train DEVICE FOLDER CONFIG [arguments].
train() {
  local on=$1 to=$2 config=$3
  shift 3
  timeout 300 "$ebm" -q train "$config" --device "$on" --run-dir "$to" --set train.epochs=0 --set "train.steps=$steps" \
    --set train.log_every=1 --set "train.checkpoint_every=$((steps / 2))" --set 'probe=[]' --set 'train.best=""' "$@" > /dev/null
}

say facts
if command -v nvidia-smi > /dev/null; then nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader; fi
git log -1 --format='ebm of commit %h' 2> /dev/null
"$ebm" doctor --device "$device" --facts || fails "the device does not open"

say operations
# It also says which convolutions cuDNN does not compute with channels last.
timeout 180 "$ebm" doctor -v --device "$device" || fails "operations"

say "runs of $steps steps on the CPU and on $device: the largest distance of a number at the first and at the last step"
for config in lsd_digits sm_toy2d dsm_toy2d ml_grid_toy2d pcd_toy2d vera_toy2d coopflow_toy2d flow_mcmc_toy2d vae_digits \
  glow_mnist jarzynski_toy2d classifier_digits; do
  file=configs/$config.toml
  sets=()
  if [ $config = glow_mnist ]; then sets=(--set dataset.name=digits); fi
  if [ $config = classifier_digits ]; then sets=(--set model.net.dropout=0.3); fi
  if ! train cpu "$out/$config-cpu" "$file" "${sets[@]}" || ! train "$device" "$out/$config-gpu" "$file" "${sets[@]}"; then
    fails "$config"
    continue
  fi
  python3 - "$config" "$out/$config-cpu/metrics.jsonl" "$out/$config-gpu/metrics.jsonl" << 'PYTHON' || fails "$config"
import json, sys

def rows(path):
    return [json.loads(line) for line in open(path)]

name, cpu, gpu = sys.argv[1], rows(sys.argv[2]), rows(sys.argv[3])
TIMES = ("seconds", "per_second")

def distance(a, b):
    numbers = [key for key in a if isinstance(a[key], float) and not any(word in key for word in TIMES)]
    return max(((abs(a[key] - b[key]) / max(1.0, abs(a[key])), key) for key in numbers), default=(0.0, "no number"))

first, last = distance(cpu[0], gpu[0]), distance(cpu[-1], gpu[-1])
print(f"{name:18} first {first[0]:.1e} ({first[1]}), last {last[0]:.1e} ({last[1]})")
sys.exit(len(cpu) != len(gpu) or not first[0] < 1e-3)
PYTHON
done

say "a run that was stopped and one that was not"
config=configs/lsd_digits.toml
if train "$device" "$out/whole" $config && train "$device" "$out/twice" $config --until $((steps / 2)) \
  && "$ebm" -q resume "$out/twice" --device "$device"; then
  sum() { sha256sum < "$out/$1/checkpoints/last.safetensors"; }
  if [ "$(sum whole)" = "$(sum twice)" ]; then echo "the same bytes"; else fails "other bytes"; fi
else
  fails "a run that was stopped"
fi

say "two ranks, and the same parts in one"
# On a machine with one card both take that one, which NCCL refuses: a binary without the feature nccl does it by sockets.
if train "$device" "$out/parts" $config --set train.parts=2 && train "$device" "$out/ranks" $config --ranks 2; then
  if [ "$(sum parts)" = "$(sum ranks)" ]; then echo "the same bytes"; else fails "other bytes"; fi
else
  fails "two ranks"
fi

say "chains step by step and as graphs: $((steps * 50)) steps on a small network"
for kernel in langevin mala; do
  for graphs in off on; do
    begin=$(date +%s%N)
    EBM_GRAPHS=$graphs "$ebm" -q sample --ckpt "$out/pcd_toy2d-gpu" --device "$device" --n 64 --steps $((steps * 50)) \
      --out "$out/$kernel-$graphs.npy" --set sampler.name=$kernel --set sampler.step_size=0.05 > /dev/null || fails "$kernel"
    echo "$kernel, graphs $graphs: $((($(date +%s%N) - begin) / 1000000)) ms"
  done
  cmp "$out/$kernel-off.npy" "$out/$kernel-on.npy" || fails "$kernel draws others in a graph"
done

say "memory over a long chain"
"$ebm" -q sample --ckpt "$out/whole" --device "$device" --n 64 --steps $((steps * 150)) --out "$out/chain.npy" &
chain=$!
while kill -0 $chain 2> /dev/null; do
  if command -v nvidia-smi > /dev/null; then nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits; fi
  sleep 1
done | sort -n | sed -n '1s/^/MiB in use, least: /p;$s/^/most: /p'
wait $chain || fails "a long chain"

say "steps beside PyTorch"
python3 scripts/bench/gpu.py "$ebm" "$out/speed" --device "$device" --rounds 2 || fails "a step that was to be timed"

say end
if [ $wrong = 0 ]; then echo "all as it should be"; fi
exit $wrong
