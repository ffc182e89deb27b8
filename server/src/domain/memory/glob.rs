//! Glob patterns over paths.

mod matcher;

/// Longest pattern in characters.
pub const MAX_CHARS: usize = 512;

/// A pattern of paths: `*` and `?` stay within a segment, `**` crosses segments, `[a-z]` and `[!a-z]` are classes, and `\`
/// takes the next character as it is. Between slashes `**` also stands for no segment at all.
#[derive(Debug, Clone)]
pub struct Glob {
    pieces: Vec<Piece>,
    literal: String,
}

/// Why a text is no glob.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidGlob {
    /// It does not start with a slash.
    #[error("pattern must start with '/', got {0:?}")]
    NotAbsolute(String),
    /// Too many characters.
    #[error("pattern has {0} characters; at most {MAX_CHARS} are allowed")]
    TooLong(usize),
    /// No path holds it, and PostgreSQL cannot.
    #[error("pattern must not contain the NUL character")]
    Nul,
    /// A `.` or `..` segment, which no path has.
    #[error("pattern must not contain the segment {0:?}, which no path has")]
    Relative(&'static str),
    /// A class without its end.
    #[error("pattern has a '[' without its ']'; a bracket that is meant as such is written '\\['")]
    OpenClass,
    /// A class of nothing.
    #[error("pattern has an empty class '[]'")]
    EmptyClass,
    /// A range whose end comes before its start.
    #[error("pattern has the range {0}-{1}, whose end comes before its start")]
    Reversed(char, char),
    /// A backslash with nothing behind it.
    #[error("pattern ends in a backslash; one that is meant as such is written '\\\\'")]
    OpenEscape,
}

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**`
    Stars,
    /// `**/` behind a slash: any number of whole segments, each with its slash.
    Segments,
    /// `[…]`: ranges, and whether it is what they do not hold.
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

impl Glob {
    /// Checks `text` and makes it ready to match. Slashes are normalised as those of paths are.
    pub fn parse(text: &str) -> Result<Self, InvalidGlob> {
        if !text.starts_with('/') {
            return Err(InvalidGlob::NotAbsolute(text.chars().take(80).collect()));
        }
        let chars = text.chars().count();
        if chars > MAX_CHARS {
            return Err(InvalidGlob::TooLong(chars));
        }
        if text.contains('\0') {
            return Err(InvalidGlob::Nul);
        }
        let pieces = pieces(text)?;
        if let Some(segment) = relative(&pieces) {
            return Err(InvalidGlob::Relative(segment));
        }
        Ok(Self { literal: literal(&pieces), pieces })
    }

    /// Whether the whole of `path` fits.
    pub fn matches(&self, path: &str) -> bool {
        path.starts_with(&self.literal) && matcher::matches(&self.pieces, path)
    }

    /// The literal prefix of every path that matches.
    pub fn literal(&self) -> &str {
        &self.literal
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, InvalidGlob> {
    let mut chars = text.chars().peekable();
    let mut pieces = Vec::new();
    while let Some(char) = chars.next() {
        pieces.push(match char {
            '\\' => Piece::Literal(chars.next().ok_or(InvalidGlob::OpenEscape)?),
            '?' => Piece::Any,
            '*' if chars.next_if_eq(&'*').is_some() => {
                while chars.next_if_eq(&'*').is_some() {}
                Piece::Stars
            }
            '*' => Piece::Star,
            '[' => class(&mut chars)?,
            other => Piece::Literal(other),
        });
    }
    pieces.dedup_by(|next, piece| *piece == Piece::Literal('/') && next == piece);
    pieces.pop_if(|last| *last == Piece::Literal('/'));
    Ok(join_segments(pieces))
}

/// The first segment that is `.` or `..`, escaped or not.
fn relative(pieces: &[Piece]) -> Option<&'static str> {
    const DOT: Piece = Piece::Literal('.');
    let begins = |piece: &Piece| [Piece::Literal('/'), Piece::Segments].contains(piece);
    pieces.split(begins).find_map(|segment| match segment {
        [DOT] => Some("."),
        [DOT, DOT] => Some(".."),
        _ => None,
    })
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Parses what follows a `[`.
fn class(chars: &mut Chars<'_>) -> Result<Piece, InvalidGlob> {
    let negated = chars.next_if(|c| ['!', '^'].contains(c)).is_some();
    let mut ranges = Vec::new();
    while chars.next_if_eq(&']').is_none() {
        let from = member(chars)?;
        // A '-' before the end of the class is one that is meant as such.
        let mut ahead = chars.clone();
        let is_range = ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']');
        let to = if is_range {
            chars.next();
            member(chars)?
        } else {
            from
        };
        if to < from {
            return Err(InvalidGlob::Reversed(from, to));
        }
        ranges.push((from, to));
    }
    if ranges.is_empty() {
        return Err(InvalidGlob::EmptyClass);
    }
    Ok(Piece::Class { ranges, negated })
}

fn member(chars: &mut Chars<'_>) -> Result<char, InvalidGlob> {
    match chars.next() {
        Some('\\') => chars.next().ok_or(InvalidGlob::OpenEscape),
        Some(other) => Ok(other),
        None => Err(InvalidGlob::OpenClass),
    }
}

/// Makes one piece of `**/` behind a slash, and of several of them in a row.
fn join_segments(pieces: Vec<Piece>) -> Vec<Piece> {
    let slash = Piece::Literal('/');
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let before = joined.len().checked_sub(2).map(|at| &joined[at]);
        let ends_segments = piece == slash
            && joined.last() == Some(&Piece::Stars)
            && before.is_some_and(|before| *before == slash || *before == Piece::Segments);
        if !ends_segments {
            joined.push(piece);
            continue;
        }
        joined.pop();
        if joined.last() != Some(&Piece::Segments) {
            joined.push(Piece::Segments);
        }
    }
    joined
}

fn literal(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map_while(|piece| match piece {
            Piece::Literal(char) => Some(*char),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn stars_and_question_marks_stay_within_a_segment_and_two_stars_do_not() {
        for (pattern, fits, does_not) in [
            ("/notes/*", "/notes/a", "/notes/a/b"),
            ("/notes/*", "/notes/.hidden\n", "/notes"),
            ("/*/x", "/a/x", "/a/b/x"),
            ("/a?c", "/aéc", "/a/c"),
            ("/**", "/a/b/c", ""),
            ("/a/**", "/a/b/c", "/a"),
            ("/a/**/z", "/a/z", "/a/bz"),
            ("/a/**/z", "/a/b/c/z", "/a/b/c/z/y"),
            ("/a/**/**/z", "/a/z", "/az"),
            ("/a**z", "/ab/cz", "/ab/cz/"),
            ("//a///b/", "/a/b", "/a"),
        ] {
            assert!(matches(pattern, fits), "{pattern} {fits:?}");
            assert!(!matches(pattern, does_not), "{pattern} {does_not:?}");
        }
    }

    #[test]
    fn classes_and_escapes() {
        for (pattern, fits, does_not) in [
            ("/[abc]", "/b", "/d"),
            ("/[a-c-]", "/-", "/d"),
            ("/[!a-c]", "/d", "/a"),
            ("/[^a-c]", "/d", "/a"),
            ("/a[!b]c", "/axc", "/a/c"),
            ("/a[.-0]c", "/a.c", "/a/c"),
            (r"/[\]\-^]", "/^", r"/\"),
            (r"/\*\[\\", r"/*[\", "/x[x"),
            ("/a.c", "/a.c", "/abc"),
            ("/{a,b}", "/{a,b}", "/a"),
            ("/[[&&~~]", "/[", "/x"),
        ] {
            assert!(matches(pattern, fits), "{pattern} {fits:?}");
            assert!(!matches(pattern, does_not), "{pattern} {does_not:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (pattern, error) in [
            ("a/*", InvalidGlob::NotAbsolute("a/*".into())),
            ("/[ab", InvalidGlob::OpenClass),
            ("/[", InvalidGlob::OpenClass),
            ("/[]", InvalidGlob::EmptyClass),
            ("/[!]", InvalidGlob::EmptyClass),
            ("/[z-a]", InvalidGlob::Reversed('z', 'a')),
            (r"/a\", InvalidGlob::OpenEscape),
            (r"/[\", InvalidGlob::OpenEscape),
            ("/\0", InvalidGlob::Nul),
            ("/a/../*", InvalidGlob::Relative("..")),
            (r"/*/\../b", InvalidGlob::Relative("..")),
            ("/**/../b", InvalidGlob::Relative("..")),
            ("/a//.", InvalidGlob::Relative(".")),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap_err(), error, "{pattern:?}");
        }
        for pattern in ["/a/...", "/.*", "/..?", "/.a/b.", "/[.]"] {
            assert!(Glob::parse(pattern).is_ok(), "{pattern}");
        }
        let long = format!("/{}", "?".repeat(MAX_CHARS));
        assert_eq!(Glob::parse(&long).unwrap_err(), InvalidGlob::TooLong(513));
        assert!(Glob::parse(&long[..MAX_CHARS]).is_ok());
    }

    #[test]
    fn the_literal_part_ends_at_the_first_wildcard() {
        assert_eq!(Glob::parse(r"/a\*b/c?d").unwrap().literal(), "/a*b/c");
        assert_eq!(Glob::parse("/").unwrap().literal(), "");
    }

    /// The rules again, as plainly as they can be said, for patterns without classes.
    fn model(pattern: &[char], path: &[char]) -> bool {
        match pattern {
            [] => path.is_empty(),
            ['/', '*', '*', '/', '*', '*', '/', ..] => model(&pattern[3..], path),
            ['/', '*', '*', '/', rest @ ..] => {
                path.first() == Some(&'/')
                    && (0..path.len()).any(|i| path[i] == '/' && model(rest, &path[i + 1..]))
            }
            ['*', '*', rest @ ..] => (0..=path.len()).any(|i| model(rest, &path[i..])),
            ['*', rest @ ..] => (0..=path.len())
                .take_while(|i| !path[..*i].contains(&'/'))
                .any(|i| model(rest, &path[i..])),
            ['?', rest @ ..] => path.first().is_some_and(|c| *c != '/') && model(rest, &path[1..]),
            [c, rest @ ..] => path.first() == Some(c) && model(rest, &path[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_follows_the_model(
            pattern in "(/(a|b|\\*|\\?|\\*\\*){1,3}){1,4}", path in "(/[ab]{1,3}){1,5}",
        ) {
            // More than two stars are two, which the model does not know.
            prop_assume!(!pattern.contains("***"));
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &path), model(&chars(&pattern), &chars(&path)));
        }

        #[test]
        fn a_match_begins_with_the_literal_part(pattern in "/[a*?/\\\\]{0,12}", path in "(/[a*?]{1,3}){1,4}") {
            if let Ok(glob) = Glob::parse(&pattern) && glob.matches(&path) {
                prop_assert!(path.starts_with(glob.literal()));
            }
        }

        #[test]
        fn no_pattern_panics(pattern in "/\\PC{0,40}", path in "/\\PC{0,40}") {
            Glob::parse(&pattern).map(|glob| glob.matches(&path)).ok();
        }
    }
}
