//! The small experiments that probes are tried on: the `example` of their rows.

/// A small experiment as TOML: a setting, `plane`, `levels`, `ica`, `digits`, `stacked`, `classes`, `vae` or `taught`,
/// and the keys of its `[[probe]]`. In the keys `{classifier}` stands for the path of a checkpoint of a classifier of
/// the digits.
macro_rules! example {
    (plane, $keys:literal) => {
        concat!(
            "[dataset]\nname = \"8gaussians\"\n[model]\nnet = { name = \"mlp\", hidden = [8, 8] }\n",
            "[method]\nname = \"none\"\n[sampler]\nname = \"mala\"\nsteps = 5\n",
            "[train]\nsteps = 10\n[[probe]]\n",
            $keys
        )
    };
    (levels, $keys:literal) => {
        concat!(
            "[dataset]\nname = \"8gaussians\"\n[model]\nname = \"ladder\"\nlevels = 3\n",
            "net = { name = \"mlp\", hidden = [8] }\n[method]\nname = \"none\"\n",
            "[train]\nsteps = 10\n[[probe]]\n",
            $keys
        )
    };
    (ica, $keys:literal) => {
        concat!(
            "[dataset]\nname = \"ica\"\ndim = 3\n[model]\nname = \"ica\"\n[method]\nname = \"ml\"\n",
            "[train]\nsteps = 10\n[[probe]]\n",
            $keys
        )
    };
    (digits, $keys:literal) => {
        concat!(
            "[dataset]\nname = \"digits\"\n[model]\nname = \"classifier\"\nnet = { name = \"mlp\", hidden = [8] }\n",
            "[method]\nname = \"none\"\n[sampler]\nname = \"sgld\"\nsteps = 5\n",
            "[train]\nsteps = 10\n[[probe]]\n",
            $keys
        )
    };
    (stacked, $keys:literal) => {
        concat!(
            "[dataset]\nname = \"stacked_digits\"\nitems = 100\ntest_items = 80\nchannels = 2\n",
            "[model]\nnet = { name = \"mlp\", hidden = [8] }\n",
            "[method]\nname = \"none\"\n[sampler]\nname = \"sgld\"\nsteps = 5\n",
            "[train]\nsteps = 10\n[[probe]]\n",
            $keys
        )
    };
    (classes, $keys:literal) => {
        concat!(
            "[dataset]\nname = \"digits\"\nflatten = true\n",
            "[model]\nname = \"classifier\"\nnet = { name = \"mlp\", hidden = [8] }\n",
            "[method]\nname = \"vae_sampler\"\ncondition = \"class\"\nsampler.steps = 2\n[sampler]\nsteps = 5\n",
            "[train]\nsteps = 10\n[[probe]]\n",
            $keys
        )
    };
    (vae, $keys:literal) => {
        concat!(
            "[dataset]\nname = \"8gaussians\"\n[model]\nname = \"vae\"\nnodes = 7\nnoise = \"network\"\n",
            "squash = \"tanh\"\nencoder = { name = \"mlp\", hidden = [6] }\n",
            "decoder = { name = \"mlp\", hidden = [6] }\n",
            "[method]\nname = \"vae\"\n[train]\nsteps = 10\n[[probe]]\n",
            $keys
        )
    };
    (taught, $keys:literal) => {
        concat!(
            "[dataset]\nname = \"8gaussians\"\n[model]\nnet = { name = \"mlp\", hidden = [8, 8] }\n",
            "[method]\nname = \"vae_sampler\"\nsampler.steps = 3\nvae = { name = \"vae\", ",
            "encoder = { name = \"mlp\", hidden = [6] }, decoder = { name = \"mlp\", hidden = [6] } }\n",
            "[train]\nsteps = 10\n[[probe]]\n",
            $keys
        )
    };
}
pub(in crate::probes) use example;
