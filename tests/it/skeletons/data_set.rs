//! `docs/skeletons/generated_set.rs` and `docs/skeletons/file_set.rs`.

use std::path::PathBuf;

use candle_core::Device;
use ebm::config::Spec;
use ebm::data::{Data, FileSet, Source, Split, TestItems, images, manifest, verify};

use crate::data::rows;

#[path = "../../../docs/skeletons/file_set.rs"]
mod file_set;
#[path = "../../../docs/skeletons/generated_set.rs"]
mod generated_set;

#[test]
fn the_generated_set_is_like_every_generated_set() {
    rows::check_batches(&generated_set::CROSS);
    rows::check_bounds(&generated_set::CROSS);
    rows::check_score(&generated_set::CROSS);
}

/// The skeleton's set, as if its entry stood in the manifest.
fn tiles() -> FileSet {
    let known = manifest::parse(include_str!("../../../docs/skeletons/file_set.toml")).unwrap().remove(0);
    assert_eq!(known.name, file_set::TILES.name);
    FileSet { known, format: file_set::TILES.format().unwrap() }
}

fn record(label: u8) -> Vec<u8> {
    [vec![label], (0..16).map(|i| 16 * label + i).collect()].concat()
}

/// A folder with these two files.
fn folder(train: &[u8], test: &[u8]) -> (tempfile::TempDir, [PathBuf; 1]) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tiles-train.bin"), train).unwrap();
    std::fs::write(dir.path().join("tiles-test.bin"), test).unwrap();
    let folders = [dir.path().to_path_buf()];
    (dir, folders)
}

#[test]
fn the_set_of_files_is_like_every_set_of_files() {
    rows::check_files(&tiles());
}

#[test]
fn the_files_are_verified_and_opened() {
    let train = [record(0), record(3), record(1)].concat();
    let test = [record(2), record(0)].concat();
    let (_dir, folders) = folder(&train, &test);
    let set = tiles();
    let report = verify::verify(&set, &folders);
    assert!(report.usable && !report.bad(), "{report:?}");

    let images = images::load(&file_set::Tiles, &set.known, &folders).unwrap();
    assert_eq!((images.labels.as_slice(), images.test), ([0, 3, 1, 2, 0].as_slice(), TestItems::From(3)));
    let mut table = file_set::TILES.schema.defaults();
    table.extend("name = \"tiles\"\nvalidation = 1".parse::<toml::Table>().unwrap());
    let data = Data::of_source(&Spec::new(table), Source::Images(images), 7, &Device::Cpu).unwrap();
    assert_eq!((data.spec().shape.as_slice(), data.spec().sizes), ([1, 4, 4].as_slice(), Some([2, 1, 2])));
    assert_eq!(data.batch(Split::Train, 0, 2).unwrap().x.dims(), [2, 1, 4, 4]);

    let mut mislabelled = train.clone();
    mislabelled[17] = 4;
    for (bytes, says) in [(train[..50].to_vec(), "truncated: 50 bytes, not 51"), (mislabelled, "byte 17: label 4")] {
        let (_dir, folders) = folder(&bytes, &test);
        let report = verify::verify(&set, &folders);
        assert!(!report.usable && report.files[0].problem.as_ref().unwrap().contains(says), "{report:?}");
        let error = images::load(&file_set::Tiles, &set.known, &folders).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains(says), "{error}");
    }
}
