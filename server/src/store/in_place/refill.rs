//! Empties the live tables and fills them again, with servers kept off them meanwhile: by a schema without a version, which no program
//! works on. The tables stay, and with them their owner, rights, policies and whatever refers to them.

use agentfs_contract::request::Request;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use uuid::Uuid;

use super::lost::{self, Lost};
use super::records::{self, Phase};
use super::rows::{self, Target};
use super::schemas::NotOurs;
use super::switch::{PATIENT, Wanted, live_schema, lock, stepped_back};
use super::{MOVING, PREVIOUS, live, moving, previous};
use crate::store::StoreError;
use crate::store::names::qualified;
use crate::store::requests;
use crate::store::schema::SCHEMA_VERSION;

/// Tables that say which schema the others have. They are not filled again.
const OF_SCHEMA: [&str; 2] = ["schema_version", "_sqlx_migrations"];
/// Tables that stay, and that a backup has.
const COMPARED: [&str; 3] = ["tenants", "api_keys", "quota_usage"];
/// The schema of a session's temporary tables.
pub const ASIDE: &str = "pg_temp";

/// What is known of what was live before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emptied {
    /// The version of the live schema.
    pub version: i32,
    /// The oldest schema that a program may have been built for and still work on it.
    pub min_compatible: i32,
    /// Since when servers are kept off.
    pub closed_at: Timestamp,
    /// Whether there was any memory.
    pub had_memory: bool,
    /// The versions that were written since the backup, once the tables are emptied.
    pub lost: Vec<Lost>,
    /// The backup of what was live, where one was made.
    pub safety: Option<String>,
}

impl Emptied {
    /// The same for a backup of the moment `since`: who has written nothing later has lost nothing by it.
    #[must_use]
    pub fn since(&self, since: Timestamp) -> Self {
        let lost = self.lost.iter().filter(|lost| lost.to > since).cloned().collect();
        Self { lost, ..self.clone() }
    }

    fn text(&self) -> String {
        // Its fields are all such that JSON has.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What came of keeping servers off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// They keep off.
    Done,
    /// Another run has taken over. Nothing has changed.
    NotHolder,
    /// The live schema has this version, which is not this program's. Nothing has changed.
    OtherVersion(i32),
}

/// What came of a step.
#[derive(Debug)]
pub enum Done {
    /// It is done.
    All,
    /// Others hold tables: the sessions, for people. Nothing has changed.
    Held(String),
    /// Another run has taken over. Nothing has changed.
    NotHolder,
    /// The previous tables are not as a record has them. Nothing has changed.
    NotOurs(NotOurs),
}

/// The tables that are filled again, in the order in which writers lock them.
fn refilled() -> Vec<&'static str> {
    MOVING.into_iter().filter(|table| !OF_SCHEMA.contains(table)).collect()
}

fn quoted(live: &str) -> Vec<String> {
    refilled().into_iter().map(|table| qualified(live, table)).collect()
}

/// The statement by which somebody else gives our role what it lacks to fill the tables; `None` where it lacks nothing.
pub async fn lacking(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let lacking =
        "SELECT format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)
                    WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')";
    Ok(sqlx::query_scalar(lacking).fetch_optional(connection).await?)
}

/// Keeps servers off the live tables of the schema `live`: within a second or two, each says that it is not ready.
pub async fn close(
    connection: &mut PgConnection,
    id: Uuid,
    live: &str,
    safety: Option<&str>,
) -> Result<Closing, StoreError> {
    let mut transaction = connection.begin().await?;
    if !records::hold(&mut transaction, id, Phase::Staging).await? {
        transaction.rollback().await?;
        return Ok(Closing::NotHolder);
    }
    let had_memory = live::has_memory(&mut transaction).await?;
    let close =
        format!("DELETE FROM {} RETURNING version, min_compatible", qualified(live, OF_SCHEMA[0]));
    let (version, min_compatible) =
        sqlx::query_as(AssertSqlSafe(close)).fetch_one(&mut *transaction).await?;
    if version != SCHEMA_VERSION {
        transaction.rollback().await?;
        return Ok(Closing::OtherVersion(version));
    }
    let now = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *transaction).await?;
    let closed_at = jiff_sqlx::Timestamp::to_jiff(now);
    let safety = safety.map(str::to_owned);
    let lost = Vec::new();
    let emptied = Emptied { version, min_compatible, closed_at, had_memory, lost, safety };
    note(&mut transaction, id, Phase::Closed, &emptied).await?;
    transaction.commit().await?;
    Ok(Closing::Done)
}

