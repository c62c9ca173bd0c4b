#!/usr/bin/env bash
# Reruns an experiment of Grathwohl et al. 2021 and leaves table (CSV, Markdown) and plot (PNG, SVG) in docs/results/vera/:
#   scripts/reproduce_vera.sh entropy [--quick] [--jobs N]     experiments: entropy toys nice digits, or all
# --quick takes minutes on two cores. The same command again goes on where it was stopped. $EBM names another binary,
# $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
cd "$(dirname "$0")/.."

names=() quick=() jobs=()
while (($#)); do
    case $1 in
        --quick) quick=(--quick) ;;
        --jobs) jobs=(--jobs "$2"); shift ;;
        entropy | toys | nice | digits) names+=("$1") ;;
        all) names=(entropy toys nice digits) ;;
        *) sed -n '2,5s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
((${#names[@]})) || { sed -n '2,5s/^# \?//p' "$0" >&2; exit 2; }

ebm=${EBM:-target/release/ebm}
[[ -n ${EBM:-} ]] || cargo build --release --quiet
suffix=${quick:+_quick}
runs=${RUNS:-runs/vera${suffix}}
out=${OUT:-docs/results/vera}
mkdir -p "$runs" "$out"

# sweep NAME: all trials of configs/sweeps/vera_NAME.toml; those that diverged are part of the result.
sweep() { "$ebm" sweep "configs/sweeps/vera_$1.toml" "${quick[@]}" "${jobs[@]}" --run-dir "$runs/$1" || (($? == 3)); }

# compare NAME ARGS: table and plot as $out/NAME.*
compare() {
    local name=$1
    shift
    "$ebm" compare "$runs/$name" "$@" --out "$out/$name$suffix.csv" --out "$out/$name$suffix.md"
}

entropy() {
    sweep entropy
    compare entropy --by arm,probe.0.latent --over seed --metric entropy_projection,entropy_error \
        --x probe.0.latent --y entropy_projection --series arm --title "Projection on the exact entropy gradient" \
        --plot "$out/entropy$suffix.png" --plot "$out/entropy$suffix.svg"
}

toys() {
    sweep toys
    compare toys --by dataset.name,arm --over seed --metric test_ll
}

nice() {
    sweep nice
    compare nice --by arm,optim.lr --over seed --metric test_ll,bits_per_dim --choose optim.lr --max test_ll
}

digits() {
    sweep digits
    compare digits --by arm --over seed --metric \
        test_accuracy,test_ece,auroc_logp_uniform,auroc_logp_constant,auroc_logp_interpolation,auroc_logp_inverted,auroc_maxp_inverted
}

for name in "${names[@]}"; do "$name"; done
