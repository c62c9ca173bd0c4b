//! CIFAR-10 and CIFAR-100 in their binary versions.

use crate::config::{Schema, decode};
use crate::data::files::images;
use crate::data::formats::byte_records::ByteRecords;
use crate::data::keys::{Files, Pixels};
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::Source;

const TEN: ByteRecords = ByteRecords { kinds: &[10], label: 0, shape: [3, 32, 32] };
const FINE: ByteRecords = ByteRecords { kinds: &[20, 100], label: 1, ..TEN };
const COARSE: ByteRecords = ByteRecords { label: 0, ..FINE };

/// `cifar10`.
pub(crate) const CIFAR10: DatasetRow = DatasetRow {
    name: "cifar10",
    about: "ten kinds of objects, 50,000 + 10,000 of 3×32×32; uses the training batches that are there",
    cite: "Krizhevsky 2009",
    schema: Schema::of::<(Files, Pixels)>(),
    origin: Origin::Files(&TEN),
    pictures: true,
    example: "",
    build: |table| {
        let Files { path } = decode(table)?;
        Ok(Source::Images(images::open(&TEN, "cifar10", &path)?))
    },
};

crate::config! {
    /// Keys of `cifar100`.
    pub struct Cifar100 {
        /// The folder that holds the files; empty: `$EBM_DATA/<name>`, then `datasets/<name>`.
        [may_change] path: String = String::new();
        /// Labels are the 20 groups of classes instead of the 100 classes.
        coarse: bool = false;
    }
}

/// `cifar100`.
pub(crate) const CIFAR100: DatasetRow = DatasetRow {
    name: "cifar100",
    about: "a hundred kinds of objects in twenty groups, 50,000 + 10,000 of 3×32×32",
    cite: "Krizhevsky 2009",
    schema: Schema::of::<(Cifar100, Pixels)>(),
    origin: Origin::Files(&FINE),
    pictures: true,
    example: "",
    build: |table| {
        let Cifar100 { path, coarse } = decode(table)?;
        let format = if coarse { COARSE } else { FINE };
        Ok(Source::Images(images::open(&format, "cifar100", &path)?))
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::files::manifest::{self, Known};
    use crate::data::source::TestItems;
    use images::load;

    const PIXELS: usize = 3 * 32 * 32;
    const RECORD: usize = 1 + PIXELS;

    /// A set of files with two records each and no known hash.
    fn small(name: &str) -> Known {
        let mut set = manifest::find(name).unwrap();
        for file in &mut set.files {
            (file.items, file.content_sha256) = (2, None);
        }
        set
    }

    fn batch(first: u8) -> Vec<u8> {
        let record = |label: u8| [vec![label], (0..PIXELS).map(|i| (i / 1024) as u8 + 10 * label).collect()].concat();
        [record(first), record(first + 1)].concat()
    }

    #[test]
    fn existing_batches_are_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("data_batch_2.bin"), batch(1)).unwrap();
        std::fs::write(dir.path().join("data_batch_4.bin"), batch(3)).unwrap();
        std::fs::write(dir.path().join("test_batch.bin"), batch(7)).unwrap();
        let images = load(&TEN, &small("cifar10"), &[dir.path().into()]).unwrap();
        assert_eq!((images.labels.as_slice(), images.test), ([1, 2, 3, 4, 7, 8].as_slice(), TestItems::From(4)));
        // The second item's planes: red, green, blue.
        let item = &images.pixels[PIXELS..2 * PIXELS];
        assert_eq!((item[0], item[1023], item[1024], item[2048], item[3071]), (20, 20, 21, 22, 22));
    }

    #[test]
    fn missing_truncated_long_and_mislabelled_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (set, folders) = (small("cifar10"), [dir.path().to_path_buf()]);
        let refusal = || load(&TEN, &set, &folders).unwrap_err();
        assert!(refusal().to_string().contains("data_batch_1.bin"), "{}", refusal());
        std::fs::write(dir.path().join("test_batch.bin"), batch(7)).unwrap();
        for length in [0, 1, RECORD - 1, RECORD, 2 * RECORD - 1, 2 * RECORD + 1] {
            let mut bytes = batch(0);
            bytes.resize(length, 0);
            std::fs::write(dir.path().join("data_batch_1.bin"), bytes).unwrap();
            assert_eq!(refusal().exit_code(), 4);
            assert!(refusal().to_string().contains(&format!("{length} bytes, not 6146")), "{}", refusal());
        }
        let mut bytes = batch(0);
        bytes[RECORD] = 10;
        std::fs::write(dir.path().join("data_batch_1.bin"), bytes).unwrap();
        assert!(refusal().to_string().contains("byte 3073: label 10"), "{}", refusal());
    }

    #[test]
    fn a_hundred_kinds_have_two_labels_each() {
        let dir = tempfile::tempdir().unwrap();
        let record = |coarse: u8, fine: u8| [vec![coarse, fine], vec![fine; PIXELS]].concat();
        std::fs::write(dir.path().join("train.bin"), [record(3, 44), record(19, 99)].concat()).unwrap();
        std::fs::write(dir.path().join("test.bin"), [record(0, 7), record(11, 0)].concat()).unwrap();
        let (set, folders) = (small("cifar100"), [dir.path().to_path_buf()]);
        let fine = load(&FINE, &set, &folders).unwrap();
        assert_eq!(
            (fine.classes, fine.test, fine.labels.as_slice()),
            (100, TestItems::From(2), [44, 99, 7, 0].as_slice())
        );
        let coarse = load(&COARSE, &set, &folders).unwrap();
        assert_eq!((coarse.classes, coarse.labels.as_slice()), (20, [3, 19, 0, 11].as_slice()));
        assert_eq!((&fine.pixels, fine.pixels[PIXELS], fine.pixels.len()), (&coarse.pixels, 99, 4 * PIXELS));
        for (bytes, says) in [
            ([record(20, 0), record(0, 0)].concat(), "byte 0: label 20 is not in 0..20"),
            ([record(0, 0), record(0, 100)].concat(), "byte 3075: label 100 is not in 0..100"),
            (record(0, 0), "truncated: 3074 bytes, not 6148"),
        ] {
            std::fs::write(dir.path().join("train.bin"), bytes).unwrap();
            let error = load(&FINE, &set, &folders).unwrap_err();
            assert!(error.exit_code() == 4 && error.to_string().contains(says), "{error}");
        }
    }
}
