# Whatever becomes of its streams, its home, its folder, its terminal or its session, no subcommand panics.

experiment c.toml 'name = "moons"' '[[probe]]
name = "nll"
points = 16
items = 20
samples = 10'
file p.toml <<< 'config = "c.toml"
seeds = 2'
here=$PWD last=$PWD/run/checkpoints/last.safetensors
trial 0 '4 steps' 'ebm train c.toml --run-dir run'
mkdir half && cp run/config.toml half

# Every subcommand, with little to do. `$$` is the process id of the shell that runs it.
commands=(
    "ebm train $here/c.toml --run-dir train-\$\$"
    "cp -r $here/half resume-\$\$ && ebm resume resume-\$\$"
    "ebm sweep $here/p.toml --run-dir sweep-\$\$"
    "ebm sweep $here/p.toml --dry-run"
    "ebm sample --ckpt $last --n 4 --steps 2 --out s-\$\$.png"
    "ebm eval --ckpt $last --probe nll"
    "ebm diagnose --ckpt $last --steps 20 --burn-in 2 --weights-of 0 --out d-\$\$"
    "ebm eval-lsd --ckpt $last --eval epochs=1 --eval items=50 --eval critic.hidden=[8]"
    "ebm gof --ckpt $last --tests ksd --items 20"
    "ebm check $here/c.toml"
    "ebm show $here/c.toml --origin"
    "ebm methods"
    "ebm explain lsd"
    "ebm init"
    "ebm data list"
    "ebm data verify digits"
    "ebm data fetch moons"
    "ebm compare $here/run"
    "ebm ls $here"
    "ebm completions bash"
    "ebm help train"
    "ebm trian"
)
# `/dev/full` is a disk without room, and nobody writes in /proc, whoever he is. A command behind `cp` fails where that
# fails.
for command in "${commands[@]}"; do
    [[ $command =~ ^ebm\ (data fetch|trian) ]] && usual='2' || usual='0'
    trial "$usual" '' "{ $command; } >&-"
    trial "$usual" '' "{ $command; } 2>&-"
    trial "$usual" '' "{ $command; } >&- 2>&-"
    trial "$usual" '' "{ $command; } | true; exit \${PIPESTATUS[0]}"
    trial "$usual" '' "{ $command; } 2>&1 | true; exit \${PIPESTATUS[0]}"
    trial "$usual" '' "{ $command; } 2> /dev/full"
    trial "$usual|5" '' "{ $command; } > /dev/full"
    trial "$usual|5" '' "{ $command; } > /dev/full 2>&1"
    trial "$usual" '' "unset HOME; COLUMNS=20; export COLUMNS; $command"
    trial "$usual|1|2" '' "cd /proc && $command"
    for signal in HUP TERM INT USR1; do
        late="timeout --preserve-status -s $signal 0.\$((RANDOM % 3))\$((RANDOM % 10)) ebm "
        trial "$usual|$((128 + $(kill -l $signal)))" '' "${command/ebm /$late}"
    done
done