/// Lets servers on the live tables again, which were not emptied, and gives the record up. False where it is in another phase.
pub async fn reopen(
    connection: &mut PgConnection,
    id: Uuid,
    before: &Emptied,
) -> Result<bool, StoreError> {
    let live = live_schema(&mut *connection).await?;
    let mut transaction = connection.begin().await?;
    let is_ours = records::hold(&mut transaction, id, Phase::Closed).await?;
    if is_ours {
        open(&mut transaction, &live, before).await?;
        records::end(&mut transaction, id, Phase::Closed, Phase::GivenUp).await?;
    }
    transaction.commit().await?;
    Ok(is_ours)
}

async fn open(
    connection: &mut PgConnection,
    live: &str,
    before: &Emptied,
) -> Result<(), StoreError> {
    let open = format!(
        "INSERT INTO {} (version, min_compatible) VALUES ($1, $2)",
        qualified(live, OF_SCHEMA[0])
    );
    let open = sqlx::query(AssertSqlSafe(open)).bind(before.version).bind(before.min_compatible);
    open.execute(connection).await?;
    Ok(())
}

/// Vector indexes of the schema `$1` that our role may drop and make again.
const VECTOR_INDEXES: &str = "
SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_index i
  JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am m ON m.oid = c.relam
 WHERE n.nspname = $1 AND t.relname IN ('embeddings', 'embedding_chunks') AND m.amname = 'hnsw'
   AND pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')";

/// Tries once to empty the live tables, which gives their room back, and notes what goes with them: versions that were written after
/// `since`. The previous tables of an earlier restore go as well, since what they would come back to is not there any more.
pub async fn empty(
    connection: &mut PgConnection,
    id: Uuid,
    live: &str,
    since: Timestamp,
    before: &Emptied,
) -> Result<Done, StoreError> {
    let mut transaction = connection.begin().await?;
    let mut wanted = Wanted::default();
    let tried = try_to_empty(&mut transaction, &mut wanted, id, live, since, before).await;
    match tried {
        Ok(Done::All) => {
            transaction.commit().await?;
            Ok(Done::All)
        }
        Ok(other) => {
            transaction.rollback().await?;
            Ok(other)
        }
        Err(error) if stepped_back(&error) => {
            transaction.rollback().await?;
            Ok(Done::Held(wanted.holders(connection).await?))
        }
        Err(error) => {
            transaction.rollback().await.ok();
            Err(error)
        }
    }
}

async fn try_to_empty(
    connection: &mut PgConnection,
    wanted: &mut Wanted,
    id: Uuid,
    live: &str,
    since: Timestamp,
    before: &Emptied,
) -> Result<Done, StoreError> {
    if !records::hold(&mut *connection, id, Phase::Closed).await? {
        return Ok(Done::NotHolder);
    }
    lock_all(connection, wanted, live).await?;
    wanted.next(&mut *connection, moving(PREVIOUS)).await?;
    if let Some(record) = records::with_previous(&mut *connection).await?
        && let Err(not_ours) = previous::drop_in(&mut *connection, &record).await?
    {
        return Ok(Done::NotOurs(not_ours));
    }
    let lost = lost::since(&mut *connection, live, since).await?;
    // To keep a graph up to date row by row takes far longer than to build it.
    let indexes: Vec<String> =
        sqlx::query_scalar(VECTOR_INDEXES).bind(live).fetch_all(&mut *connection).await?;
    for index in indexes {
        connection.execute(AssertSqlSafe(format!("DROP INDEX {index}"))).await?;
    }
    truncate(connection, live).await?;
    note(connection, id, Phase::Emptied, &Emptied { lost, ..before.clone() }).await?;
    Ok(Done::All)
}

/// Servers keep off, so nobody waits behind who waits for these.
async fn lock_all(
    connection: &mut PgConnection,
    wanted: &mut Wanted,
    live: &str,
) -> Result<(), StoreError> {
    wanted.next(&mut *connection, quoted(live)).await?;
    let lock = lock(&quoted(live));
    connection.execute(AssertSqlSafe(format!("{PATIENT}; {lock}"))).await?;
    Ok(())
}

/// What others refer to by a foreign key cannot be emptied, and is named by PostgreSQL.
async fn truncate(connection: &mut PgConnection, live: &str) -> Result<(), StoreError> {
    let truncate = format!("TRUNCATE {}", quoted(live).join(", "));
    connection.execute(AssertSqlSafe(truncate)).await?;
    Ok(())
}

