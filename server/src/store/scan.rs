//! The live paths of an agent, in the order of their bytes.

use sqlx::PgExecutor;

use super::StoreError;
use crate::domain::TenantId;
use crate::domain::agent_id::AgentId;

const SCAN: &str = "
SELECT e.path
  FROM entries e
 WHERE e.tenant_id = $1 AND e.agent_id = $2 AND e.path >= $3 AND e.path < $4
   AND e.deleted_at IS NULL AND (e.expires_at IS NULL OR e.expires_at > now())
 ORDER BY e.path
 LIMIT $5";

/// At most `limit` live paths that begin with `prefix` and come after `after`.
pub async fn live_paths(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    agent: &AgentId,
    prefix: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    // No text lies between a path and the path with the least character behind it.
    let from = after.map_or_else(|| prefix.to_owned(), |path| format!("{path}\u{1}"));
    sqlx::query_scalar(SCAN)
        .bind(tenant.0)
        .bind(agent.as_str())
        .bind(from)
        .bind(beyond(prefix))
        .bind(limit)
        .fetch_all(executor)
        .await
        .map_err(Into::into)
}

/// The least text above all that begin with `prefix`. Characters and their UTF-8 bytes sort alike.
fn beyond(prefix: &str) -> String {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return chars.into_iter().collect();
        }
    }
    // Every path begins with a slash, and this is the character after it.
    "0".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_that_begins_with_a_prefix_lies_below_its_bound(prefix in "/\\PC{0,5}", rest in "\\PC{0,5}", other in "/\\PC{0,8}") {
            let bound = beyond(&prefix);
            let path = prefix.clone() + &rest;
            prop_assert!(path < bound);
            prop_assert!(other < prefix || other >= bound || other.starts_with(&prefix));
        }
    }

    #[test]
    fn the_last_characters_have_a_bound_too() {
        assert_eq!(beyond("/a\u{d7ff}"), "/a\u{e000}");
        assert_eq!(beyond("/a\u{10ffff}"), "/b");
        assert_eq!(beyond(""), "0");
    }
}
