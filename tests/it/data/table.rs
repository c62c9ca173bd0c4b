//! `table`: the user's own vectors, from text and NumPy files, good and bad.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::support::{section, try_open, values};
use candle_core::{DType, Device};
use ebm::data::{Data, Split};
use ebm::rng::Key;

/// A file in a folder of its own.
pub(super) fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    (dir, path)
}

pub(super) fn open(path: &Path, keys: &str) -> Data {
    table(path, keys).unwrap()
}

pub(super) fn table(path: &Path, keys: &str) -> ebm::Result<Data> {
    try_open("table", &format!("path = {path:?}\n{keys}"))
}

/// All rows of all splits with their labels, sorted by the first number.
pub(super) fn everything(data: &Data) -> Vec<(Vec<f64>, Option<u32>)> {
    let mut all = Vec::new();
    for split in Split::ALL {
        let batch = data.all(split, usize::MAX).unwrap();
        let x = batch.x.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        let y = batch.y.map(|y| y.to_vec1::<u32>().unwrap());
        all.extend(x.into_iter().enumerate().map(|(i, row)| (row, y.as_ref().map(|y| y[i]))));
    }
    all.sort_by(|a, b| a.0[0].total_cmp(&b.0[0]));
    all
}

pub(super) const PLAIN: &str = "standardise = false\nvalidation = 1\ntest = 1";

/// Ten rows i, -i, with the label "even" or "odd" between them.
fn parity() -> String {
    let row = |i: usize| format!("{i},{},-{i}\n", if i.is_multiple_of(2) { "even" } else { "odd" });
    format!("# comment\na,kind,b\n{}", (0..10).map(row).collect::<String>())
}

#[test]
fn labels_are_found_by_name_and_by_number() {
    let (_dir, path) = file("parity.csv", parity());
    for label in ["\"kind\"", "\"1\"", "1", "-2"] {
        let data = open(&path, &format!("label = {label}\n{PLAIN}"));
        assert_eq!((data.spec().shape.as_slice(), data.spec().classes), ([2].as_slice(), Some(2)));
        assert_eq!((data.spec().sizes, data.spec().image), (Some([8, 1, 1]), None));
        for (i, (x, y)) in everything(&data).into_iter().enumerate() {
            assert_eq!((x, y), (vec![i as f64, -(i as f64)], Some(i as u32 % 2)), "{label}");
        }
    }
    let numbers: String = (0..10).map(|i| format!("{i}\t{}\n", [10.0, 2.0, -1.0][i % 3])).collect();
    let (_dir, path) = file("numbers.tsv", numbers);
    let labels: Vec<_> = everything(&open(&path, &format!("label = -1\n{PLAIN}"))).into_iter().map(|r| r.1).collect();
    assert_eq!(labels[..4], [Some(2), Some(1), Some(0), Some(2)], "in the order of the numbers, not of their digits");
    let data = open(&path, PLAIN);
    assert_eq!((data.spec().shape.as_slice(), data.spec().classes), ([2].as_slice(), None));
    assert!(data.all(Split::Train, 3).unwrap().y.is_none());
}

#[test]
fn training_rows_are_standardised_and_others_follow() {
    let rows: String = (0..100).map(|i| format!("{},{}\n", 1000 + i, (i * i) % 17)).collect();
    let (_dir, path) = file("rows.csv", &rows);
    let data = open(&path, "validation = 0.2\ntest = 0.3\nsplit_seed = 4");
    assert_eq!(data.spec().sizes, Some([50, 20, 30]));
    let moments = data.mean_std(50).unwrap();
    assert!(values(&moments.mean).iter().all(|m| m.abs() < 1e-6));
    // The moments divide by n - 1, standardising by n.
    assert!(values(&moments.std).iter().all(|s| (s - (50f64 / 49.0).sqrt()).abs() < 1e-6));
    let test = values(&data.all(Split::Test, 30).unwrap().x);
    assert!(test.iter().step_by(2).sum::<f64>().abs() > 1e-3, "test rows have a mean of their own");
    let limited = open(&path, "limit = 7\nstandardise = false");
    assert_eq!(limited.spec().sizes, Some([7, 10, 20]));
    let noisy = open(&path, "standardise = false\nnoise = 0.5");
    assert_ne!(
        values(&noisy.batch(Split::Train, 0, 70).unwrap().x),
        values(&noisy.batch(Split::Train, 1, 70).unwrap().x)
    );
    // Chains start in a box around the rows, and a picture or a grid has it too.
    let box_2d = open(&path, "standardise = false").bounds_2d().unwrap();
    assert!(box_2d[0][0] < 1001.0 && box_2d[0][1] > 1098.0 && box_2d[0][1] - box_2d[0][0] < 150.0, "{box_2d:?}");
    let start = values(&data.uniform_init(Key::new(1), 500).unwrap());
    assert!(start.iter().all(|v| v.abs() < 4.0) && start.iter().any(|v| v.abs() > 1.5));
}

