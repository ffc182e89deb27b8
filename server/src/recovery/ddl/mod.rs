//! What a dump does besides filling our tables. A dump is executed, so whoever can write to the location of the backups could have
//! everything executed that the restoring role may do. Each statement therefore has to be of a form that our own schema has;
//! anything else is named before anything is executed.

mod cursor;
mod forms;
mod lexer;

use std::collections::BTreeSet;

pub(super) use lexer::{Statement, statements};

use self::forms::Form;
use self::lexer::Token;

/// Most tokens that a foreign statement is named by.
const NAMED_BY: usize = 9;
/// Words that it is named with in capitals.
const KEYWORDS: &str = "add after aggregate alter as before cast check comment constraint copy create default delete do \
     domain drop enable event exists extension for from function grant if index insert into level \
     materialized not on only operator or owner policy procedure program publication replace revoke row \
     rule schema security select sequence server set subscription table to trigger type unique unlogged \
     update using values view with";

/// The schema in a dump.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Schema {
    /// The schema that the tables are in.
    pub(super) name: String,
    /// The schema that the extension of vectors is in, if the dump makes it.
    pub(super) extension: Option<String>,
    /// The tables.
    pub(super) tables: BTreeSet<String>,
}

/// The schema that `statements` make, and those of them that are foreign: that do anything else than make and fill the tables `ours`,
/// with their indexes and constraints, all in one schema. It has no name where they are in several.
pub(super) fn check(statements: &[Statement], ours: &BTreeSet<&str>) -> (Schema, Vec<String>) {
    let (mut schema, mut foreign) = (Schema::default(), Vec::new());
    let (mut names, mut others) = (BTreeSet::new(), Vec::new());
    for statement in statements {
        let Some((form, within)) = forms::form(&statement.tokens, ours) else {
            foreign.push(named(&statement.tokens));
            continue;
        };
        match form {
            Form::Table { name } => {
                names.extend(within);
                schema.tables.insert(name);
            }
            Form::Extension { schema: within } => schema.extension = Some(within),
            Form::Other => others.extend(within.map(|within| (within, statement))),
        }
    }
    if names.len() > 1 {
        let names = names.iter().copied().collect::<Vec<_>>().join(" and ");
        foreign.push(format!("tables in the schemas {names}"));
        return (schema, foreign);
    }
    let name = names.pop_first().unwrap_or("public");
    let elsewhere = others.into_iter().filter(|(within, _)| *within != name);
    foreign.extend(elsewhere.map(|(_, statement)| named(&statement.tokens)));
    name.clone_into(&mut schema.name);
    (schema, foreign)
}

/// Whether the statement begins the rows of a table of `ours`, and which.
pub(super) fn copied<'a>(statement: &'a Statement, ours: &BTreeSet<&str>) -> Option<&'a str> {
    forms::copied(&statement.tokens, ours)
}

/// The columns of the rows that the statement begins, where they are of the table `table` of the schema `schema`.
pub(super) fn copied_columns(
    statement: &Statement,
    schema: &str,
    table: &str,
) -> Option<Vec<String>> {
    let (within, name, columns) = forms::copied_columns(&statement.tokens)?;
    let is_it = within == schema && name == table;
    is_it.then(|| columns.into_iter().map(str::to_owned).collect())
}

/// Whether the statement begins rows, of whatever.
pub(super) fn is_copy(statement: &Statement) -> bool {
    statement.tokens.first().is_some_and(|token| token.is("copy"))
}

/// Whether rows follow the statement, as far as `pg_dump` writes such ones.
pub(super) fn has_rows(statement: &Statement) -> bool {
    let is_end = |[from, stdin]: &[Token; 2]| from.is("from") && stdin.is("stdin");
    is_copy(statement) && statement.tokens.last_chunk().is_some_and(is_end)
}

