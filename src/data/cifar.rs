//! CIFAR-10 in its binary version: 10,000 records a file, each a label byte and 3 × 1024 bytes of red, green, blue.

use std::path::PathBuf;

use super::{
    BuildSource, Images, Pixels, Source,
    locate::{self, Content},
    manifest::{self, Known, KnownFile},
    mnist::Files,
};
use crate::{
    Error, Result,
    config::{Entry, Schema, decode},
};

const PIXELS: usize = 3 * 32 * 32;
const RECORD: usize = 1 + PIXELS;
const CLASSES: usize = 10;

/// `cifar10`.
pub(super) const CIFAR10: Entry<BuildSource> = Entry {
    name: "cifar10",
    about: "ten kinds of objects, 50,000 + 10,000 of 3×32×32; uses the training batches that are there",
    cite: "Krizhevsky 2009",
    schema: Schema::joined::<Files, Pixels>(),
    build: |table| {
        let set = manifest::find("cifar10")?;
        let folders = locate::folders(&set, &decode::<Files>(table)?.path);
        Ok(Source::Images(load(&set, &folders)?))
    },
};

fn empty() -> Images {
    Images {
        shape: [3, 32, 32],
        levels: 256,
        classes: CLASSES,
        pixels: Vec::new(),
        labels: Vec::new(),
        test_from: None,
        sha256: String::new(),
    }
}

/// Reads the training batches that exist (at least one) and the test batch.
fn load(set: &Known, folders: &[PathBuf]) -> Result<Images> {
    let mut images = empty();
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
        append(&mut images, set, file, &content)?;
        hashes += &content.sha256;
    }
    images.sha256 = locate::hex(hashes.as_bytes());
    Ok(images)
}

fn here(file: &KnownFile, folders: &[PathBuf]) -> bool {
    locate::find(folders, file).is_some()
}

/// Checks one file and appends what is in it.
fn append(images: &mut Images, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
    let remedy = format!("move the file away; {}", set.remedy());
    let bad = |what: String| Err(Error::data(&content.path, what, &*remedy));
    let (have, want) = (content.bytes.len(), file.items * RECORD);
    if have != want {
        let what = if have < want { "truncated" } else { "too long" };
        return bad(format!("{what}: {have} bytes, not {want} ({} records of {RECORD})", file.items));
    }
    for (i, record) in content.bytes.chunks_exact(RECORD).enumerate() {
        match record.split_first() {
            Some((&label, pixels)) if usize::from(label) < CLASSES => {
                images.labels.push(label);
                images.pixels.extend_from_slice(pixels);
            }
            _ => return bad(format!("byte {}: label {} is not in 0..{CLASSES}", i * RECORD, record[0])),
        }
    }
    locate::check_hash(set, file, content)
}

/// Checks one file by itself.
///
/// # Errors
/// It is truncated, corrupt or not what its name says.
pub(super) fn check(set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
    append(&mut empty(), set, file, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set of files with two records each and no known hash.
    fn small() -> Known {
        let mut set = manifest::find("cifar10").unwrap();
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
        let images = load(&small(), &[dir.path().into()]).unwrap();
        assert_eq!((images.labels.as_slice(), images.test_from), ([1, 2, 3, 4, 7, 8].as_slice(), Some(4)));
        // The second item's planes: red, green, blue.
        let item = &images.pixels[PIXELS..2 * PIXELS];
        assert_eq!((item[0], item[1023], item[1024], item[2048], item[3071]), (20, 20, 21, 22, 22));
    }

    #[test]
    fn missing_truncated_long_and_mislabelled_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (set, folders) = (small(), [dir.path().to_path_buf()]);
        let refusal = || load(&set, &folders).unwrap_err();
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
}
