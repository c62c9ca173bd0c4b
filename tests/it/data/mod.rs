//! Data sets through the door that training uses: every row of the registry.

mod arrays;
mod columns;
mod fetch;
mod files;
mod images;
mod memory;
mod parquet;
mod readers;
pub mod rows;
pub mod support;
mod table;
mod toys;

use self::support::{try_open, values};
use candle_core::{DType, Device, Tensor};
use ebm::data::{Data, Split};
use ebm::rng::Key;

fn open(name: &str, keys: &str) -> Data {
    try_open(name, keys).unwrap()
}

#[test]
fn a_pool_of_points_is_a_finite_training_set() {
    let data = open("gaussian", "dim = 10\nlimit = 100");
    assert_eq!((data.len(Split::Train), data.len(Split::Validation)), (Some(100), None));
    assert_eq!(data.batches_per_epoch(30), Some(3));
    let sorted = |index| {
        let mut v = values(&data.batch(Split::Train, index, 100).unwrap().x);
        v.sort_by(f64::total_cmp);
        v
    };
    assert_eq!(sorted(0), sorted(1));
    assert_ne!(
        values(&data.batch(Split::Train, 0, 100).unwrap().x),
        values(&data.batch(Split::Train, 1, 100).unwrap().x)
    );
}

#[test]
fn digits_are_split_batched_and_labelled() {
    let data = open("digits", "transform = \"none\"\ndequantise = false");
    let spec = data.spec();
    assert_eq!((spec.shape.as_slice(), spec.image, spec.classes), ([1, 8, 8].as_slice(), Some([1, 8, 8]), Some(10)));
    assert_eq!(spec.sizes, Some([1258, 180, 359]));
    let mut rows: Vec<Vec<u8>> = Vec::new();
    for split in Split::ALL {
        let batch = data.all(split, usize::MAX).unwrap();
        assert!(batch.y.unwrap().to_vec1::<u32>().unwrap().iter().all(|&y| y < 10));
        let x = batch.x.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        rows.extend(x.iter().map(|row| row.iter().map(|&v| v as u8).collect::<Vec<u8>>()));
    }
    assert_eq!(rows.len(), 1797);
    // Sum of all pixels of the original table.
    assert_eq!(rows.iter().flatten().map(|&v| u64::from(v)).sum::<u64>(), 561_718);
}

#[test]
fn an_epoch_shows_every_item_once() {
    let data = open("digits", "dequantise = false");
    let n = data.batches_per_epoch(100).unwrap();
    assert_eq!(n, 12);
    let epoch = |e: u64| -> Vec<Vec<u32>> {
        let batch = |i| data.batch(Split::Train, e * n + i, 100).unwrap().x.flatten_from(1).unwrap();
        let bits = |row: &Vec<f32>| row.iter().map(|v| v.to_bits()).collect();
        (0..n).flat_map(|i| batch(i).to_vec2::<f32>().unwrap().iter().map(bits).collect::<Vec<_>>()).collect()
    };
    let (first, second) = (epoch(0), epoch(1));
    assert_ne!(first, second);
    let unique: std::collections::BTreeSet<_> = first.iter().collect();
    // The shipped digits have no duplicates, so 1200 rows of one epoch are 1200 items.
    assert_eq!(unique.len(), 1200);
}

#[test]
fn dequantisation_is_fresh_uniform_and_reproducible() {
    let raw = |dequantise| open("digits", &format!("transform = \"none\"\ndequantise = {dequantise}"));
    let noise = |index| {
        let noisy = values(&raw(true).batch(Split::Train, index, 200).unwrap().x);
        let exact = values(&raw(false).batch(Split::Train, index, 200).unwrap().x);
        noisy.iter().zip(&exact).map(|(a, b)| a - b).collect::<Vec<f64>>()
    };
    let u = noise(0);
    assert_eq!(u, noise(0));
    assert_ne!(u, noise(6));
    assert!(u.iter().all(|u| (0.0..=1.0).contains(u)));
    let n = u.len() as f64;
    let z = (u.iter().sum::<f64>() / n - 0.5) * (12.0 * n).sqrt();
    assert!(z.abs() < 4.0, "z = {z}");
}

