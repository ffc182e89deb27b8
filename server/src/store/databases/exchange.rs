//! Exchanges databases by their names: the one that was filled beside, or the previous one, becomes live, and the live one becomes
//! the previous one. What is known of it is the comment of the previous database, which changes in the same transaction.

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant};

use agentfs_contract::manifest::hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use uuid::Uuid;

use super::{MAX_NAME, Server, connect_beside, connect_never_idle};
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::advisory_lock::{AdvisoryLock, Busy, take_all};
use crate::store::in_place::live;
use crate::store::schema;

/// What others see as the session that restores.
const PROGRAM: &str = "agentfs-server restore";
/// How often sessions of the live database are ended while it is renamed.
const END_EVERY: Duration = Duration::from_millis(10);

/// The names that a database and what takes its place have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The live one.
    pub live: String,
    /// What is filled beside it.
    pub unfinished: String,
    /// What was live before.
    pub previous: String,
    /// A previous one that another takes the place of; it is only there to be dropped.
    pub outgoing: String,
}

impl Names {
    /// The names that go with a live database.
    pub fn of(live: &str) -> Self {
        Self {
            live: live.to_owned(),
            unfinished: beside(live, ".unfinished"),
            previous: beside(live, "_previous"),
            outgoing: beside(live, "_outgoing"),
        }
    }
}

/// A name with this ending. One that would be too long is cut, and told from others by a hash of the whole.
fn beside(name: &str, ending: &str) -> String {
    if name.len() + ending.len() <= MAX_NAME {
        return format!("{name}{ending}");
    }
    let hash = &hex(&Sha256::digest(name))[..8];
    let room = MAX_NAME - ending.len() - hash.len() - 1;
    format!("{}_{hash}{ending}", &name[..name.floor_char_boundary(room)])
}

/// What is known of an exchange, as long as its previous database is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Its id.
    pub id: Uuid,
    /// The live database.
    pub live: String,
    /// The backup that was restored.
    pub backup: String,
    /// Whether the restore of it was undone.
    pub is_undo: bool,
    /// When it was live.
    pub switched_at: Timestamp,
    /// Until when the previous database stays.
    pub previous_until: Timestamp,
    /// Embedding models whose vector index has to be built afterwards.
    pub models: Vec<i32>,
    /// Whether all that follows the exchange is done.
    pub is_finished: bool,
    /// The comment that the previous database had.
    pub comment: Option<String>,
}

/// What the comment of a previous database begins with. For people it says what that is.
const KEPT: &str = "agentfs-server restore keeps what was live before: ";

impl Note {
    fn parse(comment: &str) -> Option<Self> {
        serde_json::from_str(comment.strip_prefix(KEPT)?).ok()
    }

    fn comment(&self) -> String {
        // Its fields are all such that JSON has.
        format!("{KEPT}{}", serde_json::to_string(self).unwrap_or_default())
    }
}

/// What has the name of a previous database.
#[derive(Debug, Clone, PartialEq)]
pub enum Previous {
    /// Nothing.
    None,
    /// One that a restore has kept.
    Kept(Note),
    /// Something else.
    NotOurs,
}

const COMMENT: &str =
    "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1";

const MAY_RENAME: &str = "
SELECT EXISTS (SELECT FROM pg_database d, pg_roles r
                WHERE datname = $1 AND rolname = current_user AND (rolsuper OR rolcreatedb AND pg_has_role(datdba, 'USAGE')))";

/// Whether our role may end a session `a` of the role `u`.
macro_rules! may_end {
    () => {
        "((SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
          OR (NOT coalesce(u.rolsuper, true)
              AND (pg_has_role(u.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))))"
    };
}

/// Sessions that a rename does not end or wait for by itself. Whoever may not see another's sessions has no word of their kind.
macro_rules! sessions {
    ($of:literal) => {
        concat!(
            " FROM pg_stat_activity a LEFT JOIN pg_roles u ON u.oid = a.usesysid
               WHERE a.",
            $of,
            " = $1 AND a.pid <> pg_backend_pid()
                 AND coalesce(a.backend_type, 'client backend') NOT IN ('autovacuum worker', 'parallel worker') "
        )
    };
}

/// By its OID: once it is renamed, its name is another's, whose sessions have just begun.
const END: &str = concat!(
    "SELECT count(pg_terminate_backend(a.pid))",
    sessions!("datid"),
    "AND coalesce(a.backend_type, 'client backend') = 'client backend' AND ",
    may_end!()
);

