# Files as other programs write them.

# opens FILE [KEYS]: the command that checks an experiment on a table.
table=0
opens() {
    table=$((table + 1))
    experiment "t$table.toml" "name = \"table\"
path = \"$1\"
${2:-}"
    sed -i 's/ml_grid/sliced_score_matching/' "t$table.toml"
    printf 'ebm check t%s.toml' "$table"
}
# numbers N SEPARATOR: N rows of two columns.
numbers() { awk -v n="$1" -v s="${2:-,}" 'BEGIN { for (i = 0; i < n; i++) printf "%.3f%s%.3f\n", sin(i), s, cos(3 * i) }'; }
# npy TYPE SHAPE BYTES: an array of NumPy's format 1.0; BYTES as printf reads them.
npy() {
    local head="{'descr': '$1', 'fortran_order': False, 'shape': $2, }"
    local length=$(((10 + ${#head} + 1 + 63) / 64 * 64 - 10))
    printf '\x93NUMPY\x01\x00%b%-*s\n' "\\x$(printf %02x $((length % 256)))\\x$(printf %02x $((length / 256)))" \
        $((length - 1)) "$head"
    printf '%b' "$3"
}

numbers 40 > plain.csv
trial 0 '' "$(opens plain.csv)"
{ printf '\xef\xbb\xbfa,b\r\n'; numbers 40 | sed 's/$/\r/'; } > windows.csv
trial 0 '' "$(opens windows.csv)"
{ echo 'a;b'; numbers 40 ';'; } > semicolons.csv
trial '0|4' '' "$(opens semicolons.csv)"
numbers 40 $'\t' > tabs.tsv
trial 0 '' "$(opens tabs.tsv)"
numbers 40 ' ' > spaces.txt
trial 0 '' "$(opens spaces.txt)"
numbers 40 | gzip > one.csv.gz
trial 0 '' "$(opens one.csv.gz)"
{ echo '"x","y"'; numbers 40 | sed 's/[^,]*/"&"/g'; } > quoted.csv
trial 0 '' "$(opens quoted.csv)"
numbers 40 | head -c -4 > torn.csv
trial '0|4' '' "$(opens torn.csv)"
{ numbers 20; echo '0.5'; numbers 20; } > short.csv
trial 4 '21' "$(opens short.csv)"
{ numbers 20; echo '0.5,oops'; numbers 20; } > word.csv
trial 4 'oops' "$(opens word.csv)"
{ numbers 20; echo '0.5,nan'; numbers 20; } > nan.csv
trial 4 '21' "$(opens nan.csv)"
{ numbers 20; echo '0.5,'; numbers 20; } > empty.csv
trial 4 '21' "$(opens empty.csv)"
file none.csv ''
trial 4 'none.csv' "$(opens none.csv)"
file names.csv 'a,b\n'
trial 4 'names.csv' "$(opens names.csv)"
mkdir folder.csv
trial '1|4' 'folder.csv' "$(opens folder.csv)"
trial 4 'gone.csv … hint' "$(opens gone.csv)"
file text.npy 'not an array\n'
trial 4 'text.npy' "$(opens text.npy)"
npy '<f8' '(40, 2)' "$(for i in {1..80}; do printf '\\x00\\x00\\x00\\x00\\x%02x\\x%02x\\xf0\\x3f' $((i % 7)) $((i % 11)); done)" > f8.npy
trial 0 '' "$(opens f8.npy)"
head -c 200 f8.npy > torn.npy
trial 4 'torn.npy' "$(opens torn.npy)"
npy '<f8' '(9000000000, 2)' '' > huge.npy
trial 4 'huge.npy' "$(opens huge.npy)"
npy '|O' '(40, 2)' '\x80\x04' > objects.npy
trial 4 'objects.npy' "$(opens objects.npy)"
file text.npz 'not an archive\n'
trial 4 'text.npz' "$(opens text.npz)"
