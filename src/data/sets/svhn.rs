//! Street View House Numbers, cropped digits: two MAT-files with `X` `[32, 32, 3, N]` and `y` `[N, 1]`.

use crate::config::{Schema, decode};
use crate::data::files::{
    format::FileFormat,
    images::{self, ImageFormat},
    locate::{self, Content},
    manifest::{Known, KnownFile},
};
use crate::data::formats::mat5::{self, Array, Numbers};
use crate::data::keys::{Files, Pixels};
use crate::data::row::{DatasetRow, Origin};
use crate::data::source::{Images, Source};
use crate::{Error, Result};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// The MAT-files of SVHN.
struct Cropped;

/// `svhn`.
pub(crate) const SVHN: DatasetRow = DatasetRow {
    name: "svhn",
    about: "digits of house numbers, 73,257 + 26,032 of 3×32×32",
    cite: "Netzer, Wang, Coates, Bissacco, Wu, Ng 2011",
    schema: Schema::of::<(Files, Pixels)>(),
    origin: Origin::Files(&Cropped),
    pictures: true,
    example: "",
    build: |table| {
        let Files { path } = decode(table)?;
        Ok(Source::Images(images::open(&Cropped, "svhn", &path)?))
    },
};

impl FileFormat for Cropped {
    fn check(&self, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        self.append(&mut self.empty(), set, file, content)
    }
}

impl ImageFormat for Cropped {
    fn empty(&self) -> Images {
        Images::empty([3, SIDE, SIDE], 256, 10)
    }

    fn append(&self, images: &mut Images, set: &Known, file: &KnownFile, content: &Content) -> Result<()> {
        let remedy = format!("move the file away; {}", set.remedy());
        let bad = |what: String| Error::data(&content.path, what, &*remedy);
        let arrays = mat5::arrays(&content.bytes).map_err(bad)?;
        let named = |name: &str| {
            arrays
                .iter()
                .find(|a| a.name == name)
                .ok_or_else(|| bad(format!("has no array of real numbers called `{name}`")))
        };
        let (x, y) = (named("X")?, named("y")?);
        let labels = labels(y, file.items).map_err(bad)?;
        images.pixels.extend(pixels(x, file.items).map_err(bad)?);
        images.labels.extend(labels.into_iter().map(u16::from));
        locate::check_hash(set, file, content)
    }
}

/// `[32, 32, 3, N]`, the row running fastest, as N × 3 × 32 × 32, the column running fastest.
fn pixels(x: &Array, items: usize) -> std::result::Result<impl Iterator<Item = u8>, String> {
    match &x.numbers {
        Numbers::Bytes(bytes) if x.dims == [SIDE, SIDE, 3, items] => {
            let upright = |plane| (0..PLANE).map(move |i| plane_at(plane, i));
            Ok(bytes.chunks_exact(PLANE).flat_map(upright))
        }
        Numbers::Bytes(_) => Err(format!("`X` has dimensions {:?}, not {:?}", x.dims, [SIDE, SIDE, 3, items])),
        Numbers::Reals(_) => Err("`X` is not stored as bytes".into()),
    }
}

/// Pixel i, row after row, of a plane stored column after column.
fn plane_at(plane: &[u8], i: usize) -> u8 {
    plane.get(i % SIDE * SIDE + i / SIDE).copied().unwrap_or(0)
}