/// What a rename cannot get rid of, for people.
const FOREIGN: &str = concat!(
    "SELECT format('session %s (%s)', a.pid, concat_ws(', ', nullif(a.backend_type, 'client backend'), 'role ' || a.usename,
                                                      nullif(a.application_name, ''), 'from ' || host(a.client_addr)))",
    sessions!("datname"),
    "AND NOT (coalesce(a.backend_type, 'client backend') = 'client backend' AND ",
    may_end!(),
    ") UNION ALL
     SELECT format('the prepared transaction %L', gid) FROM pg_prepared_xacts WHERE database = $1
      ORDER BY 1 LIMIT 5"
);

/// All of them, once an exchange had to give up.
const ANY: &str = concat!(
    "SELECT string_agg(format('session %s (role %s)', a.pid, a.usename), ', ' ORDER BY a.pid)",
    sessions!("datname")
);

/// What came of a try to exchange databases.
#[derive(Debug, Clone, PartialEq)]
pub enum Try {
    /// It is done; sessions were refused or had to wait for so many seconds.
    Made(f64),
    /// Sessions that could not be ended in time, for people. Nothing has changed.
    Held(String),
}

impl Server {
    /// What has the name of the previous database.
    pub async fn previous(&mut self, names: &Names) -> Result<Previous, StoreError> {
        self.kept(&names.previous, &names.live).await
    }

    async fn kept(&mut self, name: &str, live: &str) -> Result<Previous, StoreError> {
        if !self.has(name).await? {
            return Ok(Previous::None);
        }
        let comment = self.comment(name).await?;
        let note = comment.as_deref().and_then(Note::parse).filter(|note| note.live == live);
        Ok(note.map_or(Previous::NotOurs, Previous::Kept))
    }

    /// Drops a previous database that another has taken the place of.
    pub async fn drop_outgoing(&mut self, names: &Names) -> Result<(), StoreError> {
        match self.kept(&names.outgoing, &names.live).await? {
            Previous::Kept(_) => self.drop(&names.outgoing).await,
            Previous::None | Previous::NotOurs => Ok(()),
        }
    }

    /// The comment of a database.
    pub async fn comment(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let comment = sqlx::query_scalar(COMMENT).bind(name);
        Ok(comment.fetch_optional(&mut self.connection).await?.flatten())
    }

    /// Notes with the previous database what is known now.
    pub async fn note(&mut self, names: &Names, note: &Note) -> Result<(), StoreError> {
        set_comment(&mut self.connection, &names.previous, Some(&note.comment())).await
    }

