//! `images` from Parquet files as image hubs ship them.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use ebm::data::{Data, Split};
use image::{ImageFormat, Rgb, RgbImage};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::support::{try_open, values};
use crate::harness::python;

/// A column of a file that a test writes; cells may be missing.
enum Cells {
    Bytes(Vec<Option<Vec<u8>>>),
    Integers(Vec<Option<i64>>),
}

/// Writes the columns in groups of `rows` rows; a cell that is there has the level `levels`.
fn write(path: &Path, schema: &str, columns: &[(Cells, i16)], rows: usize) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let total = match &columns[0].0 {
        Cells::Bytes(all) => all.len(),
        Cells::Integers(all) => all.len(),
    };
    fn parted<T: Clone>(all: &[Option<T>], level: i16) -> (Vec<T>, Vec<i16>) {
        let levels = all.iter().map(|v| if v.is_some() { level } else { 0 }).collect();
        (all.iter().flatten().cloned().collect(), levels)
    }
    for from in (0..total).step_by(rows) {
        let range = from..(from + rows).min(total);
        let mut group = writer.next_row_group().unwrap();
        for (cells, level) in columns {
            let mut column = group.next_column().unwrap().unwrap();
            match (column.untyped(), cells) {
                (ColumnWriter::ByteArrayColumnWriter(column), Cells::Bytes(all)) => {
                    let (found, levels) = parted(&all[range.clone()], *level);
                    let found: Vec<ByteArray> = found.into_iter().map(ByteArray::from).collect();
                    column.write_batch(&found, Some(&levels), None).unwrap();
                }
                (ColumnWriter::Int64ColumnWriter(column), Cells::Integers(all)) => {
                    let (found, levels) = parted(&all[range.clone()], *level);
                    column.write_batch(&found, Some(&levels), None).unwrap();
                }
                _ => panic!("another column"),
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// A picture of one colour as a PNG file.
fn png(level: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(4, 3, Rgb([level, 7, 9])).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

const HUB: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (UTF8); }
    optional int64 label; optional binary caption (UTF8); }";

/// Rows as a hub ships them, the picture number i of level i.
fn shard(path: &Path, numbers: std::ops::Range<u8>, label: impl Fn(u8) -> i64, rows: usize) {
    let bytes = Cells::Bytes(numbers.clone().map(|i| Some(png(i))).collect());
    let paths = Cells::Bytes(numbers.clone().map(|i| Some(format!("{i}.png").into_bytes())).collect());
    let labels = Cells::Integers(numbers.clone().map(|i| Some(label(i))).collect());
    let captions = Cells::Bytes(numbers.map(|_| None).collect());
    write(path, HUB, &[(bytes, 2), (paths, 2), (labels, 1), (captions, 1)], rows);
}

fn open(path: &Path, keys: &str) -> ebm::Result<Data> {
    let all = format!("path = {path:?}\ncache = false\ntransform = \"none\"\ndequantise = false\n{keys}");
    try_open("images", &all)
}

/// Label and first pixel of each item, sorted.
fn items(data: &Data, split: Split) -> Vec<(u32, u8)> {
    let batch = data.all(split, usize::MAX).unwrap();
    let labels = batch.y.unwrap().to_vec1::<u32>().unwrap();
    let mut found: Vec<_> = labels.into_iter().zip(values(&batch.x).chunks(36).map(|x| x[0] as u8)).collect();
    found.sort_unstable();
    found
}

fn said(result: ebm::Result<Data>) -> (i32, String) {
    let error = result.err().unwrap();
    (error.exit_code(), error.to_string())
}

#[test]
fn shards_with_records_of_bytes_are_read_into_their_parts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let label = |i: u8| i64::from(i % 3);
    shard(&data.join("train-00000-of-00002.parquet"), 0..20, label, 7);
    shard(&data.join("train-00001-of-00002.parquet"), 20..30, label, 100);
    shard(&data.join("test-00000-of-00001.parquet"), 30..36, label, 4);
    std::fs::write(dir.path().join("README.md"), "a card").unwrap();
    let set = open(dir.path(), "validation = 5").unwrap();
    assert_eq!((set.spec().shape.as_slice(), set.spec().classes), ([3, 3, 4].as_slice(), Some(3)));
    assert_eq!(set.spec().sizes, Some([25, 5, 6]));
    let pairs = |range: std::ops::Range<u8>| {
        let mut all: Vec<_> = range.map(|i| (label(i) as u32, i)).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(items(&set, Split::Test), pairs(30..36));
    let mut rest = [items(&set, Split::Train), items(&set, Split::Validation)].concat();
    rest.sort_unstable();
    assert_eq!(rest, pairs(0..30));
    // One file by itself, in grey and smaller.
    let one =
        open(&data.join("train-00001-of-00002.parquet"), "size = 2\nchannels = \"grey\"\ntest = 2\nvalidation = 2");
    let one = one.unwrap();
    assert_eq!((one.spec().shape.as_slice(), one.spec().sizes), ([1, 2, 2].as_slice(), Some([6, 2, 2])));
    assert_eq!(open(dir.path(), "labels = \"none\"").unwrap().spec().classes, Some(1));
}

#[test]
fn what_a_table_leaves_open_is_asked_for_and_wrong_rows_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let schema = "message schema { required binary photo; required binary mask;
        required int64 fine; required int64 coarse; }";
    let bytes = |broken: bool| {
        let picture = |i: u8| if broken && i == 2 { b"nothing".to_vec() } else { png(i) };
        Cells::Bytes((0..6).map(|i| Some(picture(i))).collect())
    };
    let numbers = |by: i64| Cells::Integers((0..6).map(|i| Some(i / by)).collect());
    let save = |broken| {
        write(&path, schema, &[(bytes(broken), 0), (bytes(false), 0), (numbers(2), 0), (numbers(3), 0)], 4);
    };
    save(false);
    let (code, text) = said(open(&path, ""));
    assert!(code == 2 && text.contains("photo, mask") && text.contains("dataset.array"), "{text}");
    let (code, text) = said(open(&path, "array = \"photo\""));
    assert!(code == 2 && text.contains("fine, coarse") && text.contains("dataset.labels"), "{text}");
    let open_with = |keys: &str| open(&path, &format!("array = \"photo\"\ntest = 0.0\nvalidation = 0.0\n{keys}"));
    let data = open_with("labels = \"fine\"").unwrap();
    assert_eq!(items(&data, Split::Train), [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]);
    assert!(said(open_with("labels = \"rough\"")).1.contains("no column of labels `rough` but fine, coarse"));
    assert!(said(open(&path, "array = \"picture\"")).1.contains("no column `picture`"));
    save(true);
    let (code, text) = said(open_with("labels = \"coarse\""));
    assert!(code == 4 && text.contains("1 of 6") && text.contains("wrong = \"skip\""), "{text}");
    let data = open_with("labels = \"coarse\"\nwrong = \"skip\"").unwrap();
    assert_eq!(items(&data, Split::Train), [(0, 0), (0, 1), (1, 3), (1, 4), (1, 5)]);
    let whole = std::fs::read(&path).unwrap();
    for end in [0, 4, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..end]).unwrap();
        let (code, text) = said(open_with("labels = \"fine\""));
        assert!(code == 4 && text.contains("Parquet"), "cut at {end}: {text}");
    }
}