#[test]
fn a_model_uniform_over_pixels_costs_log2_of_the_levels() {
    for transform in ["none", "unit", "scaled", "logit"] {
        let data = open("digits", &format!("transform = \"{transform}\"\nlogit_alpha = 0.0"));
        let x = data.all(Split::Test, 50).unwrap().x;
        // log p in model space of the density that is 17^-64 in raw pixels, by the change of variables in closed form.
        let log_prob = match transform {
            "none" => Tensor::full(-64.0 * 17f64.ln(), 50, &Device::Cpu).unwrap(),
            "unit" => Tensor::zeros(50, DType::F64, &Device::Cpu).unwrap(),
            "scaled" => Tensor::full(-64.0 * 2f64.ln(), 50, &Device::Cpu).unwrap(),
            // The standard logistic density is the image of the uniform one.
            _ => {
                let logistic = |v: &f64| -v.abs() - 2.0 * (-v.abs()).exp().ln_1p();
                let sums: Vec<f64> = values(&x).chunks(64).map(|c| c.iter().map(logistic).sum()).collect();
                Tensor::from_vec(sums, 50, &Device::Cpu).unwrap()
            }
        };
        for bits in values(&data.bits_per_dim(&log_prob, &x).unwrap()) {
            assert!((bits - 17f64.log2()).abs() < 1e-12, "{transform}: {bits}");
        }
    }
}

#[test]
fn pictures_come_back_and_flattened_ones_too() {
    for flatten in [false, true] {
        let data = open("digits", &format!("transform = \"logit\"\nflatten = {flatten}"));
        let plain = open("digits", "transform = \"unit\"");
        let (x, want) = (data.all(Split::Test, 20).unwrap().x, plain.all(Split::Test, 20).unwrap().x);
        assert_eq!(x.rank(), if flatten { 2 } else { 4 });
        let back = data.to_unit(&x).unwrap();
        assert_eq!(back.dims(), [20, 1, 8, 8]);
        let worst = values(&back).iter().zip(values(&want)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-6, "{worst}");
    }
}

#[test]
fn moments_agree_with_their_definition() {
    let data = open("gaussian", "dim = 3\nmean = [1.0, -2.0, 0.5]\nstd = [0.5, 1.0, 3.0]");
    let n = 40_000;
    let moments = data.mean_std(n).unwrap();
    let (mean, std) = (values(&moments.mean), values(&moments.std));
    for (i, (m, s)) in [(1.0, 0.5), (-2.0, 1.0), (0.5, 3.0)].into_iter().enumerate() {
        let z_mean = (mean[i] - m) / (s / (n as f64).sqrt());
        let z_std = (std[i] - s) / (s / (2.0 * n as f64).sqrt());
        assert!(z_mean.abs() < 4.0 && z_std.abs() < 4.0, "{i}: {z_mean} {z_std}");
    }
    let x = values(&data.all(Split::Train, n).unwrap().x);
    let all = x.iter().sum::<f64>() / x.len() as f64;
    assert!((moments.overall_mean - all).abs() < 1e-9);
}

#[test]
fn moments_are_summed_in_pieces_to_the_bits_of_one_sum() {
    let data = open("digits", "noise = 0.1");
    let moments = data.mean_std(1000).unwrap();
    let x = data.all(Split::Train, 1000).unwrap().x.flatten_from(1).unwrap().to_dtype(DType::F64).unwrap();
    let mean = x.mean(0).unwrap();
    let std = (x.broadcast_sub(&mean).unwrap().sqr().unwrap().sum(0).unwrap() / 999.0).unwrap().sqrt().unwrap();
    let single = |t: &Tensor| values(&t.to_dtype(DType::F32).unwrap());
    assert_eq!((values(&moments.mean), values(&moments.std)), (single(&mean), single(&std)));
    let all = x.mean_all().unwrap().to_scalar::<f64>().unwrap();
    assert_eq!(moments.overall_mean, all);
    let spread = (&x - all).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    assert_eq!(moments.overall_std, (spread / (x.elem_count() - 1) as f64).sqrt());
}

