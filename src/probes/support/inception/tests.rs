use std::collections::HashMap;

use super::*;
use crate::math::stats;

/// Splitmix64 of the index, begun at the sum of the name's bytes: in [-1, 1).
fn values(name: &str, n: usize) -> impl Iterator<Item = f64> {
    let begin = name.bytes().map(u64::from).sum::<u64>() * 1_000_003;
    (0..n as u64).map(move |i| {
        let mut z = (i + begin).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        2.0 * ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 1.0
    })
}

/// He's variance for weights, batch norms that are not the identity.
fn tensor(name: &str, shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let (scale, shift) = match name.rsplit('.').next() {
        _ if name.ends_with("conv.weight") => ((6.0 / (n / shape[0]) as f64).sqrt(), 0.0),
        Some("running_var") => (0.5, 1.0),
        Some("weight") => (0.1, 1.0),
        _ => (0.1, 0.0),
    };
    let numbers: Vec<f32> = values(name, n).map(|v| (scale * v + shift) as f32).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

/// Pixels by a chirp.
fn image(shape: [usize; 4]) -> Tensor {
    let n: usize = shape.iter().product();
    let pixel = |i: usize| (0.5 + 0.5 * (0.7 * i as f64 + 0.01 * (i * i) as f64).sin()) as f32;
    Tensor::from_vec((0..n).map(pixel).collect::<Vec<_>>(), shape.to_vec(), &Device::Cpu).unwrap()
}

#[test]
fn features_are_those_of_the_same_network_in_pytorch() {
    // PyTorch 2.15 on the same weights and pixels; the names and shapes of convolutions are those of torchvision's
    // inception_v3.
    let network = Inception(Weights(&|name, shape| Ok(tensor(name, shape))).network().unwrap());
    let check = |x: &Tensor, mean: f64, std: f64, some: [f64; 5]| {
        let found: Vec<f32> = network.features(x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(found.len(), 2048);
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        assert!((stats::mean(&found) / mean - 1.0).abs() < 1e-4, "mean {} and {mean}", stats::mean(&found));
        assert!((stats::std(&found) / std - 1.0).abs() < 1e-3, "std {} and {std}", stats::std(&found));
        for (i, want) in [0, 500, 1000, 1500, 2047].into_iter().zip(some) {
            assert!((found[i] - want).abs() < 1e-3 * std, "feature {i}: {} and {want}", found[i]);
        }
    };
    let some = [0.0, 0.087_134_62, 0.580_303_01, 0.315_199_76, 1.397_797_94];
    check(&image([1, 3, 20, 24]), 1.533_276_56, 2.085_550_07, some);
    let some = [0.0, 0.064_167_01, 0.662_644_68, 0.270_193_31, 1.089_955_81];
    check(&image([1, 1, 28, 28]), 1.415_353_30, 1.922_483_09, some);
}

#[test]
fn a_file_without_all_tensors_is_recognised_and_refused() {
    let file = |tensors: HashMap<&str, Tensor>| safetensors::serialize(&tensors, None).unwrap();
    let bytes = file(HashMap::from([(FIRST, tensor(FIRST, &[32, 3, 3, 3]))]));
    assert!(Inception::recognises(&bytes) && !Inception::recognises(&file(HashMap::new())));
    let error = Inception::of(&bytes, Path::new("weights"), &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("weights") && error.contains("Conv2d_1a_3x3.bn.weight"), "{error}");
}

#[test]
fn two_channels_are_refused() {
    assert!(Inception(vec![]).features(&image([1, 2, 4, 4])).unwrap_err().to_string().contains("2 channels"));
}
