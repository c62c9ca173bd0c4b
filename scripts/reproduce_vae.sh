#!/usr/bin/env bash
# Reruns an experiment of Xie, Zheng, Li 2021 and Xiao et al. 2021 (VAEBM) and leaves table (CSV, Markdown) and plot (PNG, SVG) in docs/results/vae/:
#   scripts/reproduce_vae.sh 25gaussians [--quick] [--jobs N]     experiments: 25gaussians toys digits mnist, or all
# --quick takes minutes on two cores. The same command again goes on where it was stopped. $EBM names another binary,
# $OUT another folder for results, $RUNS another for runs.
set -euo pipefail
cd "$(dirname "$0")/.."

names=() quick=() jobs=()
while (($#)); do
    case $1 in
        --quick) quick=(--quick) ;;
        --jobs) jobs=(--jobs "$2"); shift ;;
        25gaussians | toys | digits | mnist) names+=("$1") ;;
        all) names=(25gaussians toys digits mnist) ;;
        *) sed -n '2,5s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
((${#names[@]})) || { sed -n '2,5s/^# \?//p' "$0" >&2; exit 2; }

ebm=${EBM:-target/release/ebm}
[[ -n ${EBM:-} ]] || cargo build --release --quiet
suffix=${quick:+_quick}
runs=${RUNS:-runs/vae${suffix}}
out=${OUT:-docs/results/vae}
mkdir -p "$runs" "$out"

# sweep NAME: all trials of configs/sweeps/vera_NAME.toml; those that diverged are part of the result.
sweep() { "$ebm" sweep "configs/sweeps/vae_$1.toml" "${quick[@]}" "${jobs[@]}" --run-dir "$runs/$1" || (($? == 3)); }

# compare NAME ARGS: table and plot as $out/NAME.*
compare() {
    local name=$1
    shift
    "$ebm" compare "$runs/$name" "$@" --out "$out/$name$suffix.csv" --out "$out/$name$suffix.md"
}

# judge NAME: a classifier whose features the probes take, trained once.
judge() {
    local run=$runs/classifier_$1
    [[ -e $run/checkpoints/last.safetensors ]] || "$ebm" train "configs/classifier_$1.toml" --run-dir "$run" >&2
    echo "probe.1.features=$run/checkpoints/last.safetensors"
}

gaussians() {
    sweep 25gaussians
    compare 25gaussians --by arm --over seed --metric test_ll,true_ll,modes,mode_quality,mode_kl,energy_gradients
}

toys() {
    sweep toys
    compare toys --by dataset.name,arm --over seed --metric test_ll,mmd2,mmd2_floor,energy_gradients
    for metric in kl_data_model kl_model_generator kl_generator_model; do
        "$ebm" compare "$runs/toys" --by dataset.name,arm,step --over seed --at every --metric "$metric" --x step --y "$metric" \
            --series arm --panel dataset.name --plot "$out/$metric$suffix.png" --plot "$out/$metric$suffix.svg" > /dev/null
    done
}

# images NAME: the sweep with the features of the classifier of that data set.
images() {
    local features
    features=$(judge "$1")
    "$ebm" sweep "configs/sweeps/vae_$1.toml" --set "$features" "${quick[@]}" "${jobs[@]}" --run-dir "$runs/$1" || (($? == 3))
    compare "$1" --by arm --over seed --metric \
        frechet,frechet_floor,kid,precision,recall,density,coverage,energy_gradients
}

digits() { images digits; }
mnist() { images mnist; }

for name in "${names[@]}"; do "${name#25}"; done
