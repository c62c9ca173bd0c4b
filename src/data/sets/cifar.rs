//! CIFAR-10 and CIFAR-100 in their binary versions: records of one or two label bytes and 3 × 1024 bytes of red, green,
//! blue.

use std::path::PathBuf;

use crate::data::files::{
    locate::{self, Content},
    manifest::{self, Known, KnownFile},
};
use crate::data::keys::{Files, Pixels};
use crate::data::source::{BuildSource, Images, Source};
use crate::{
    Error, Result,
    config::{Entry, Schema, decode},
};

const PIXELS: usize = 3 * 32 * 32;

/// The label bytes in front of the pixels.
#[derive(Clone, Copy)]
struct Form {
    /// How many kinds each byte tells apart.
    kinds: &'static [u8],
    /// The byte that is the label.
    label: usize,
}

const TEN: Form = Form { kinds: &[10], label: 0 };
const FINE: Form = Form { kinds: &[20, 100], label: 1 };
const COARSE: Form = Form { label: 0, ..FINE };

/// `cifar10`.
pub(crate) const CIFAR10: Entry<BuildSource> = Entry {
    name: "cifar10",
    about: "ten kinds of objects, 50,000 + 10,000 of 3×32×32; uses the training batches that are there",
    cite: "Krizhevsky 2009",
    schema: Schema::of::<(Files, Pixels)>(),
    build: |table| {
        let Files { path } = decode(table)?;
        open("cifar10", &path, TEN)
    },
};

crate::config! {
    /// Keys of `cifar100`.
    pub struct Cifar100 {
        /// The folder that holds the files; empty: `$EBM_DATA/<name>`, then `datasets/<name>`.
        path: String = String::new();
        /// Labels are the 20 groups of classes instead of the 100 classes.
        coarse: bool = false;
    }
}

/// `cifar100`.
pub(crate) const CIFAR100: Entry<BuildSource> = Entry {
    name: "cifar100",
    about: "a hundred kinds of objects in twenty groups, 50,000 + 10,000 of 3×32×32",
    cite: "Krizhevsky 2009",
    schema: Schema::of::<(Cifar100, Pixels)>(),
    build: |table| {
        let Cifar100 { path, coarse } = decode(table)?;
        open("cifar100", &path, if coarse { COARSE } else { FINE })
    },
};

fn open(name: &str, path: &str, form: Form) -> Result<Source> {
    let set = manifest::find(name)?;
    Ok(Source::Images(load(&set, &locate::folders(&set, path), form)?))
}

impl Form {
    /// Bytes of a record.
    fn record(self) -> usize {
        self.kinds.len() + PIXELS
    }

    fn empty(self) -> Images {
        Images {
            shape: [3, 32, 32],
            levels: 256,
            classes: self.kinds.get(self.label).copied().map_or(0, usize::from),
            pixels: Vec::new(),
            labels: Vec::new(),
            test_from: None,
            sha256: String::new(),
        }
    }
}

/// Reads the training files that exist (at least one) and the test file.
fn load(set: &Known, folders: &[PathBuf], form: Form) -> Result<Images> {
    let mut images = form.empty();
    let mut hashes = String::new();
    for file in &set.files {
        let test = file.role == "test";
        let wanted = test || images.is_empty() && set.files.iter().all(|f| f.role == "test" || !here(f, folders));
        if !wanted && !here(file, folders) {
            continue;
        }
        let content = locate::read(set, file, folders)?;
        if test {
            images.test_from = Some(images.len());
        }
        append(&mut images, set, file, &content, form)?;
        hashes += &content.sha256;
    }
    images.sha256 = locate::hex(hashes.as_bytes());
    Ok(images)
}

fn here(file: &KnownFile, folders: &[PathBuf]) -> bool {
    locate::find(folders, file).is_some()
}

/// Checks one file and appends what is in it.
fn append(images: &mut Images, set: &Known, file: &KnownFile, content: &Content, form: Form) -> Result<()> {
    let remedy = format!("move the file away; {}", set.remedy());
    let bad = |what: String| Err(Error::data(&content.path, what, &*remedy));
    let record = form.record();
    let (have, want) = (content.bytes.len(), file.items * record);
    if have != want {
        let what = if have < want { "truncated" } else { "too long" };
        return bad(format!("{what}: {have} bytes, not {want} ({} records of {record})", file.items));
    }
    for (i, bytes) in content.bytes.chunks_exact(record).enumerate() {
        let Some((labels, pixels)) = bytes.split_at_checked(form.kinds.len()) else { continue };
        if let Some(k) = labels.iter().zip(form.kinds).position(|(label, kinds)| label >= kinds) {
            let at = i * record + k;
            return bad(format!("byte {at}: label {} is not in 0..{}", labels[k], form.kinds[k]));
        }
        images.labels.extend(labels.get(form.label).map(|&label| u16::from(label)));
        images.pixels.extend_from_slice(pixels);
    }
    locate::check_hash(set, file, content)
}

/// Checks one file by itself.
///
/// # Errors
/// It is truncated, corrupt or not what its name says.
pub(crate) fn check(set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
    let form = if set.name == "cifar100" { FINE } else { TEN };
    append(&mut form.empty(), set, file, content, form)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let images = load(&small("cifar10"), &[dir.path().into()], TEN).unwrap();
        assert_eq!((images.labels.as_slice(), images.test_from), ([1, 2, 3, 4, 7, 8].as_slice(), Some(4)));
        // The second item's planes: red, green, blue.
        let item = &images.pixels[PIXELS..2 * PIXELS];
        assert_eq!((item[0], item[1023], item[1024], item[2048], item[3071]), (20, 20, 21, 22, 22));
    }

    #[test]
    fn missing_truncated_long_and_mislabelled_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (set, folders) = (small("cifar10"), [dir.path().to_path_buf()]);
        let refusal = || load(&set, &folders, TEN).unwrap_err();
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
        let fine = load(&set, &folders, FINE).unwrap();
        assert_eq!((fine.classes, fine.test_from, fine.labels.as_slice()), (100, Some(2), [44, 99, 7, 0].as_slice()));
        let coarse = load(&set, &folders, COARSE).unwrap();
        assert_eq!((coarse.classes, coarse.labels.as_slice()), (20, [3, 19, 0, 11].as_slice()));
        assert_eq!((&fine.pixels, fine.pixels[PIXELS], fine.pixels.len()), (&coarse.pixels, 99, 4 * PIXELS));
        for (bytes, says) in [
            ([record(20, 0), record(0, 0)].concat(), "byte 0: label 20 is not in 0..20"),
            ([record(0, 0), record(0, 100)].concat(), "byte 3075: label 100 is not in 0..100"),
            (record(0, 0), "truncated: 3074 bytes, not 6148"),
        ] {
            std::fs::write(dir.path().join("train.bin"), bytes).unwrap();
            let error = load(&set, &folders, FINE).unwrap_err();
            assert!(error.exit_code() == 4 && error.to_string().contains(says), "{error}");
        }
    }
}
