//! `images`: folders of pictures as users have them.

use std::fs;
use std::path::Path;

use ebm::data::{Data, Split};
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};

use super::support::{try_open, values};
use crate::harness::Lab;

fn open(dir: &Path, keys: &str) -> ebm::Result<Data> {
    try_open("images", &format!("path = {dir:?}\ncache = false\ntransform = \"none\"\ndequantise = false\n{keys}"))
}

/// One colour all over.
fn plain(height: u32, width: u32, level: u8) -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb([level, 255 - level, 7])))
}

fn save(picture: &DynamicImage, dir: &Path, name: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

/// The label and the first pixel of each item of a split, sorted.
fn items(data: &Data, split: Split) -> Vec<(u32, u8)> {
    let batch = data.all(split, usize::MAX).unwrap();
    let dim: usize = data.spec().shape.iter().product();
    let labels = batch.y.unwrap().to_vec1::<u32>().unwrap();
    let mut found: Vec<_> = labels.into_iter().zip(values(&batch.x).chunks(dim).map(|x| x[0] as u8)).collect();
    found.sort_unstable();
    found
}

fn everything(data: &Data) -> Vec<(u32, u8)> {
    let mut all: Vec<_> = Split::ALL.iter().flat_map(|split| items(data, *split)).collect();
    all.sort_unstable();
    all
}

/// Ten pictures of two classes in the kinds of files that lose nothing.
fn animals() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..10u8 {
        let (class, ending) = (["cat", "dog"][usize::from(i % 2)], ["png", "bmp", "tiff", "webp"][usize::from(i % 4)]);
        save(&plain(8, 6, 10 * i), dir.path(), &format!("{class}/{i}.{ending}"));
    }
    dir
}

#[test]
fn sub_folders_are_classes_whatever_the_kind_of_file() {
    let dir = animals();
    let data = open(dir.path(), "test = 2\nvalidation = 3").unwrap();
    assert_eq!((data.spec().shape.as_slice(), data.spec().classes), ([3, 8, 6].as_slice(), Some(2)));
    assert_eq!(data.spec().sizes, Some([5, 3, 2]));
    let want: Vec<_> = (0..10u8).map(|i| (u32::from(i % 2), 10 * i)).collect();
    let mut sorted = want.clone();
    sorted.sort_unstable();
    assert_eq!(everything(&data), sorted);
    // Without labels there is one class; the same pictures are held out, as their names decide.
    let none = open(dir.path(), "test = 2\nvalidation = 3\nlabels = \"none\"").unwrap();
    let pixels = |data: &Data| items(data, Split::Test).into_iter().map(|(_, pixel)| pixel).collect::<Vec<_>>();
    assert_eq!((none.spec().classes, pixels(&none).len()), (Some(1), 2));
    let sorted = |mut v: Vec<u8>| {
        v.sort_unstable();
        v
    };
    assert_eq!(sorted(pixels(&none)), sorted(pixels(&data)));
}

#[test]
fn a_table_gives_labels() {
    let dir = animals();
    let table = dir.path().join("labels.csv");
    let lines: String = (0..10).map(|i| format!("{i},{}\n", ["big", "small", "tiny"][i % 3])).collect();
    fs::write(&table, format!("id,size\n{lines}")).unwrap();
    let data = open(dir.path(), &format!("labels = {table:?}\ntest = 0.0\nvalidation = 0.0")).unwrap();
    assert_eq!(data.spec().classes, Some(3));
    let mut want: Vec<_> = (0..10u8).map(|i| (u32::from(i % 3), 10 * i)).collect();
    want.sort_unstable();
    assert_eq!(items(&data, Split::Train), want);
}

#[test]
fn folders_of_parts_are_the_parts() {
    let dir = tempfile::tempdir().unwrap();
    for (i, part) in ["train", "train", "train", "val", "test", "test"].into_iter().enumerate() {
        save(&plain(4, 4, i as u8), dir.path(), &format!("{part}/{}/{i}.png", i % 2));
    }
    let data = open(dir.path(), "").unwrap();
    assert_eq!(data.spec().sizes, Some([3, 1, 2]));
    assert_eq!(items(&data, Split::Validation), [(1, 3)]);
    assert_eq!(items(&data, Split::Test), [(0, 4), (1, 5)]);
}

