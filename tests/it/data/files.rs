//! Files on disk: damaged ones are refused with their path, whole ones are what they should be.
//!
//! Tests on real sets read `$EBM_DATA` and say so when they are skipped.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::data::support::{try_open, values};
use ebm::data::{Split, file_set, locate, manifest, verify};

const IMAGES: &str = "digits-images-idx3-ubyte";
const LABELS: &str = "digits-labels-idx1-ubyte";

fn shipped(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/digits").join(format!("{name}.gz"))).unwrap()
}

fn plain(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*shipped(name)).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A folder with the two files of the digits.
fn folder(images: &[u8], labels: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(IMAGES), images).unwrap();
    fs::write(dir.path().join(LABELS), labels).unwrap();
    dir
}

fn refusal(dir: &Path) -> String {
    let error = try_open("digits", &format!("path = {dir:?}")).err().expect("damaged files were accepted");
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(error.to_string().contains(dir.to_str().unwrap()) && error.to_string().contains("hint:"), "{error}");
    error.to_string()
}

#[test]
fn plain_and_gzipped_files_under_any_spelling_are_the_same_data() {
    let hash = try_open("digits", "").unwrap().sha256().to_owned();
    let dir = folder(&plain(IMAGES), &shipped(LABELS));
    assert_eq!(try_open("digits", &format!("path = {:?}", dir.path())).unwrap().sha256(), hash);
    fs::rename(dir.path().join(IMAGES), dir.path().join(IMAGES.replace("-idx", ".idx"))).unwrap();
    assert_eq!(try_open("digits", &format!("path = {:?}", dir.path())).unwrap().sha256(), hash);
}

#[test]
fn truncated_files_are_refused_wherever_they_end() {
    let (images, labels) = (plain(IMAGES), plain(LABELS));
    for end in (0..20).chain((20..images.len()).step_by(9973)).chain([images.len() - 1]) {
        let message = refusal(folder(&images[..end], &labels).path());
        assert!(message.contains("truncated") && message.contains(&end.to_string()), "{end}: {message}");
    }
    let packed = shipped(IMAGES);
    for end in (2..30).chain((30..packed.len()).step_by(4999)).chain([packed.len() - 1]) {
        let message = refusal(folder(&packed[..end], &labels).path());
        assert!(message.contains("broken gzip at byte"), "{end}: {message}");
    }
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let (images, labels) = (plain(IMAGES), plain(LABELS));
    for at in (0..16).chain((16..images.len()).step_by(7919)) {
        let mut bytes = images.clone();
        bytes[at] ^= 1 << (at % 8);
        refusal(folder(&bytes, &labels).path());
    }
    let packed = shipped(IMAGES);
    for at in (10..packed.len()).step_by(1009) {
        let mut bytes = packed.clone();
        bytes[at] ^= 1 << (at % 8);
        refusal(folder(&bytes, &labels).path());
    }
}

#[test]
fn messages_name_what_is_wrong() {
    let (images, labels) = (plain(IMAGES), plain(LABELS));
    let swapped = refusal(folder(&labels, &images).path());
    assert!(swapped.contains("labels and images are mixed up"), "{swapped}");
    let mut bytes = labels.clone();
    bytes[100] = 10;
    let label = refusal(folder(&images, &bytes).path());
    assert!(label.contains("byte 100: label 10"), "{label}");
    let mut bytes = images.clone();
    bytes[5000] = 17;
    let pixel = refusal(folder(&bytes, &labels).path());
    assert!(pixel.contains("byte 5000: pixel 17"), "{pixel}");
    let mut fewer = labels[..labels.len() - 1].to_vec();
    fewer[7] -= 1;
    let count = refusal(folder(&images, &fewer).path());
    assert!(count.contains("1796 items"), "{count}");
    let trailing = refusal(folder(&[images.clone(), vec![0]].concat(), &labels).path());
    assert!(trailing.contains("115009 bytes follow"), "{trailing}");
    let trailing = refusal(folder(&[shipped(IMAGES), vec![0]].concat(), &labels).path());
    assert!(trailing.contains("1 bytes follow the end of the gzip"), "{trailing}");
    let dir = folder(&images, &labels);
    fs::remove_file(dir.path().join(LABELS)).unwrap();
    assert!(refusal(dir.path()).contains("train-labels of digits is missing"));
}