#[test]
fn a_clock_keeps_its_spread() {
    let rows: String = (0..40).map(|i| format!("{},{i}\n", 1_700_000_000.0 + f64::from(i) / 4.0)).collect();
    let bytes: Vec<f64> = (0..40).flat_map(|i| [1_700_000_000.0 + f64::from(i) / 4.0, f64::from(i)]).collect();
    for (_dir, path) in [file("clock.csv", rows), file("clock.npy", npy("(40, 2)", &bytes))] {
        let rows = everything(&open(&path, "validation = 4\ntest = 4"));
        assert!(rows.iter().all(|(x, _)| (x[0] - x[1]).abs() < 1e-6), "{rows:?}");
        assert!(rows[39].0[0] - rows[0].0[0] > 3.0);
    }
}

#[test]
fn columns_that_repeat_are_dropped_if_asked() {
    let rows: String = (0..50).map(|i| format!("{i},{},{}\n", i % 2, i * 3 + 1)).collect();
    let (_dir, path) = file("rows.csv", &rows);
    let data = open(&path, "standardise = false\ndrop_repeats = true");
    assert_eq!(data.spec().shape, [2]);
    assert!(everything(&data).iter().all(|(x, _)| x[1] == 3.0 * x[0] + 1.0));
    assert_eq!(open(&path, "").spec().shape, [3]);
}

#[test]
fn a_test_file_is_the_test_split() {
    let (_dir, path) = file("train.csv", "x,y,label\n1,2,a\n3,4,b\n5,6,a\n7,8,b\n");
    let (_other, test) = file("test.csv", "x,y,label\n10,20,b\n");
    let keys = |test: &Path| format!("label = \"label\"\nvalidation = 1\nstandardise = false\ntest_path = {test:?}");
    let data = open(&path, &keys(&test));
    assert_eq!(data.spec().sizes, Some([3, 1, 1]));
    let batch = data.all(Split::Test, 5).unwrap();
    assert_eq!((values(&batch.x), batch.y.unwrap().to_vec1::<u32>().unwrap()), (vec![10.0, 20.0], vec![1]));
    for (content, says) in [
        ("y,x,label\n10,20,b\n", "column `y` where the training file has `x`"),
        ("x,y,z,label\n1,2,3,b\n", "3 columns of numbers, the training file has 2"),
        ("x,y\n1,2\n", "no column `label`"),
    ] {
        let (_other, test) = file("test.csv", content);
        let error = table(&path, &keys(&test)).err().unwrap();
        assert!(error.exit_code() == 4 && error.to_string().contains(says), "{error}");
        assert!(error.to_string().contains("test.csv"), "{error}");
    }
}

#[test]
fn errors_name_file_line_and_column() {
    for (content, keys, says) in [
        ("a,b,kind\n1,2,x\n3,four,y\n", "label = \"kind\"", "line 3: column 2 (`b`): `four` is no number"),
        ("a,b,kind\n1,2,x\n3,,y\n", "label = \"kind\"", "line 3: column 2 (`b`): no value; fill it in"),
        ("a,b,kind\n1,2,x\n3,4,\n", "label = \"kind\"", "line 3: column 3 (`kind`): no label"),
        ("a,b,kind\n1,2,x\n\n3,4\n", "label = \"kind\"", "line 4: has 2 numbers, the rows above have 3"),
        ("a,b,kind\n1,inf,x\n", "label = \"kind\"", "line 2: column 2 (`b`): inf is not finite"),
        ("a,b,kind\n1,2,x\n", "label = \"kin\"", "no column `kin` (did you mean `kind`?); it has a, b, kind"),
        ("1,2,x\n", "label = 3", "no column `3`; it names none, and has 3: 0 to 2"),
        ("1,2,x\n", "label = -4", "no column `-4`"),
        ("1,2,x\n", "", "line 1: column 3: `x` is no number"),
        ("569,30,malignant,benign\n1,2,3\n", "", "line 1: column 3: `malignant` is no number"),
        ("a,b\n", "", "holds no rows"),
        ("", "", "holds no rows"),
        ("kind\nx\ny\n", "label = \"kind\"\nskip = 1", "no columns besides the labels"),
        ("\u{0}\u{1}\n", "", "holds no rows"),
        ("1,2\n3,4\n", "validation = 2", "validation and test take 2 of 2"),
    ] {
        let (_dir, path) = file("bad.csv", content);
        let keys = if keys.contains("skip") { keys.replace("\"kind\"", "\"0\"") } else { keys.to_owned() };
        let error = table(&path, &keys).err().unwrap_or_else(|| panic!("{content:?} is accepted"));
        assert!(error.to_string().contains(says), "{content:?}: {error}");
        assert!(error.exit_code() == 2 || error.to_string().contains("bad.csv"), "{error}");
    }
    let (_dir, path) = file("bad.csv", b"1,2\n\xff\xfe\n");
    let error = table(&path, "").err().unwrap().to_string();
    assert!(error.contains("line 2: is no text") && error.contains("dataset.skip"), "{error}");
    let many: String = (0..1500).map(|i| format!("{i},{i}\n")).collect();
    let (_dir, path) = file("many.csv", many);
    let error = table(&path, "label = \"1\"").err().unwrap().to_string();
    assert!(error.contains("1500 different labels"), "{error}");
    let missing = table(Path::new("/nowhere/x.csv"), "").err().unwrap();
    assert!(missing.exit_code() == 4 && missing.to_string().contains("is no file"), "{missing}");
    let unset = try_open("table", "").err().unwrap();
    assert!(unset.exit_code() == 2 && unset.to_string().contains("dataset.path"), "{unset}");
}

