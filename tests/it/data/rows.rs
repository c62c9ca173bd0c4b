//! What holds for the row of every data set; the skeletons in `docs/` are held to the same.

use std::collections::BTreeSet;
use std::path::PathBuf;

use candle_core::{DType, Device};
use ebm::config::Spec;
use ebm::data::verify::{FileState, verify};
use ebm::data::{self, DATASETS, Data, DatasetRow, FileSet, Origin, Split, manifest};
use ebm::rng::Key;

use super::support::{try_open, values};

/// Opens a row with the keys of its example on the CPU with seed 7, whether the registry has the row or not.
fn open(row: &DatasetRow) -> Data {
    let mut table = row.schema.defaults();
    table.extend(row.example.parse::<toml::Table>().unwrap());
    table.insert("name".into(), row.name.into());
    let source = (row.build)(&table).unwrap();
    Data::of_source(&Spec::new(table), source, 7, &Device::Cpu).unwrap()
}

/// Batches of a generated set are finite, functions of (seed, split, index), and apart from each other.
pub fn check_batches(row: &DatasetRow) {
    let (name, data) = (row.name, open(row));
    let draw = |data: &Data, split, index| values(&data.batch(split, index, 101).unwrap().x);
    let first = draw(&data, Split::Train, 3);
    assert_eq!(first.len(), 101 * data.spec().dim(), "{name}");
    assert!(first.iter().all(|v| v.is_finite()), "{name}");
    assert_eq!(first, draw(&open(row), Split::Train, 3), "{name}");
    assert_ne!(first, draw(&data, Split::Train, 4), "{name}");
    assert_ne!(first, draw(&data, Split::Validation, 3), "{name}");
    assert_ne!(first, draw(&data, Split::Test, 3), "{name}");
    assert_ne!(first, values(&data.all(Split::Train, 101).unwrap().x), "{name}");
    assert_eq!((data.len(Split::Train), data.batches_per_epoch(10)), (None, None), "{name}");
}

/// The points of the example lie in the plane and in the box that the generator promises.
pub fn check_bounds(row: &DatasetRow) {
    let (name, data) = (row.name, open(row));
    let bounds = data.bounds_2d().unwrap();
    let x = data.all(Split::Test, 20_000).unwrap().x.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
    let out = x.iter().filter(|p| p.iter().zip(bounds).any(|(c, [low, high])| *c < low || *c > high)).count();
    assert!(out <= 1, "{name}: {out} of 20,000 points outside {bounds:?}");
    let start = data.uniform_init(Key::new(1), 1000).unwrap().to_vec2::<f32>().unwrap();
    assert!(start.iter().all(|p| p.iter().zip(bounds).all(|(c, [l, h])| (l..=h).contains(&f64::from(*c)))));
}

/// The true score is the gradient of the true log-density, where a generator knows both.
pub fn check_score(row: &DatasetRow) {
    let data = open(row);
    let x = data.all(Split::Test, 20).unwrap().x.to_dtype(DType::F64).unwrap();
    let (Some(score), Some(_)) = (data.score(&x).unwrap(), data.log_density(&x).unwrap()) else { return };
    let h = 1e-5;
    let log = |by: [f64; 2]| {
        let by = candle_core::Tensor::new(&by, &Device::Cpu).unwrap();
        values(&data.log_density(&x.broadcast_add(&by).unwrap()).unwrap().unwrap())
    };
    for (c, by) in [[h, 0.0], [0.0, h]].into_iter().enumerate() {
        let slope = log(by).into_iter().zip(log(by.map(|v| -v))).map(|(up, down)| (up - down) / (2.0 * h));
        let score = values(&score.narrow(1, c, 1).unwrap());
        let near = slope.zip(&score).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs()));
        assert!(near, "{}: the score is not the slope of log p in coordinate {c}", row.name);
    }
}

/// Files that are missing or wrong are found out, and a set of which nothing is there is not usable unless it is
/// shipped.
pub fn check_files(set: &FileSet) {
    let FileSet { known, format } = set;
    let name = &known.name;
    let names: BTreeSet<&str> = known.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names.len(), known.files.len(), "{name}: two files have one name");
    assert!(known.files.iter().all(|file| file.items > 0) && !known.folders.is_empty(), "{name}");
    let here = |_: &manifest::KnownFile| true;
    assert!(!format.enough(known, &here).is_empty(), "{name}: no file is needed");

    let dir = tempfile::tempdir().unwrap();
    let folders = [PathBuf::from(dir.path())];
    let shipped = known.files.iter().all(|file| format.built_in(file).is_some());
    let report = verify(set, &folders);
    assert!(report.absent() != shipped && report.usable == shipped && !report.bad(), "{name}");
    for file in &known.files {
        let path = dir.path().join(&file.name);
        match file.role.as_str() {
            "pictures" => std::fs::create_dir(&path).unwrap(),
            _ => std::fs::write(&path, "not what it should be").unwrap(),
        }
    }
    let report = verify(set, &folders);
    assert!(report.bad() && !report.usable, "{name}");
    for found in report.files {
        let place = found.path.unwrap();
        assert!(found.state == FileState::Bad && place.starts_with(dir.path()), "{name}: {}", place.display());
        assert!(found.problem.is_some_and(|what| !what.is_empty()), "{name}: {}", place.display());
    }
}

/// Generated sets whose points have no end.
fn generators() -> impl Iterator<Item = &'static DatasetRow> {
    let endless = |row: &&DatasetRow| open(row).len(Split::Train).is_none();
    DATASETS.iter().filter(|row| matches!(row.origin, Origin::Generated)).filter(endless)
}

#[test]
fn generated_sets_give_finite_reproducible_independent_batches() {
    let checked = generators().map(check_batches).count();
    assert!(checked >= 16, "only {checked} sets were taken for generated ones");
}

#[test]
fn generated_points_lie_in_their_box() {
    generators().for_each(check_bounds);
}

#[test]
fn a_true_score_is_the_slope_of_the_true_density() {
    generators().for_each(check_score);
}

#[test]
fn every_row_of_files_has_an_entry_in_the_manifest_and_the_other_way_round() {
    let rows = DATASETS.iter().filter(|row| row.format().is_some()).map(|row| row.name.to_owned());
    let entries = manifest::known().unwrap().into_iter().map(|set| set.name);
    assert_eq!(rows.collect::<BTreeSet<_>>(), entries.collect::<BTreeSet<_>>());
}

#[test]
fn missing_and_wrong_files_of_every_set_are_found_out() {
    data::file_sets().unwrap().iter().for_each(check_files);
}

#[test]
fn a_row_of_files_reads_the_entry_of_its_name() {
    for row in DATASETS.iter().filter(|row| row.format().is_some()) {
        let dir = tempfile::tempdir().unwrap();
        let error = try_open(row.name, &format!("path = {:?}", dir.path())).err().unwrap();
        let text = error.to_string();
        assert!(error.exit_code() == 4 && text.contains(dir.path().to_str().unwrap()), "{}: {text}", row.name);
        assert!(text.contains(&manifest::find(row.name).unwrap().remedy()), "{}: {text}", row.name);
    }
}