/// The folder of a real set with all the files named, or `None` with a line on stderr.
fn real(name: &str, needs: &[&str]) -> Option<PathBuf> {
    let set = manifest::find(name).unwrap();
    let root = std::env::var_os("EBM_DATA").map(PathBuf::from);
    let folder = root.and_then(|root| set.folders.iter().map(|f| root.join(f)).find(|f| f.is_dir()));
    let found = folder.filter(|dir| {
        let file = |role: &&str| set.files.iter().find(|f| f.role == **role).unwrap();
        needs.iter().all(|role| locate::find(std::slice::from_ref(dir), file(role)).is_some())
    });
    if found.is_none() {
        eprintln!("skipped: {name} is not in $EBM_DATA");
    }
    found
}

const ALL: [&str; 4] = ["train-images", "train-labels", "test-images", "test-labels"];

#[test]
fn mnist_and_its_relatives_have_their_published_means() {
    for (name, mean, shape) in [("mnist", 0.1307, 28), ("fashion_mnist", 0.2860, 28), ("usps", f64::NAN, 16)] {
        let Some(dir) = real(name, &ALL) else { continue };
        let keys = format!("path = {dir:?}\ntransform = \"unit\"\ndequantise = false\nvalidation = 0");
        let data = try_open(name, &keys).unwrap();
        assert_eq!(data.spec().shape, [1, shape, shape]);
        // Means of images first: a sum of 47 million numbers is not for f32.
        let means = values(&data.all(Split::Train, usize::MAX).unwrap().x.flatten_from(1).unwrap().mean(1).unwrap());
        let train = means.iter().sum::<f64>() / means.len() as f64;
        assert!(mean.is_nan() || (train - mean).abs() < 5e-5, "{name}: {train}");
        let sizes = if name == "usps" { [7291, 0, 2007] } else { [60_000, 0, 10_000] };
        assert_eq!(data.spec().sizes, Some(sizes));
    }
}

#[test]
fn cifar_has_its_published_channel_means() {
    let Some(dir) = real("cifar10", &["train", "test"]) else { return };
    let keys = format!("path = {dir:?}\ntransform = \"unit\"\ndequantise = false\nvalidation = 1000");
    let data = try_open("cifar10", &keys).unwrap();
    let [train, validation, test] = data.spec().sizes.unwrap();
    assert_eq!((validation, test, (train + validation) % 10_000), (1000, 10_000, 0));
    let x = data.all(Split::Train, usize::MAX).unwrap().x;
    let rows = values(&x.mean((2, 3)).unwrap());
    let means = [0, 1, 2].map(|c| rows.iter().skip(c).step_by(3).sum::<f64>() / train as f64);
    // Means over all five batches; one batch of 10,000 is within 4 standard errors (0.15 between images).
    for (got, want) in means.iter().zip([0.4914, 0.4822, 0.4465]) {
        assert!((got - want).abs() < 4.0 * 0.15 / (train as f64).sqrt(), "{means:?}");
    }
}

#[test]
fn a_test_file_under_the_name_of_the_training_file_is_refused() {
    let Some(dir) = real("mnist", &ALL) else { return };
    let fake = tempfile::tempdir().unwrap();
    for file in &manifest::find("mnist").unwrap().files {
        let source = locate::find(std::slice::from_ref(&dir), file).unwrap();
        let target = if file.role == "test-images" { "train-images-idx3-ubyte.gz" } else { file.name.as_str() };
        if file.role != "train-images" {
            fs::copy(source, fake.path().join(target)).unwrap();
        }
    }
    let error = try_open("mnist", &format!("path = {:?}", fake.path())).err().unwrap().to_string();
    assert!(error.contains("t10k-images") && error.contains("missing"), "{error}");
    fs::copy(fake.path().join("train-images-idx3-ubyte.gz"), fake.path().join("t10k-images-idx3-ubyte.gz")).unwrap();
    let error = try_open("mnist", &format!("path = {:?}", fake.path())).err().unwrap().to_string();
    assert!(error.contains("10000 items, but train-images of mnist has 60000"), "{error}");
}