/// Version 1 of NumPy's format, doubles.
pub(super) fn npy(shape: &str, values: &[f64]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), &data].concat()
}

#[test]
fn an_array_is_a_table_with_a_column_of_labels() {
    let rows: Vec<f64> = (0..10).flat_map(|i| [f64::from(i), f64::from(i % 2) * 5.0, f64::from(-i)]).collect();
    let (_dir, path) = file("rows.npy", npy("(10, 3)", &rows));
    let data = open(&path, &format!("label = \"1\"\n{PLAIN}"));
    assert_eq!(data.spec().shape, [2]);
    for (i, (x, y)) in everything(&data).into_iter().enumerate() {
        assert_eq!((x, y), (vec![i as f64, -(i as f64)], Some(i as u32 % 2)));
    }
    assert_eq!(open(&path, "").spec().shape, [3]);
    let error = table(&path, "label = \"3\"").err().unwrap().to_string();
    assert!(error.contains("no column `3`"), "{error}");
}

#[test]
fn a_checkpoint_needs_no_file_to_know_the_space() {
    let (dir, path) = file("parity.csv", parity());
    let keys = format!("path = {path:?}\nlabel = \"kind\"");
    let data = try_open("table", &keys).unwrap();
    let stamp = serde_json::to_string(&data.stamp()).unwrap();
    drop(dir);
    assert!(try_open("table", &keys).is_err());
    let stamp = serde_json::from_str(&stamp).unwrap();
    let bare = Data::without_items(&section("table", &keys), stamp, 7, &Device::Cpu).unwrap();
    assert_eq!((&bare.spec().shape, bare.spec().classes), (&data.spec().shape, Some(2)));
    assert_eq!(bare.bounds_2d(), data.bounds_2d());
    let start = |data: &Data| values(&data.uniform_init(Key::new(3), 9).unwrap());
    assert_eq!(start(&bare), start(&data));
    assert!(bare.labelled(1).is_err() && data.labelled(1).is_ok());
}

#[test]
fn labelled_rows_of_a_table() {
    let (_dir, path) = file("parity.csv", parity());
    let data = open(&path, "label = \"kind\"\nstandardise = false\nvalidation = 0\ntest = 0");
    let batch = data.labelled(2).unwrap().batch(0, 4).unwrap();
    let rows = batch.x.to_vec2::<f32>().unwrap().into_iter().zip(batch.y.unwrap().to_vec1::<u32>().unwrap());
    let mut labels: Vec<u32> = rows.inspect(|(x, y)| assert_eq!(x[0] as u32 % 2, *y)).map(|(_, y)| y).collect();
    labels.sort_unstable();
    assert_eq!(labels, [0, 0, 1, 1]);
    let error = data.labelled(6).err().unwrap().to_string();
    assert!(error.contains("class 0 of table has 5"), "{error}");
    let unlabelled = open(&path, "label = \"kind\"");
    assert!(unlabelled.labelled(0).is_ok());
}

/// The small sets of the UCI repository as scikit-learn stores them: a line of counts and names, then the rows.
#[test]
fn the_small_sets_of_scikit_learn_are_read() {
    let folder = std::env::var_os("EBM_DATA").map(|root| PathBuf::from(root).join("sklearn-small"));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
        return eprintln!("skipped: sklearn-small is not in $EBM_DATA");
    };
    for (name, skip, dim, counts) in [
        ("breast_cancer.csv", 1, 30, &[212, 357][..]),
        ("iris.csv", 1, 4, &[50, 50, 50]),
        ("wine_data.csv", 1, 13, &[59, 71, 48]),
        ("digits.csv.gz", 0, 64, &[178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
    ] {
        let data = open(&folder.join(name), &format!("label = -1\nskip = {skip}"));
        assert_eq!(
            (data.spec().shape.as_slice(), data.spec().classes),
            ([dim].as_slice(), Some(counts.len())),
            "{name}"
        );
        let mut found = vec![0; counts.len()];
        everything(&data).iter().for_each(|(_, y)| found[y.unwrap() as usize] += 1);
        assert_eq!(found, counts, "{name}");
    }
    let error = table(&folder.join("iris.csv"), "label = -1").err().unwrap().to_string();
    assert!(error.contains("line 1: column 3: `setosa` is no number") && error.contains("dataset.skip"), "{error}");
    let diabetes = open(&folder.join("diabetes_data_raw.csv.gz"), "");
    assert_eq!((diabetes.spec().shape.as_slice(), diabetes.spec().classes), ([10].as_slice(), None));
    assert_eq!(diabetes.spec().sizes.unwrap().iter().sum::<usize>(), 442);
}