/// The name of the vector index (HNSW) that the statement makes, if it does.
pub(super) fn hnsw(statement: &Statement) -> Option<String> {
    forms::hnsw(&statement.tokens)
}

/// Whether the statement makes an index.
pub(super) fn is_index(statement: &Statement) -> bool {
    let mut words = statement.tokens.iter().filter(|token| !token.is("unique"));
    words.next().is_some_and(|token| token.is("create"))
        && words.next().is_some_and(|token| token.is("index"))
}

/// Whether the statement makes or changes a table or an index, rather than a setting, a schema or an extension.
pub(super) fn is_of_table(statement: &Statement) -> bool {
    let mut words = statement.tokens.iter();
    let is_ddl = words.next().is_some_and(|token| token.is("create") || token.is("alter"));
    let is_around = |token: &Token| token.is("schema") || token.is("extension");
    is_ddl && !words.next().is_some_and(is_around)
}

/// What the statement makes, without a value.
pub(super) fn name_of(statement: &Statement) -> String {
    named(&statement.tokens)
}

/// Whether a line is for psql alone. pg_dump and pg_restore print two of them around a script.
pub(super) fn is_for_psql(line: &str) -> bool {
    ["\\restrict ", "\\unrestrict "].iter().any(|command| line.starts_with(command))
}

/// The statements of a script without rows.
pub(super) fn of_script(sql: &str) -> Vec<Statement> {
    let lines = sql.lines().filter(|line| !is_for_psql(line));
    let sql: String = lines.flat_map(|line| [line, "\n"]).collect();
    statements(&sql).unwrap_or_default()
}

