//! Walks along the tokens of a statement.

use std::collections::BTreeSet;

use super::lexer::Token;

/// What is left of a statement.
pub(super) struct Rest<'a, 'o> {
    pub(super) tokens: &'a [Token],
    pub(super) ours: &'o BTreeSet<&'o str>,
    /// The schema of the table or sequence that the statement is about, once it was read.
    pub(super) schema: Option<&'a str>,
}

/// Whether a schema is PostgreSQL's own.
fn is_system(schema: &str) -> bool {
    schema == "information_schema" || schema.starts_with("pg_")
}

impl<'a, 'o> Rest<'a, 'o> {
    pub(super) fn of(tokens: &'a [Token], ours: &'o BTreeSet<&'o str>) -> Self {
        Self { tokens, ours, schema: None }
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    pub(super) fn word(&mut self) -> Option<&'a str> {
        match self.next()? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    /// All of the words, which have to come next.
    pub(super) fn words(&mut self, words: &str) -> Option<()> {
        words.split(' ').all(|word| self.skip(word)).then_some(())
    }

    /// Skips a word, if it comes next.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        let is_next = self.tokens.first().is_some_and(|token| token.is(word));
        if is_next {
            self.tokens = &self.tokens[1..];
        }
        is_next
    }

    pub(super) fn symbol(&mut self, symbol: char) -> Option<()> {
        self.next()?.is_symbol(symbol).then_some(())
    }

    pub(super) fn name(&mut self) -> Option<&'a str> {
        self.next()?.name()
    }

    pub(super) fn qualified(&mut self) -> Option<(&'a str, &'a str)> {
        let schema = self.name()?;
        self.symbol('.')?;
        Some((schema, self.name()?))
    }

    /// A table, an index or a sequence outside of PostgreSQL's own schemas.
    pub(super) fn object(&mut self) -> Option<&'a str> {
        let (schema, name) = self.qualified().filter(|(schema, _)| !is_system(schema))?;
        self.schema = Some(schema);
        Some(name)
    }

    /// One of our tables.
    pub(super) fn table(&mut self) -> Option<&'a str> {
        self.object().filter(|name| self.ours.contains(name))
    }

    pub(super) fn is_end(&self) -> bool {
        self.tokens.is_empty()
    }

    /// What is in the parentheses that come next.
    pub(super) fn group(&mut self) -> Option<&'a [Token]> {
        self.symbol('(')?;
        let mut depth = 1_u32;
        for (at, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let group = &self.tokens[..at];
                self.tokens = &self.tokens[at + 1..];
                return Some(group);
            }
        }
        None
    }
}
