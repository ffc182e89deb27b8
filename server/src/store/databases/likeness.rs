//! What a database has beside its rows: its owner, rights, settings and limits, and those of its tables. Another database that takes
//! its name is given the same.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::Server;
use crate::store::StoreError;
use crate::store::schema::{MIGRATIONS_TABLE, TABLES};

/// Statements that give the database `$2` what the database `$1` has. A setting that is a list of quoted names comes beside its
/// statement: as a literal it would be one name, and whoever set it wrote all of it, so that it is no SQL to be run.
const OF_DATABASE: &str = "
WITH d AS (SELECT * FROM pg_database WHERE datname = $1),
settings AS (
  SELECT CASE WHEN s.setrole = 0 THEN format('ALTER DATABASE %I', $2)
              ELSE format('ALTER ROLE %I IN DATABASE %I', r.rolname, $2) END AS alter,
         split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value
    FROM d JOIN pg_db_role_setting s ON s.setdatabase = d.oid CROSS JOIN unnest(s.setconfig) AS c
    LEFT JOIN pg_roles r ON r.oid = s.setrole
)
SELECT statement, list, value FROM (
  SELECT 1 AS turn, format('ALTER DATABASE %I CONNECTION LIMIT %s', $2, datconnlimit) AS statement, NULL AS list, NULL AS value
    FROM d WHERE datconnlimit <> -1
  UNION ALL
  SELECT 2, format('REVOKE ALL ON DATABASE %I FROM PUBLIC', $2), NULL, NULL FROM d WHERE datacl IS NOT NULL
  UNION ALL
  SELECT 3, format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, $2,
                   CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END,
                   CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), NULL, NULL
    FROM d CROSS JOIN aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
   WHERE a.grantee <> d.datdba
  UNION ALL
  SELECT 4, CASE WHEN is_list THEN format('%s SET %I FROM CURRENT', alter, name)
                 ELSE format('%s SET %I TO %L', alter, name, value) END,
         CASE WHEN is_list THEN name END, CASE WHEN is_list THEN value END
    FROM settings CROSS JOIN LATERAL (VALUES (name IN ('search_path', 'temp_tablespaces', 'session_preload_libraries',
                                                       'local_preload_libraries'))) AS l (is_list)
) AS statements ORDER BY turn, statement";

/// Statements that give the tables `$1` of another database the owner and the rights that they have here.
const OWNERS: &str = "
WITH ours AS (
    SELECT t.relname, t.relowner, n.nspname, n.nspowner
      FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE t.oid IN (SELECT to_regclass(quote_ident(wanted)) FROM unnest($1::text[]) AS wanted))
SELECT format('ALTER TABLE %I.%I OWNER TO %I', nspname, relname, pg_get_userbyid(relowner)) FROM ours
UNION
SELECT format('ALTER SCHEMA %I OWNER TO %I', nspname, pg_get_userbyid(nspowner)) FROM ours
 ORDER BY 1";

const GRANTS: &str = "
WITH ours AS (
    SELECT t.oid, t.relname, t.relowner, t.relacl, n.nspname, n.nspacl, n.nspowner
      FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE t.oid IN (SELECT to_regclass(quote_ident(wanted)) FROM unnest($1::text[]) AS wanted))
SELECT format('GRANT %s ON SCHEMA %I TO %s', a.privilege_type, nspname,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END) AS statement, NULL AS list, NULL AS value
  FROM (SELECT DISTINCT nspname, nspacl, nspowner FROM ours) AS s CROSS JOIN aclexplode(nspacl) a
  LEFT JOIN pg_roles r ON r.oid = a.grantee
 WHERE a.grantee <> nspowner AND pg_get_userbyid(a.grantee) <> 'pg_database_owner'
UNION ALL
SELECT format('GRANT %s ON TABLE %I.%I TO %s%s', a.privilege_type, nspname, relname,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END,
              CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), NULL, NULL
  FROM ours CROSS JOIN aclexplode(relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
 WHERE a.grantee <> relowner";

/// What is in the database that is neither ours nor PostgreSQL's nor an extension's.
const OTHERS: &str = "
SELECT what FROM (
  SELECT format('%s %s', CASE t.relkind WHEN 'v' THEN 'the view' WHEN 'm' THEN 'the materialised view' WHEN 'S' THEN 'the sequence'
                                        ELSE 'the table' END, t.oid::regclass) AS what
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE t.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^(pg_|information_schema$|agentfs_meta$)'
     AND t.oid NOT IN (SELECT to_regclass(quote_ident(wanted)) FROM unnest($1::text[]) AS wanted
                        WHERE to_regclass(quote_ident(wanted)) IS NOT NULL)
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('e', 'i'))
  UNION ALL
  SELECT format('the function %s', p.oid::regprocedure) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE n.nspname !~ '^(pg_|information_schema$)'
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
  UNION ALL
  SELECT format('the trigger %s of %s', g.tgname, g.tgrelid::regclass) FROM pg_trigger g WHERE NOT g.tgisinternal
  UNION ALL
  SELECT format('the policy %s of %s', polname, polrelid::regclass) FROM pg_policy
  UNION ALL
  SELECT format('the publication %I', pubname) FROM pg_publication
  UNION ALL
  SELECT format('the extension %I', extname) FROM pg_extension WHERE extname NOT IN ('plpgsql', 'vector')
) AS others ORDER BY 1 LIMIT 10";

