//! Bytes read one piece after another, never beyond their end.

/// What is left to read of some bytes.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    left: &'a [u8],
    read: usize,
}

impl<'a> Bytes<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Bytes { left: bytes, read: 0 }
    }

    /// How many were read.
    pub fn position(&self) -> usize {
        self.read
    }

    /// The next `n`.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (Some(taken), Some(left)) = (self.left.get(..n), self.left.get(n..)) else {
            return Err(format!("ends at byte {}, where {n} more are needed", self.read + self.left.len()));
        };
        (self.left, self.read) = (left, self.read + n);
        Ok(taken)
    }

    /// The next N, as an array.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N)?;
        <[u8; N]>::try_from(taken).map_err(|e| e.to_string())
    }

    /// The next one.
    ///
    /// # Errors
    /// None is left.
    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// A length of `width` bytes, and so many that follow it.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn counted(&mut self, width: usize) -> Result<&'a [u8], String> {
        let length = self.take(width)?.iter().rev().fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
        self.take(usize::try_from(length).map_err(|e| e.to_string())?)
    }

    /// The text up to the end of the line, without it.
    ///
    /// # Errors
    /// No line ends.
    pub fn line(&mut self) -> Result<String, String> {
        let end = self.left.iter().position(|byte| *byte == b'\n').ok_or("a line without an end")?;
        let line = self.take(end + 1)?;
        Ok(String::from_utf8_lossy(line.get(..end).unwrap_or_default()).trim_end_matches('\r').to_owned())
    }
}
