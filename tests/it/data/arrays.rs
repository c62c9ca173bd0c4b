//! `images` from arrays: IDX, `.npy` and `.npz`, numbers of every type, axes in every order.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use ebm::data::{Data, Split, file};

use super::support::{try_open, values};

/// The format of NumPy written by hand.
fn npy(descr: &str, fortran: bool, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn idx(kind: u8, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = shape.iter().flat_map(|n| (*n as u32).to_be_bytes()).collect();
    [&[0, 0, kind, shape.len() as u8][..], &sizes, data].concat()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    file::npz_bytes(members).unwrap()
}

fn open(path: &Path, keys: &str) -> ebm::Result<Data> {
    let all = format!("path = {path:?}\ntransform = \"none\"\ndequantise = false\n{keys}");
    try_open("images", &all)
}

fn whole(path: &Path, keys: &str) -> ebm::Result<Data> {
    open(path, &format!("test = 0.0\nvalidation = 0.0\n{keys}"))
}

/// Label and pixels of each item of a split, sorted.
fn items(data: &Data, split: Split) -> Vec<(u32, Vec<u8>)> {
    let batch = data.all(split, usize::MAX).unwrap();
    let dim: usize = data.spec().shape.iter().product();
    let pixels: Vec<u8> = values(&batch.x).iter().map(|v| *v as u8).collect();
    let labels = batch.y.unwrap().to_vec1::<u32>().unwrap();
    let mut found: Vec<_> = labels.into_iter().zip(pixels.chunks(dim).map(<[u8]>::to_vec)).collect();
    found.sort();
    found
}

/// Pictures of 2 × 3 pixels, the numbers from 0 on.
fn counting(n: u8, channels: u8) -> Vec<u8> {
    (0..n * channels * 6).collect()
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Dir(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn said(result: ebm::Result<Data>) -> (i32, String) {
    let error = result.err().unwrap();
    (error.exit_code(), error.to_string())
}

#[test]
fn axes_are_known_by_the_shape_or_asked_for() {
    let dir = Dir::new();
    // Planes of two pictures, red, green and blue.
    let planes: Vec<Vec<u8>> = counting(2, 3).chunks(18).map(<[u8]>::to_vec).collect();
    let want: Vec<(u32, Vec<u8>)> = planes.iter().map(|p| (0, p.clone())).collect();
    let last = |p: &Vec<u8>| (0..6).flat_map(|at| [p[at], p[at + 6], p[at + 12]]).collect::<Vec<u8>>();
    let interleaved: Vec<u8> = planes.iter().flat_map(last).collect();
    // Columns first: every number of the item, then all items of it.
    let fortran = |shape: [usize; 3], items: &[Vec<u8>]| {
        let [a, b, c] = shape;
        let mut all = vec![];
        for (k, j, i) in (0..c).flat_map(|k| (0..b).flat_map(move |j| (0..a).map(move |i| (k, j, i)))) {
            all.extend(items.iter().map(|item| item[(i * b + j) * c + k]));
        }
        all
    };
    let wide = [planes[0].clone(), planes[1].clone()];
    for (name, bytes) in [
        ("first.npy", npy("|u1", false, &[2, 3, 2, 3], &planes.concat())),
        ("last.npy", npy("|u1", false, &[2, 2, 3, 3], &interleaved)),
    ] {
        // Both axes could be the channel of [2, 3, 2, 3]; that of [2, 2, 3, 3] is the last.
        let path = dir.file(name, &bytes);
        let axes = if name == "first.npy" {
            let (code, text) = said(whole(&path, ""));
            assert!(code == 2 && text.contains("which axis is the channel?"), "{text}");
            "axes = \"nchw\""
        } else {
            ""
        };
        let data = whole(&path, axes).unwrap();
        assert_eq!(data.spec().shape, [3, 2, 3], "{name}");
        assert_eq!(items(&data, Split::Train), want, "{name}");
    }
    let path = dir.file("fortran.npy", &npy("|u1", true, &[2, 3, 2, 3], &fortran([3, 2, 3], &wide)));
    assert_eq!(items(&whole(&path, "axes = \"nchw\"").unwrap(), Split::Train), want);
    let split: Vec<Vec<u8>> = planes.iter().map(last).collect();
    let path = dir.file("fortran_last.npy", &npy("|u1", true, &[2, 2, 3, 3], &fortran([2, 3, 3], &split)));
    assert_eq!(items(&whole(&path, "").unwrap(), Split::Train), want);
    // One picture in colour, or many in grey?
    let path = dir.file("one.npy", &npy("|u1", false, &[2, 3, 3], &counting(1, 3)));
    assert!(said(whole(&path, "")).1.contains("dataset.axes"));
    assert_eq!(whole(&path, "axes = \"nhw\"").unwrap().spec().shape, [1, 3, 3]);
    for (shape, axes, says) in [
        (&[6, 6][..], "auto", "rows of numbers"),
        (&[2, 2, 3, 3], "nchw", "no such axis"),
        (&[36], "auto", "[N, H, W]"),
        (&[1, 2, 3, 2, 3], "auto", "[N, H, W]"),
    ] {
        let path = dir.file("wrong.npy", &npy("|u1", false, shape, &counting(6, 1)));
        let (code, text) = said(whole(&path, &format!("axes = {axes:?}")));
        assert!(code == 2 && text.contains(says), "{shape:?}: {text}");
    }
}

#[test]
fn numbers_of_every_type_become_grey_levels() {
    let dir = Dir::new();
    let read = |descr: &str, data: &[u8], keys: &str| {
        let path = dir.file("x.npy", &npy(descr, false, &[1, 1, 4], data));
        Ok(items(&whole(&path, &format!("axes = \"nhw\"\n{keys}"))?, Split::Train)[0].1.clone())
    };
    let f32s = |v: [f32; 4]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let f64s = |v: [f64; 4]| v.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
    let i64s = |v: [i64; 4]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let u16s = |v: [u16; 4]| v.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
    // 0, 1/2, 1 and 3/4 in half precision.
    let halves = [0x00, 0x00, 0x00, 0x38, 0x00, 0x3c, 0x00, 0x3a];
    for (descr, data, keys, want) in [
        ("|u1", vec![0, 128, 255, 7], "", [0, 128, 255, 7]),
        ("|u1", vec![0, 1, 1, 0], "range = [0, 1]", [0, 255, 255, 0]),
        ("|u1", vec![0, 8, 16, 4], "range = [16, 0]", [255, 128, 0, 191]),
        ("|b1", vec![0, 1, 1, 0], "", [0, 255, 255, 0]),
        ("|i1", vec![0, 127, 1, 2], "", [0, 127, 1, 2]),
        ("<i8", i64s([0, 255, 1, 2]), "", [0, 255, 1, 2]),
        (">u2", u16s([0, 65535, 257, 32896]), "range = [0, 65535]", [0, 255, 1, 128]),
        ("<f2", halves.to_vec(), "", [0, 128, 255, 191]),
        ("<f4", f32s([0.0, 0.5, 1.0, 0.25]), "", [0, 128, 255, 64]),
        ("<f4", f32s([0.0, 7.0, 255.0, 25.0]), "", [0, 7, 255, 25]),
        (">f8", f64s([-1.0, 1.0, 0.0, 1.000001]), "range = [-1, 1]", [0, 255, 128, 255]),
    ] {
        assert_eq!(read(descr, &data, keys).unwrap(), want, "{descr} {keys}");
    }
    for (descr, data, keys, code, says) in [
        ("<f4", f32s([-1.0, 1.0, 0.0, 0.5]), "", 2, "numbers from -1 to 1"),
        ("<f4", f32s([0.0, 1.5, 0.0, 0.5]), "", 2, "numbers from 0 to 1.5"),
        ("<i8", i64s([0, 256, 0, 0]), "", 2, "dataset.range"),
        ("<i8", i64s([0, -1, 0, 0]), "", 2, "numbers from -1 to 0"),
        ("<f4", f32s([0.0, f32::NAN, 0.0, 0.5]), "", 4, "picture 0 (from 0): NaN"),
        ("<f4", f32s([0.0, 1.1, 0.0, 0.5]), "range = [0, 1]", 4, "1.1"),
        ("<c8", vec![0; 32], "", 4, "no numbers that are read"),
        ("|O", vec![0; 32], "", 4, "no numbers that are read"),
        ("|u1", vec![0; 3], "", 4, "truncated"),
        ("|u1", vec![0; 5], "", 4, "goes on behind the array"),
    ] {
        let error: ebm::Error = read(descr, &data, keys).err().unwrap();
        assert!(error.exit_code() == code && error.to_string().contains(says), "{descr} {says}: {error}");
    }
}

#[test]
fn an_idx_pair_is_found_by_its_name() {
    let dir = Dir::new();
    let (images, labels) = (idx(8, &[4, 3, 2], &counting(4, 1)), idx(8, &[4], &[7, 3, 3, 7]));
    let want: Vec<(u32, Vec<u8>)> =
        [1, 0, 0, 1].into_iter().zip(counting(4, 1).chunks(6).map(<[u8]>::to_vec)).collect();
    let sorted = |mut all: Vec<(u32, Vec<u8>)>| {
        all.sort();
        all
    };
    let path = dir.file("train-images-idx3-ubyte", &images);
    assert_eq!(whole(&path, "").unwrap().spec().classes, Some(1), "no labels are there");
    dir.file("train-labels-idx1-ubyte.gz", &gzipped(&labels));
    let data = whole(&path, "").unwrap();
    assert_eq!((data.spec().shape.as_slice(), data.spec().classes), ([1, 3, 2].as_slice(), Some(2)));
    assert_eq!(items(&data, Split::Train), sorted(want.clone()));
    assert_eq!(whole(&path, "labels = \"none\"").unwrap().spec().classes, Some(1));
    // The folder has the test files too.
    dir.file("t10k-images-idx3-ubyte.gz", &gzipped(&idx(8, &[2, 3, 2], &counting(2, 1))));
    dir.file("t10k-labels-idx1-ubyte", &idx(8, &[2], &[3, 7]));
    let data = open(dir.0.path(), "validation = 1").unwrap();
    assert_eq!(data.spec().sizes, Some([3, 1, 2]));
    assert_eq!(items(&data, Split::Test), [(0, counting(2, 1)[..6].to_vec()), (1, counting(2, 1)[6..].to_vec())]);
    // Other types of the format, in colour, and labels elsewhere.
    let shorts: Vec<u8> = counting(2, 3).iter().flat_map(|v| u16::from(*v).to_be_bytes()).collect();
    let colour = Dir::new();
    let path = colour.file("mine.idx", &idx(0x0b, &[2, 3, 2, 3], &shorts));
    let table = colour.file("labels.txt", b"label\nyes\nno\n");
    let data = whole(&path, &format!("axes = \"nchw\"\nlabels = {table:?}")).unwrap();
    assert_eq!(items(&data, Split::Train), [(0, counting(2, 3)[18..].to_vec()), (1, counting(2, 3)[..18].to_vec())]);
    for cut in [1, 5, 15, 20] {
        let path = dir.file("train-images-idx3-ubyte", &images[..images.len() - cut]);
        assert_eq!(said(whole(&path, "")).0, 4, "{cut} bytes are missing");
    }
}

#[test]
fn an_archive_has_parts_and_labels_by_the_names_of_its_arrays() {
    let dir = Dir::new();
    let pictures = |n: u8| npy("|u1", false, &[usize::from(n), 3, 2], &counting(n, 1));
    let numbers = |labels: &[u8]| npy("|u1", false, &[labels.len()], labels);
    let column = |labels: &[u8]| npy("|u1", false, &[labels.len(), 1], labels);
    let words = npy("<U1", false, &[2], &[98, 0, 0, 0, 97, 0, 0, 0]);
    let keras = npz(&[
        ("x_train", pictures(5)),
        ("y_train", numbers(&[0, 1, 0, 1, 0])),
        ("x_test", pictures(2)),
        ("y_test", numbers(&[1, 0])),
    ]);
    let data = open(&dir.file("keras.npz", &keras), "validation = 2").unwrap();
    assert_eq!((data.spec().sizes, data.spec().classes), (Some([3, 2, 2]), Some(2)));
    let medical = npz(&[
        ("train_images", pictures(4)),
        ("train_labels", column(&[0, 1, 2, 0])),
        ("val_images", pictures(1)),
        ("val_labels", column(&[2])),
        ("test_images", pictures(2)),
        ("test_labels", column(&[1, 1])),
    ]);
    let data = open(&dir.file("medical.npz", &medical), "").unwrap();
    assert_eq!((data.spec().sizes, data.spec().classes), (Some([4, 1, 2]), Some(3)));
    assert_eq!(items(&data, Split::Validation), [(2, counting(1, 1))]);
    let path = dir.file("words.npz", &npz(&[("data", pictures(2)), ("kind", words), ("other", numbers(&[5, 6]))]));
    let (code, text) = said(whole(&path, ""));
    assert!(code == 2 && text.contains("kind, other") && text.contains("dataset.labels"), "{text}");
    let data = whole(&path, "labels = \"kind\"").unwrap();
    assert_eq!(items(&data, Split::Train), [(0, counting(2, 1)[6..].to_vec()), (1, counting(1, 1))]);
    let path = dir.file("two.npz", &npz(&[("a", pictures(2)), ("b", pictures(3)), ("y", numbers(&[1, 2]))]));
    let (code, text) = said(whole(&path, ""));
    assert!(code == 2 && text.contains("dataset.array") && text.contains("a [2, 3, 2]"), "{text}");
    assert_eq!(whole(&path, "array = \"a\"").unwrap().spec().classes, Some(2));
    assert!(said(whole(&path, "array = \"b\"")).1.contains("2 labels for 3 pictures"));
    assert!(said(whole(&path, "array = \"c\"")).1.contains("no array of pictures `c`"));
    assert!(said(whole(&path, "array = \"a\"\nlabels = \"z\"")).1.contains("no labels `z`"));
}

#[test]
fn arrays_are_brought_to_another_shape_as_pictures_are() {
    let dir = Dir::new();
    // RGBA, half of each picture transparent.
    let rgba: Vec<u8> = (0..2).flat_map(|_| [[200, 100, 0, 255], [200, 100, 0, 0]].concat()).collect();
    let path = dir.file("x.npy", &npy("|u1", false, &[2, 1, 2, 4], &rgba));
    let data = whole(&path, "axes = \"nhwc\"\nbackground = 1.0").unwrap();
    assert_eq!(items(&data, Split::Train)[0].1, [200, 255, 100, 255, 0, 255]);
    let grey = dir.file("grey.npy", &npy("|u1", false, &[3, 4, 8], &[9; 96]));
    for (keys, shape) in [
        ("size = 2", [1, 2, 2]),
        ("size = 8\nwidth = 16", [1, 8, 16]),
        ("channels = \"rgb\"", [3, 4, 8]),
        ("centre = 4", [1, 4, 4]),
    ] {
        let data = whole(&grey, keys).unwrap();
        assert_eq!(data.spec().shape, shape, "{keys}");
        assert!(items(&data, Split::Train).iter().all(|(_, x)| x.iter().all(|v| *v == 9)), "{keys}");
    }
    assert!(said(whole(&grey, "centre = 5")).1.contains("fewer than the square of 5"));
}

#[test]
fn what_is_added_to_an_array_moves_no_picture_to_another_part() {
    let dir = Dir::new();
    let parts = |n: usize| {
        let data: Vec<u8> = (0..n).flat_map(|i| [i as u8; 4]).collect();
        let path = dir.file("x.npy", &npy("|u1", false, &[n, 2, 2], &data));
        let data = open(&path, "test = 0.3\nvalidation = 0.3").unwrap();
        Split::ALL.map(|split| items(&data, split).iter().map(|(_, x)| x[0]).collect::<Vec<_>>())
    };
    let (few, many) = (parts(40), parts(60));
    for (few, many) in few.iter().zip(&many) {
        let kept: Vec<u8> = many.iter().copied().filter(|i| *i < 40).collect();
        assert!(!few.is_empty() && *few == kept);
    }
}

#[test]
fn files_that_are_no_arrays_are_told_apart() {
    let dir = Dir::new();
    let zip = npz(&[("x", vec![1, 2, 3])]);
    for (name, bytes, says) in [
        ("a.txt", b"no picture at all".to_vec(), "neither .npy nor IDX"),
        ("b.npy", b"".to_vec(), "is no array"),
        // Headers that announce more than any machine has.
        ("huge.npy", npy("|u1", false, &[1 << 42, 3, 2], &[0; 6]), "is truncated"),
        ("huge.npy.gz", gzipped(&npy("<f8", true, &[1 << 42, 3, 2], &[0; 6])), "is truncated"),
        ("huge.npz", npz(&[("x", npy("|u1", false, &[1 << 42, 3, 2], &[0; 6]))]), "is truncated"),
        ("c.npz", zip, "no array"),
        ("d.npz", b"PK\x03\x04".to_vec(), "no sound .npz"),
        ("e.npy.gz", b"\x1f\x8bbroken".to_vec(), "no array"),
    ] {
        let path = dir.file(name, &bytes);
        let (code, text) = said(whole(&path, ""));
        assert!(code == 4 && text.contains(says) && text.contains(name), "{name}: {text}");
    }
    let (code, text) = said(whole(&dir.0.path().join("nowhere"), ""));
    assert!(code == 4 && text.contains("is missing"), "{text}");
}