#[test]
fn rows_without_a_picture_or_a_label_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let schema = "message schema { optional group image { optional binary bytes; } optional int64 label; }";
    let save = |picture: usize, label: usize| {
        let bytes = Cells::Bytes((0..5).map(|i| (i != picture).then(|| png(i as u8))).collect());
        let labels = Cells::Integers((0..5).map(|i| (i != label).then_some(1)).collect());
        write(&path, schema, &[(bytes, 2), (labels, 1)], 5);
    };
    save(3, 9);
    assert!(said(open(&path, "")).1.contains("1 of 5 pictures cannot be used: 3 (has no bytes)"));
    assert_eq!(open(&path, "wrong = \"skip\"\ntest = 0.0\nvalidation = 0.0").unwrap().spec().sizes, Some([4, 0, 0]));
    save(9, 2);
    assert!(said(open(&path, "")).1.contains("no label in 1 of 5 rows"));
}

#[test]
fn what_python_writes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let script = "
import io, pyarrow as pa, pyarrow.parquet as pq
from PIL import Image
def png(i):
    b = io.BytesIO(); Image.new('RGB', (4, 3), (i, 7, 9)).save(b, 'PNG'); return b.getvalue()
for codec in ['snappy', 'zstd', 'gzip', 'none']:
    for version in ['1.0', '2.0']:
        rows = [{'bytes': png(i), 'path': f'{i}.png'} for i in range(12)]
        table = pa.table({'image': rows, 'label': pa.array([i % 4 for i in range(12)], pa.int8()),
            'tags': [['a', 'b']] * 12, 'kind': pa.array(['cat', 'dog'] * 6).dictionary_encode()})
        pq.write_table(table, f'{codec}{version}.parquet', compression=codec, data_page_version=version,
            row_group_size=5)
";
    if !python(&["pyarrow", "PIL"], script, dir.path()) {
        return;
    }
    for codec in ["snappy", "zstd", "gzip", "none"] {
        for version in ["1.0", "2.0"] {
            let path = dir.path().join(format!("{codec}{version}.parquet"));
            let data = open(&path, "test = 0.0\nvalidation = 0.0").unwrap();
            let want: Vec<_> = (0..4).flat_map(|k| [0, 4, 8].map(|i| (u32::from(k), k + i))).collect();
            assert_eq!(items(&data, Split::Train), want, "{codec} {version}");
            let data = open(&path, "labels = \"kind\"").unwrap();
            assert_eq!(data.spec().classes, Some(2));
        }
    }
}
