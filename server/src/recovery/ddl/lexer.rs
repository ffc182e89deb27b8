//! Takes SQL apart as PostgreSQL does with `standard_conforming_strings` on, which is the only setting that a dump of ours has.

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token {
    /// A keyword or a name, as PostgreSQL reads it: in lower case.
    Word(String),
    /// A quoted name.
    Quoted(String),
    /// A string in quotes.
    Text(String),
    /// A string between dollar signs, such as the body of a function.
    Body,
    /// A number.
    Number,
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// The name that it is, quoted or not.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word)
    }

    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        *self == Self::Symbol(symbol)
    }
}

/// A statement, without its semicolon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::recovery) struct Statement {
    /// As it was written, without comments before it.
    pub(in crate::recovery) text: String,
    pub(super) tokens: Vec<Token>,
}

/// The statements in `sql`; `None` where it ends within one.
pub(in crate::recovery) fn statements(sql: &str) -> Option<Vec<Statement>> {
    let (mut found, mut tokens) = (Vec::new(), Vec::new());
    let (mut rest, mut begin) = (sql, None);
    loop {
        rest = skip_blank(rest)?;
        let Some(first) = rest.chars().next() else { break };
        let at = sql.len() - rest.len();
        if first == ';' {
            let text = begin.take().map_or("", |begin| &sql[begin..at]);
            if !tokens.is_empty() {
                let tokens = std::mem::take(&mut tokens);
                found.push(Statement { text: text.trim_end().to_owned(), tokens });
            }
            rest = &rest[1..];
            continue;
        }
        begin.get_or_insert(at);
        let (token, after) = token(rest, first)?;
        tokens.push(token);
        rest = after;
    }
    tokens.is_empty().then_some(found)
}

/// What follows spaces and comments; `None` where a comment does not end.
fn skip_blank(mut sql: &str) -> Option<&str> {
    loop {
        sql = sql.trim_start();
        if sql.starts_with("--") {
            sql = sql.split_once('\n').map_or("", |(_, after)| after);
        } else if sql.starts_with("/*") {
            sql = after_comment(sql)?;
        } else {
            return Some(sql);
        }
    }
}

/// Comments may hold comments.
fn after_comment(sql: &str) -> Option<&str> {
    let (mut depth, mut rest) = (1_u32, &sql[2..]);
    while depth > 0 {
        let next = rest.find("/*").into_iter().chain(rest.find("*/")).min()?;
        depth = if rest[next..].starts_with("/*") { depth + 1 } else { depth - 1 };
        rest = &rest[next + 2..];
    }
    Some(rest)
}

fn token(sql: &str, first: char) -> Option<(Token, &str)> {
    match first {
        '\'' => quoted(&sql[1..], '\'', false).map(|(text, rest)| (Token::Text(text), rest)),
        '"' => quoted(&sql[1..], '"', false).map(|(name, rest)| (Token::Quoted(name), rest)),
        'e' | 'E' if sql[1..].starts_with('\'') => {
            quoted(&sql[2..], '\'', true).map(|(text, rest)| (Token::Text(text), rest))
        }
        '$' => body(sql),
        digit if digit.is_ascii_digit() => {
            let end = sql.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
            Some((Token::Number, &sql[end.unwrap_or(sql.len())..]))
        }
        letter if is_letter(letter) => {
            let end = sql.find(|c: char| !is_letter(c) && !c.is_ascii_digit() && c != '$');
            let (word, rest) = sql.split_at(end.unwrap_or(sql.len()));
            Some((Token::Word(word.to_ascii_lowercase()), rest))
        }
        other => Some((Token::Symbol(other), &sql[other.len_utf8()..])),
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

/// A text up to its closing quote, which stands twice where it is meant; `None` where there is none.
fn quoted(sql: &str, quote: char, escapes: bool) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = sql.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if escapes && c == '\\' {
            text.extend(characters.next().map(|(_, escaped)| escaped));
        } else if c == quote {
            if characters.next_if(|(_, next)| *next == quote).is_none() {
                return Some((text, &sql[at + 1..]));
            }
            text.push(c);
        } else {
            text.push(c);
        }
    }
    None
}

/// `$tag$ … $tag$`, or a lone dollar sign.
fn body(sql: &str) -> Option<(Token, &str)> {
    let end = sql[1..].find(|c: char| !is_letter(c) && !c.is_ascii_digit())? + 1;
    if !sql[end..].starts_with('$') {
        return Some((Token::Symbol('$'), &sql[1..]));
    }
    let (tag, rest) = sql.split_at(end + 1);
    rest.split_once(tag).map(|(_, after)| (Token::Body, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Option<Vec<String>> {
        Some(statements(sql)?.into_iter().map(|statement| statement.text).collect())
    }

    #[test]
    fn semicolons_in_quotes_comments_and_bodies_end_nothing() {
        for statement in [
            "COMMENT ON TABLE a IS 'x; y''; z'",
            "SELECT E'it\\'s; so'",
            "CREATE TABLE \"a;b\" ()",
            "CREATE FUNCTION f() AS $$ SELECT 1; $$",
            "DO $do$ BEGIN; $$ END; $do$",
            "SELECT /* a; /* b; */ c; */ 1",
        ] {
            let sql = format!("-- first; of all\n\n{statement};\nSELECT 2;\n-- end");
            assert_eq!(texts(&sql).unwrap(), [statement, "SELECT 2"], "{statement}");
        }
    }

    #[test]
    fn what_is_not_complete_is_told_from_what_is() {
        for sql in ["SELECT 1", "SELECT 'a;", "SELECT E'\\';", "a $$;", "/* ;", "SELECT \"a;"] {
            assert_eq!(statements(sql), None, "{sql}");
        }
        assert_eq!(texts(" ;; -- nothing").unwrap(), [""; 0]);
    }

    #[test]
    fn names_are_read_as_postgres_reads_them() {
        let read = statements("Grant ALL on \"My \"\"T\" To pg_1, 12.5e3;").unwrap().remove(0);
        let expected = [
            Token::Word("grant".into()),
            Token::Word("all".into()),
            Token::Word("on".into()),
            Token::Quoted("My \"T".into()),
            Token::Word("to".into()),
            Token::Word("pg_1".into()),
            Token::Symbol(','),
            Token::Number,
        ];
        assert_eq!(read.tokens, expected);
    }
}
