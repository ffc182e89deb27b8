//! What tables have beside rows and what our migrations make: their owner, rights, policies, replica identity, publications, storage
//! parameters, statistics, comments, and the constraints and indexes that somebody added.
//!
//! Each aspect is a query that compares both schemas by the catalogue and returns the statements that make the new tables alike. So a
//! second run finds nothing to do. Definitions are written by PostgreSQL while the live schema is the one that is searched, which leaves
//! its name out, and are run while the new one is searched before it: what they name is the new table where there is one, and else what
//! the live table's definition names.
//!
//! What cannot be given stops the restore where its lack would let somebody read or write what they may not, lose what is in a column,
//! or make writes fail; all else is told.

#[macro_use]
mod pairs;

mod columns;
mod descriptions;
mod objects;
mod replication;
mod rights;
mod storage;

use std::fmt;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

pub(super) use self::rights::policy;
use super::search_path;
use crate::store::StoreError;

/// What the new tables would lack and must not: sentences that say what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlike(pub Vec<String>);

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// A part of what tables have. `$1` is the live schema, `$2` the new one, `$3` the names of the tables.
struct Aspect {
    /// Returns a [`Step`] a row.
    sql: &'static str,
    /// What it means where a step cannot be done.
    lack: Lack,
    /// Whether planner statistics are others after it.
    of_statistics: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    Stops,
    Told,
}

/// What makes the new tables more alike.
#[derive(sqlx::FromRow)]
struct Step {
    /// The statement; none where only people can do it.
    statement: Option<String>,
    /// The role that has to run it, where it is another one.
    role: Option<String>,
    /// What the live table has, for people.
    what: String,
    /// What to do where it cannot be given.
    advice: String,
}

impl Aspect {
    const fn stops(sql: &'static str) -> Self {
        Self { sql, lack: Lack::Stops, of_statistics: false }
    }

    const fn told(sql: &'static str) -> Self {
        Self { sql, lack: Lack::Told, of_statistics: false }
    }

    const fn of_statistics(sql: &'static str) -> Self {
        Self { sql, lack: Lack::Told, of_statistics: true }
    }

    async fn steps(
        &self,
        connection: &mut PgConnection,
        from: &str,
        to: &str,
        tables: &[&str],
    ) -> Result<Vec<Step>, sqlx::Error> {
        sqlx::query_as(self.sql).bind(from).bind(to).bind(tables).fetch_all(connection).await
    }
}

/// In this order: an owner's rights are those of the owner of then; a mark on an index needs the index.
const ASPECTS: [Aspect; 22] = [
    Aspect::stops(columns::TYPES),
    Aspect::stops(rights::OWNERS),
    Aspect::told(columns::DEFAULTS),
    Aspect::told(columns::NOT_NULL),
    Aspect::told(columns::IDENTITY),
    Aspect::told(columns::SEQUENCES),
    Aspect::told(objects::CONSTRAINTS),
    Aspect::of_statistics(objects::INDEXES),
    Aspect::of_statistics(objects::STATISTICS),
    Aspect::of_statistics(objects::OF_STATISTICS),
    Aspect::told(storage::PARAMETERS),
    Aspect::of_statistics(storage::COLUMNS),
    Aspect::told(storage::PLACES),
    Aspect::told(storage::CLUSTER_MARK),
    Aspect::stops(replication::IDENTITY),
    Aspect::stops(rights::POLICIES),
    Aspect::stops(rights::ROW_SECURITY),
    Aspect::stops(rights::GRANTS),
    Aspect::stops(descriptions::SECURITY_LABELS),
    Aspect::told(descriptions::COMMENTS),
    Aspect::told(replication::PUBLICATIONS),
    Aspect::told(replication::SUBSCRIBERS),
];

/// What can be known before there are new tables.
const FORESEEN: [Aspect; 2] =
    [Aspect::stops(rights::FOREIGN_OWNERS), Aspect::told(replication::SUBSCRIBERS)];

