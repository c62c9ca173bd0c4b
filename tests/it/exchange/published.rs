//! Weights that others published, in the layouts and types that they were saved in.

use std::path::Path;

use candle_core::{Device, Tensor};
use ebm::data::file;
use ebm::exchange::ForeignFile;

use super::python;
use super::python::difference;
use crate::harness::Lab;

/// The classifier of the released code of JEM, written down anew at a small depth, with its layers that are not used;
/// in the files of JEM and of VERA, and its weights in other types and layouts.
const JEM: &str = r#"
import numpy as np, torch
from torch import nn
from safetensors.torch import save_file
torch.manual_seed(1)

class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.lrelu = nn.LeakyReLU(0.2)
        self.bn1, self.bn2 = nn.Identity(), nn.Identity()
        self.conv1, self.conv2 = nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3, stride=stride, padding=1)
        self.shortcut = nn.Sequential(*[nn.Conv2d(a, b, 1, stride=stride)] * (stride != 1 or a != b))
    def forward(self, x):
        return self.conv2(self.lrelu(self.bn2(self.conv1(self.lrelu(self.bn1(x)))))) + self.shortcut(x)

class WideResNet(nn.Module):
    def __init__(self, blocks, k, classes, widths=(16, 32, 64)):
        super().__init__()
        self.conv1, last = nn.Conv2d(3, 16, 3, padding=1), 16
        for i, width in enumerate(widths):
            stage = []
            for j in range(blocks):
                stage.append(Block(last, width * k, 2 if i > 0 and j == 0 else 1))
                last = width * k
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.bn1, self.lrelu, self.linear = nn.Identity(), nn.LeakyReLU(0.2), nn.Linear(last, classes)
    def features(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return nn.functional.avg_pool2d(self.lrelu(self.bn1(x)), 8).flatten(1)

class CCF(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = WideResNet(1, 1, 10)
        self.energy_output, self.class_output = nn.Linear(64, 1), nn.Linear(64, 10)

net = CCF()
x = torch.rand(3, 3, 32, 32) * 2 - 1
save = lambda name, t: np.save(name, t.detach().double().numpy())
save("x.npy", x)
z = net.f.features(x)
logits, vera = net.class_output(z), net.f.linear(z)
save("jem_logits.npy", logits); save("jem_energy.npy", -logits.logsumexp(1))
save("vera_logits.npy", vera); save("vera_energy.npy", -vera.logsumexp(1))
state = net.state_dict()
jem = {"model_state_dict": state, "replay_buffer": torch.rand(4, 3, 32, 32)}
torch.save(jem, "jem.pt")
torch.save(jem, "jem_legacy.pt", _use_new_zipfile_serialization=False)
inner = {"logp_net." + k: v for k, v in net.f.state_dict().items()}
torch.save({"epoch": 3, "train_accs": [0.5], "model": {"logp_net": inner, "g": {"sigma": torch.ones(1)}},
            "optimizer": {"e": torch.optim.Adam(net.parameters()).state_dict()}}, "vera.pt", pickle_protocol=4)
save_file({k: v.contiguous() for k, v in state.items()}, "jem.safetensors")
torch.save(net, "module.pt")
torch.save({k: v.double() for k, v in state.items()}, "double.pt")
turned = {k: v.transpose(0, -1).contiguous().transpose(0, -1) for k, v in state.items()}
torch.save(turned, "turned.pt")
torch.save(dict(list(net.named_parameters())), "parameters.pt")
torch.save({k: v.half() for k, v in state.items()}, "half.pt")
save_file({k: v.bfloat16().contiguous() for k, v in state.items()}, "bfloat.safetensors")
"#;

#[test]
fn the_published_layout_of_jem_and_vera_has_its_energies() {
    let lab = Lab::new();
    if !python(JEM, &lab.path("")) {
        return;
    }
    for class in 0..10u8 {
        let folder = lab.path(&format!("pictures/{class}"));
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..2 {
            let picture = image::RgbImage::from_pixel(32, 32, image::Rgb([class * 20, i * 99, 7]));
            picture.save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
    lab.write(
        "c.toml",
        "[dataset]\nname = \"images\"\npath = \"pictures\"\n[model]\nname = \"classifier\"\n\
         net = { name = \"wide_resnet\", depth = 10, width = 1, activation = \"leaky_relu\" }\n\
         [method]\nname = \"jem\"\n[train]\nsteps = 1\n",
    );
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/import/wide_resnet.toml");
    let map = map.to_str().unwrap();
    let x = &file::array(&lab.path("x.npy")).unwrap();
    assert_eq!(x.shape, [3, 3, 32, 32]);
    for (name, key, like) in [
        ("jem.pt", "model_state_dict", "jem"),
        ("jem_legacy.pt", "model_state_dict", "jem"),
        ("vera.pt", "model.logp_net", "vera"),
    ] {
        let from = ["-q", "import", "--from", name, "--key", key, "--map", map, "--config", "c.toml"];
        lab.ok(&[&from[..], &["--out", "run", "--overwrite"]].concat());
        for what in ["energy", "logits"] {
            lab.ok(&["-q", "energy", "--ckpt", "run", "--data", "x.npy", "--what", what, "--out", "have.npy"]);
            let want = file::array(&lab.path(&format!("{like}_{what}.npy"))).unwrap();
            let want = Tensor::from_vec(want.values, want.shape, &Device::Cpu).unwrap();
            let difference = difference(&lab.path("have.npy"), &want);
            assert!(difference < 1e-5, "{name}, {what}: {difference:e}");
        }
    }
    same_weights(&lab);
}

/// The weights of a network are the same in whatever way they were saved, but for what their type rounds.
fn same_weights(lab: &Lab) {
    let read = |name: &str| ForeignFile::read(&lab.path(name)).unwrap().tensors;
    let want = read("jem.safetensors");
    for (name, kind, near) in [
        ("module.pt", "f32", 0.0),
        ("parameters.pt", "f32", 0.0),
        ("turned.pt", "f32", 0.0),
        ("double.pt", "f64", 0.0),
        ("half.pt", "f16", 1e-3),
        ("bfloat.safetensors", "bf16", 1e-2),
    ] {
        let have = read(name);
        assert_eq!(have.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{name}");
        for (tensor, want) in &want {
            let have = &have[tensor];
            assert_eq!((have.kind.as_str(), &have.shape), (kind, &want.shape), "{name}");
            let apart = (have.tensor.as_ref().unwrap() - want.tensor.as_ref().unwrap()).unwrap().abs().unwrap();
            let apart = apart.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
            assert!(apart <= near, "{name}, {tensor}: {apart}");
        }
    }
}
