//! Blockers of a migration that the database's administrator must remove: missing rights, missing or old
//! pgvector.

use sqlx::migrate::Migration;
use sqlx::postgres::PgConnection;

use super::encoding::NotUtf8;

/// Something that the database's administrator has to install or allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocker {
    /// Our role may not create tables.
    #[error(
        "the role {role} may not create tables in the database {database}: run ALTER DATABASE {database} OWNER TO {role}; as a \
         superuser, then run this again"
    )]
    NotOwner {
        /// Our role.
        role: String,
        /// The database.
        database: String,
    },
    /// PostgreSQL does not know the extension.
    #[error(
        "this PostgreSQL {server} has no pgvector, which AgentFS needs: install it where PostgreSQL runs (Debian: apt-get install \
         postgresql-{}-pgvector; managed services have it ready), then run this again",
        .server.split('.').next().unwrap_or_default()
    )]
    NotInstalled {
        /// PostgreSQL's version.
        server: String,
    },
    /// Our role may not create the extension.
    #[error(
        "the role {role} may not create the extension vector in the database {database}: run CREATE EXTENSION vector; as a \
         superuser there (psql -U postgres -d {database} -c 'CREATE EXTENSION vector'), then run this again"
    )]
    NotAllowed {
        /// Our role.
        role: String,
        /// The database.
        database: String,
    },
    /// Our role may not use the schema that the extension lies in.
    #[error(
        "the extension vector of the database {database} lies in the schema {schema}, which the role {role} may not use: run \
         GRANT USAGE ON SCHEMA {schema} TO {role}; as a superuser there, then run this again"
    )]
    NotUsable {
        /// The schema, quoted where it must be.
        schema: String,
        /// Our role, quoted where it must be.
        role: String,
        /// The database.
        database: String,
    },
    /// Tables of our names lie beside the extension, in a schema that is not the role's own.
    #[error(
        "the schema {schema} of the database {database}, where the extension vector lies, has the table {table} of another program or \
         another AgentFS, and it is not on the search_path of the role {role}: move the extension into a schema of its own (CREATE \
         SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO {role}; ALTER EXTENSION vector SET SCHEMA extensions; as a superuser \
         there), then run this again"
    )]
    TablesOfOthers {
        /// The schema, quoted where it must be.
        schema: String,
        /// One of the tables.
        table: String,
        /// Our role, quoted where it must be.
        role: String,
        /// The database.
        database: String,
    },
    /// The database is not encoded in UTF8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// The extension is there and too old.
    #[error(
        "the extension vector in the database {database} is of version {found}, and AgentFS needs 0.7.0 or later: install a newer \
         pgvector where PostgreSQL runs, run ALTER EXTENSION vector UPDATE; as a superuser there, then run this again"
    )]
    TooOld {
        /// The extension's version.
        found: String,
        /// The database.
        database: String,
    },
}

/// insufficient_privilege, feature_not_supported, undefined_file, undefined_object.
const EXPLAINABLE: [&str; 4] = ["42501", "0A000", "58P01", "42704"];

const LOOK: &str = "
SELECT current_setting('server_version') AS server, current_user::text AS role, current_database()::text AS database,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS creates,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS available";

/// The type halfvec came with 0.7.0.
const FIND: &str = "
SELECT extversion AS version, extnamespace::regnamespace::text AS schema, quote_ident(current_user) AS role,
       EXISTS (SELECT FROM pg_type t WHERE t.typnamespace = extnamespace AND t.typname = 'halfvec') AS has_halfvec,
       has_schema_privilege(extnamespace, 'USAGE') AS usable
  FROM pg_extension
 WHERE extname = 'vector'";

/// Our connections search the extension's schema last, whatever the role's search_path (`session::PATIENT`).
const OTHERS: &str = "
SELECT n.oid::regnamespace::text, t.relname::text, quote_ident(current_user), current_database()::text
  FROM pg_class t
  JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_extension e ON e.extname = 'vector' AND e.extnamespace = n.oid
  JOIN pg_settings s ON s.name = 'search_path' AND s.setting <> s.reset_val
 WHERE t.oid IN (to_regclass('schema_version'), to_regclass('_sqlx_migrations'))
   AND n.nspname <> current_schema()
 ORDER BY 2
 LIMIT 1";

#[derive(sqlx::FromRow)]
struct Circumstances {
    server: String,
    role: String,
    database: String,
    creates: bool,
    available: bool,
}

/// The extension as it is there.
#[derive(sqlx::FromRow)]
struct Found {
    version: String,
    schema: String,
    role: String,
    has_halfvec: bool,
    usable: bool,
}

impl Blocker {
    /// The blocker that is there before anything is migrated: tables of others that would be taken for ours.
    pub(super) async fn of_others(
        connection: &mut PgConnection,
    ) -> Result<Option<Self>, sqlx::Error> {
        let found: Option<(String, String, String, String)> =
            sqlx::query_as(OTHERS).fetch_optional(connection).await?;
        Ok(found.map(|(schema, table, role, database)| Self::TablesOfOthers {
            schema,
            table,
            role,
            database,
        }))
    }

    /// The blocker behind the failure of `migration` with the SQLSTATE `code`, if there is one.
    pub(super) async fn behind(
        code: &str,
        migration: &Migration,
        connection: &mut PgConnection,
    ) -> Result<Option<Self>, sqlx::Error> {
        if !EXPLAINABLE.contains(&code) {
            return Ok(None);
        }
        let Circumstances { server, role, database, creates, available } =
            sqlx::query_as(LOOK).fetch_one(&mut *connection).await?;
        if !creates {
            return Ok(Some(Self::NotOwner { role, database }));
        }
        if !migration.sql.as_str().contains("CREATE EXTENSION") {
            return Ok(None);
        }
        let found: Option<Found> = sqlx::query_as(FIND).fetch_optional(connection).await?;
        Ok(match found {
            Some(Found { version, has_halfvec: false, .. }) if code == "42704" => {
                Some(Self::TooOld { found: version, database })
            }
            Some(Found { schema, role, usable: false, .. }) => {
                Some(Self::NotUsable { schema, role, database })
            }
            None if !available => Some(Self::NotInstalled { server }),
            None if code == "42501" => Some(Self::NotAllowed { role, database }),
            Some(_) | None => None,
        })
    }
}
