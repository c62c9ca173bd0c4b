//! The records of a text, read as they are asked for.

use std::io::{BufRead, Cursor, Read};

use super::frame::{Lead, delimiter};

/// A line, from 1, and what is wrong there.
pub(super) type Problem = (u64, String);

/// A line of a text, or several where a field has line ends.
pub(super) struct Record {
    /// Where it begins, from 1.
    pub line: u64,
    delimiter: u8,
    cells: csv::StringRecord,
    /// Whether every field stands between quotation marks.
    quoted: bool,
}

impl Record {
    pub fn fields(&self) -> Vec<&str> {
        // Columns padded with blanks leave empty fields between them.
        let kept = |field: &&str| self.delimiter != b' ' || !field.is_empty();
        self.cells.iter().map(str::trim).filter(kept).collect()
    }

    pub fn lead(&self) -> Lead<'_> {
        Lead { fields: self.fields(), quoted: self.quoted }
    }
}

/// What the reader of records has taken out of a text and is not yet behind, for a second look at a record as it is
/// written.
struct Window<'a> {
    from: std::io::Chain<Cursor<Vec<u8>>, &'a mut dyn BufRead>,
    taken: Vec<u8>,
    /// The place of `taken` in the text.
    at: u64,
}

impl Window<'_> {
    /// The bytes between two places, of which nothing before the first will be asked for again.
    fn between(&mut self, from: u64, to: u64) -> &[u8] {
        /// Bytes that are not worth moving the others for.
        const FEW: usize = 1 << 16;
        let mut behind = (from - self.at) as usize;
        if behind > FEW {
            self.taken.drain(..behind);
            (self.at, behind) = (from, 0);
        }
        self.taken.get(behind..behind + (to - from) as usize).unwrap_or_default()
    }
}

impl Read for Window<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(into)?;
        self.taken.extend(into.iter().take(read));
        Ok(read)
    }
}

/// A row that the lines before a record hide: one that begins with # and no blank; how many lines down, and its first
/// cell.
fn hidden(raw: &[u8]) -> Option<(u64, String)> {
    let row =
        |(_, line): &(usize, &[u8])| matches!(line, [b'#', next, ..] if !next.is_ascii_whitespace() && *next != b'#');
    let (below, line) = raw
        .split(|b| *b == b'\n')
        .enumerate()
        .take_while(|(_, line)| line.is_empty() || line.starts_with(b"#") || line == b"\r")
        .find(row)?;
    let cell = line.split(|b| b",;\t ".contains(b)).next().unwrap_or_default();
    Some((below as u64, String::from_utf8_lossy(cell.trim_ascii()).into_owned()))
}

/// The records of a text that are neither blank nor comments. A comment begins with # and a blank; above the first
/// record, where names may stand behind it, with # alone.
pub(super) struct Records<'a> {
    reader: csv::Reader<Window<'a>>,
    delimiter: u8,
    /// Of the next byte to be read.
    line: u64,
    /// Whether a record was read.
    begun: bool,
    /// The first bytes of the text.
    lead: Vec<u8>,
}