/// Tables of ours, of which not everybody who may read sees every row.
const WITH_ROW_SECURITY: &str = "
SELECT t.oid::regclass::text FROM pg_class t
 WHERE t.oid IN (SELECT to_regclass(quote_ident(wanted)) FROM unnest($1::text[]) AS wanted)
   AND (t.relrowsecurity OR t.relforcerowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = t.oid))
 ORDER BY 1";

fn ours() -> Vec<&'static str> {
    TABLES.into_iter().chain([MIGRATIONS_TABLE]).collect()
}

/// What is in a database that another one, which takes its name, has not.
pub async fn others(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(OTHERS).bind(ours()).fetch_all(connection).await?)
}

/// Our tables that have row security, which [`of_tables`] does not give.
pub async fn with_row_security(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(WITH_ROW_SECURITY).bind(ours()).fetch_all(connection).await?)
}

/// Gives the tables of `to` the owners and rights that those of `from` have. Returns rights that could not be given, as sentences.
pub async fn of_tables(
    from: &mut PgConnection,
    to: &mut PgConnection,
) -> Result<Vec<String>, StoreError> {
    let owners: Vec<String> = sqlx::query_scalar(OWNERS).bind(ours()).fetch_all(&mut *from).await?;
    let has: Vec<String> = sqlx::query_scalar(OWNERS).bind(ours()).fetch_all(&mut *to).await?;
    for owner in owners.into_iter().filter(|owner| !has.contains(owner)) {
        // Without its owner's rights nothing would be served.
        to.execute(AssertSqlSafe(owner)).await?;
    }
    let grants: Vec<Step> = sqlx::query_as(GRANTS).bind(ours()).fetch_all(from).await?;
    execute_all(to, grants).await
}

impl Server {
    /// Gives the database `to` what the database `from` has. Returns what could not be given, as sentences.
    pub async fn liken(&mut self, from: &str, to: &str) -> Result<Vec<String>, StoreError> {
        let statements = sqlx::query_as(OF_DATABASE).bind(from).bind(to);
        let statements = statements.fetch_all(&mut self.connection).await?;
        execute_all(&mut self.connection, statements).await
    }

    /// Gives the database `to` the owner that `from` has.
    pub async fn give_owner(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        let owner = "SELECT format('ALTER DATABASE %I OWNER TO %I', $2, pg_get_userbyid(f.datdba))
                       FROM pg_database f, pg_database t
                      WHERE f.datname = $1 AND t.datname = $2 AND f.datdba <> t.datdba";
        let owner = sqlx::query_scalar(owner).bind(from).bind(to);
        let owner: Option<String> = owner.fetch_optional(&mut self.connection).await?;
        if let Some(owner) = owner {
            self.connection.execute(AssertSqlSafe(owner)).await?;
        }
        Ok(())
    }
}

/// A statement that our role may have no right to.
#[derive(sqlx::FromRow)]
struct Step {
    statement: String,
    /// The setting that it takes as it is in the session, and its value.
    list: Option<String>,
    value: Option<String>,
}

impl Step {
    async fn execute(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin().await?;
        if let Some(list) = &self.list {
            let set = sqlx::query("SELECT pg_catalog.set_config($1, $2, true)");
            set.bind(list).bind(&self.value).execute(&mut *transaction).await?;
        }
        // From here on the names that are searched may be anybody's: the statement calls nothing.
        transaction.execute(AssertSqlSafe(self.statement.clone())).await?;
        transaction.commit().await
    }

    /// Without the value of a setting, which may be a secret.
    fn for_people(&self) -> String {
        let of_setting =
            self.statement.split_once(" TO ").or(self.statement.split_once(" FROM CURRENT"));
        match of_setting {
            Some((setting, _)) if setting.starts_with("ALTER") => format!("{setting} TO …;"),
            _ => format!("{};", self.statement),
        }
    }
}

/// Executes statements; those that our role may not are returned with what to do.
async fn execute_all(
    connection: &mut PgConnection,
    steps: Vec<Step>,
) -> Result<Vec<String>, StoreError> {
    let mut refused = Vec::new();
    for step in steps {
        if let Err(error) = step.execute(connection).await {
            let Some(why) = error.as_database_error().map(why) else { return Err(error.into()) };
            refused.push(format!(
                "what the database had could not be given to the new one ({why}): as a role that may, run: {}",
                step.for_people()
            ));
        }
    }
    Ok(refused)
}

/// What PostgreSQL says; where a value is at fault it would repeat that.
fn why(error: &(dyn DatabaseError + 'static)) -> String {
    match error.code() {
        Some(code) if code.starts_with("22") => format!("SQLSTATE {code}"),
        _ => error.message().to_owned(),
    }
}
