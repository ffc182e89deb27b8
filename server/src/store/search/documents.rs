//! Search documents: SQL by which writes make a value searchable, and the form in which documents have their words.

/// The number of the form that [`LexicalText`](crate::domain::search::lexical_text::LexicalText) gives words. Raise it with
/// every change of that: documents of an older form are made anew.
macro_rules! form {
    () => {
        "1"
    };
}
pub(crate) use form;

/// SQL of the condition that the document of `$row` is of an older form than this program's: made by a release before. One of a
/// newer form stays, or two releases would make it anew in turn.
macro_rules! is_of_older_form {
    ($row:literal) => {
        concat!(
            "(",
            $row,
            ".form < ",
            $crate::store::search::documents::form!(),
            " OR ",
            $row,
            ".form_version_id IS DISTINCT FROM ",
            $row,
            ".version_id)"
        )
    };
}
pub(super) use is_of_older_form;

/// SQL of the part of a write that makes values searchable: their search documents and embedding jobs. The parameters are
/// the tenants, agents, paths and latest versions of heads, and their texts (null if not searchable); the statement's
/// `heads` has the latest versions of those that count. The rows of an entry are written under its head's lock.
macro_rules! made_searchable {
    ($tenants:literal, $agents:literal, $paths:literal, $versions:literal, $words:literal) => {
        concat!(
            ", searchable AS (
    SELECT s.*
      FROM unnest(", $tenants, "::uuid[], ", $agents, "::text[], ", $paths, "::text[], ", $versions, "::uuid[], ", $words, "::text[])
           AS s (tenant_id, agent_id, path, version_id, words)
      JOIN heads h ON h.latest_version_id = s.version_id
     WHERE s.words IS NOT NULL
), documents AS (
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT s.tenant_id, s.agent_id, s.path, s.version_id, to_tsvector('pg_catalog.english', s.words),
           ", $crate::store::search::documents::form!(), ", s.version_id
      FROM searchable s
    ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
       SET version_id = excluded.version_id, document = excluded.document,
           form = excluded.form, form_version_id = excluded.form_version_id
), jobs AS (
    INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id)
    SELECT s.tenant_id, s.agent_id, s.path, s.version_id, m.id
      FROM searchable s CROSS JOIN embedding_models m
     WHERE m.state IN ('filling', 'serving')
)"
        )
    };
}
pub(crate) use made_searchable;