impl<'a> Records<'a> {
    /// Those behind the first `skip` lines.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn new(from: &'a mut dyn BufRead, skip: usize) -> std::result::Result<Self, Problem> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let failed = |line: u64| move |e: std::io::Error| (line, format!("cannot be read: {e}"));
        let (mut lead, mut line) = (Vec::new(), 1);
        for _ in 0..skip {
            lead.clear();
            line += u64::from(from.read_until(b'\n', &mut lead).map_err(failed(line))? > 0);
        }
        let mut head = head(from).map_err(failed(line))?;
        while head.starts_with(MARK) {
            head.drain(..MARK.len());
        }
        let delimiter = delimiter(&String::from_utf8_lossy(&head));
        let lead = head.iter().take(LEAD).copied().collect();
        let window = Window { from: Cursor::new(head).chain(from), taken: Vec::new(), at: 0 };
        let mut options = csv::ReaderBuilder::new();
        options.delimiter(delimiter).has_headers(false).flexible(true).comment(Some(b'#'));
        Ok(Records { reader: options.from_reader(window), delimiter, line, begun: false, lead })
    }

    /// The next one, if there is one.
    ///
    /// # Errors
    /// What is no text, or ends within quotation marks.
    pub fn next(&mut self) -> std::result::Result<Option<Record>, Problem> {
        let mut cells = csv::StringRecord::new();
        loop {
            let from = self.reader.position().byte();
            let read = self.reader.read_record(&mut cells);
            let to = self.reader.position().byte();
            let raw = self.reader.get_mut().between(from, to);
            // Blank lines and comments stand before a record, and line ends inside of its fields.
            let inside: u64 = cells.iter().map(|field| newlines(field.as_bytes())).sum();
            let own = raw.trim_ascii_end();
            let (marks, blank) = (count(own, b'"'), own.trim_ascii().is_empty());
            let enclosed = own.trim_ascii_start().starts_with(b"\"") && own.ends_with(b"\"");
            let line = (self.line + newlines(own)).saturating_sub(inside);
            let sound =
                if read.is_err() { std::str::from_utf8(raw).map_or_else(|e| e.valid_up_to(), str::len) } else { 0 };
            let wrong = self.line + newlines(raw.get(..sound).unwrap_or_default());
            let hidden = if self.begun { hidden(raw) } else { None };
            if let Some((below, cell)) = hidden {
                let what = format!("`{cell}` begins with #, as comments do; put it between quotation marks");
                return Err((self.line + below, what));
            }
            self.line += newlines(raw);
            match read {
                // One that is never closed has all line ends inside.
                Ok(true) if inside > 0 && marks % 2 == 1 => {
                    let line = self.line.saturating_sub(inside);
                    return Err((line, "no quotation mark closes the one that opens here".into()));
                }
                Ok(true) if blank => {}
                Ok(true) => {
                    self.begun = true;
                    let quoted = marks == 2 * cells.len() as u64 && enclosed;
                    return Ok(Some(Record { line, delimiter: self.delimiter, cells, quoted }));
                }
                Ok(false) => return Ok(None),
                Err(error) => {
                    return Err(match error.kind() {
                        csv::ErrorKind::Utf8 { .. } => (wrong, format!("is no text in UTF-8{}", kind(&self.lead))),
                        csv::ErrorKind::Io(error) => (line, format!("cannot be read: {error}")),
                        _ => (line, "is no row of numbers".into()),
                    });
                }
            }
        }
    }
}

/// The bytes up to the end of the second line that is neither blank nor a comment; a line goes on inside of quotation
/// marks.
fn head(from: &mut dyn BufRead) -> std::io::Result<Vec<u8>> {
    let (mut head, mut kept) = (Vec::new(), 0);
    while kept < 2 {
        let start = head.len();
        while from.read_until(b'\n', &mut head)? > 0 && count(head.get(start..).unwrap_or_default(), b'"') % 2 == 1 {}
        let line = head.get(start..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        kept += usize::from(!line.trim_ascii().is_empty() && !line.starts_with(b"#"));
    }
    Ok(head)
}

/// Bytes that tell what kind a file is.
const LEAD: usize = 16;

/// `, but …` of what is known by its first bytes.
fn kind(bytes: &[u8]) -> String {
    const KINDS: [(&[u8], &str); 9] = [
        (b"\xff\xfe", "text in UTF-16"),
        (b"\xfe\xff", "text in UTF-16"),
        (b"BZh", "compressed by bzip2"),
        (b"\xfd7zXZ", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"PAR1", "a Parquet file"),
        (b"\x89HDF", "an HDF5 file"),
        (b"MATLAB 5.0", "a file of MATLAB"),
        (b"\x80", "a pickle of Python"),
    ];
    let found = KINDS.iter().find(|(lead, _)| bytes.starts_with(lead));
    found.map(|(_, what)| format!(", but {what}")).unwrap_or_default()
}

fn newlines(bytes: &[u8]) -> u64 {
    count(bytes, b'\n')
}

fn count(bytes: &[u8], byte: u8) -> u64 {
    bytes.iter().filter(|b| **b == byte).count() as u64
}
