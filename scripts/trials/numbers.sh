# Numbers that are none, and what is said of them.

experiment c.toml 'name = "moons"'
trial 0 '!NaN' 'ebm train c.toml --run-dir run'
trial '2|3' '' 'ebm train c.toml --run-dir hot --set optim.lr=1e30 --set train.steps=50'
trial 2 'finite' 'ebm check c.toml --set guard.max_energy_gap=inf'
trial 2 'batch_size' 'ebm check c.toml --set train.batch_size=-1'
trial '1|2|4|5' '' 'ebm check c.toml --set dataset.limit=4'
trial '2|3' '' 'ebm sample --ckpt run/checkpoints/last.safetensors --n 4 --steps 2 --set sampler.step_size=-1'
# What a kill leaves of the metrics is read up to there.
trial 0 '' 'printf "{\"step\": 9, \"ene" >> run/metrics.jsonl && ebm compare run && ebm ls .'
trial 4 'hint' 'head -c 900 run/checkpoints/last.safetensors > torn.safetensors && ebm sample --ckpt torn.safetensors'
trial 4 'corrupt' 'd=run/checkpoints/last.safetensors; n=$(wc -c < $d); (head -c $((n - 1)) $d; printf x) > f.safetensors
    ebm show f.safetensors'
# Chains that none of moved, and chains that left the numbers, leave no draws.
trial 3 'none of the 4 chains moved' 'ebm sample --ckpt run --n 4 --set sampler.name=mala --set sampler.step_size=1e6 --set sampler.steps=5'
trial 3 'not finite' 'ebm sample --ckpt run --n 4 --set sampler.name=sgld --set sampler.drift=1e30 --set sampler.steps=20'
# A probe that cannot look is refused before training.
experiment accuracy.toml 'name = "moons"' '[[probe]]
name = "accuracy"'
trial 2 'accuracy' 'ebm check accuracy.toml'
