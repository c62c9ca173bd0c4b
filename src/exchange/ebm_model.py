"""A model that `ebm export` wrote, in PyTorch: p(x) ∝ exp(-E(x)), x = model.input(raw values), as README.md describes.
model = Model("folder"); model(x): E(x), [B]; model.score(x): -∇x E(x); model.logits(x), of a classifier: [B, K]"""
import json, math, pathlib, torch, torch.nn.functional as F
from safetensors.torch import load_file

FUNCTIONS = {"swish": F.silu, "softplus": F.softplus, "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "tanh": torch.tanh,
             "relu": F.relu, "elu": F.elu, "sigmoid": torch.sigmoid}
FORMS = {"scalar": lambda f, x: f, "logits": lambda f, x: -f.logsumexp(1), "dot": lambda f, x: -(f * x).flatten(1).sum(1),
         "square": lambda f, x: f.square().flatten(1).sum(1) / 2}  # the energies of a network's output f at x
def weight(t, of=""):
    w = t[of + "weight"]
    if of + "u" in t: return w / (t[of + "u"] @ (w.flatten(1) @ t[of + "v"]))  # spectral norm
    if of + "log_scale" not in t: return w
    scale = t[of + "log_scale"].exp() / w.flatten(1).norm(dim=1).clamp_min(1e-12)  # weight norm
    return w * scale.reshape(-1, *[1] * (w.dim() - 1))
def attention(l, t, x):
    rows = x.flatten(2).transpose(1, 2)
    parts = F.linear(rows, weight(t, "qkv."), t["qkv.bias"]).unflatten(2, (3, l["heads"], -1)).permute(2, 0, 3, 1, 4)
    read = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
    return F.linear(read, weight(t, "out."), t["out.bias"]).transpose(1, 2).reshape(x.shape)
LAYERS = {  # of the model m, with the keys l of a layer and its tensors t
    "linear": lambda m, l, t, x: F.linear(x, weight(t), t["bias"]),
    "conv": lambda m, l, t, x: F.conv2d(x, weight(t), t["bias"], l["stride"], (l["kernel"] - 1) // 2),
    "activation": lambda m, l, t, x: x * torch.sigmoid(t["beta"] * x) if t else FUNCTIONS[l["function"]](x),
    "norm": lambda m, l, t, x: F.group_norm(x, l["groups"], t["gain"], t["shift"], 1e-5),
    "pool": lambda m, l, t, x: F.avg_pool2d(x, l["window"]), "global_pool": lambda m, l, t, x: getattr(x, l["of"])((2, 3)),
    "upsample": lambda m, l, t, x: x.repeat_interleave(l["factor"], 2).repeat_interleave(l["factor"], 3),
    "fourier": lambda m, l, t, x: torch.cat([x, (s := x @ t["frequencies"].T).sin(), s.cos()], 1),
    "flatten": lambda m, l, t, x: x.flatten(1), "dropout": lambda m, l, t, x: x,
    "reshape": lambda m, l, t, x: x.reshape(len(x), *l["shape"]),
    "attention": lambda m, l, t, x: attention(l, t, x),
    "residual": lambda m, l, t, x: m.run(l.get("shortcut", []), x) + m.run(l["layers"], x),
    "skip": lambda m, l, t, x: torch.cat([x, m.run(l["layers"], x)], 1),
}

class Model(torch.nn.Module):
    def __init__(self, folder=pathlib.Path(__file__).parent):
        super().__init__()
        self.about = json.loads((pathlib.Path(folder) / "config.json").read_text())
        self.form = self.about["energy"]
        tensors = load_file(pathlib.Path(folder) / "model.safetensors").items()
        trained = lambda name: name.split(".")[-1] not in ("u", "v", "frequencies")
        self.t = torch.nn.ParameterDict({n.replace(".", "/"): torch.nn.Parameter(t, trained(n)) for n, t in tensors})
    def input(self, v):  # pixels from 0 to 255, [B, C, H, W], or rows of a table, as the model takes them
        v, rule = v.double(), self.about["input"]
        if rule["shift"]: v = (v - v.new_tensor(rule["shift"])) / v.new_tensor(rule["scale"])
        return (v.logit() if rule["logit"] else v).float().reshape(len(v), *self.about["item"])
    def tensors(self, names): return {k: self.t[name.replace(".", "/")] for k, name in names.items()}
    def run(self, layers, x):
        for l in layers: x = LAYERS[l["name"]](self, l, self.tensors(l.get("tensors", {})), x)
        return x
    def logits(self, x): return self.run(self.form["net"], x)
    def forward(self, x):
        energy = 0.0 if self.form["net"] is None else self.form["factor"] * FORMS[self.form["form"]](self.logits(x), x)
        if self.form["normal"] is None: return energy
        t, d = self.tensors(self.form["normal"]), x[0].numel()
        z = ((x - t["mean"]) * (-t["log_std"]).exp()).flatten(1)
        return energy + z.square().sum(1) / 2 + t["log_std"].expand(x.shape[1:]).sum() + d / 2 * math.log(2 * math.pi)
    def score(self, x): return -torch.autograd.grad(self(x := x.detach().requires_grad_()).sum(), x)[0]