    /// Whether our role may give a database another name: it needs the rights of its owner, and CREATEDB.
    pub async fn may_rename(&mut self, name: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(MAY_RENAME).bind(name).fetch_one(&mut self.connection).await?)
    }

    /// Sessions and prepared transactions of a database that would keep it from being renamed, since our role may not end them.
    pub async fn foreign_sessions(&mut self, name: &str) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(FOREIGN).bind(name).fetch_all(&mut self.connection).await?)
    }

    /// How large a database is, in bytes.
    pub async fn bytes(&mut self, name: &str) -> Result<u64, StoreError> {
        let size: i64 = sqlx::query_scalar("SELECT pg_database_size($1::name)")
            .bind(name)
            .fetch_one(&mut self.connection)
            .await?;
        Ok(size.unsigned_abs())
    }

    /// Tries once to make `incoming` the live database, and the live one the previous one. All of it is one transaction, in which a
    /// second session ends those of the live database. `before_commit` is called once all names are changed and nothing is committed.
    pub async fn exchange(
        &mut self,
        url: &DatabaseUrl,
        names: &Names,
        incoming: &str,
        note: &Note,
        before_commit: &(dyn Fn() + Sync),
    ) -> Result<Try, StoreError> {
        let comment = self.comment(&names.live).await?;
        let has_previous = self.has(&names.previous).await?;
        let Names { live, previous, outgoing, .. } = names;
        let moves: Vec<(&str, &str)> = if incoming == previous {
            vec![(live, outgoing), (previous, live), (outgoing, previous)]
        } else if has_previous {
            vec![(previous, outgoing), (live, previous), (incoming, live)]
        } else {
            vec![(live, previous), (incoming, live)]
        };
        let note = Note { comment: comment.clone(), ..note.clone() };
        let comments = [(previous, Some(note.comment())), (live, comment)];

        let mut ender = connect_beside(url).await?;
        let outgoing =
            sqlx::query_scalar("SELECT oid FROM pg_database WHERE datname = $1").bind(live);
        let outgoing: Oid = outgoing.fetch_one(&mut ender).await?;
        let begun = Instant::now();
        let renaming = rename_all(&mut self.connection, &moves, &comments, before_commit);
        let done = tokio::select! {
            done = renaming => done,
            never = end_sessions(&mut ender, outgoing) => match never {},
        };
        match done {
            Ok(()) => Ok(Try::Made(begun.elapsed().as_secs_f64())),
            Err(error) if is_held(&error) => {
                let sessions: Option<String> =
                    sqlx::query_scalar(ANY).bind(live).fetch_one(&mut ender).await?;
                Ok(Try::Held(sessions.unwrap_or_else(|| "they have ended since".into())))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether sessions were in the way of a rename: it says so after 5 s, unless `statement_timeout` comes first.
fn is_held(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["55006", "57014", "55P03"].contains(&&*code))
}

async fn rename_all(
    connection: &mut PgConnection,
    moves: &[(&str, &str)],
    comments: &[(&String, Option<String>)],
    before_commit: &(dyn Fn() + Sync),
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // All who want to log in wait meanwhile.
    transaction.execute("SET LOCAL statement_timeout = '1s'").await?;
    for (from, to) in moves {
        let rename = sqlx::query_scalar("SELECT format('ALTER DATABASE %I RENAME TO %I', $1, $2)");
        let rename: String = rename.bind(*from).bind(*to).fetch_one(&mut *transaction).await?;
        transaction.execute(AssertSqlSafe(rename)).await?;
    }
    for (name, comment) in comments {
        let statement = commenting(&mut transaction, name, comment.as_deref()).await?;
        transaction.execute(AssertSqlSafe(statement)).await?;
    }
    before_commit();
    transaction.commit().await
}

async fn commenting(
    connection: &mut PgConnection,
    name: &str,
    comment: Option<&str>,
) -> Result<String, sqlx::Error> {
    let statement = "SELECT format('COMMENT ON DATABASE %I IS %s', $1, quote_nullable($2))";
    sqlx::query_scalar(statement).bind(name).bind(comment).fetch_one(connection).await
}

async fn set_comment(
    connection: &mut PgConnection,
    name: &str,
    comment: Option<&str>,
) -> Result<(), StoreError> {
    let statement = commenting(connection, name, comment).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// Ends the sessions of a database again and again: those that come before its rename has the lock.
async fn end_sessions(connection: &mut PgConnection, database: Oid) -> Infallible {
    while let Ok(_ended) = sqlx::query(END).bind(database).execute(&mut *connection).await {
        tokio::time::sleep(END_EVERY).await;
    }
    // The rename finds out by itself that it comes no further.
    pending().await
}

/// The live database, with migrations and backups kept off it for as long as the connection lives.
#[derive(Debug)]
pub struct Held {
    /// The connection.
    pub connection: PgConnection,
    /// Its schema's version; 0 where it has none.
    pub version: i32,
    /// Whether it holds memory.
    pub has_memory: bool,
}

impl Held {
    /// Ends the session. Fails where it had ended before, and with it the locks.
    pub async fn let_go(mut self) -> Result<(), StoreError> {
        self.connection.ping().await?;
        Ok(self.connection.close().await?)
    }
}

/// Connects to the live database and keeps migrations and backups off it, unless one is under way.
pub async fn hold(url: &DatabaseUrl) -> Result<Result<Held, Busy>, StoreError> {
    let mut connection = connect_never_idle(url).await?;
    let locks = [
        (AdvisoryLock::Backup, "a backup or another restore"),
        (AdvisoryLock::SchemaChange, "a migration or a backup"),
    ];
    if let Err(busy) = take_all(&mut connection, PROGRAM, &locks).await? {
        return Ok(Err(busy));
    }
    let version = schema::read(&mut connection).await?.version;
    let has_memory = version > 0 && live::has_memory(&mut connection).await?;
    Ok(Ok(Held { connection, version, has_memory }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_longer_than_postgresql_keeps_them() {
        let names = Names::of("agentfs");
        assert_eq!(names.unfinished, "agentfs.unfinished");
        assert_eq!(names.previous, "agentfs_previous");
        let long = format!("{}é", "x".repeat(61));
        let (one, other) = (Names::of(&long), Names::of(&format!("{}y", &long[..61])));
        for name in [&one.unfinished, &one.previous, &one.outgoing, &other.previous] {
            assert!(name.len() <= MAX_NAME && name.starts_with("xxx"), "{name}");
        }
        assert_ne!(one.previous, other.previous, "two databases share no previous one");
        assert!(beside("é".repeat(30).as_str(), "_previous").len() <= MAX_NAME);
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_else_is_one() {
        let note = Note {
            id: Uuid::nil(),
            live: "agentfs".into(),
            backup: "agentfs_20261129_020000".into(),
            is_undo: false,
            switched_at: Timestamp::UNIX_EPOCH,
            previous_until: Timestamp::UNIX_EPOCH,
            models: vec![1],
            is_finished: false,
            comment: Some("mine".into()),
        };
        assert_eq!(Note::parse(&note.comment()), Some(note));
        assert_eq!(Note::parse("mine"), None);
        assert_eq!(Note::parse(KEPT), None);
    }
}
