//! The forms of statements that our own schema has in a dump, of PostgreSQL 16 to 18.

use std::collections::BTreeSet;

use super::cursor::Rest;
use super::lexer::Token;

/// What may stand before a parenthesis in a column, a constraint or an index. Functions without a schema are PostgreSQL's own: a dump
/// searches no other schema.
const BEFORE_PARENTHESIS: [&str; 3] = [
    // Functions that our schema calls, types with a length, keywords.
    "now replace cardinality",
    "halfvec numeric varying",
    "all and any as check include key not or unique where with",
];

/// What the extension of vectors brings, beside its types: operator classes of indexes.
const OF_EXTENSION: [&str; 3] = ["halfvec", "vector", "sparsevec"];

/// Settings of a session, as pg_dump and pg_restore make them.
const SETTINGS: [(&str, &str); 13] = [
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("transaction_timeout", "0"),
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("check_function_bodies", "false"),
    ("xmloption", "content"),
    ("client_min_messages", "warning"),
    ("row_security", "off"),
    ("default_tablespace", ""),
    ("default_table_access_method", "heap"),
    ("default_with_oids", "false"),
];

/// What a statement of ours does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Makes a table.
    Table { name: String },
    /// Makes the extension of vectors.
    Extension { schema: String },
    /// Something else that our schema needs, or that does no harm.
    Other,
}

/// The form of a statement, and the schema of the table, index or sequence that it is about; `None` where our schema has none such.
pub(super) fn form<'a>(
    tokens: &'a [Token],
    ours: &BTreeSet<&str>,
) -> Option<(Form, Option<&'a str>)> {
    let mut rest = Rest::of(tokens, ours);
    let form = match rest.word()? {
        "set" => rest.setting(),
        "select" => rest.call(),
        "create" => rest.create(),
        "alter" => rest.alter(),
        "comment" => rest.comment(),
        "grant" | "revoke" => rest.rights(),
        "copy" => rest.copy().map(|_| Form::Other),
        _ => None,
    }?;
    Some((form, rest.schema))
}

/// `COPY schema.table (columns) FROM stdin`.
pub(super) fn copied<'a>(tokens: &'a [Token], ours: &BTreeSet<&str>) -> Option<&'a str> {
    let mut rest = Rest::of(tokens, ours);
    rest.words("copy")?;
    rest.copy()
}

/// The schema, the table and the columns of `COPY schema.table (columns) FROM stdin`.
pub(super) fn copied_columns(tokens: &[Token]) -> Option<(&str, &str, Vec<&str>)> {
    let ours = BTreeSet::new();
    let mut rest = Rest::of(tokens, &ours);
    rest.words("copy")?;
    let table = rest.object()?;
    let columns = rest.group()?.split(|token| token.is_symbol(',')).map(|column| match column {
        [name] => name.name(),
        _ => None,
    });
    let columns = columns.collect::<Option<_>>()?;
    rest.words("from stdin")?;
    let schema = rest.schema?;
    rest.is_end().then_some((schema, table, columns))
}

/// The name of the index of `CREATE INDEX name ON table USING hnsw`.
pub(super) fn hnsw(tokens: &[Token]) -> Option<String> {
    let ours = BTreeSet::new();
    let mut rest = Rest::of(tokens, &ours);
    rest.words("create index")?;
    let name = rest.name()?.to_owned();
    tokens.windows(2).any(|pair| pair[0].is("using") && pair[1].is("hnsw")).then_some(name)
}

