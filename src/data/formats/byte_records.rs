//! Binary records of one label byte or more and the pixels of one image, as CIFAR has them: 3 × 1024 bytes of red,
//! green, blue.

use crate::data::files::{
    format::FileFormat,
    images::ImageFormat,
    locate::{self, Content},
    manifest::{Known, KnownFile},
};
use crate::data::source::Images;
use crate::{Error, Result};

/// Files of records, with one image each.
#[derive(Clone, Copy)]
pub(crate) struct ByteRecords {
    /// How many kinds each label byte in front of the pixels tells apart.
    pub kinds: &'static [u8],
    /// The byte that is the label.
    pub label: usize,
    /// Channels, height, width.
    pub shape: [usize; 3],
}

impl ByteRecords {
    /// Bytes of a record.
    fn record(self) -> usize {
        self.kinds.len() + self.shape.iter().product::<usize>()
    }
}

impl FileFormat for ByteRecords {
    fn check(&self, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        self.append(&mut self.empty(), set, file, content)
    }

    /// The test file and the training files that are there, at least one.
    fn enough<'a>(&self, set: &'a Known, here: &dyn Fn(&KnownFile) -> bool) -> Vec<&'a KnownFile> {
        let any = set.files.iter().any(|file| file.role == "train" && here(file));
        set.files.iter().filter(|file| !any || file.role == "test" || here(file)).collect()
    }
}

impl ImageFormat for ByteRecords {
    fn empty(&self) -> Images {
        Images::empty(self.shape, 256, self.kinds.get(self.label).copied().map_or(0, usize::from))
    }

    fn append(&self, images: &mut Images, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        let remedy = format!("move the file away; {}", set.remedy());
        let bad = |what: String| Err(Error::data(&content.path, what, &*remedy));
        let record = self.record();
        let (have, want) = (content.bytes.len(), file.items * record);
        if have != want {
            let what = if have < want { "truncated" } else { "too long" };
            return bad(format!("{what}: {have} bytes, not {want} ({} records of {record})", file.items));
        }
        for (i, bytes) in content.bytes.chunks_exact(record).enumerate() {
            let Some((labels, pixels)) = bytes.split_at_checked(self.kinds.len()) else { continue };
            if let Some(k) = labels.iter().zip(self.kinds).position(|(label, kinds)| label >= kinds) {
                let at = i * record + k;
                return bad(format!("byte {at}: label {} is not in 0..{}", labels[k], self.kinds[k]));
            }
            images.labels.extend(labels.get(self.label).map(|&label| u16::from(label)));
            images.pixels.extend_from_slice(pixels);
        }
        locate::check_hash(set, file, content)
    }
}
