//! Reads an agent's live entries with their values, page by page.

use std::time::Instant;

use super::scan::Range;
use super::versions::{self, Version};
use crate::store::StoreError;
use crate::store::connection::pool::{Pool, keep_within};

/// A page of a dump.
#[derive(Debug)]
pub struct Page {
    /// The versions shown, sorted by path.
    pub versions: Vec<Version>,
    /// The path after which the dump goes on; none at its end.
    pub rest: Option<String>,
}

/// At most `limit` entries of `range` after the path `after`; fewer once `max_bytes` of values are reached.
pub async fn page(
    pool: &Pool,
    range: &Range<'_>,
    after: Option<&str>,
    limit: usize,
    max_bytes: usize,
) -> Result<Page, StoreError> {
    pool.noting(async {
        // What is found is read at the same moment: a version that is overwritten or expires in between would be missed.
        let mut moment = pool.begin_read().await?;
        let began = Instant::now();
        let found = range.find_on(&mut moment, after, limit, |_| true).await?;
        keep_within(&mut moment, began).await?;
        let ids: Vec<_> = found.shown.iter().map(|(_, id)| *id).collect();
        let read = versions::read(&mut *moment, range.tenant, &ids, max_bytes).await?;
        moment.commit().await?;
        let cut = read.versions.last().filter(|_| read.cut).map(|last| last.path.clone());
        Ok(Page { versions: read.versions, rest: cut.or(found.rest) })
    })
    .await
}
