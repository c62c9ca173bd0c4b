"""The works in JAX, each step one compiled function: the second peer. Only those of which JAX is a likely choice: its
convolutions take three times as long as PyTorch's on a CPU, and in a loop of XLA's minutes.

python jax_works.py    reads `work form milliseconds` lines and answers with [wall, processor] milliseconds
"""

import os

from clock import answer

threads = os.environ.get("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=" + ("false" if threads == "1" else "true")


def works():
    import jax
    import jax.numpy as jnp

    key = jax.random.key(0)
    normal = jax.random.normal

    def mlp(*sizes):
        layers = []
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            layers.append((normal(jax.random.fold_in(key, i), (a, b)) / a**0.5, jnp.zeros(b)))
        return layers

    def apply(layers, x):
        for w, b in layers[:-1]:
            x = jax.nn.silu(x @ w + b)
        w, b = layers[-1]
        return x @ w + b

    def energy(layers, x):
        return apply(layers, x).sum()

    def adam(weights, moments, grads, t):
        def one(p, m, v, g):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            return p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v

        out = jax.tree.map(one, weights, *moments, grads)
        return tuple(jax.tree.transpose(jax.tree.structure(weights), jax.tree.structure((0, 0, 0)), out))

    def trained(weights, loss, *given):
        """A step that keeps its state and descends loss(weights, key, *given). What is given comes as arguments: what a
        compiled function finds around it is constant, and what follows from it alone would be computed once."""
        zeros = jax.tree.map(jnp.zeros_like, weights)
        state = [weights, (zeros, zeros), key, 1.0]

        @jax.jit
        def update(weights, moments, key, t, *given):
            key, now = jax.random.split(key)
            weights, *moments = adam(weights, moments, jax.grad(loss)(weights, now, *given), t)
            return weights, tuple(moments), key, t + 1

        def step():
            state[:] = jax.block_until_ready(update(*state, *given))

        return step

    def pair(batch, dim, hidden):
        return normal(key, (batch, dim)), mlp(dim, hidden, hidden, 1), mlp(dim, hidden, hidden, dim)

    def critic(*sizes):
        x, model, weights = pair(*sizes)

        def loss(weights, key, x, model):
            score = -jax.grad(energy, 1)(model, x)
            probe = normal(key, x.shape)
            f, tangent = jax.jvp(lambda x: apply(weights, x), (x,), (probe,))
            return (10.0 * (f * f).sum(1) - (score * f).sum(1) - (tangent * probe).sum(1)).mean()

        return trained(weights, loss, x, model)

    def model(*sizes):
        x, weights, critic = pair(*sizes)

        def loss(weights, _, x, critic):
            f = apply(critic, x)
            return -(jax.jvp(lambda x: apply(weights, x)[:, 0], (x,), (f,))[1]).mean()

        return trained(weights, loss, x, critic)

    def gradient(*sizes):
        x, weights, _ = pair(*sizes)
        f = jax.jit(jax.grad(energy, 1))
        return lambda: jax.block_until_ready(f(weights, x))

    def conv_energy():
        sizes = [(3, 32, 3, 1), (32, 64, 4, 2), (64, 128, 4, 2), (128, 256, 4, 2)]
        kernels = [normal(jax.random.fold_in(key, i), (o, c, k, k)) * 0.05 for i, (c, o, k, _) in enumerate(sizes)]
        head = normal(key, (4096, 1)) * 0.01

        def of(weights, x):
            kernels, head = weights
            for w, (*_, stride) in zip(kernels, sizes):
                x = jax.nn.silu(jax.lax.conv_general_dilated(x, w, (stride, stride), ((1, 1), (1, 1))))
            return x.reshape(x.shape[0], -1) @ head

        return (kernels, head), of, normal(key, (64, 3, 32, 32))

    def conv_train():
        weights, of, x = conv_energy()

        def loss(weights, _, x):
            y = of(weights, x)
            return y[:32].mean() - y[32:].mean()

        return trained(weights, loss, x)

    two_d, image = (100, 2, 300), (128, 784, 1000)
    return {
        "critic-2d": lambda: critic(*two_d),
        "model-2d": lambda: model(*two_d),
        "grad-2d": lambda: gradient(*two_d),
        "critic-50d": lambda: critic(800, 50, 300),
        "critic-image": lambda: critic(*image),
        "model-image": lambda: model(*image),
        "grad-image": lambda: gradient(*image),
        "conv-train": conv_train,
    }


if __name__ == "__main__":
    answer(lambda name, _: works()[name]())