#[test]
fn emnist_without_its_training_files_is_there_to_test_with() {
    let Some(dir) = real("emnist_letters", &["test-images", "test-labels"]) else { return };
    let (set, here) = (manifest::find("emnist_letters").unwrap(), tempfile::tempdir().unwrap());
    for role in ["test-images", "test-labels"] {
        let file = set.files.iter().find(|f| f.role == role).unwrap();
        let from = locate::find(std::slice::from_ref(&dir), file).unwrap();
        fs::copy(&from, here.path().join(from.file_name().unwrap())).unwrap();
    }
    let report = verify::verify(&file_set("emnist_letters").unwrap(), &[here.path().into()]);
    let states: Vec<_> = report.files.iter().map(|f| f.state).collect();
    use verify::FileState::{Good, Missing};
    assert!(states == [Missing, Missing, Good, Good] && report.usable, "{states:?}");
    let letters = try_open("emnist_letters", &format!("path = {:?}", here.path())).unwrap();
    assert_eq!(letters.spec().sizes, Some([0, 0, 20_800]));
    assert_eq!(letters.all(Split::Test, 3).unwrap().x.dims()[0], 3);
    let error = letters.check_training().unwrap_err();
    assert!(error.exit_code() == 4 && error.to_string().contains("gzip.zip"), "{error}");
    // Labels to train on without their images are no set, and neither the report nor the loader takes them for one.
    let labels = [vec![0, 0, 8, 1], 124_800u32.to_be_bytes().to_vec(), vec![1; 124_800]].concat();
    fs::write(here.path().join("emnist-letters-train-labels-idx1-ubyte"), labels).unwrap();
    let report = verify::verify(&file_set("emnist_letters").unwrap(), &[here.path().into()]);
    assert!(report.files[1].state == Good && !report.usable);
    let error = try_open("emnist_letters", &format!("path = {:?}", here.path())).err().unwrap().to_string();
    assert!(error.contains("train-images of emnist_letters is missing") && error.contains("gzip.zip"), "{error}");
}

/// A picture of one colour with a square of another in the middle 140 pixels.
fn portrait(inside: u8) -> image::RgbImage {
    image::RgbImage::from_fn(178, 218, |x, y| {
        let middle = (19..159).contains(&x) && (39..179).contains(&y);
        image::Rgb(if middle { [inside, 0, 255 - inside] } else { [9, 200, 9] })
    })
}

/// A folder as CelebA is unpacked: pictures 000001.jpg to 00000n.jpg.
fn faces(n: u8) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("img_align_celeba")).unwrap();
    for i in 0..n {
        portrait(20 * i).save(dir.path().join(format!("img_align_celeba/{:06}.jpg", i + 1))).unwrap();
    }
    fs::write(dir.path().join("img_align_celeba/readme.txt"), "no picture").unwrap();
    dir
}

fn celeba(dir: &Path, keys: &str) -> ebm::Result<ebm::data::Data> {
    try_open("celeba", &format!("path = {dir:?}\ncache = false\ntransform = \"none\"\ndequantise = false\n{keys}"))
}

#[test]
fn faces_are_cropped_scaled_and_split() {
    let dir = faces(10);
    let data = celeba(dir.path(), "validation = 2\ntest = 3").unwrap();
    assert_eq!((data.spec().shape.as_slice(), data.spec().classes), ([3, 32, 32].as_slice(), Some(1)));
    assert_eq!(data.spec().sizes, Some([5, 2, 3]));
    let mut reds = Vec::new();
    for split in Split::ALL {
        let x = data.all(split, usize::MAX).unwrap().x;
        for item in x.to_dtype(candle_core::DType::F64).unwrap().flatten_from(1).unwrap().to_vec2::<f64>().unwrap() {
            // JPEG keeps a plain square nearly as it is; the surroundings are cropped away.
            let (red, green, blue) = (item[1024 / 2], item[1024 + 512], item[2048 + 512]);
            assert!(item[..1024].iter().all(|v| (v - red).abs() < 30.0), "{red}");
            assert!(green < 8.0 && (red + blue - 255.0).abs() < 12.0, "{red} {green} {blue}");
            reds.push((red / 20.0).round() as u32);
        }
    }
    reds.sort_unstable();
    assert_eq!(reds, (0..10).collect::<Vec<_>>());
    let large = celeba(dir.path(), "size = 64\npictures = 4\nvalidation = 1\ntest = 1").unwrap();
    assert_eq!((large.spec().shape.as_slice(), large.spec().sizes), ([3, 64, 64].as_slice(), Some([2, 1, 1])));
    // The pictures themselves may be the folder, and be PNG files.
    let inner = dir.path().join("img_align_celeba");
    portrait(210).save(inner.join("000011.png")).unwrap();
    assert_eq!(celeba(&inner, "validation = 1\ntest = 1").unwrap().spec().sizes, Some([9, 1, 1]));
}

