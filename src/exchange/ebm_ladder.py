"""A model of noise levels that `ebm export` wrote, in PyTorch: E(x, σ) for the data under noise of every level σ.
model = Model("folder"); model(x): E at level 0, [B]; model(x, sigma): at the levels sigma, [B] or a number; model.score(x, sigma): its
negative gradient in x; model.sigmas: the levels that were trained, [L]; model.input as in ebm_model.py"""
import math, pathlib, torch
import ebm_model
from ebm_model import F, LAYERS

def features(sigma):  # what a network reads of a level: c = ¼ ln σ, sin ωc, cos ωc
    c = sigma.log().unsqueeze(1) / 4
    phases = c * c.new_tensor([1.0, 2.0, 4.0, 8.0])
    return torch.cat([c, phases.sin(), phases.cos()], 1)
def over(v, x): return v.reshape(*v.shape, *[1] * (x.dim() - v.dim()))  # the same numbers at every pixel of x
def embedded(m, l, t, x):
    hidden = F.silu(F.linear(m.told, t["inner.weight"], t["inner.bias"]))
    return x + over(F.linear(hidden, t["outer.weight"], t["outer.bias"]), x)
LAYERS["time_embedding"] = embedded

class Model(ebm_model.Model):
    def __init__(self, folder=pathlib.Path(__file__).parent):
        super().__init__(folder)
        self.ladder = self.form["ladder"]
        self.register_buffer("sigmas", torch.tensor(self.ladder["sigmas"]))
        for name in self.ladder["normal"].values(): self.t[name.replace(".", "/")].requires_grad_(False)
    def forward(self, x, sigma=None):
        l, t = self.ladder, self.tensors(self.ladder["normal"])
        sigma = torch.as_tensor(l["lowest"] if sigma is None else sigma, dtype=x.dtype, device=x.device).expand(len(x))
        s = t["log_std"].exp()
        width = (sigma.square() + s.square() - l["lowest"] ** 2).sqrt()
        y, self.told = (x - t["mean"]) / over(width, x), features(sigma)
        wide = over(self.told, y).expand(-1, -1, *y.shape[2:])
        f = self.run(l["net"], torch.cat([y, wide], 1) if l["told"] == "channels" else y)
        d, weight = y[0].numel(), l["gain"] * s / (sigma if l["weight"] == "growing" else width)
        h = ebm_model.FORMS[l["form"]](f, y)
        return weight * h + y.square().flatten(1).sum(1) / 2 + d * (width.log() + math.log(2 * math.pi) / 2)
    def score(self, x, sigma=None):
        return -torch.autograd.grad(self(x := x.detach().requires_grad_(), sigma).sum(), x)[0]
