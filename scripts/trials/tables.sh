# Tables, arrays, folders and logs that are nearly right: read, read with a word, or refused with one.

# sees FILE [KEYS]: the command that checks an experiment on a table.
sees() {
    experiment table.toml "name = \"table\"
path = \"$1\"
${2:-}"
    sed -i 's/ml_grid/nce/' table.toml
    printf 'ebm check table.toml'
}
# counted N LEAD: N rows of two numbers behind what LEAD, a format of awk, makes of the row's number.
counted() { awk -v n="$1" -v lead="${2:-}" 'BEGIN { for (i = 0; i < n; i++) printf lead "%.3f,%.3f\n", i, sin(i), cos(3 * i) }'; }
plain() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "%.3f,%.3f\n", sin(i), cos(3 * i) }'; }

{ echo ',a,b'; counted 40 '%d,'; } > pandas.csv
trial 0 '[2] … column 1 has no name and is left out' "$(sees pandas.csv)"
{ echo '"a","b"'; counted 40 '"row %d",'; } > r.csv
trial 0 '[2] … column 1 has no name and is left out' "$(sees r.csv)"
{ echo ',0,1'; counted 40 '%d,'; } > counts.csv
trial 0 '[2] … line 1 counts the columns' "$(sees counts.csv)"
{ echo '0,1,2'; counted 40 '%d.5,'; } > three.csv
trial 0 '[3] … dataset.header' "$(sees three.csv)"
trial 0 '[3] … !counts' "$(sees three.csv 'header = "no"')"
{ echo '2019,2020'; plain 40; } > years.csv
trial 0 '[2]' "$(sees years.csv 'header = "yes"')"
{ echo '"a'; echo 'b",c'; plain 40; echo 'x,1'; } > newline.csv
trial 4 'line 43: column 1 … a\nb' "$(sees newline.csv)"
{ plain 20; echo '0.5,"0.5'; plain 20; } > open.csv
trial 4 'line 21: no quotation mark closes' "$(sees open.csv)"
{ echo 'a,b,'; plain 40 | sed 's/$/,/'; } > trailing.csv
trial 0 '[2]' "$(sees trailing.csv)"
plain 40 | sed 's/,/;/; s/\./,/g' > decimal.csv
trial 4 'decimal comma' "$(sees decimal.csv)"
{ echo 'a,b'; plain 40 | sed 's/$/,1,2/'; } > wide.csv
trial 4 'line 1: has 2 names, the row below 4' "$(sees wide.csv)"
{ plain 20 | gzip; plain 20 | gzip; } > members.csv.gz
trial 0 '[2]' "$(sees members.csv.gz)"
{ plain 20 | gzip; plain 20 | gzip | head -c -6; } > torn.csv.gz
trial 4 'broken gzip at byte' "$(sees torn.csv.gz)"
printf '\xff\xfea\0,\0' > utf16.csv
trial 4 'UTF-16' "$(sees utf16.csv)"
printf 'a,b\n1,\033[2J\n' > escape.csv
trial 4 '\u{1b}[2J … !'$'\033' "$(sees escape.csv)"
awk 'BEGIN { for (i = 0; i < 64; i++) printf "%d,%d\n", 1700000000 + i, i % 4 }' > clock.csv
trial 0 '[2] … !f32' "$(sees clock.csv)"
trial 2 'column 0 of the table … dataset.standardise' "$(sees clock.csv 'standardise = false')"
trial 0 '[1]' "$(sees clock.csv 'drop_repeats = true')"

mkdir pictures && touch pictures/a.webp pictures/b.webp pictures/._c.jpg
experiment celeba.toml 'name = "celeba"
path = "pictures"'
trial 4 'holds 2 .webp files … convert … !download' 'ebm check celeba.toml'

# array SHAPE BYTE...: an array of NumPy's format 1.0 of bytes.
array() {
    local head="{'descr': '|u1', 'fortran_order': False, 'shape': $1, }"
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$head"
    shift
    printf '%b' "$(printf '\\x%02x' "$@")"
}
# shellcheck disable=SC2046
array '(40, 2)' $(awk 'BEGIN { for (i = 0; i < 80; i++) print (i * 37 + i * i) % 251 }') > turned.npy
trial 0 'look transposed' 'ebm diagnose --samples turned.npy'
# shellcheck disable=SC2046
array '(2, 40)' $(awk 'BEGIN { for (i = 0; i < 80; i++) print ((i % 40) * 37) % 251 }') > twice.npy
trial 0 '1 of 2 chains are the same draws' 'ebm diagnose --samples twice.npy'

experiment run.toml 'name = "moons"'
trial 0 '' 'ebm train run.toml --run-dir run -q && sed -i 2s/.*/garbage/ run/metrics.jsonl'
trial 0 'damaged line passed over, the first is line 2 … 4' 'ebm compare run --at every --by step --metric grad_norm --json'
