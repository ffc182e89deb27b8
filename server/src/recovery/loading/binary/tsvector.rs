//! The words of a search document, as PostgreSQL's `tsvectorrecv` reads them: how many there are, and each in UTF-8 with a zero behind it, how many
//! positions it has, and these, whose two highest bits are their weight.

use memchr::memchr2;

/// The highest position.
const MAX_POSITION: u16 = (1 << 14) - 1;
/// Most positions of a word.
const MAX_POSITIONS: u16 = 256;
/// The weights that are written; the lowest, D, is not.
const WEIGHTS: [(char, u16); 3] = [('A', 3), ('B', 2), ('C', 1)];

/// Writes words such as `'ada':1A,7 'lunch'`; `None` where PostgreSQL would not have written them: words and positions ascend.
pub(super) fn write(text: &str, to: &mut Vec<u8>) -> Option<()> {
    let at = to.len();
    to.extend_from_slice(&[0; 4]);
    let (mut words, mut rest) = (0_i32, text);
    let mut last = to.len()..to.len();
    while !rest.is_empty() {
        if words > 0 {
            rest = rest.strip_prefix(' ')?;
        }
        let begin = to.len();
        rest = write_word(rest, to)?;
        let word = begin..to.len();
        if to[last.clone()] >= to[word.clone()] {
            return None;
        }
        last = word;
        to.push(0);
        rest = write_positions(rest, to)?;
        words += 1;
    }
    to[at..at + size_of::<i32>()].copy_from_slice(&words.to_be_bytes());
    Some(())
}

/// Writes the word that `text` begins with, in which quotes and backslashes are doubled; returns what comes after it.
fn write_word<'a>(text: &'a str, to: &mut Vec<u8>) -> Option<&'a str> {
    let mut rest = text.strip_prefix('\'')?;
    loop {
        let end = memchr2(b'\'', b'\\', rest.as_bytes())?;
        to.extend_from_slice(&rest.as_bytes()[..end]);
        let (mark, behind) = rest[end..].split_at(1);
        if let Some(behind) = behind.strip_prefix(mark) {
            to.extend_from_slice(mark.as_bytes());
            rest = behind;
        } else {
            return (mark == "'").then_some(behind);
        }
    }
}

/// Writes the positions that `text` begins with, where it does; returns what comes after them.
fn write_positions<'a>(text: &'a str, to: &mut Vec<u8>) -> Option<&'a str> {
    let at = to.len();
    to.extend_from_slice(&[0; 2]);
    let Some(text) = text.strip_prefix(':') else { return Some(text) };
    let (positions, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    let (mut count, mut last) = (0_u16, 0);
    for text in positions.split(',') {
        let (position, weight) = place(text)?;
        if position <= last || position > MAX_POSITION || count == MAX_POSITIONS {
            return None;
        }
        to.extend_from_slice(&(weight << 14 | position).to_be_bytes());
        (count, last) = (count + 1, position);
    }
    to[at..at + size_of::<u16>()].copy_from_slice(&count.to_be_bytes());
    Some(rest)
}

/// A position and its weight.
fn place(text: &str) -> Option<(u16, u16)> {
    let weighed = |(letter, weight)| Some((text.strip_suffix(letter)?, weight));
    let (number, weight) = WEIGHTS.into_iter().find_map(weighed).unwrap_or((text, 0));
    let is_written = matches!(number.as_bytes().first(), Some(b'1'..=b'9'));
    Some((number.parse().ok().filter(|_| is_written)?, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Option<Vec<u8>> {
        let mut to = Vec::new();
        write(text, &mut to).map(|()| to)
    }

    #[test]
    fn words_are_written_by_the_book() {
        assert_eq!(written("").unwrap(), [0; 4]);
        assert_eq!(written("'ada'").unwrap(), [&[0, 0, 0, 1][..], b"ada", &[0, 0, 0]].concat());
        let both = written("'ada':1A,7B,8C,16383 'l''u\\\\n'").unwrap();
        let places = [0, 4, 0xc0, 1, 0x80, 7, 0x40, 8, 0x3f, 0xff];
        let ada = [b"ada", &[0][..], &places].concat();
        assert_eq!(both, [&[0, 0, 0, 2], &ada[..], b"l'u\\n", &[0, 0, 0]].concat());
        let spaces = written("'a b':2").unwrap();
        assert_eq!(spaces, [&[0, 0, 0, 1][..], b"a b", &[0, 0, 1, 0, 2]].concat());
    }

    #[test]
    fn what_postgresql_does_not_write_is_not_read() {
        for text in [
            "ada",
            "'ada",
            "''",
            "'a'b'",
            "'a\\b'",
            "'a' ",
            " 'a'",
            "'a'  'b'",
            "'a''b",
            "'a':",
            "'a':0",
            "'a':16384",
            "'a':1D",
            "'a':A",
            "'a':007",
            "'a':+5",
            "'a':3,1",
            "'a':1,1",
            "'b' 'a'",
            "'a' 'a'",
            "'ab' 'a'",
            "'a':1,",
            "'a':1 2",
            "'a':1'b'",
            "'a'1",
            "'a' b",
        ] {
            assert_eq!(written(text), None, "{text}");
        }
        let many = |count: u16| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert!(written(&format!("'a':{}", many(MAX_POSITIONS))).is_some());
        assert_eq!(written(&format!("'a':{}", many(MAX_POSITIONS + 1))), None);
    }
}