#[test]
fn grey_and_colour_together_are_colour_and_sizes_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    save(&DynamicImage::ImageLuma8(GrayImage::from_pixel(8, 8, Luma([40]))), dir.path(), "a.png");
    assert_eq!(open(dir.path(), "test = 0.0\nvalidation = 0.0").unwrap().spec().shape, [1, 8, 8]);
    save(&plain(16, 24, 200), dir.path(), "b.png");
    let error = open(dir.path(), "").err().unwrap();
    let text = error.to_string();
    assert!(
        error.exit_code() == 2 && ["8×8 (a.png)", "16×24 (b.png)", "dataset.size"].iter().all(|w| text.contains(w))
    );
    for fit in ["crop", "pad", "resize"] {
        let keys = format!("test = 0.0\nvalidation = 0.0\nsize = 4\nwidth = 6\nfit = \"{fit}\"\nbackground = 1.0");
        let data = open(dir.path(), &keys).unwrap();
        assert_eq!(data.spec().shape, [3, 4, 6], "{fit}");
        let first = if fit == "pad" { [(0, 200), (0, 255)] } else { [(0, 40), (0, 200)] };
        assert_eq!(items(&data, Split::Train), first, "{fit}");
    }
}

#[test]
fn every_kind_of_pixel_in_one_folder_becomes_the_same_picture() {
    use image::{ImageBuffer, LumaA, Rgba};
    let dir = tempfile::tempdir().unwrap();
    // One grey level, 96, in all kinds of pixels.
    let at = |name: &str| dir.path().join(name);
    GrayImage::from_pixel(8, 8, Luma([96])).save(at("grey.png")).unwrap();
    RgbImage::from_pixel(8, 8, Rgb([96; 3])).save(at("rgb.png")).unwrap();
    ImageBuffer::<Rgba<u8>, _>::from_pixel(8, 8, Rgba([96, 96, 96, 255])).save(at("rgba.png")).unwrap();
    ImageBuffer::<LumaA<u8>, _>::from_pixel(8, 8, LumaA([192, 128])).save(at("half.png")).unwrap();
    ImageBuffer::<Luma<u16>, _>::from_pixel(8, 8, Luma([96 * 257])).save(at("deep.png")).unwrap();
    ImageBuffer::<Rgb<u16>, _>::from_pixel(8, 8, Rgb([96 * 257; 3])).save(at("deep.tif")).unwrap();
    RgbImage::from_pixel(8, 8, Rgb([96; 3])).save(at("palette.gif")).unwrap();
    RgbImage::from_pixel(8, 8, Rgb([96; 3])).save(at("lossy.jpg")).unwrap();
    for (keys, shape) in [("", [3, 8, 8]), ("channels = \"grey\"", [1, 8, 8])] {
        let data = open(dir.path(), &format!("labels = \"none\"\ntest = 0.0\nvalidation = 0.0\n{keys}")).unwrap();
        assert_eq!((data.spec().shape.as_slice(), data.spec().sizes), (shape.as_slice(), Some([8, 0, 0])));
        let all = values(&data.all(Split::Train, 9).unwrap().x);
        assert!(all.iter().all(|v| (v - 96.0).abs() <= 1.0), "{all:?}");
    }
}

#[test]
fn inks_become_colours() {
    // 16 × 8 pixels of cyan, magenta, yellow and black: red (no cyan) at the left, green (no magenta) at the right.
    let files: [(&str, &[u8]); 2] =
        [("a.jpg", include_bytes!("../../data/cmyk.jpg")), ("a.tif", include_bytes!("../../data/cmyk.tif"))];
    for (name, bytes) in files {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), bytes).unwrap();
        let data = open(dir.path(), "test = 0.0\nvalidation = 0.0").unwrap();
        assert_eq!(data.spec().shape, [3, 8, 16]);
        let x = values(&data.all(Split::Train, 1).unwrap().x);
        let at = |row: usize, column: usize| [0, 1, 2].map(|channel| x[channel * 128 + row * 16 + column]);
        let near = |found: [f64; 3], want: [f64; 3]| found.iter().zip(want).all(|(a, b)| (a - b).abs() < 12.0);
        let (left, right) = (at(3, 2), at(3, 13));
        assert!(near(left, [255.0, 0.0, 0.0]) && near(right, [0.0, 255.0, 0.0]), "{name}: {left:?} {right:?}");
    }
}

