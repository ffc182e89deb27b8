//! Reads an agent's live entries at or below a path with their values, page by page: all, or those that meet a filter.

use std::time::Instant;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::filter::{self, look};
use super::newest::{is_too_large, newest};
use super::scan::{Range, STEP, ScanPage, TIME};
use super::versions::{self, Version};
use crate::domain::TenantId;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::filter::Filter;
use crate::domain::memory::path::Prefix;
use crate::store::StoreError;
use crate::store::connection::pool::{Pool, keep_within};

/// Most entries, and about the most bytes of values, that one request looks at for a filter.
const MAX_LOOKED: usize = 10_000;
const MAX_LOOKED_BYTES: usize = 32 << 20;
/// About the most bytes of values that one statement looks at.
const LOOK_BYTES: usize = 8 << 20;

/// The entries at a path or below it, at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Subtree<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent within the tenant.
    pub agent: &'a AgentId,
    /// The path.
    pub prefix: &'a Prefix,
    /// The moment; `None` is now.
    pub as_of: Option<Timestamp>,
    /// The order; of the past by path alone.
    pub order: Order,
    /// What their values must meet.
    pub filter: Option<&'a Filter>,
}

/// The order of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By path.
    Path,
    /// The one that was written last comes first.
    Newest,
}

/// The position after an entry in a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When the entry was written, where that is the order.
    pub updated_at: Option<Timestamp>,
    /// Its path.
    pub path: String,
}

/// A page of a dump.
#[derive(Debug, Default)]
pub struct Page {
    /// The versions shown, in order.
    pub versions: Vec<Version>,
    /// Where the dump goes on; none at its end.
    pub rest: Option<Place>,
    /// There are too many entries to find the newest among.
    pub too_many: bool,
}

/// Entries whose values were not looked at yet.
#[derive(Debug, Default)]
struct Candidates {
    found: Vec<(Place, Uuid)>,
    rest: Option<Place>,
}

impl Subtree<'_> {
    /// At most `limit` entries after `after`; fewer once `max_bytes` of values are reached, or much was looked at.
    pub async fn page(
        &self,
        pool: &Pool,
        after: Option<&Place>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Page, StoreError> {
        pool.noting(async {
            // What is found is read at the same moment: a version that is overwritten or expires in between would be missed.
            let mut moment = pool.begin_read().await?;
            let began = Instant::now();
            if self.order == Order::Newest && is_too_large(&mut moment, self).await? {
                return Ok(Page { too_many: true, ..Page::default() });
            }
            let Candidates { found, rest } = match self.filter {
                None => self.candidates(&mut moment, after, limit).await?,
                Some(filter) => {
                    let conditions = filter::conditions(filter);
                    self.matches(&mut moment, &conditions, after, limit, began).await?
                }
            };
            keep_within(&mut moment, began).await?;
            let ids: Vec<Uuid> = found.iter().map(|(_, id)| *id).collect();
            let read = versions::read(&mut *moment, self.tenant, &ids, max_bytes).await?;
            moment.commit().await?;
            let last = read.versions.last().filter(|_| read.cut).map(|last| last.id);
            let cut = found.into_iter().find_map(|(place, id)| (Some(id) == last).then_some(place));
            Ok(Page { versions: read.versions, rest: cut.or(rest), too_many: false })
        })
        .await
    }

    /// Those of the entries after `after` whose values meet `conditions`, until there are `limit`, or as many were looked at as one
    /// request may look at.
    async fn matches(
        &self,
        connection: &mut PgConnection,
        conditions: &str,
        after: Option<&Place>,
        limit: usize,
        began: Instant,
    ) -> Result<Candidates, StoreError> {
        let mut matches = Candidates::default();
        let mut place = after.cloned();
        let (mut entries, mut bytes) = (0, 0);
        loop {
            keep_within(connection, began).await?;
            // With one more, which tells whether there is more, they are what one step of a scan finds.
            let Candidates { found, rest } =
                self.candidates(&mut *connection, place.as_ref(), STEP - 1).await?;
            let ids: Vec<Uuid> = found.iter().map(|(_, id)| *id).collect();
            let mut seen = 0;
            let is_enough = loop {
                let is_enough = matches.found.len() == limit
                    || entries >= MAX_LOOKED
                    || bytes >= MAX_LOOKED_BYTES
                    || seen > 0 && began.elapsed() >= TIME;
                if is_enough || seen == found.len() {
                    break is_enough;
                }
                keep_within(connection, began).await?;
                let new = &ids[seen..];
                let looked =
                    look(&mut *connection, self.tenant, new, conditions, LOOK_BYTES).await?;
                for looked in looked {
                    let candidate = &found[seen];
                    (seen, entries, bytes) = (seen + 1, entries + 1, bytes + looked.bytes());
                    place = Some(candidate.0.clone());
                    if looked.meets {
                        matches.found.push(candidate.clone());
                        if matches.found.len() == limit {
                            break;
                        }
                    }
                }
            };
            if seen == found.len() {
                if rest.is_none() {
                    return Ok(matches);
                }
                place = rest;
            }
            if is_enough || began.elapsed() >= TIME {
                return Ok(Candidates { rest: place, ..matches });
            }
        }
    }

    /// At most `count` entries after `after`, in order, whatever their values.
    async fn candidates(
        &self,
        connection: &mut PgConnection,
        after: Option<&Place>,
        count: usize,
    ) -> Result<Candidates, StoreError> {
        match self.order {
            Order::Path => {
                let after = after.map(|after| after.path.as_str());
                let ScanPage { shown, rest } = self.scan(connection, after, count).await?;
                let place = |path| Place { updated_at: None, path };
                Ok(Candidates {
                    found: shown.into_iter().map(|(path, id)| (place(path), id)).collect(),
                    rest: rest.map(place),
                })
            }
            Order::Newest => {
                let after = after.and_then(|after| Some((after.updated_at?, after.path.as_str())));
                // One more than asked for tells whether there is more.
                let mut written = newest(connection, self, after, count + 1).await?;
                let has_more = written.len() > count;
                written.truncate(count);
                let found = written.into_iter().map(|written| {
                    let updated_at = Some(written.updated_at());
                    (Place { updated_at, path: written.path }, written.version_id)
                });
                let found: Vec<(Place, Uuid)> = found.collect();
                let rest = found.last().filter(|_| has_more).map(|(place, _)| place.clone());
                Ok(Candidates { found, rest })
            }
        }
    }

    /// The paths of a page by path. The entry at the prefix comes first; between it and those below it lie others, such as `/a-b`
    /// between `/a` and `/a/b`, however many, so it is looked up by itself.
    async fn scan(
        &self,
        connection: &mut PgConnection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ScanPage, StoreError> {
        let Self { tenant, agent, as_of, .. } = *self;
        let path = self.prefix.as_str();
        let below = format!("{path}/");
        let range = Range { tenant, agent, prefix: &below, as_of };
        let own = match after {
            None if !path.is_empty() => range.shown_at(&mut *connection, path).await?,
            _ => None,
        };
        let after = after.filter(|after| *after != path);
        let mut found = range.find_on(connection, after, limit, |_| true).await?;
        if let Some(version) = own {
            found.shown.insert(0, (path.to_owned(), version));
            if found.shown.len() > limit {
                found.shown.pop();
                found.rest = found.shown.last().map(|(path, _)| path.clone());
            }
        }
        Ok(found)
    }
}