/// 1 to 9, and 10 for the digit 0.
fn labels(y: &Array, items: usize) -> std::result::Result<Vec<u8>, String> {
    let values = y.numbers.reals();
    if values.len() != items {
        return Err(format!("`y` has {} labels, not {items}", values.len()));
    }
    let digit = |(i, &v): (usize, &f64)| match v {
        v if v.fract() == 0.0 && (1.0..=10.0).contains(&v) => Ok(v as u8 % 10),
        v => Err(format!("`y` of item {i} (from 0) is {v}, not a whole number from 1 to 10")),
    };
    values.iter().enumerate().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::files::manifest;
    use crate::data::formats::mat5::write;
    use crate::data::source::TestItems;
    use crate::store::checkpoint::sha256;

    const N: usize = 2;

    fn small() -> Known {
        let mut set = manifest::find("svhn").unwrap();
        for file in &mut set.files {
            (file.items, file.content_sha256) = (N, None);
        }
        set
    }

    /// Pixel (row, column, channel, item) is a function of all four.
    fn pixel(row: usize, column: usize, channel: usize, item: usize) -> u8 {
        (row * 7 + column * 3 + channel * 50 + item * 101) as u8
    }

    fn x() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (item, channel) in (0..N).flat_map(|n| (0..3).map(move |c| (n, c))) {
            bytes.extend((0..PLANE).map(|i| pixel(i % SIDE, i / SIDE, channel, item)));
        }
        write::array("X", 9, &[SIDE, SIDE, 3, N], (2, &bytes), true)
    }

    fn y(labels: &[f64]) -> Vec<u8> {
        let bytes: Vec<u8> = labels.iter().flat_map(|v| v.to_le_bytes()).collect();
        write::array("y", 6, &[labels.len(), 1], (9, &bytes), true)
    }

    fn read(files: [Vec<u8>; 2]) -> Result<Images> {
        let content = |bytes: Vec<u8>| Ok(Content { path: "train.mat".into(), sha256: sha256(&bytes), bytes });
        images::assemble(&Cropped, &small(), small().files.iter().zip(files.into_iter().map(content)))
    }

    #[test]
    fn images_stand_upright_and_ten_is_the_digit_zero() {
        let plain = [write::header(true), x(), y(&[10.0, 1.0])].concat();
        let bytes = write::array("y", 9, &[N, 1], (2, &[9, 10]), true);
        let packed = [write::header(true), write::packed(&x()), write::packed(&bytes)].concat();
        let images = read([plain, packed]).unwrap();
        assert_eq!((images.labels.as_slice(), images.test), ([0, 1, 9, 0].as_slice(), TestItems::From(2)));
        assert_eq!(images.pixels[..2 * 3 * PLANE], images.pixels[2 * 3 * PLANE..]);
        for (item, channel, row, column) in [(0, 0, 0, 1), (0, 2, 5, 31), (1, 1, 31, 0), (1, 0, 17, 4)] {
            let at = ((item * 3 + channel) * SIDE + row) * SIDE + column;
            assert_eq!(images.pixels[at], pixel(row, column, channel, item));
        }
    }

    #[test]
    fn wrong_content_is_named() {
        let with = |variables: &[Vec<u8>]| read([[write::header(true), variables.concat()].concat(), vec![]]);
        let reals = write::array("X", 6, &[1], (9, &[0; 8]), true);
        let narrow = write::array("X", 9, &[SIDE, SIDE, 3, 1], (2, &[0; 3 * PLANE]), true);
        for (variables, says) in [
            (vec![x()], "called `y`"),
            (vec![y(&[1.0, 2.0])], "called `X`"),
            (vec![x(), y(&[1.0])], "1 labels, not 2"),
            (vec![x(), y(&[1.0, 0.0])], "`y` of item 1 (from 0) is 0"),
            (vec![x(), y(&[f64::NAN, 1.0])], "`y` of item 0"),
            (vec![x(), y(&[1.5, 1.0])], "is 1.5, not a whole number"),
            (vec![narrow, y(&[1.0, 2.0])], "not [32, 32, 3, 2]"),
            (vec![reals, y(&[1.0, 2.0])], "not stored as bytes"),
        ] {
            let error = with(&variables).unwrap_err();
            assert!(error.exit_code() == 4 && error.to_string().contains(says), "{error}");
            assert!(error.to_string().contains("data fetch svhn"), "{error}");
        }
        let file = [write::header(true), x(), y(&[1.0, 2.0])].concat();
        for end in (0..file.len()).step_by(331) {
            assert_eq!(read([file[..end].to_vec(), vec![]]).unwrap_err().exit_code(), 4);
        }
    }
}
