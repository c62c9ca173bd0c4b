#!/usr/bin/env bash
# Whether vector code was inlined where it is used: a function that is handed over as a value is compiled for any processor, and then
# every operation on a vector is a call through memory, ten times slower. Such calls have symbols, which an optimised binary must not have.
#
#   scripts/check_vector.sh [BINARY]    target/release/ebm, which is built if it is not there
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-target/release/ebm}
[[ -e $binary ]] || cargo build --locked --release --bin ebm
found=$(nm -C "$binary" | grep -oE '_mm(256|512)_(fmadd|fnmadd|add|sub|mul)_p[sd]$' | sort | uniq -c || true)
if [[ -n $found ]]; then
    printf 'operations on vectors that are called, not inlined:\n%s\n' "$found" >&2
    exit 1
fi
echo "no operation on vectors is called"