impl<'a> Rest<'a, '_> {
    fn copy(&mut self) -> Option<&'a str> {
        let table = self.table()?;
        let columns = self.group()?;
        let are_names = columns.iter().all(|token| token.name().is_some() || token.is_symbol(','));
        self.words("from stdin")?;
        (are_names && self.is_end()).then_some(table)
    }

    fn end(&self, form: Form) -> Option<Form> {
        self.is_end().then_some(form)
    }

    /// `SET name = value`, with the value that pg_dump gives.
    fn setting(&mut self) -> Option<Form> {
        let name = self.word()?;
        self.symbol('=')?;
        let value = match self.next()? {
            Token::Word(value) | Token::Text(value) => value.as_str(),
            Token::Number => "0",
            _ => return None,
        };
        (self.is_end() && SETTINGS.contains(&(name, value))).then_some(Form::Other)
    }

    /// `SELECT pg_catalog.set_config('search_path', '', false)`, and `setval` of a sequence.
    fn call(&mut self) -> Option<Form> {
        let ("pg_catalog", function) = self.qualified()? else { return None };
        let arguments = self.group()?;
        let is_known = match (function, arguments) {
            (
                "set_config",
                [
                    Token::Text(name),
                    Token::Symbol(','),
                    Token::Text(value),
                    Token::Symbol(','),
                    last,
                ],
            ) => name == "search_path" && value.is_empty() && last.is("false"),
            (
                "setval",
                [Token::Text(_), Token::Symbol(','), Token::Number, Token::Symbol(','), last],
            ) => last.is("true") || last.is("false"),
            _ => false,
        };
        (self.is_end() && is_known).then_some(Form::Other)
    }

    fn create(&mut self) -> Option<Form> {
        match self.word()? {
            "schema" => self.name().and_then(|_| self.end(Form::Other)),
            "extension" => {
                if self.skip("if") {
                    self.words("not exists")?;
                }
                self.words("vector with schema")?;
                let schema = self.name()?.to_owned();
                self.end(Form::Extension { schema })
            }
            "unlogged" => {
                self.words("table")?;
                self.create_table()
            }
            "table" => self.create_table(),
            "unique" => {
                self.words("index")?;
                self.create_index()
            }
            "index" => self.create_index(),
            _ => None,
        }
    }

    fn create_table(&mut self) -> Option<Form> {
        let name = self.table()?;
        let columns = self.group()?;
        if self.skip("with") {
            self.options()?;
        }
        let form = Form::Table { name: name.to_owned() };
        if self.is_plain(columns) { self.end(form) } else { None }
    }

    fn create_index(&mut self) -> Option<Form> {
        self.name()?;
        self.words("on")?;
        self.skip("only");
        self.table()?;
        self.words("using")?;
        let method = self.word()?;
        let known = ["btree", "gin", "hash", "hnsw", "ivfflat"].contains(&method);
        let columns = self.group()?;
        let is_plain = known && self.is_plain(columns) && self.is_plain(self.tokens);
        is_plain.then_some(Form::Other)
    }

    /// `(name='value', …)`.
    fn options(&mut self) -> Option<()> {
        let options = self.group()?;
        let is_option = |option: &[Token]| {
            matches!(
                option,
                [
                    Token::Word(_),
                    Token::Symbol('='),
                    Token::Text(_) | Token::Number | Token::Word(_)
                ]
            )
        };
        options.split(|token| token.is_symbol(',')).all(is_option).then_some(())
    }

    fn alter(&mut self) -> Option<Form> {
        match self.word()? {
            "table" => self.alter_table(),
            "sequence" => {
                self.object()?;
                self.owner()
            }
            "schema" => {
                self.name()?;
                self.owner()
            }
            _ => None,
        }
    }

    fn owner(&mut self) -> Option<Form> {
        self.words("owner to")?;
        self.name()?;
        self.end(Form::Other)
    }

    fn alter_table(&mut self) -> Option<Form> {
        self.skip("only");
        self.table()?;
        if self.tokens.first()?.is("owner") {
            return self.owner();
        }
        match self.word()? {
            "add" => {
                self.words("constraint")?;
                self.name()?;
                let kinds = ["primary", "unique", "check", "foreign", "not"];
                let is_known = kinds
                    .iter()
                    .any(|kind| self.tokens.first().is_some_and(|token| token.is(kind)));
                (is_known && self.is_plain(self.tokens)).then_some(Form::Other)
            }
            "alter" => {
                self.words("column")?;
                self.name()?;
                if self.skip("add") { self.identity() } else { self.tuning() }
            }
            "replica" => {
                self.words("identity")?;
                self.is_words().then_some(Form::Other)
            }
            "cluster" => {
                self.words("on")?;
                self.name()?;
                self.end(Form::Other)
            }
            _ => None,
        }
    }

    /// `GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME schema.name START WITH 1 …)`.
    fn identity(&mut self) -> Option<Form> {
        self.words("generated")?;
        if !self.skip("always") {
            self.words("by default")?;
        }
        self.words("as identity")?;
        let mut sequence = Rest::of(self.group()?, self.ours);
        sequence.words("sequence name")?;
        sequence.object()?;
        if sequence.schema == self.schema && sequence.is_words() {
            self.end(Form::Other)
        } else {
            None
        }
    }

    /// How a column is stored and counted.
    fn tuning(&mut self) -> Option<Form> {
        self.words("set")?;
        match self.word()? {
            "statistics" | "storage" | "compression" => self.is_words().then_some(Form::Other),
            _ => None,
        }
    }

    fn comment(&mut self) -> Option<Form> {
        self.words("on")?;
        match self.word()? {
            "column" => {
                self.table()?;
                self.symbol('.')?;
                self.name().map(|_| ())
            }
            "constraint" => {
                self.name()?;
                self.words("on")?;
                self.table().map(|_| ())
            }
            "index" => self.object().map(|_| ()),
            "extension" => self.words("vector"),
            kind => self.of_kind(kind),
        }?;
        self.words("is")?;
        let text = self.next()?;
        (matches!(text, Token::Text(_)) || text.is("null")).then_some(())?;
        self.end(Form::Other)
    }

    /// The name of a table of ours, of a sequence or of a schema.
    fn of_kind(&mut self, kind: &str) -> Option<()> {
        match kind {
            "table" => self.table().map(|_| ()),
            "sequence" => self.object().map(|_| ()),
            "schema" => self.name().map(|_| ()),
            _ => None,
        }
    }

    /// Rights on our tables and sequences, which a restore of ours leaves out.
    fn rights(&mut self) -> Option<Form> {
        let on = self.tokens.iter().position(|token| token.is("on"))?;
        let rights = &self.tokens[..on];
        self.tokens = &self.tokens[on + 1..];
        let kind = self.word()?;
        self.of_kind(kind)?;
        let are_words = |tokens: &[Token]| {
            let is_word =
                |token: &Token| token.name().is_some() || "(),".chars().any(|c| token.is_symbol(c));
            tokens.iter().all(is_word)
        };
        (are_words(rights) && are_words(self.tokens)).then_some(Form::Other)
    }

    /// Whether nothing but names and numbers is left.
    fn is_words(&self) -> bool {
        let is_word = |token: &Token| {
            token.name().is_some() || *token == Token::Number || token.is_symbol('-')
        };
        self.tokens.iter().all(is_word)
    }

    /// Whether an expression calls nothing, and uses no type, but what our schema does.
    fn is_plain(&self, tokens: &[Token]) -> bool {
        tokens.iter().enumerate().all(|(at, token)| {
            let before = at.checked_sub(1).map(|before| &tokens[before]);
            match token {
                Token::Body | Token::Symbol('$' | '\\' | ';') => false,
                Token::Symbol('(') => match before {
                    // The columns that a foreign key refers to.
                    Some(Token::Word(_) | Token::Quoted(_)) if self.is_referred(&tokens[..at]) => {
                        true
                    }
                    Some(Token::Word(word)) => BEFORE_PARENTHESIS
                        .iter()
                        .any(|words| words.split(' ').any(|known| known == word)),
                    Some(Token::Quoted(_)) => false,
                    _ => true,
                },
                Token::Symbol('.') => {
                    let within = before.and_then(Token::name).unwrap_or_default();
                    let name = tokens.get(at + 1).and_then(Token::name).unwrap_or_default();
                    within == "pg_catalog"
                        || OF_EXTENSION.iter().any(|of| {
                            name.strip_prefix(of)
                                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
                        })
                        || self.is_referred(&tokens[..=(at + 1).min(tokens.len() - 1)])
                }
                _ => true,
            }
        })
    }

    /// Whether tokens end with `REFERENCES schema.table`, of a table of ours.
    fn is_referred(&self, tokens: &[Token]) -> bool {
        match tokens {
            [.., references, _, Token::Symbol('.'), table] => {
                references.is("references")
                    && table.name().is_some_and(|name| self.ours.contains(name))
            }
            _ => false,
        }
    }
}