/// Takes an interrupted run of another backup over: what it has emptied is filled by the one that begins now, whose id is returned.
/// `before` is what is known of before for this backup. `request` knows from then on that it is its restore. `None` where another run has
/// taken over.
pub async fn inherit(
    connection: &mut PgConnection,
    from: Uuid,
    before: &Emptied,
    backup: &str,
    instance: &str,
    models: &[i32],
    request: Option<&Request>,
) -> Result<Option<Uuid>, StoreError> {
    let mut transaction = connection.begin().await?;
    if !records::end(&mut transaction, from, Phase::Emptied, Phase::GivenUp).await? {
        transaction.rollback().await?;
        return Ok(None);
    }
    let id =
        records::begin(&mut transaction, records::Kind::Restore, backup, instance, models).await?;
    note(&mut transaction, id, Phase::Emptied, before).await?;
    if let Some(request) = request {
        requests::note_restore(&mut transaction, request, id).await?;
    }
    transaction.commit().await?;
    Ok(Some(id))
}

async fn note(
    connection: &mut PgConnection,
    id: Uuid,
    phase: Phase,
    emptied: &Emptied,
) -> Result<(), StoreError> {
    let note = "UPDATE agentfs_meta.restores SET phase = $2, emptied = $3 WHERE id = $1";
    let note = sqlx::query(note).bind(id).bind(phase.as_str()).bind(emptied.text());
    note.execute(connection).await?;
    Ok(())
}

const TEMPORARY: &str = "SELECT nspname::text FROM pg_namespace WHERE oid = pg_my_temp_schema()";

/// Begins the transaction that fills the tables, and returns all that rows of a backup can be put into: the live tables that are
/// empty, and temporary ones in place of those that stay, which this session finds first from now on. On [`Done::All`] the transaction
/// is open, with all its locks: nobody reads or writes what is half filled.
pub async fn begin(
    connection: &mut PgConnection,
    id: Uuid,
    live: &str,
) -> Result<(Done, Vec<Target>), StoreError> {
    connection.execute("BEGIN").await?;
    if !records::hold(&mut *connection, id, Phase::Emptied).await? {
        connection.execute("ROLLBACK").await?;
        return Ok((Done::NotHolder, Vec::new()));
    }
    let mut wanted = Wanted::default();
    match lock_all(connection, &mut wanted, live).await {
        Err(error) if stepped_back(&error) => {
            connection.execute("ROLLBACK").await?;
            return Ok((Done::Held(wanted.holders(connection).await?), Vec::new()));
        }
        locked => locked?,
    }
    connection.execute("SET LOCAL lock_timeout = 0").await?;
    // Whoever had not heard yet that servers are to keep off may have written something.
    truncate(connection, live).await?;
    for table in COMPARED.into_iter().chain(OF_SCHEMA) {
        let (aside, live) = (qualified(ASIDE, table), qualified(live, table));
        let make =
            format!("CREATE TEMP TABLE {aside} (LIKE {live} INCLUDING DEFAULTS) ON COMMIT DROP");
        connection.execute(AssertSqlSafe(make)).await?;
    }
    let temporary: String = sqlx::query_scalar(TEMPORARY).fetch_one(&mut *connection).await?;
    let mut targets = rows::targets(&mut *connection, live).await?;
    let is_aside =
        |target: &Target| COMPARED.into_iter().chain(OF_SCHEMA).any(|table| table == target.name);
    targets.retain(|target| !is_aside(target));
    targets.extend(rows::targets(connection, &temporary).await?);
    // Those first that others refer to.
    targets.sort_by_key(|target| target.name != "embedding_models");
    Ok((Done::All, targets))
}

/// Lets an identity column go on behind the greatest value that there is, or was.
const CONTINUE: &str = "SELECT setval(%L::regclass, max(%3$I)) FROM %2$s HAVING max(%3$I) >= (SELECT last_value FROM %1$s)";

/// Nothing of before is kept: its time is over at once.
const SWITCHED: &str = "
UPDATE agentfs_meta.restores
   SET phase = 'switched', switched_at = at, previous_until = at, switch_seconds = extract(epoch FROM at - $2::timestamptz)
  FROM (SELECT clock_timestamp() AS at) AS now
 WHERE id = $1";

/// Ends what [`begin`] has begun: what was filled is live, and servers may come again. Where the connection is lost at COMMIT, only the
/// record tells whether it is.
pub async fn commit(
    connection: &mut PgConnection,
    id: Uuid,
    live: &str,
    before: &Emptied,
) -> Result<(), StoreError> {
    rows::set_sequences(&mut *connection, CONTINUE, live, Some(&refilled())).await?;
    let analyse = format!("ANALYZE {}", quoted(live).join(", "));
    connection.execute(AssertSqlSafe(analyse)).await?;
    open(&mut *connection, live, before).await?;
    let switched = sqlx::query(SWITCHED).bind(id).bind(before.closed_at.to_sqlx());
    switched.execute(&mut *connection).await?;
    requests::note_switched(&mut *connection, id).await?;
    connection.execute("COMMIT").await?;
    Ok(())
}
