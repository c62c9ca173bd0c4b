# What is written, and where.

experiment c.toml 'name = "moons"'
last=$PWD/run/checkpoints/last.safetensors
trial 0 '' 'ebm train c.toml --run-dir run'
draw="ebm sample --ckpt $last --n 4 --steps 2"
begins() { printf '[[ $(head -c %s "%s" | tr -d "\\211\\223\\0") == *%s* ]]' 8 "$1" "$2"; }
trial 0 'a.png' "$draw --out a.png && $(begins a.png PNG)"
trial 0 '' "$draw --save-npy draws.npy && $(begins draws.npy NUMPY)"
trial 0 '' "$draw --gif chain.gif && $(begins chain.gif GIF89a)"
trial 0 '' "$draw --out 'a name with spaces.png' && test -s 'a name with spaces.png'"
trial 2 'proc' "$draw --out /proc/a.png"
trial 0 '"picture"' "$draw --json --out j.png"
# A pipe stays a pipe.
trial 0 '' "mkfifo pipe; timeout 20 wc -c < pipe > count & $draw --save-npy pipe; wait; test -p pipe -a \$(cat count) -gt 80"
trial 0 '' 'ebm compare run --out t.md --out t.csv --out t.json --out t.tex && test -s t.md -a -s t.csv -a -s t.json'
trial '1|2' '' 'ebm compare run --out t.docx'
trial 0 '' 'ebm completions bash | bash -n'
# A model without two dimensions.
experiment gauss.toml 'name = "gaussian"
dim = 3'
sed -i 's/ml_grid/sliced_score_matching/' gauss.toml
trial 0 '' 'ebm train gauss.toml --run-dir gauss'
trial 0 '' 'ebm sample --ckpt gauss --n 4 --steps 2 --save-npy v.npy && test -s v.npy'
trial 2 'png' "$draw --out x.jpg"
trial 2 '' "$draw --out same.png --gif same.png"
trial 2 '' 'ebm sample --ckpt gauss --n 4 --steps 2 --out v.png'
