//! Skeleton of a data set of known files in a format of its own. Copy it to `src/data/sets/<name>.rs`, write `crate::`
//! for `ebm::`, add the row to `DATASETS` and the entry `file_set.toml` to `datasets/manifest.toml`;
//! `docs/adding-a-data-set.md` tells the rest. A set in IDX files or in CIFAR's binary records needs no format: see
//! `mnist.rs` and `cifar.rs`.

use ebm::config::{Schema, decode};
use ebm::data::locate::{self, Content};
use ebm::data::manifest::{Known, KnownFile};
use ebm::data::{DatasetRow, FileFormat, Files, Images, Origin, Pixels, Source, images};
use ebm::{Error, Result};

/// `tiles`.
pub const TILES: DatasetRow = DatasetRow {
    name: "tiles",
    about: "patterns of four kinds, 3 + 2 of 4×4",
    // Authors and year.
    cite: "",
    // The keys of all sets of files (`path`) and of all sets of images (`transform`, `validation`, …).
    schema: Schema::of::<(Files, Pixels)>(),
    origin: Origin::Files(&Tiles),
    pictures: false,
    example: "",
    build: |table| {
        let Files { path } = decode(table)?;
        Ok(Source::Images(images::open(&Tiles, "tiles", &path)?))
    },
};

/// Records of one label byte and 16 bytes of pixels, row after row.
pub struct Tiles;

/// Height and width.
const SIDE: usize = 4;
/// Bytes of a record.
const RECORD: usize = 1 + SIDE * SIDE;
/// Labels are below this.
const CLASSES: usize = 4;

impl FileFormat for Tiles {
    /// The same checks for `ebm data verify`, for `ebm data fetch` and for training.
    fn check(&self, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        use images::ImageFormat as _;
        self.append(&mut self.empty(), set, file, content)
    }
}

impl images::ImageFormat for Tiles {
    fn empty(&self) -> Images {
        Images::empty([1, SIDE, SIDE], 256, CLASSES)
    }

    /// Everything that can be wrong with a file is named with its place, and the remedy with it.
    fn append(&self, images: &mut Images, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        let bad = |what: String| Err(Error::data(&content.path, what, format!("move the file away; {}", set.remedy())));
        let (have, want) = (content.bytes.len(), file.items * RECORD);
        if have != want {
            let what = if have < want { "truncated" } else { "too long" };
            return bad(format!("{what}: {have} bytes, not {want} ({} records of {RECORD})", file.items));
        }
        for (i, record) in content.bytes.chunks_exact(RECORD).enumerate() {
            let Some((label, pixels)) = record.split_first() else { continue };
            if usize::from(*label) >= CLASSES {
                return bad(format!("byte {}: label {label} is not in 0..{CLASSES}", i * RECORD));
            }
            images.labels.push(u16::from(*label));
            images.pixels.extend_from_slice(pixels);
        }
        locate::check_hash(set, file, content)
    }
}
