# A run goes on under the configuration that it began with.

experiment c.toml 'name = "moons"' 'checkpoint_every = 2'
trial 0 '' 'ebm train c.toml --run-dir run && rm run/checkpoints/{last,step-00000004}.safetensors'
edit() { printf 'rm -rf r && cp -r run r && sed -i "%s" r/config.toml && ebm resume r' "$1"; }

trial 2 'seed was 0, is now 1 … undo the change' "$(edit 's/^seed = 0/seed = 1/')"
trial 2 'dataset.name was "moons", is now "rings"' "$(edit 's/moons/rings/')"
trial 2 'train.batch_size was 8, is now 9' "$(edit 's/^batch_size = 8/batch_size = 9/')"
trial 2 'optim.lr was 0.001, is now 0.002' "$(edit '/^\[optim\]/,\$s/^lr = 0.001/lr = 0.002/')"
trial 2 'model.net.activation was … is now "relu"' "$(edit 's/^activation = .*/activation = \"relu\"/')"
trial 2 'seed was 0, is now 1 … train.batch_size was 8, is now 9' \
    "$(edit 's/^seed = 0/seed = 1/; s/^batch_size = 8/batch_size = 9/')"
trial 4 'tensors do not fit the model … model.net.hidden was [8], is now [9]' "$(edit 's/^hidden = .*/hidden = [9]/')"
trial 0 '6 steps' "$(edit 's/^steps = 4/steps = 6/; s/^log_every = 1/log_every = 2/; s/^keep = 2/keep = 0/')"
trial 0 '4 steps' "$(edit 's/^device = .*/device = \"auto\"/; s/^window = 200/window = 20/')"
trial 0 '4 steps' "$(edit 's/^# nothing//; 1i # a comment')"
# A remark, another way to write a number.
trial 0 '4 steps' "$(edit 's/^lr = 0.001/lr = 1e-3/')"
