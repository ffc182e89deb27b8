//! What others have made that depends on live tables.

use agentfs_server::store::in_place::MOVING;
use agentfs_server::store::in_place::dependents::{Dependent, dependents};
use sqlx::{AssertSqlSafe, Executor as _};

use super::set_up::Staged;
use super::{ODD, ROLES, SETTINGS};

/// What others may have made on our tables.
const OTHERS: &str = r#"
CREATE SCHEMA "Re ports"; GRANT ALL ON SCHEMA "Re ports" TO agentfs; GRANT USAGE ON SCHEMA "Re ports" TO PUBLIC;
GRANT SELECT ON entries TO "Owner";
SET search_path = "Re ports", "Live", public;
CREATE VIEW "Usage" WITH (security_barrier, check_option = local) AS SELECT tenant_id, agent_id, e AS "Whole" FROM entries e WHERE version > 1;
ALTER VIEW "Usage" OWNER TO "Owner";
GRANT SELECT ON "Usage" TO "Reader" WITH GRANT OPTION; GRANT UPDATE (agent_id) ON "Usage" TO PUBLIC;
COMMENT ON VIEW "Usage" IS 'it''s'; COMMENT ON COLUMN "Usage".agent_id IS 'whose'; ALTER VIEW "Usage" ALTER agent_id SET DEFAULT 'me';
CREATE VIEW above AS SELECT u.agent_id, v.path FROM "Usage" u JOIN entry_versions v USING (tenant_id);
CREATE MATERIALIZED VIEW counted WITH (fillfactor = 70) AS SELECT agent_id, count(*) AS n FROM above GROUP BY 1;
CREATE UNIQUE INDEX counted_by ON counted (agent_id); ALTER MATERIALIZED VIEW counted CLUSTER ON counted_by;
GRANT SELECT ON counted TO "Reader"; COMMENT ON INDEX counted_by IS 'by';
CREATE MATERIALIZED VIEW empty AS SELECT max(version) FROM entries WITH NO DATA;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER "Note It" AFTER INSERT OR UPDATE OF path ON entries FOR EACH ROW WHEN (NEW.version > 1) EXECUTE FUNCTION note();
ALTER TABLE entries ENABLE ALWAYS TRIGGER "Note It"; COMMENT ON TRIGGER "Note It" ON entries IS 'notes';
CREATE TRIGGER instead INSTEAD OF INSERT ON above FOR EACH ROW EXECUTE FUNCTION note();
CREATE RULE kept AS ON DELETE TO entry_versions WHERE OLD.version = 0 DO INSTEAD NOTHING; ALTER TABLE entry_versions DISABLE RULE kept;
CREATE TABLE things (
    id int PRIMARY KEY, tenant_id uuid, version_id uuid, head entries, n bigint DEFAULT nextval('embedding_jobs_id_seq'),
    model int REFERENCES embedding_models ON DELETE SET NULL DEFERRABLE,
    FOREIGN KEY (tenant_id, version_id) REFERENCES entry_versions);
COMMENT ON CONSTRAINT things_model_fkey ON things IS 'fk';
CREATE RULE copies AS ON INSERT TO things DO ALSO UPDATE storage_usage SET bytes = bytes + 1 WHERE tenant_id = NEW.tenant_id;
ALTER TABLE things ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON things FOR SELECT TO "Reader" USING (EXISTS (SELECT FROM entries e WHERE e.tenant_id = things.tenant_id));
COMMENT ON POLICY seen ON things IS 'p';
CREATE POLICY on_tenants ON tenants USING (EXISTS (SELECT FROM entries e WHERE e.tenant_id = id));
CREATE FUNCTION total(a text DEFAULT 'x') RETURNS bigint STABLE LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM "Usage" WHERE agent_id = a; END;
REVOKE EXECUTE ON FUNCTION total FROM PUBLIC; GRANT EXECUTE ON FUNCTION total TO "Reader"; COMMENT ON FUNCTION total IS 'f';
CREATE PROCEDURE clear() LANGUAGE sql BEGIN ATOMIC DELETE FROM idempotency_keys; END;
CREATE FUNCTION of_row(entries) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT $1.path $$;
CREATE FUNCTION listed() RETURNS SETOF entries LANGUAGE sql AS $$ SELECT * FROM entries $$;
CREATE TABLE heirs () INHERITS (search_documents);
CREATE TABLE parent (tenant_id uuid NOT NULL); ALTER TABLE storage_usage INHERIT parent;
CREATE TEMP VIEW of_session AS SELECT * FROM idempotency_keys;"#;

