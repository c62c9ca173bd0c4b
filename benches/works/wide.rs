//! Wide residual networks on 3×32×32 pictures, without normalisation as in `configs/jem_cifar.toml`: training steps and
//! ∇ₓE.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use ebm::{
    Error, Result,
    data::{Data, Split},
    density::Energy as _,
    methods::StepContext,
    rng::Key,
    run::Experiment,
};

use super::Step;

/// Sizes of a network and the items of a batch.
#[derive(Clone, Copy)]
pub struct Sizes {
    depth: usize,
    width: usize,
    batch: usize,
}

/// A network that trains on a CPU.
pub const WRN_10_2: Sizes = Sizes { depth: 10, width: 2, batch: 32 };

/// The published network.
pub const WRN_28_10: Sizes = Sizes { depth: 28, width: 10, batch: 4 };

/// Cross-entropy alone.
pub const CLASSIFIER: &str = super::joint::CLASSIFIER;

/// Pictures of noise, with labels.
const PICTURES: usize = 64;

/// Writes `.npy` files of bytes: the header of version 1.0, then the numbers.
fn save(path: &Path, shape: &str, bytes: &[u8]) -> Result<()> {
    let dict = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}");
    let header = format!("{dict:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(bytes);
    std::fs::File::create(path).and_then(|mut f| f.write_all(&file)).map_err(Error::io(path))
}

/// An experiment on pictures of noise with ten classes, and these.
fn experiment(sizes: Sizes, method: &str) -> Result<(Experiment, Arc<Data>)> {
    let folder = std::env::temp_dir().join(format!("ebm-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let noise = Key::new(3).uniform(PICTURES * 3 * 32 * 32, candle_core::DType::F32, &candle_core::Device::Cpu)?;
    let pixels: Vec<u8> = noise.to_vec1::<f32>()?.iter().map(|u| (u * 256.0) as u8).collect();
    let labels: Vec<u8> = (0..PICTURES as u8).map(|i| i % 10).collect();
    save(&folder.join("x_train.npy"), &format!("{PICTURES}, 3, 32, 32"), &pixels)?;
    save(&folder.join("y_train.npy"), &format!("{PICTURES},"), &labels)?;
    let Sizes { depth, width, .. } = sizes;
    let text = format!(
        "[dataset]\nname = \"images\"\npath = {folder:?}\ntest = 0\nvalidation = 0\ntransform = \"scaled\"\n\
         [model]\nname = \"classifier\"\n\
         net = {{ name = \"wide_resnet\", depth = {depth}, width = {width}, activation = \"leaky_relu\" }}\n\
         [method]\n{method}\n[train]\nsteps = 1\n"
    );
    let experiment = Experiment::parse("benchmark", &text, &[])?;
    let data = experiment.data()?;
    std::fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
    Ok((experiment, data))
}

/// One step of a method.
pub fn step(sizes: Sizes, method: &str) -> Result<Step> {
    let (experiment, data) = experiment(sizes, method)?;
    let mut method = experiment.method(&data)?;
    let batches = [data.batch(Split::Train, 0, sizes.batch)?];
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        method.step(&StepContext { step, key: Key::new(2).at(step), lr_scale: 1e-3 }, &batches).map(drop)
    }))
}

/// ∇ₓE of a batch with frozen weights.
pub fn gradient(sizes: Sizes) -> Result<Step> {
    let (experiment, data) = experiment(sizes, CLASSIFIER)?;
    let model = experiment.model(&data)?.frozen()?;
    let x = data.batch(Split::Train, 0, sizes.batch)?.x;
    Ok(Box::new(move || model.grad(&x).map(drop)))
}
