//! Compares a restored database with the manifest of its backup, before anything is changed in it.

use std::collections::BTreeMap;

use agentfs_contract::manifest::{Manifest, Scope, Table};

use super::error::RecoveryError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::rows::{self, Company};
use crate::store::restored::Seen;

/// Fails with all that is not as the manifest says, in the database of `address` and in that `company`.
pub(super) async fn compare(
    manifest: &Manifest,
    address: &DatabaseAddress,
    company: Company,
) -> Result<(), RecoveryError> {
    let mut connection = rows::connect_in(address, company).await?;
    check(manifest, &Seen::by(&mut connection, &names(manifest)).await?)
}

/// The tables that a manifest says something of.
pub(super) fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.tables.keys().map(String::as_str).collect()
}

/// Fails with all that was seen and is not as the manifest says.
pub(super) fn check(manifest: &Manifest, seen: &Seen) -> Result<(), RecoveryError> {
    let mut flaws = differences(&manifest.tables, &seen.tables);
    flaws.extend(seen.flaws.iter().cloned());
    if manifest.scope == Scope::Full {
        if seen.version != manifest.schema_version {
            flaws.push(format!(
                "the schema is version {}, the manifest says {}",
                seen.version, manifest.schema_version
            ));
        }
        if !seen.has_extension {
            flaws.push("the extension vector is not there".to_owned());
        }
    }
    if flaws.is_empty() { Ok(()) } else { Err(RecoveryError::Flawed(flaws.join("; "))) }
}

/// How tables differ from what is claimed of them. Manifests of format 1 claim rows alone.
fn differences(claimed: &BTreeMap<String, Table>, found: &BTreeMap<String, Table>) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, claimed) in claimed {
        let Some(found) = found.get(name) else {
            differences.push(format!("{name}: the table is not there"));
            continue;
        };
        if found.rows != claimed.rows {
            let (found, claimed) = (found.rows, claimed.rows);
            differences.push(format!("{name}: {found} rows, the manifest says {claimed}"));
        } else if claimed.bytes.is_some() && claimed.bytes != found.bytes {
            differences.push(format!("{name}: rows were changed: they have another size"));
        } else if claimed.fingerprint.is_some() && claimed.fingerprint != found.fingerprint {
            differences.push(format!("{name}: rows were changed: another fingerprint"));
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_told_with_its_difference() {
        let table = |rows, bytes, fingerprint: Option<&str>| Table {
            rows,
            bytes,
            fingerprint: fingerprint.map(str::to_owned),
        };
        let found: BTreeMap<_, _> = [
            ("entries".to_owned(), table(41, Some(4), Some("a"))),
            ("tenants".to_owned(), table(2, Some(9), Some("b"))),
            ("api_keys".to_owned(), table(1, Some(1), Some("c"))),
        ]
        .into();
        assert_eq!(differences(&found, &found), [""; 0]);
        let claim = |name: &str, claimed| differences(&[(name.to_owned(), claimed)].into(), &found);
        assert_eq!(
            claim("entries", table(42, None, None)),
            ["entries: 41 rows, the manifest says 42"]
        );
        assert_eq!(
            claim("tenants", table(2, Some(8), Some("b"))),
            ["tenants: rows were changed: they have another size"]
        );
        assert_eq!(
            claim("tenants", table(2, Some(9), Some("x"))),
            ["tenants: rows were changed: another fingerprint"]
        );
        assert_eq!(
            claim("quota_usage", table(0, None, None)),
            ["quota_usage: the table is not there"]
        );
        assert_eq!(claim("api_keys", table(1, None, None)), [""; 0], "as of format 1");
    }
}
