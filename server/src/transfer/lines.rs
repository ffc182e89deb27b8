//! Reads lines, and knows the place after each.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};

use agentfs_contract::manifest::hex;
use sha2::{Digest as _, Sha256};

use crate::domain::{BYTE_ORDER_MARK, LARGEST_BODY};

/// Longest line that is kept. One that becomes a request is shorter, but for white space.
pub(super) const MAX_LINE: usize = 2 * LARGEST_BODY;

/// A place in a file: after a line.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// Lines before it.
    pub(super) line: u64,
    /// Bytes before it.
    pub(super) offset: u64,
    pub(super) hash: Sha256,
}

impl Place {
    /// The place after so many lines and bytes of a file.
    pub(super) fn find(file: &File, line: u64, offset: u64) -> io::Result<Self> {
        let mut place = Self { line, ..Self::default() };
        let mut reader = file;
        reader.seek(SeekFrom::Start(0))?;
        let mut before = BufReader::new(reader.take(offset));
        loop {
            let bytes = before.fill_buf()?;
            if bytes.is_empty() {
                return Ok(place);
            }
            let read = bytes.len();
            place.hash.update(bytes);
            place.pass(read, 0);
            before.consume(read);
        }
    }

    /// The digest of all that is before it.
    pub(super) fn digest(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    fn pass(&mut self, bytes: usize, lines: u64) {
        self.offset += bytes as u64;
        self.line += lines;
    }
}

/// A line without its end.
#[derive(Debug, PartialEq)]
pub(super) enum Text<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It is longer than any that could be imported, and was not kept.
    TooLong,
}

/// The lines of a file from a place on.
pub(super) struct Lines<'a> {
    reader: BufReader<&'a File>,
    place: Place,
    line: Vec<u8>,
    /// Whether the hash of the place is kept current.
    hashes: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn from(mut file: &'a File, place: Place) -> io::Result<Self> {
        file.seek(SeekFrom::Start(place.offset))?;
        Ok(Self { reader: BufReader::new(file), place, line: Vec::new(), hashes: true })
    }

    /// For whoever only looks: places have no hash.
    pub(super) fn unhashed(self) -> Self {
        Self { hashes: false, ..self }
    }

    /// The place after the last line that was read.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The next line, blank ones left out; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Text<'_>>> {
        loop {
            let is_whole = self.read()?;
            if !is_whole {
                return Ok(Some(Text::TooLong));
            }
            if self.line.is_empty() {
                return Ok(None);
            }
            if !self.text().is_empty() {
                return Ok(Some(Text::Whole(self.text())));
            }
        }
    }

    fn text(&self) -> &[u8] {
        let line = self.line.as_slice();
        let is_first = self.place.line == 1;
        line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(line).trim_ascii()
    }

    /// Reads a line to its end, and says whether it was kept whole. None is kept at the end of the file.
    fn read(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut length = 0;
        loop {
            let bytes = self.reader.fill_buf()?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let read = end.map_or(bytes.len(), |end| end + 1);
            if read == 0 {
                let lines = u64::from(length > 0);
                self.place.pass(0, lines);
                break;
            }
            length += read;
            if length <= MAX_LINE {
                self.line.extend_from_slice(&bytes[..read]);
            }
            if self.hashes {
                self.place.hash.update(&bytes[..read]);
            }
            self.place.pass(read, u64::from(end.is_some()));
            self.reader.consume(read);
            if end.is_some() {
                break;
            }
        }
        Ok(length <= MAX_LINE)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn lines_are_read_without_what_is_blank_and_resumed_at_any_place() {
        let file = file("\u{feff}one\r\n\n  two \nthree".as_bytes());
        let mut lines = Lines::from(&file, Place::default()).unwrap();
        assert_eq!(lines.next().unwrap(), Some(Text::Whole(b"one")));
        assert_eq!(lines.place().line, 1);
        assert_eq!(lines.next().unwrap(), Some(Text::Whole(b"two")));
        let after_two = lines.place().clone();
        assert_eq!(lines.next().unwrap(), Some(Text::Whole(b"three")));
        assert_eq!((lines.place().line, lines.next().unwrap()), (4, None));

        let mut looked = Lines::from(&file, Place::default()).unwrap().unhashed();
        assert_eq!(looked.next().unwrap(), Some(Text::Whole(b"one")));
        assert_eq!(looked.next().unwrap(), Some(Text::Whole(b"two")));
        assert_eq!((looked.place().line, looked.place().offset), (3, after_two.offset));

        let found = Place::find(&file, after_two.line, after_two.offset).unwrap();
        assert_eq!((found.line, found.digest()), (3, after_two.digest()));
        let mut rest = Lines::from(&file, found).unwrap();
        assert_eq!(rest.next().unwrap(), Some(Text::Whole(b"three")));
        assert_eq!(rest.place().digest(), lines.place().digest());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_without_being_kept() {
        let long = vec![b'x'; MAX_LINE + 1];
        let file = file(&[long.as_slice(), b"\nnext\n"].concat());
        let mut lines = Lines::from(&file, Place::default()).unwrap();
        assert_eq!(lines.next().unwrap(), Some(Text::TooLong));
        assert!(lines.line.capacity() <= 2 * MAX_LINE);
        assert_eq!((lines.place().line, lines.next().unwrap()), (1, Some(Text::Whole(b"next"))));
    }
}
