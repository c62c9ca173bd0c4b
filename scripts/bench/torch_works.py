"""The works in PyTorch, written as one would for speed: the score is detached, only the gradients that are needed are
asked for, one double backward pass where the mathematics has one. Plain torch.optim.Adam; its fused variant is a row of
its own.

    python torch_works.py           reads `work form milliseconds` lines and answers with [wall, processor] milliseconds
    python torch_works.py flops     the floating-point operations of each work's products and direct convolutions
"""

import json
import os
import sys

from clock import answer

FORMS = ("eager", "last", "compile")


def works(form):
    """name -> a function that sets a work up and gives its step. `form`: eager, last (channels last) or compile."""
    import math

    import torch
    from torch import nn
    from torch.autograd import grad

    def mlp(*sizes):
        layers = []
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            layers += [nn.Linear(a, b)] + ([nn.SiLU()] if i + 2 < len(sizes) else [])
        return compiled(nn.Sequential(*layers))

    def pair(batch, dim, hidden):
        return torch.randn(batch, dim), mlp(dim, hidden, hidden, 1), mlp(dim, hidden, hidden, dim)

    def finish(optimiser, loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def critic(*sizes):
        x, energy, critic = pair(*sizes)
        energy.requires_grad_(False)
        optimiser = torch.optim.Adam(critic.parameters())

        def step():
            at = x.detach().requires_grad_()
            score = -grad(energy(at).sum(), at)[0]
            f, probe = critic(at), torch.randn_like(x)
            trace = (grad(f, at, probe, create_graph=True)[0] * probe).sum(1)
            loss = (10.0 * (f * f).sum(1) - (score * f).sum(1) - trace).mean()
            finish(optimiser, loss)

        return step

    def model(*sizes):
        x, energy, critic = pair(*sizes)
        optimiser = torch.optim.Adam(energy.parameters())

        def step():
            with torch.no_grad():
                f = critic(x)
            at = x.detach().requires_grad_()
            score = -grad(energy(at).sum(), at, create_graph=True)[0]
            finish(optimiser, (score * f).sum(1).mean())

        return step

    def gradient(*sizes):
        x, energy, _ = pair(*sizes)
        energy.requires_grad_(False)

        def step():
            at = x.detach().requires_grad_()
            grad(energy(at).sum(), at)

        return step

    layout = torch.channels_last if form == "last" else torch.contiguous_format
    compiled = torch.compile if form == "compile" else lambda f: f

    def conv_energy():
        def block(a, b, k, s):
            return [nn.Conv2d(a, b, k, s, 1), nn.SiLU()]

        body = block(3, 32, 3, 1) + block(32, 64, 4, 2) + block(64, 128, 4, 2) + block(128, 256, 4, 2)
        net = nn.Sequential(*body, nn.Flatten(), nn.Linear(4096, 1)).to(memory_format=layout)
        return compiled(net), torch.randn(64, 3, 32, 32).to(memory_format=layout)

    def langevin():
        energy, start = conv_energy()
        energy.requires_grad_(False)

        def step():
            x = start
            for _ in range(60):
                x = x.detach().requires_grad_()
                x = x - 5e-5 * grad(energy(x).sum(), x)[0] + 1e-2 * torch.randn_like(x)

        return step

    def conv_train():
        energy, x = conv_energy()
        optimiser = torch.optim.Adam(energy.parameters())

        def step():
            y = energy(x)
            finish(optimiser, y[:32].mean() - y[32:].mean())

        return step

    class Block(nn.Module):
        """A pre-activation block as in the released code of JEM: biases, stride on the second convolution."""

        def __init__(self, a, b, stride):
            super().__init__()
            self.body = nn.Sequential(
                nn.LeakyReLU(0.2), nn.Conv2d(a, b, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(b, b, 3, stride, 1)
            )
            self.shortcut = nn.Identity() if a == b and stride == 1 else nn.Conv2d(a, b, 1, stride)

        def forward(self, x):
            return self.shortcut(x) + self.body(x)

    def wide(depth, width, batch):
        blocks, inner = [nn.Conv2d(3, 16, 3, 1, 1)], 16
        for stage in range(3):
            for block in range((depth - 4) // 6):
                outer = 16 * width * 2**stage
                blocks.append(Block(inner, outer, 2 if stage and not block else 1))
                inner = outer
        net = nn.Sequential(*blocks, nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, 10))
        x = torch.rand(batch, 3, 32, 32) * 2 - 1
        net = compiled(net.to(memory_format=layout))
        return net, x.to(memory_format=layout), torch.arange(batch) % 10

    def input_gradient(net, x):
        at = x.detach().requires_grad_()
        return grad(net(at).logsumexp(1).sum(), at)[0]

    def wide_train(*sizes):
        net, x, y = wide(*sizes)
        optimiser = torch.optim.Adam(net.parameters())
        return lambda: finish(optimiser, nn.functional.cross_entropy(net(x), y))

    def wide_gradient(*sizes):
        net, x, _ = wide(*sizes)
        net.requires_grad_(False)
        return lambda: input_gradient(net, x)

    def wide_jem(*sizes):
        net, x, y = wide(*sizes)
        optimiser = torch.optim.Adam(net.parameters())

        def step():
            net.requires_grad_(False)
            at = torch.rand_like(x) * 2 - 1
            for _ in range(20):
                at = at + input_gradient(net, at) + 0.01 * torch.randn_like(at)
            net.requires_grad_(True)
            logits = net(x)
            gap = net(at).logsumexp(1).mean() - logits.logsumexp(1).mean()
            finish(optimiser, nn.functional.cross_entropy(logits, y) + gap)

        return step

    def wide_moves(*sizes):
        net, start, _ = wide(*sizes)
        net.requires_grad_(False)
        chains = [start]

        def step():
            at = chains[0]
            chains[0] = (at + input_gradient(net, at) + 0.01 * torch.randn_like(at)).clamp(-1, 1)

        return step

    def lsd(*sizes):
        steps = critic(*sizes), model(*sizes)
        return lambda: [step() for step in steps]

    def one_item():
        """The step of a dense classifier on one item, which is Adam on its 36 million weights and little else."""
        net, x, y = mlp(3072, 5000, 4000, 10), torch.randn(1, 3072), torch.arange(1)
        optimiser = torch.optim.Adam(net.parameters())
        return lambda: finish(optimiser, nn.functional.cross_entropy(net(x), y))

    def nce(batch, dim, hidden):
        x, energy, _ = pair(batch, dim, hidden)
        log_z = nn.Parameter(torch.zeros(()))
        optimiser = torch.optim.Adam([*energy.parameters(), log_z])
        softplus = nn.functional.softplus

        def step():
            both = torch.cat([x, torch.randn_like(x)])
            log_pn = -0.5 * (both * both).sum(1) - 0.5 * dim * math.log(2 * math.pi)
            g = -energy(both).squeeze(1) - log_z - log_pn
            finish(optimiser, softplus(-g[:batch]).mean() + softplus(g[batch:]).mean())

        return step

    def vera():
        """S = 20 importance samples, η fitted, gradient penalty 0.1, entropy weight 1e-4."""
        batch, dim, latent, samples, weight = 128, 784, 128, 20, 1e-4
        x, energy, _ = pair(batch, dim, 1000)
        generator = mlp(latent, 500, 500, dim)
        log_sigma = nn.Parameter(torch.tensor(math.log(0.1)))
        log_eta = nn.Parameter(torch.full((latent,), math.log(0.1)))
        of_energy = torch.optim.Adam(energy.parameters())
        of_generator = torch.optim.Adam([*generator.parameters(), log_sigma])
        of_eta = torch.optim.Adam([log_eta])

        def estimate(at, z, sigma2):
            noise = torch.randn(batch, samples, latent)
            zs = z[:, None] + noise * log_eta.exp()
            residual = at[:, None] - generator(zs.reshape(-1, latent)).reshape(batch, samples, dim)
            log_w = -0.5 / sigma2 * residual.square().sum(2) - 0.5 * zs.square().sum(2) + 0.5 * noise.square().sum(2)
            return (log_w.double().softmax(1).float()[:, None] @ residual)[:, 0] / sigma2

        def fit_eta(at, z, sigma2):
            noise = torch.randn_like(z)
            zs = (z + noise * log_eta.detach().exp()).requires_grad_()
            mean = generator(zs)
            force = grad(mean, zs, (at - mean.detach()) / sigma2)[0] - zs.detach()
            finish(of_eta, -(((force * noise).mean(0) * log_eta.exp()).sum() + log_eta.sum()))

        def step():
            z = torch.randn(batch, latent)
            fake = generator(z) + log_sigma.exp() * torch.randn(batch, dim)
            at = x.detach().requires_grad_()
            up = energy(at)
            slope = grad(up.sum(), at, create_graph=True)[0]
            down = energy(fake.detach())
            finish(of_energy, up.mean() - down.mean() + 0.05 * slope.square().sum(1).mean())
            at = fake.detach().requires_grad_()
            field = grad(energy(at).sum(), at)[0]
            at, sigma2 = at.detach(), log_sigma.exp().item() ** 2
            with torch.no_grad():
                field = field - weight * estimate(at, z, sigma2)
            fit_eta(at, z, sigma2)
            finish(of_generator, (fake * field).sum() / batch)

        return step

    def vaebm():
        """The second stage: 10 Langevin steps in the noise space of a VAE, then a step of the tilt."""
        batch, dim, latent, size = 128, 784, 32, 0.05
        x, decoder, tilt = torch.randn(batch, dim), mlp(latent, 256, 512, dim), mlp(dim, 512, 512, 1)
        decoder.requires_grad_(False)
        optimiser = torch.optim.Adam(tilt.parameters())

        def step():
            tilt.requires_grad_(False)
            e_x, e_z = torch.randn(batch, dim), torch.randn(batch, latent)
            for _ in range(10):
                e_x, e_z = e_x.detach().requires_grad_(), e_z.detach().requires_grad_()
                energy = tilt(decoder(e_z) + e_x).sum() + 0.5 * e_x.square().sum() + 0.5 * e_z.square().sum()
                moves = grad(energy, (e_x, e_z))
                e_x, e_z = (
                    e - 0.5 * size**2 * g + size * torch.randn_like(e) for e, g in zip((e_x, e_z), moves)
                )
            tilt.requires_grad_(True)
            with torch.no_grad():
                fake = decoder(e_z) + e_x
            up, down = tilt(x), tilt(fake)
            finish(optimiser, up.mean() - down.mean() + 1e-3 * (up.square().mean() + down.square().mean()))

        return step

    class Coupling(nn.Module):
        def __init__(self, flip):
            super().__init__()
            self.flip = flip
            self.net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))

        def parts(self, x):
            a, b = x[:, :1], x[:, 1:]
            return (b, a) if self.flip else (a, b)

        def join(self, a, b):
            return torch.cat((b, a) if self.flip else (a, b), 1)

        def forward(self, x):  # x -> z
            a, b = self.parts(x)
            s, t = self.net(a).chunk(2, 1)
            s = torch.tanh(s)
            return self.join(a, (b - t) * (-s).exp()), -s.squeeze(1)

        def back(self, z):
            a, b = self.parts(z)
            s, t = self.net(a).chunk(2, 1)
            return self.join(a, b * torch.tanh(s).exp() + t)

    def flow_mcmc():
        """256 walkers: a global move by a RealNVP, five of MALA, a step of the energy and one of the flow."""
        n, size = 256, 0.2
        data, energy = torch.randn(128, 2), mlp(2, 128, 128, 1)
        test = torch.randn(256, 2)
        flow = nn.ModuleList(Coupling(i % 2 == 1) for i in range(6))
        of_energy, of_flow = torch.optim.Adam(energy.parameters()), torch.optim.Adam(flow.parameters())
        walkers = [torch.randn(n, 2)]

        def log_q(x):
            total = 0.0
            for coupling in flow:
                x, log_det = coupling(x)
                total = total + log_det
            return total - 0.5 * x.square().sum(1) - math.log(2 * math.pi)

        def draw(n):
            z = torch.randn(n, 2)
            for coupling in reversed(flow):
                z = coupling.back(z)
            return z

        def scored(x):
            x = x.detach().requires_grad_()
            e = energy(x).squeeze(1)
            return x.detach(), e.detach(), grad(e.sum(), x)[0]

        def local(x, e, g):
            noise = torch.randn_like(x)
            y, f, h = scored(x - 0.5 * size**2 * g + size * noise)
            back = (x - y + 0.5 * size**2 * h).square().sum(1) / (2 * size**2)
            keep = torch.rand(n).log() < e - f - back + 0.5 * noise.square().sum(1)
            return torch.where(keep[:, None], y, x), torch.where(keep, f, e), torch.where(keep[:, None], h, g)

        def step():
            energy.requires_grad_(False)
            with torch.no_grad():
                x, y = walkers[0], draw(n)
                gain = energy(x).squeeze(1) - energy(y).squeeze(1) + log_q(x) - log_q(y)
                x = torch.where((torch.rand(n).log() < gain)[:, None], y, x)
                pool = draw(n)
                torch.logsumexp(-energy(pool).squeeze(1) - log_q(pool), 0) + energy(test).mean()
            state = scored(x)
            for _ in range(5):
                state = local(*state)
            walkers[0] = state[0]
            energy.requires_grad_(True)
            finish(of_energy, energy(data).mean() - energy(walkers[0]).mean())
            finish(of_flow, -log_q(walkers[0]).mean())

        return step

    def swish():
        u, v = torch.randn(1 << 20), torch.randn(1 << 20)

        def step():
            nn.functional.silu(u)
            torch.ops.aten.silu_backward(v, u)

        return step

    def norm():
        x, g = torch.randn(32, 64, 32, 32, requires_grad=True), torch.randn(32, 64, 32, 32)
        layer = nn.GroupNorm(8, 64)

        def step():
            torch.autograd.grad(layer(x), (x, *layer.parameters()), g)

        return step

    def adam(**options):
        weights = list(mlp(784, 1000, 1000, 784).parameters())
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        return torch.optim.Adam(weights, **options).step

    two_d, image = (100, 2, 300), (128, 784, 1000)
    return {
        "critic-2d": lambda: critic(*two_d),
        "model-2d": lambda: model(*two_d),
        "grad-2d": lambda: gradient(*two_d),
        "nce-2d": lambda: nce(*two_d),
        "flow-mcmc-2d": flow_mcmc,
        "critic-50d": lambda: critic(800, 50, 300),
        "critic-image": lambda: critic(*image),
        "model-image": lambda: model(*image),
        "grad-image": lambda: gradient(*image),
        "vera-image": vera,
        "vaebm-image": vaebm,
        "langevin-60": langevin,
        "conv-train": conv_train,
        "wrn10-train": lambda: wide_train(10, 2, 32),
        "wrn10-grad": lambda: wide_gradient(10, 2, 32),
        "wrn10-jem": lambda: wide_jem(10, 2, 32),
        "wrn28-train": lambda: wide_train(28, 10, 4),
        "wrn28-grad": lambda: wide_gradient(28, 10, 4),
        # Of a GPU, `gpu.py`.
        "wrn28-train-64": lambda: wide_train(28, 10, 64),
        "wrn28-jem-64": lambda: wide_jem(28, 10, 64),
        "wrn28-moves-64": lambda: wide_moves(28, 10, 64),
        "lsd-image": lambda: lsd(*image),
        "adam-36M": one_item,
        # The same on smaller networks, to try `gpu.py` itself.
        "wrn10-train-2": lambda: wide_train(10, 1, 2),
        "wrn10-jem-2": lambda: wide_jem(10, 1, 2),
        "wrn10-moves-2": lambda: wide_moves(10, 1, 2),
        "swish": swish,
        "norm": norm,
        "adam": adam,
        "adam-fused": lambda: adam(fused=True),
    }


def flops():
    """The operations of each work, as PyTorch counts them: products, and convolutions as if they were direct."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            count = flop_registry.get(function._overloadpacket)
            if count is not None:
                self.total += count(*args, **(kwargs or {}), out_val=out)
            return out

    counts = {}
    for name, make in works("eager").items():
        if name.startswith(("wrn28", "wrn10")) and name.endswith(("-64", "-2")) or name in ("lsd-image", "adam-36M"):
            continue  # of a GPU
        step = make()
        step()
        with Counter() as counter:
            step()
        counts[name] = counter.total
    print(json.dumps({"version": torch.__version__, "flops": counts}))


def main():
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if sys.argv[1:] == ["flops"]:
        return flops()
    answer(lambda name, form: works(form)[name]())


if __name__ == "__main__":
    main()
