#!/usr/bin/env bash
# A sweep as a SLURM job array: each task runs its share of the trials. Submit it again to go on after a time limit.
#   sbatch --array=1-8 scripts/sweep_slurm.sh configs/sweeps/toy2d.toml [arguments of ebm sweep]
#SBATCH --job-name=ebm-sweep
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --output=runs/slurm-%A_%a.txt
# Two minutes before the limit, to this process alone: the sweep passes it on, and the trials save.
#SBATCH --signal=B:TERM@120
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")/..}"

if [ $# -eq 0 ]; then
  echo "usage: sbatch --array=1-N $0 PLAN [arguments of ebm sweep]" >&2
  exit 2
fi
export RAYON_NUM_THREADS=${SLURM_CPUS_PER_TASK:-$(nproc)}
# Tasks may be numbered from any number on.
part=$((${SLURM_ARRAY_TASK_ID:-1} - ${SLURM_ARRAY_TASK_MIN:-1} + 1))
exec "${EBM:-target/release/ebm}" sweep "$@" --shard "$part/${SLURM_ARRAY_TASK_COUNT:-1}"