/// What is found of [`OTHERS`], in the order in which it can be dropped.
const FOUND: [&str; 21] = [
    "materialized view \"Re ports\".counted",
    "trigger instead of \"Re ports\".above",
    "default of the column agent_id of \"Re ports\".\"Usage\"",
    "function \"Re ports\".total(text)",
    "view \"Re ports\".above",
    "column head of \"Re ports\".things",
    "default of the column n of \"Re ports\".things",
    "foreign key things_model_fkey of \"Re ports\".things",
    "foreign key things_tenant_id_version_id_fkey of \"Re ports\".things",
    "function \"Re ports\".listed()",
    "function \"Re ports\".of_row(LIVE.entries)",
    "inheritance of LIVE.storage_usage from \"Re ports\".parent",
    "inheritance of \"Re ports\".heirs from LIVE.search_documents",
    "materialized view \"Re ports\".empty",
    "policy on_tenants of LIVE.tenants",
    "policy seen of \"Re ports\".things",
    "procedure \"Re ports\".clear()",
    "rule copies of \"Re ports\".things",
    "rule kept of LIVE.entry_versions",
    "trigger \"Note It\" of LIVE.entries",
    "view \"Re ports\".\"Usage\"",
];

#[tokio::test]
async fn what_depends_on_live_tables_is_dropped_and_made_anew() {
    let mut staged = Staged::in_schema(ODD).await;
    assert_eq!(dependents(&mut staged.connection, ODD, &MOVING).await.unwrap(), [], "our own");
    staged.execute_as_superuser(ROLES).await;
    staged.execute(SETTINGS).await;
    assert_eq!(
        dependents(&mut staged.connection, ODD, &MOVING).await.unwrap(),
        [],
        "they go along"
    );
    staged.execute_as_superuser(OTHERS).await;
    let found = dependents(&mut staged.connection, ODD, &MOVING).await.unwrap();
    let names = FOUND.map(|name| name.replace("LIVE", "\"Live's \"\"1\"\"\""));
    assert_eq!(found.iter().map(|one| one.what.as_str()).collect::<Vec<_>>(), names);

    let execute = async |staged: &mut Staged, sql: &str| {
        let executed = staged.superuser.execute(AssertSqlSafe(sql.to_owned())).await;
        executed.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    for Dependent { drop, .. } in &found {
        execute(&mut staged, drop).await;
    }
    assert_eq!(dependents(&mut staged.connection, ODD, &MOVING).await.unwrap(), []);
    staged.carry_over().await.unwrap();
    staged.switch().await;
    staged.superuser.execute("DROP VIEW of_session").await.unwrap();
    staged.drop_the_rest().await;
    for Dependent { create, .. } in found.iter().rev() {
        execute(&mut staged, create).await;
    }
    let again = dependents(&mut staged.connection, ODD, &MOVING).await.unwrap();
    for (made, found) in again.iter().zip(&found) {
        assert_eq!(made, found);
    }
    assert_eq!(again.len(), found.len());
}

/// Where nobody can write the statement, somebody is told so.
#[tokio::test]
async fn what_depends_otherwise_is_named() {
    let mut staged = Staged::in_schema("public").await;
    staged.execute("CREATE TABLE lists (all_of entries[]); CREATE DOMAIN head AS entries CHECK ((VALUE).version > 0)").await;
    let found = dependents(&mut staged.connection, "public", &MOVING).await.unwrap();
    let lines: Vec<_> = found.iter().map(|one| (one.what.as_str(), one.create.as_str())).collect();
    assert_eq!(
        lines,
        [
            (
                "column all_of of table public.lists",
                "-- make anew by hand: column all_of of table public.lists"
            ),
            ("type public.head", "-- make anew by hand: type public.head"),
        ]
    );
}
