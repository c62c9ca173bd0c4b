#!/usr/bin/env bash
# Small oddities in public formats against the binary: what a user's folder holds, not what a test suite would think of.
#
#   scripts/trials.sh            # target/debug/ebm, or the binary that $EBM names
#   scripts/trials.sh readers    # the tables of scripts/trials/readers.sh alone
#
# A table is a file of scripts/trials/: it writes a few files of some KB and then says, a line a trial,
#
#   trial CODE 'WORDS' 'COMMAND'
#
# COMMAND is a line of bash in a folder of the table's own, with `ebm` in its PATH; CODE its exit code, or several as
# `0|3`; WORDS what its output must hold: pieces set apart by ` … `, in any order, none of those behind a `!`. Whatever
# the table expects, nothing may panic.
set -uo pipefail
cd "$(dirname "$0")/.."

EBM=$(realpath "${EBM:-target/debug/ebm}")
[[ -x $EBM ]] || { echo "no binary at $EBM: build it, or name one with EBM=…" >&2; exit 2; }
tables=$PWD/scripts/trials
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" && ln -s "$EBM" "$work/bin/ebm"
export PATH=$work/bin:$PATH
unset EBM_DATA RUST_LOG RUST_BACKTRACE
tried=0 failed=0

trial() {
    local code=$1 words=$2 command=$3 got output piece why=''
    output=$(timeout 60 bash -c "$command" 2>&1 < /dev/null) && got=0 || got=$?
    tried=$((tried + 1))
    [[ $got =~ ^($code)$ ]] || why="exit code $got, not $code"
    [[ $got == 101 || $output == *panicked* ]] && why="it panicked"
    while IFS= read -r piece; do
        case $piece in
            '') ;;
            !*) [[ $output == *"${piece#!}"* ]] && why="it says '${piece#!}'" ;;
            *) [[ $output == *"$piece"* ]] || why="it does not say '$piece'" ;;
        esac
    done <<< "${words// … /$'\n'}"
    [[ -z $why ]] && return
    failed=$((failed + 1))
    printf 'FAILED %s: %s\n  %s\n%s\n\n' "$table" "$why" "$command" "$(sed 's/^/    /' <<< "$output" | head -30)"
}

# file NAME [TEXT]: a file with TEXT, printf's escapes read, or with what comes on standard input.
file() {
    mkdir -p "$(dirname "$1")"
    if (($# > 1)); then printf '%b' "$2" > "$1"; else cat > "$1"; fi
}

# experiment NAME DATASET [MORE]: a small experiment; DATASET are the lines of [dataset], MORE is appended.
experiment() {
    file "$1" <<< "[dataset]
$2
[model]
net = { name = \"mlp\", hidden = [8] }
[method]
name = \"ml_grid\"
[train]
steps = 4
batch_size = 8
log_every = 1
${3:-}"
}

for path in "$tables"/${1:-*}.sh; do
    table=$(basename "$path" .sh)
    mkdir "$work/$table" && cd "$work/$table" || exit 2
    # shellcheck disable=SC1090
    source "$path"
done
echo "$tried trials, $failed failed, $SECONDS s"
((failed == 0))