/// Looks, before anything is loaded, for what would stop a restore of the tables `tables` of the schema `from`, and for what somebody
/// should know beforehand: sentences that say what to do.
pub async fn foresee(
    connection: &mut PgConnection,
    from: &str,
    tables: &[&str],
) -> Result<Result<Vec<String>, Unlike>, StoreError> {
    let (mut told, mut stopped) = (Vec::new(), Vec::new());
    for aspect in &FORESEEN {
        let sentences = match aspect.lack {
            Lack::Stops => &mut stopped,
            Lack::Told => &mut told,
        };
        let steps = aspect.steps(connection, from, super::NEW, tables).await?;
        sentences.extend(steps.iter().map(|step| format!("{}: {}", step.what, step.advice)));
    }
    Ok(if stopped.is_empty() { Ok(notes(told)) } else { Err(Unlike(stopped)) })
}

/// Gives the tables `tables` of the schema `to` what those of the schema `from` have and they lack, in one transaction; again, it changes
/// nothing. `to` has to be our role's own, and nobody else may use it yet. Returns what could not be given, as sentences that say what to
/// do; [`Unlike`] where it must not be lacking, and then nothing has changed.
///
/// `autovacuum_enabled` is not given here: a switch turns it off on both sides, and gives it itself. A right that somebody else has granted is granted
/// by the owner where our role may not act for whom has granted it. Tables whose statistics are others now are analysed.
pub async fn carry_over(
    connection: &mut PgConnection,
    from: &str,
    to: &str,
    tables: &[&str],
) -> Result<Result<Vec<String>, Unlike>, StoreError> {
    let mut transaction = connection.begin().await?;
    let path = search_path::get(&mut transaction).await?;
    let mut carrying = Carrying { connection: &mut transaction, from, to, tables };
    let found = carrying.all().await?;
    if found.is_err() {
        transaction.rollback().await?;
    } else {
        search_path::restore(&mut transaction, &path).await?;
        transaction.commit().await?;
    }
    Ok(found)
}

/// The names of the extended statistics in `schema` of its tables `tables`. Who moves the tables has to move them as well (`ALTER
/// STATISTICS ... SET SCHEMA`): unlike indexes and constraints they do not go along.
pub async fn statistics(
    connection: &mut PgConnection,
    schema: &str,
    tables: &[&str],
) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar(objects::NAMES_OF_STATISTICS).bind(schema).bind(tables);
    Ok(names.fetch_all(connection).await?)
}

/// What a definition of `from` may name by a name of a table in `to` and does not mean: a table that is not to become live.
const OTHERS: &str = "
SELECT format('ALTER TABLE %I.%I RENAME TO %I', $1, relname, relname || aside),
       format('ALTER TABLE %I.%I RENAME TO %I', $1, relname || aside, relname)
  FROM pg_class, (VALUES (' (not live)')) AS names(aside)
 WHERE relnamespace = to_regnamespace(quote_ident($1)) AND relkind = 'r' AND relname <> ALL ($2::text[])";

/// New owners, and who grants on a right, have to find the schema, and an owner of tables to be allowed to have some there. Nobody sees
/// it: it is taken back in the same transaction.
const LET_IN: &str = "SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO PUBLIC', $1),
                             format('REVOKE USAGE, CREATE ON SCHEMA %I FROM PUBLIC', $1)";

/// Gathers planner statistics of a table anew.
const ANALYSE: &str =
    concat!(pairs!(), " SELECT 'ANALYZE ' || target FROM tables t ORDER BY t.name");

/// Work within the transaction.
struct Carrying<'a> {
    connection: &'a mut PgConnection,
    from: &'a str,
    to: &'a str,
    tables: &'a [&'a str],
}