/// The items of a batch as bits.
fn rows(x: &Tensor) -> Vec<Vec<u64>> {
    let x = x.flatten_from(1).unwrap().to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
    x.into_iter().map(|row| row.into_iter().map(f64::to_bits).collect()).collect()
}

#[test]
fn training_batches_are_flipped_and_shifted_and_nothing_else_is() {
    let plain = open("digits", "dequantise = false");
    let moved = open("digits", "dequantise = false\nflip = true\ncrop_pad = 2");
    let batch = |data: &Data, split, index| rows(&data.batch(split, index, 100).unwrap().x);
    for split in [Split::Validation, Split::Test] {
        assert_eq!(batch(&plain, split, 0), batch(&moved, split, 0), "{split}");
    }
    for split in Split::ALL {
        assert_eq!(rows(&plain.all(split, 50).unwrap().x), rows(&moved.all(split, 50).unwrap().x), "{split}");
    }
    let (before, after) = (batch(&plain, Split::Train, 0), batch(&moved, Split::Train, 0));
    let same = before.iter().zip(&after).filter(|(a, b)| a == b).count();
    // 1 in 2·5·5 images stays as it is.
    assert!(same < 15, "{same} of 100 are as they were");
    let again = open("digits", "dequantise = false\nflip = true\ncrop_pad = 2");
    batch(&again, Split::Train, 5);
    assert_eq!(after, batch(&again, Split::Train, 0), "a batch depends on its number alone");
    // Every epoch anew: the same item comes in several versions.
    let per_epoch = moved.batches_per_epoch(1000).unwrap();
    let all = |epoch: u64| batch_of(&moved, epoch * per_epoch, 1000);
    let (one, two): (std::collections::BTreeSet<_>, _) = (all(0).into_iter().collect(), all(1));
    let kept = two.iter().filter(|row| one.contains(*row)).count();
    assert!(kept < 100, "{kept} of 1000 came back unchanged");
    let labels = |data: &Data| data.batch(Split::Train, 0, 100).unwrap().y.unwrap().to_vec1::<u32>().unwrap();
    assert_eq!(labels(&plain), labels(&moved));
}

fn batch_of(data: &Data, index: u64, size: usize) -> Vec<Vec<u64>> {
    rows(&data.batch(Split::Train, index, size).unwrap().x)
}

#[test]
fn a_shift_that_is_too_wide_is_refused_by_its_key() {
    let error = try_open("digits", "crop_pad = 8").err().unwrap();
    assert!(error.exit_code() == 2 && error.to_string().contains("dataset.crop_pad"), "{error}");
    assert!(try_open("digits", "crop_pad = 7").is_ok());
}

#[test]
fn labelled_items_are_the_first_of_each_class() {
    let data = open("digits", "dequantise = false");
    let labelled = data.labelled(3).unwrap();
    assert_eq!((labelled.len(), labelled.classes()), (30, 10));
    let train = data.all(Split::Train, usize::MAX).unwrap();
    let (items, labels) = (rows(&train.x), train.y.unwrap().to_vec1::<u32>().unwrap());
    let mut want: Vec<(u32, Vec<u64>)> = Vec::new();
    for class in 0..10 {
        let of_class = labels.iter().zip(&items).filter(|(y, _)| **y == class).take(3);
        want.extend(of_class.map(|(y, x)| (*y, x.clone())));
    }
    let pass = |index, size| -> Vec<(u32, Vec<u64>)> {
        let batch = labelled.batch(index, size).unwrap();
        batch.y.unwrap().to_vec1::<u32>().unwrap().into_iter().zip(rows(&batch.x)).collect()
    };
    let sorted = |mut v: Vec<(u32, Vec<u64>)>| {
        v.sort();
        v
    };
    assert_eq!(sorted(pass(0, 30)), sorted(want.clone()), "one pass shows each of them once");
    assert_ne!(pass(0, 30), pass(1, 30), "each pass has its own order");
    // Passes follow each other without a gap, whatever the size of a batch.
    let by_twelve: Vec<_> = (0..5).flat_map(|i| pass(i, 12)).collect();
    assert_eq!(by_twelve, [pass(0, 30), pass(1, 30)].concat());
    assert_eq!(by_twelve, pass(0, 60));
    assert_eq!(data.labelled(0).unwrap().len(), data.len(Split::Train).unwrap());
    // Another run seed: the same items in another order.
    let other = Data::open(&support::section("digits", "dequantise = false"), 8, &Device::Cpu).unwrap();
    let batch = other.labelled(3).unwrap().batch(0, 30).unwrap();
    let others: Vec<_> = batch.y.unwrap().to_vec1::<u32>().unwrap().into_iter().zip(rows(&batch.x)).collect();
    assert_ne!(others, pass(0, 30));
    assert_eq!(sorted(others), sorted(want));
}