#[test]
fn sizes_that_a_network_cannot_halve_are_refused_with_those_that_work() {
    let lab = Lab::new();
    for i in 0..4 {
        save(&plain(30, 34, 9 * i), &lab.path("pictures"), &format!("{i}.png"));
    }
    let base = "[model]\nname = \"neural\"\nbase = \"none\"\n";
    let generator = "[model]\nname = \"neural\"\nbase = \"none\"\nnet = { name = \"mlp\" }\n";
    for (name, size, model, method, words) in [
        (
            "resnet",
            "",
            base,
            "net = { name = \"resnet\", widths = [4, 4] }\n[method]\nname = \"pcd\"",
            ["28x32", "32x36"],
        ),
        (
            "wide_resnet",
            "",
            base,
            "net = { name = \"wide_resnet\", width = 1 }\n[method]\nname = \"pcd\"",
            ["28x32", "32x36"],
        ),
        (
            "resnet_generator",
            "size = 30\n",
            generator,
            "[method]\nname = \"vera\"\ngenerator = { name = \"resnet_generator\", blocks = 3 }",
            ["24x24", "32x32"],
        ),
    ] {
        let text = format!(
            "[dataset]\nname = \"images\"\npath = \"pictures\"\n{size}{model}{method}\n\
             [train]\nsteps = 1\nbatch_size = 2\n"
        );
        lab.write("c.toml", &text);
        let outcome = lab.run(&["train", "c.toml", "--run-dir", "run"]);
        let said = &outcome.stderr;
        assert_eq!(outcome.code, Some(2), "{name}: {said}");
        assert!(words.iter().chain(&[name, "dataset.size"]).all(|word| said.contains(word)), "{name}: {said}");
        assert!(!lab.path("run/checkpoints").exists() || lab.names().iter().all(|n| n != "run"), "{name}");
    }
}

#[test]
fn wrong_files_are_counted_and_refused_or_skipped() {
    let dir = animals();
    fs::write(dir.path().join("cat/broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    fs::write(dir.path().join("dog/empty.jpg"), b"").unwrap();
    let error = open(dir.path(), "").err().unwrap();
    let text = error.to_string();
    let words = ["2 of 12", "cat/broken.png", "dog/empty.jpg", "wrong = \"skip\""];
    assert!(error.exit_code() == 4 && words.iter().all(|word| text.contains(word)), "{text}");
    let data = open(dir.path(), "wrong = \"skip\"").unwrap();
    assert_eq!(everything(&data).len(), 10);
    // What a header does not show: the end of the file is missing.
    let whole = fs::read(dir.path().join("cat/0.png")).unwrap();
    fs::write(dir.path().join("cat/0.png"), &whole[..whole.len() - 30]).unwrap();
    assert_eq!(everything(&open(dir.path(), "wrong = \"skip\"").unwrap()).len(), 9);
    assert!(open(dir.path(), "").err().unwrap().to_string().contains("of 12"));
}

#[test]
fn a_folder_is_trained_on_and_decoded_once() {
    let lab = Lab::new();
    let dir = animals();
    let keys = format!("name = \"images\"\npath = {:?}", dir.path());
    let rest = "[model]\nname = \"neural\"\nbase = \"none\"\nnet = { name = \"mlp\", hidden = [4] }\n\
                [method]\nname = \"pcd\"\n[sampler]\nsteps = 1\n[train]\nsteps = 2\nbatch_size = 2\n";
    lab.write("c.toml", &format!("[dataset]\n{keys}\nsize = 8\n{rest}"));
    let kept = lab.path("cache");
    let train = |run: &str| {
        lab.ok(&["train", "c.toml", "--run-dir", run]);
        lab.result(run)
    };
    let first = train("one");
    let files = || {
        let mut names: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    let [json, pixels] = files().try_into().unwrap();
    assert_eq!(fs::metadata(&pixels).unwrap().len(), 10 * 3 * 64);
    assert_eq!(train("two"), first, "from the cache");
    // What is damaged is made anew.
    let whole = fs::read(&pixels).unwrap();
    fs::write(&pixels, vec![1; whole.len()]).unwrap();
    assert_eq!(train("three"), first);
    assert_eq!(fs::read(&pixels).unwrap(), whole);
    // A picture that changes is seen.
    save(&plain(8, 6, 99), dir.path(), "cat/0.png");
    train("four");
    assert_ne!(fs::read(&pixels).unwrap(), whole);
    assert_eq!(files(), [json, pixels]);
}
