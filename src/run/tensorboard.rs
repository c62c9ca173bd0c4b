//! TensorBoard event files, written by hand: TFRecord framing around protobuf `Event` messages.
//!
//! A record is `length: u64 | crc(length): u32 | data | crc(data): u32`, little-endian, with masked CRC-32C. Of the
//! messages only scalars, PNG images, the mark of a restart and a run's settings are needed, five field kinds in all.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

mod hparams;

/// Writes one event file.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    /// A new file in `dir`. When a run is resumed after `step` steps, viewers are told to forget what came later.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(dir: &Path, step: u64) -> Result<Self> {
        let seconds = since_epoch() as u64;
        let named = (0u64..).map(|n| dir.join(format!("events.out.tfevents.{seconds}.ebm.{n}")));
        let path = named.take(1000).find(|p| !p.exists()).unwrap_or_else(|| dir.join("events.out.tfevents.0.ebm"));
        let file = File::create(&path).map_err(Error::io(&path))?;
        let mut log = EventLog { path, file };
        log.event(0, |event| event.bytes(3, b"brain.Event:2"))?;
        if step > 0 {
            // SessionLog { status: START }
            log.event(step + 1, |event| event.message(7, |session| session.varint(1, 1)))?;
        }
        Ok(log)
    }

    /// One point on the curve of every tag. Tags with the same word before a `/` are shown together.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalars(&mut self, step: u64, values: impl IntoIterator<Item = (String, f64)>) -> Result<()> {
        self.event(step, |event| {
            event.message(5, |summary| {
                for (tag, value) in values {
                    summary.message(1, |row| {
                        row.bytes(1, tag.as_bytes());
                        row.fixed32(2, value as f32);
                    });
                }
            });
        })
    }

    /// A picture, as an encoded PNG of the given size in pixels.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn image(&mut self, step: u64, tag: &str, (width, height): (u32, u32), png: &[u8]) -> Result<()> {
        const RGB: u64 = 3;
        self.event(step, |event| {
            event.message(5, |summary| {
                summary.message(1, |row| {
                    row.bytes(1, tag.as_bytes());
                    row.message(4, |image| {
                        image.varint(1, height.into());
                        image.varint(2, width.into());
                        image.varint(3, RGB);
                        image.bytes(4, png);
                    });
                });
            });
        })
    }

    fn event(&mut self, step: u64, fill: impl FnOnce(&mut Message)) -> Result<()> {
        let mut event = Message::default();
        event.fixed64(1, since_epoch());
        event.varint(2, step);
        fill(&mut event);
        self.file.write_all(&record(&event.0)).map_err(Error::io(&self.path))
    }
}

fn since_epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(crc32c(&length)).to_le_bytes(), data, &masked(crc32c(data)).to_le_bytes()].concat()
}

/// A protobuf message under construction. Wire types: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.raw_varint(field << 3);
        self.raw_varint(value);
    }

    fn fixed64(&mut self, field: u64, value: f64) {
        self.raw_varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u64, value: f32) {
        self.raw_varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.raw_varint(field << 3 | 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }
}

/// A checksum of data that itself holds checksums is masked, says the TFRecord format.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32 with the Castagnoli polynomial, reflected.
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    // The index is a byte, so it is inside the table.
    !data.iter().fold(!0, |crc, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(&[]), 0);
    }

    /// Takes a protobuf message apart: (field, value as number, value as bytes).
    fn fields(mut data: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
        fn varint(data: &mut &[u8]) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = data[0];
                *data = &data[1..];
                value |= u64::from(byte & 127) << shift;
                shift += 7;
                if byte < 128 {
                    return value;
                }
            }
        }
        let mut out = Vec::new();
        while !data.is_empty() {
            let key = varint(&mut data);
            let size = match key & 7 {
                0 => {
                    out.push((key >> 3, varint(&mut data), Vec::new()));
                    continue;
                }
                1 => 8,
                2 => varint(&mut data) as usize,
                5 => 4,
                other => panic!("wire type {other}"),
            };
            out.push((key >> 3, 0, data[..size].to_vec()));
            data = &data[size..];
        }
        out
    }

    /// The events of a file, framing checked bit by bit against an independent CRC (no table).
    fn events(path: &Path) -> Vec<Vec<(u64, u64, Vec<u8>)>> {
        let crc = |data: &[u8]| {
            let mut crc = u32::MAX;
            for byte in data {
                for bit in 0..8 {
                    let out = (crc ^ u32::from(byte >> bit)) & 1;
                    crc = (crc >> 1) ^ (out * 0x82f6_3b78);
                }
            }
            let crc = !crc;
            crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
        };
        let bytes = std::fs::read(path).unwrap();
        let (mut rest, mut out) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], crc(&rest[..8]));
            let data = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], crc(data));
            out.push(fields(data));
            rest = &rest[16 + length..];
        }
        out
    }

    fn number(event: &[(u64, u64, Vec<u8>)], field: u64) -> u64 {
        event.iter().find(|f| f.0 == field).unwrap().1
    }

    fn inside(event: &[(u64, u64, Vec<u8>)], field: u64) -> Vec<u8> {
        event.iter().find(|f| f.0 == field).unwrap().2.clone()
    }

    #[test]
    fn an_independent_reader_finds_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(dir.path(), 0).unwrap();
        let png: Vec<u8> = (0..=255).cycle().take(1000).collect();
        log.scalars(300, [("train/loss".to_owned(), 0.5), ("val/nll".to_owned(), -2.0)]).unwrap();
        log.image(301, "samples", (20, 10), &png).unwrap();
        let events = events(&log.path);
        assert_eq!(inside(&events[0], 3), b"brain.Event:2");
        assert_eq!(number(&events[1], 2), 300);
        let rows: Vec<(String, f32)> = fields(&inside(&events[1], 5))
            .iter()
            .map(|row| {
                let row = fields(&row.2);
                let value = inside(&row, 2).try_into().unwrap();
                (String::from_utf8(inside(&row, 1)).unwrap(), f32::from_le_bytes(value))
            })
            .collect();
        assert_eq!(rows, [("train/loss".into(), 0.5), ("val/nll".into(), -2.0)]);
        let row = fields(&inside(&fields(&inside(&events[2], 5)), 1));
        let image = fields(&inside(&row, 4));
        assert_eq!((number(&image, 1), number(&image, 2), number(&image, 3)), (10, 20, 3));
        assert_eq!(inside(&image, 4), png);
    }

    #[test]
    fn a_resumed_run_marks_its_restart_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let first = EventLog::create(dir.path(), 0).unwrap();
        let second = EventLog::create(dir.path(), 500).unwrap();
        assert_ne!(first.path, second.path);
        let events = events(&second.path);
        assert_eq!(number(&events[1], 2), 501);
        assert_eq!(number(&fields(&inside(&events[1], 7)), 1), 1);
        assert!(second.path.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    }
}