#[test]
fn labelled_items_come_as_training_batches_do() {
    let batch = |keys: &str, index| {
        let data = open("digits", keys);
        values(&data.labelled(2).unwrap().batch(index, 20).unwrap().x)
    };
    let noisy = "flip = true\ncrop_pad = 1\nnoise = 0.1";
    assert_eq!(batch(noisy, 3), batch(noisy, 3), "a function of the index");
    assert_ne!(batch("", 0), batch("dequantise = false", 0));
    assert_ne!(batch("dequantise = false\nflip = true", 0), batch("dequantise = false", 0));
    assert_ne!(batch("dequantise = false\nnoise = 0.1", 0), batch("dequantise = false", 0));
    let logit = batch("transform = \"logit\"", 0);
    assert!(logit.iter().any(|v| *v < -1.0) && logit.iter().all(|v| v.is_finite()));
}

#[test]
fn labels_that_are_not_there_are_refused_by_name() {
    let few = open("digits", "limit = 60").labelled(20).err().unwrap();
    let text = few.to_string();
    assert!(few.exit_code() == 2 && text.contains("20 labelled items") && text.contains("class "), "{text}");
    let none = open("moons", "").labelled(1).err().unwrap();
    assert!(none.exit_code() == 2 && none.to_string().contains("moons have no labels"), "{none}");
    assert_eq!(open("digits", "").labelled(1).unwrap().batch(0, 0).err().unwrap().exit_code(), 2);
}

#[test]
fn pixels_go_to_model_space_and_back_and_take_the_noise_of_the_data() {
    for transform in ["none", "unit", "scaled", "logit"] {
        let data = open("digits", &format!("transform = \"{transform}\"\nflatten = true"));
        let x = data.all(Split::Test, 20).unwrap().x;
        let back = data.of_unit(&data.to_unit(&x).unwrap(), None).unwrap();
        assert_eq!(back.dims(), x.dims());
        let list = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (a, b) in list(&x).into_iter().zip(list(&back)) {
            assert!((a - b).abs() < 2e-5 * (1.0 + a.abs().exp()), "{transform}: {a} and {b}");
        }
        let ends = Tensor::new(&[[0f32; 64], [1.0; 64]], &Device::Cpu).unwrap();
        assert!(list(&data.of_unit(&ends, None).unwrap()).iter().all(|v| v.is_finite()), "{transform}");
    }
    let noisy = open("digits", "noise = 0.5");
    let z = Tensor::full(0.5f32, (50, 64), &Device::Cpu).unwrap();
    let x = noisy.of_unit(&z, Some(Key::new(1))).unwrap().to_dtype(DType::F64).unwrap();
    let variance = x.sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
    let score = (variance / 0.25 - 1.0) / (2.0f64 / 3200.0).sqrt();
    assert!(score.abs() < 4.0, "{score}");
}

#[test]
fn modes_are_those_of_the_mixtures_and_noise_widens_them() {
    let modes = open("25gaussians", "std = 0.3\nnoise = 0.4").modes().unwrap();
    assert_eq!((modes.centres.len(), modes.std), (25, 0.5));
    assert!(modes.centres.iter().all(|c| c.len() == 2) && modes.centres.contains(&vec![-3.0, 1.5]));
    assert_eq!(open("8gaussians", "").modes().unwrap().centres.len(), 8);
    assert!(open("rings", "").modes().is_none() && open("digits", "").modes().is_none());
}
