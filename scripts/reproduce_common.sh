# What the scripts reproduce_*.sh share; they source it with paper (the folder of results) and known (the names of experiments).
# Leaves names, quick, jobs, ebm, suffix, runs and out; $EBM names another binary, $OUT another folder for results, $RUNS another
# for runs.
cd "$(dirname "$0")/.."

usage() { sed -n '2,6s/^# \?//p' "scripts/${0##*/}" >&2; exit 2; }

names=() quick=() jobs=()
while (($#)); do
    case $1 in
        --quick) quick=(--quick) ;;
        --jobs) jobs=(--jobs "$2"); shift ;;
        all) names=("${known[@]}") ;;
        *) [[ " ${known[*]} " == *" $1 "* ]] || usage; names+=("$1") ;;
    esac
    shift
done
((${#names[@]})) || usage

ebm=${EBM:-target/release/ebm}
[[ -n ${EBM:-} ]] || cargo build --release --quiet
suffix=${quick:+_quick}
runs=${RUNS:-runs/${paper}${suffix}}
out=${OUT:-docs/results/${paper}}
mkdir -p "$runs" "$out"

# sweep NAME ARGS: all trials of configs/sweeps/PAPER_NAME.toml; those that diverged are part of the result.
sweep() {
    local name=$1
    shift
    "$ebm" sweep "configs/sweeps/${paper}_$name.toml" "$@" "${quick[@]}" "${jobs[@]}" --run-dir "$runs/$name" || (($? == 3))
}

# compare NAME ARGS: table as $out/NAME.*
compare() {
    local name=$1
    shift
    "$ebm" compare "$runs/$name" "$@" --out "$out/$name$suffix.csv" --out "$out/$name$suffix.md"
}

# judge NAME: the checkpoint of a classifier of that data set, which the probes take, trained once.
judge() {
    local run=$runs/classifier_$1 how=("configs/classifier_$1.toml")
    [[ $1 != fashion ]] || how=(configs/classifier_mnist.toml --set dataset.name=fashion_mnist)
    [[ -e $run/checkpoints/last.safetensors ]] || train "$run" "${how[@]}" >&2
    echo "$run/checkpoints/last.safetensors"
}

# train DIR CONFIG ARGS: one run, or what is left of it.
train() {
    local dir=$1 config=$2
    shift 2
    if [[ -d $dir ]]; then "$ebm" resume "$dir"; else "$ebm" train "$config" --run-dir "$dir" "$@"; fi
}

# look COMMAND ARGS -- RUNS: what `ebm eval` or `ebm diagnose` finds of runs or checkpoints, kept in the folders of the runs.
look() {
    local words=()
    while [[ $1 != -- ]]; do words+=("$1"); shift; done
    shift
    local one
    for one in "$@"; do "$ebm" "${words[@]}" --quiet --keep --ckpt "$one" > /dev/null; done
}

# found NAME RUNS ARGS: a table of what was found of runs, as $out/NAME.*; RUNS is one word of patterns.
found() {
    local name=$1 of=$2
    shift 2
    # shellcheck disable=SC2086
    "$ebm" compare $of "$@" --out "$out/$name$suffix.csv" --out "$out/$name$suffix.md"
}