/// The first words of a statement: what it makes, and its name, but no value.
fn named(tokens: &[Token]) -> String {
    let mut words = String::new();
    for token in tokens.iter().take(NAMED_BY) {
        let word = match token {
            Token::Word(word) if KEYWORDS.split(' ').any(|keyword| keyword == word) => {
                word.to_uppercase()
            }
            Token::Word(name) => name.clone(),
            Token::Quoted(name) => format!("{name:?}"),
            Token::Symbol('.') => ".".to_owned(),
            _ => break,
        };
        if !(words.is_empty() || words.ends_with('.') || word == ".") {
            words.push(' ');
        }
        words.push_str(&word);
    }
    if words.is_empty() { "a statement without a name".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [&str; 4] = ["api_keys", "embeddings", "entries", "tenants"];

    fn checked(sql: &str) -> Result<Schema, Vec<String>> {
        let (schema, foreign) = check(&of_script(sql), &OURS.into_iter().collect());
        if foreign.is_empty() { Ok(schema) } else { Err(foreign) }
    }

    /// As PostgreSQL 18 dumps it.
    const DUMP: &str = r#"
\restrict oIg61YlXZ5pGMIsBSx7VXLYPnUwUMqKr699dB8TAc1d9xg4OG9i9OZQK14DE7Ro
SET statement_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
COMMENT ON EXTENSION vector IS 'vector data type; access methods';
CREATE TABLE public.api_keys (
    id text NOT NULL COLLATE pg_catalog."C",
    scopes text[] NOT NULL,
    label text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT state_check CHECK ((label = ANY (ARRAY['filling'::text, 'serving'::text])))
)
WITH (fillfactor='70');
ALTER TABLE public.api_keys OWNER TO "my role";
ALTER TABLE public.embeddings ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.embeddings_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE UNLOGGED TABLE public.tenants ();
CREATE TABLE public.embeddings (
    embedding public.halfvec NOT NULL
);
COMMENT ON TABLE public.entries IS 'hi; there';
COMMENT ON COLUMN public.entries.path IS NULL;
GRANT SELECT(id),UPDATE ON TABLE public.entries TO PUBLIC;
SELECT pg_catalog.setval('public.embeddings_id_seq', 1, false);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.entries REPLICA IDENTITY FULL;
ALTER TABLE ONLY public.entries ALTER COLUMN path SET STATISTICS 1000;
CREATE INDEX embeddings_hnsw_1 ON public.embeddings USING hnsw (((embedding)::public.halfvec(3)) public.halfvec_cosine_ops) WITH (m='16', ef_construction='100') WHERE (model_id = 1);
CREATE INDEX entries_tree ON public.entries USING btree (tenant_id, agent_id, replace(replace(path, '1'::text, '12'::text), '/'::text, '11'::text)) WHERE (deleted_at IS NULL);
CREATE INDEX tagged ON public.entries USING gin (tags, (ARRAY[((tenant_id)::text || agent_id)])) WITH (fastupdate=off) WHERE (searchable AND (cardinality(tags) > 0));
CREATE UNIQUE INDEX serving ON public.entries USING btree (state) WHERE (state = 'serving'::text);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;
\unrestrict oIg61YlXZ5pGMIsBSx7VXLYPnUwUMqKr699dB8TAc1d9xg4OG9i9OZQK14DE7Ro
"#;

    #[test]
    fn our_own_schema_is_known() {
        let schema = checked(DUMP).unwrap();
        assert_eq!((schema.name.as_str(), schema.extension.as_deref()), ("public", Some("public")));
        let tables: Vec<&str> = schema.tables.iter().map(String::as_str).collect();
        assert_eq!(tables, ["api_keys", "embeddings", "tenants"]);
        let indexes = of_script(DUMP).iter().filter_map(hnsw).collect::<Vec<_>>();
        assert_eq!(indexes, ["embeddings_hnsw_1"]);
    }

    fn assert_foreign(statement: &str, name: &str) {
        let foreign = checked(&format!("{DUMP};\n{statement};\n")).unwrap_err();
        assert_eq!(foreign, [name], "{statement}");
    }

    #[test]
    fn anything_else_is_foreign_and_named_without_its_values() {
        for (statement, name) in [
            (
                "CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN; END$$",
                "CREATE FUNCTION public.spy",
            ),
            (
                "CREATE OR REPLACE PROCEDURE public.p() BEGIN ATOMIC SELECT 1",
                "CREATE OR REPLACE PROCEDURE public.p",
            ),
            (
                "CREATE TRIGGER t BEFORE INSERT ON public.tenants EXECUTE FUNCTION f()",
                "CREATE TRIGGER t BEFORE INSERT ON public.tenants",
            ),
            (
                "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
                "CREATE EVENT TRIGGER e ON ddl_command_end execute FUNCTION f",
            ),
            ("CREATE VIEW public.v AS SELECT 'hunter2'", "CREATE VIEW public.v AS SELECT"),
            (
                "CREATE RULE r AS ON INSERT TO public.tenants DO ALSO SELECT 1",
                "CREATE RULE r AS ON INSERT TO public.",
            ),
            (
                "CREATE POLICY p ON public.tenants USING (true)",
                "CREATE POLICY p ON public.tenants USING",
            ),
            ("CREATE TABLE public.others (a text)", "CREATE TABLE public.others"),
            (
                "CREATE TABLE public.tenants (a text DEFAULT public.evil())",
                "CREATE TABLE public.tenants",
            ),
            (
                "CREATE TABLE public.tenants (a text DEFAULT pg_read_file('/etc/passwd'))",
                "CREATE TABLE public.tenants",
            ),
            ("CREATE TABLE public.tenants (a public.evil)", "CREATE TABLE public.tenants"),
            (
                "CREATE TABLE public.tenants (a text) INHERITS (public.others)",
                "CREATE TABLE public.tenants",
            ),
            (
                "CREATE INDEX i ON public.tenants USING btree (\"evil\"(name))",
                "CREATE INDEX i ON public.tenants USING btree",
            ),
            (
                "CREATE INDEX i ON public.tenants USING gist (name)",
                "CREATE INDEX i ON public.tenants USING gist",
            ),
            (
                "ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY",
                "ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY",
            ),
            ("ALTER TABLE public.others OWNER TO me", "ALTER TABLE public.others OWNER TO me"),
            (
                "ALTER TABLE ONLY public.tenants ADD CONSTRAINT c CHECK (public.evil(name))",
                "ALTER TABLE ONLY public.tenants ADD CONSTRAINT c",
            ),
            (
                "ALTER TABLE ONLY public.tenants ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES public.others(id)",
                "ALTER TABLE ONLY public.tenants ADD CONSTRAINT c",
            ),
            ("ALTER ROLE agentfs SUPERUSER", "ALTER role agentfs superuser"),
            (
                "CREATE EXTENSION plperlu WITH SCHEMA public",
                "CREATE EXTENSION plperlu WITH SCHEMA public",
            ),
            ("DO $$BEGIN; END$$", "DO"),
            ("COPY public.tenants (id) FROM PROGRAM 'id'", "COPY public.tenants"),
            ("COPY (SELECT 1) TO STDOUT", "COPY"),
            ("INSERT INTO public.tenants VALUES ('hunter2')", "INSERT INTO public.tenants VALUES"),
            (
                "SELECT pg_catalog.set_config('search_path', 'evil', false)",
                "SELECT pg_catalog.set_config",
            ),
            ("SELECT pg_catalog.lo_create('1')", "SELECT pg_catalog.lo_create"),
            ("SET standard_conforming_strings = off", "SET standard_conforming_strings"),
            ("SET SESSION AUTHORIZATION postgres", "SET session authorization postgres"),
            ("GRANT postgres TO agentfs", "GRANT postgres TO agentfs"),
            ("COMMENT ON TABLE public.others IS 'x'", "COMMENT ON TABLE public.others is"),
            ("\\! id", "a statement without a name"),
        ] {
            assert_foreign(statement, name);
        }
    }

    #[test]
    fn what_is_in_another_schema_than_our_tables_is_foreign() {
        for (statement, name) in [
            ("COPY pg_catalog.entries (id) FROM stdin", "COPY pg_catalog.entries"),
            ("COPY \"pg_catalog\".entries (id) FROM stdin", "COPY \"pg_catalog\".entries"),
            ("COPY information_schema.entries (id) FROM stdin", "COPY information_schema.entries"),
            ("COPY others.entries (id) FROM stdin", "COPY others.entries"),
            ("CREATE TABLE pg_catalog.tenants (id text)", "CREATE TABLE pg_catalog.tenants"),
            (
                "ALTER TABLE ONLY others.tenants OWNER TO me",
                "ALTER TABLE ONLY others.tenants OWNER TO me",
            ),
            (
                "ALTER TABLE ONLY others.tenants ADD CONSTRAINT c UNIQUE (id)",
                "ALTER TABLE ONLY others.tenants ADD CONSTRAINT c",
            ),
            (
                "ALTER TABLE public.tenants ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME others.s START WITH 1)",
                "ALTER TABLE public.tenants ALTER column id ADD",
            ),
            ("ALTER SEQUENCE others.s OWNER TO me", "ALTER SEQUENCE others.s OWNER TO me"),
            (
                "CREATE INDEX i ON others.tenants USING btree (id)",
                "CREATE INDEX i ON others.tenants USING btree",
            ),
            ("COMMENT ON INDEX others.i IS 'x'", "COMMENT ON INDEX others.i is"),
            (
                "GRANT SELECT ON TABLE others.tenants TO me",
                "GRANT SELECT ON TABLE others.tenants TO me",
            ),
        ] {
            assert_foreign(statement, name);
        }
    }

    #[test]
    fn tables_of_two_schemas_are_not_ours() {
        let foreign = checked("CREATE TABLE a.tenants ();\nCREATE TABLE b.entries ();\n");
        assert_eq!(foreign.unwrap_err(), ["tables in the schemas a and b"]);
    }
}