#[test]
fn the_partition_of_the_faces_is_followed() {
    let dir = faces(6);
    let list = |lines: &str| fs::write(dir.path().join("list_eval_partition.txt"), lines).unwrap();
    list("000001.jpg 2\n000002.jpg 0\n000003.jpg 1\n000004.jpg 0\n000005.jpg 2\n000006.jpg 0\n");
    let data = celeba(dir.path(), "validation = 1").unwrap();
    assert_eq!(data.spec().sizes, Some([3, 1, 2]));
    let x = values(&data.all(Split::Test, 9).unwrap().x);
    let mut reds = [x[512] / 20.0, x[3072 + 512] / 20.0].map(f64::round);
    reds.sort_by(f64::total_cmp);
    assert_eq!(reds, [0.0, 4.0]);
    list("000001.jpg 2\n000002.jpg 0\n");
    let error = celeba(dir.path(), "").err().unwrap();
    assert!(error.exit_code() == 4 && error.to_string().contains("000003.jpg"), "{error}");
    list("000001.jpg 2\n000002.jpg five\n");
    let error = celeba(dir.path(), "").err().unwrap();
    assert!(error.exit_code() == 4 && error.to_string().contains("line 2"), "{error}");
}

#[test]
fn pictures_that_are_none_are_refused_by_name() {
    let dir = faces(4);
    let third = dir.path().join("img_align_celeba/000003.jpg");
    let whole = fs::read(&third).unwrap();
    for bytes in [vec![], whole[..20].to_vec(), b"no picture at all".to_vec()] {
        fs::write(&third, bytes).unwrap();
        let error = celeba(dir.path(), "").err().unwrap();
        assert!(error.exit_code() == 4 && error.to_string().contains("000003.jpg"), "{error}");
    }
    fs::write(&third, whole).unwrap();
    let error = celeba(dir.path(), "crop = 200").err().unwrap().to_string();
    assert!(error.contains("218×178 pixels") && error.contains("dataset.crop"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = celeba(empty.path(), "").err().unwrap();
    assert!(error.exit_code() == 4 && error.to_string().contains("img_align_celeba.zip"), "{error}");
    let set = file_set("celeba").unwrap();
    let report = verify::verify(&set, &[dir.path().to_path_buf()]);
    assert!(report.bad() && !report.usable && report.files[0].problem.as_ref().unwrap().contains("4 pictures"));
    assert!(verify::verify(&set, &[empty.path().to_path_buf()]).absent());
}

#[test]
fn a_folder_of_other_files_is_told_what_is_there_and_what_is_read() {
    let dir = faces(4);
    let inner = dir.path().join("img_align_celeba");
    for hidden in ["._000001.jpg", ".hidden.png"] {
        fs::write(inner.join(hidden), "what a Mac leaves").unwrap();
    }
    assert_eq!(celeba(&inner, "validation = 1\ntest = 1").unwrap().spec().sizes, Some([2, 1, 1]));
    for (names, says, remedy) in [
        (&["a.webp", "b.WEBP", "c.bmp", "._d.jpg"][..], "holds 2 .webp files, 1 .bmp files", "convert"),
        (&["a.txt", "b"], "1 files without an ending, 1 .txt files", "img_align_celeba.zip"),
        (&["faces/a.jpg"], "holds 1 folders", "`dataset.path`"),
        (&[], "holds nothing", "img_align_celeba.zip"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let error = celeba(dir.path(), "").err().unwrap();
        let text = error.to_string();
        assert!(error.exit_code() == 4 && text.contains(says) && text.contains(remedy), "{names:?}: {text}");
    }
}

#[test]
fn sets_that_are_missing_say_how_to_get_them() {
    let dir = tempfile::tempdir().unwrap();
    for (name, how) in [("cifar100", "ebm data fetch cifar100"), ("svhn", "ebm data fetch svhn"), ("celeba", "mmlab")] {
        let error = try_open(name, &format!("path = {:?}", dir.path())).err().unwrap();
        assert!(error.exit_code() == 4 && error.to_string().contains(how), "{error}");
    }
}