impl Carrying<'_> {
    async fn all(&mut self) -> Result<Result<Vec<String>, Unlike>, StoreError> {
        let let_in: (String, String) =
            sqlx::query_as(LET_IN).bind(self.to).fetch_one(&mut *self.connection).await?;
        let others: Vec<(String, String)> = sqlx::query_as(OTHERS)
            .bind(self.to)
            .bind(self.tables)
            .fetch_all(&mut *self.connection)
            .await?;
        let (before, after): (Vec<String>, Vec<String>) =
            others.into_iter().chain([let_in]).unzip();
        self.execute(before).await?;
        let (mut told, mut stopped) = (Vec::new(), Vec::new());
        let mut are_statistics_others = false;
        for aspect in &ASPECTS {
            let sentences = match aspect.lack {
                Lack::Stops => &mut stopped,
                Lack::Told => &mut told,
            };
            let given = self.give(aspect, sentences).await?;
            are_statistics_others |= given && aspect.of_statistics;
        }
        if !stopped.is_empty() {
            return Ok(Err(Unlike(stopped)));
        }
        if are_statistics_others {
            let analyse = sqlx::query_scalar(ANALYSE).bind(self.from).bind(self.to);
            let analyse = analyse.bind(self.tables).fetch_all(&mut *self.connection).await?;
            self.execute(analyse).await?;
        }
        self.execute(after).await?;
        Ok(Ok(notes(told)))
    }

    /// Does what an aspect asks for; what cannot be done is told in `sentences`. Whether anything was given.
    async fn give(
        &mut self,
        aspect: &Aspect,
        sentences: &mut Vec<String>,
    ) -> Result<bool, StoreError> {
        let mut given = false;
        search_path::set(self.connection, &[self.from]).await?;
        let steps = aspect.steps(self.connection, self.from, self.to, self.tables).await?;
        search_path::set(self.connection, &[self.to, self.from]).await?;
        for Step { statement, role, what, advice } in steps {
            let Some(statement) = statement else {
                sentences.push(format!("{what}: {advice}"));
                continue;
            };
            match self.attempt(statement, role.as_deref()).await {
                Ok(()) => given = true,
                Err(error) if is_refusal(&error) => sentences.push(format!(
                    "{what} could not be given to the restored tables ({}): {advice}",
                    StoreError::from(error).cause()
                )),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(given)
    }

    /// Runs a statement in a transaction of its own within ours.
    async fn attempt(&mut self, statement: String, role: Option<&str>) -> Result<(), sqlx::Error> {
        let mut savepoint = self.connection.begin().await?;
        let as_role = "SELECT set_config('role', $1, true)";
        let own: Option<String> = match role {
            Some(role) => {
                let own = "SELECT current_setting('role')";
                let own = sqlx::query_scalar(own).fetch_one(&mut *savepoint).await?;
                sqlx::query(as_role).bind(role).execute(&mut *savepoint).await?;
                Some(own)
            }
            None => None,
        };
        savepoint.execute(AssertSqlSafe(statement)).await?;
        if let Some(own) = own {
            sqlx::query(as_role).bind(own).execute(&mut *savepoint).await?;
        }
        savepoint.commit().await
    }

    async fn execute(&mut self, statements: Vec<String>) -> Result<(), sqlx::Error> {
        for statement in statements {
            self.connection.execute(AssertSqlSafe(statement)).await?;
        }
        Ok(())
    }
}

/// As they stand by themselves: with a capital letter and a full stop.
fn notes(sentences: Vec<String>) -> Vec<String> {
    let note = |sentence: String| {
        let mut letters = sentence.chars();
        let first = letters.next().map(char::to_uppercase);
        first.into_iter().flatten().chain(letters).chain(['.']).collect()
    };
    sentences.into_iter().map(note).collect()
}

/// Whether the database will not do it however often it is asked: it is not supported, not granted, against the data, or what it needs
/// is not there. Locks, resources and lost connections are none of these.
fn is_refusal(error: &sqlx::Error) -> bool {
    const CLASSES: [&str; 8] = ["0A", "0L", "22", "23", "2B", "42", "55", "58P"];
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let Some(code) = error.as_database_error().and_then(DatabaseError::code) else { return false };
    code != LOCK_NOT_AVAILABLE && CLASSES.iter().any(|class| code.starts_with(class))
}
