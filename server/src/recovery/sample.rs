//! Serves from a restored database, and compares what the API answers with what the database holds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hyper::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::recovery::error::RecoveryError;
use crate::recovery::serve::Served;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::restored::{self, Sample};

/// Most entries that are compared.
const MOST: i64 = 20;
/// What is searched for: whether it is found does not matter.
const QUERY: &str = "verification";

/// The answer of a get, as far as it is compared.
#[derive(Deserialize)]
struct Got<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    version_id: Option<Uuid>,
}

/// Gets a sample of entries and searches once by what serves from the database of `url`; returns how many entries were compared.
pub(super) async fn compare(served: &Served, url: &DatabaseUrl) -> Result<usize, RecoveryError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    let sample = restored::sample(&mut connection, MOST).await?;
    let mut keys: BTreeMap<Uuid, SecretString> = BTreeMap::new();
    let any = restored::any_tenant(&mut connection).await?;
    for tenant in sample.iter().map(|entry| entry.tenant).chain(any) {
        if let Entry::Vacant(none) = keys.entry(tenant) {
            none.insert(restored::make_key(&mut connection, tenant).await?);
        }
    }
    drop(connection);
    answers(served, &sample, &keys).await?;
    Ok(sample.len())
}

async fn answers(
    served: &Served,
    sample: &[Sample],
    keys: &BTreeMap<Uuid, SecretString>,
) -> Result<(), RecoveryError> {
    let mut others = 0;
    for entry in sample {
        let Some(key) = keys.get(&entry.tenant) else { continue };
        let body = json!({"agent_id": entry.agent, "path": entry.path}).to_string();
        let (status, answer) = served.post("/v1/get", key, body).await?;
        if status != StatusCode::OK {
            let why = format!("/v1/get answers {status}");
            return Err(if status.is_client_error() {
                RecoveryError::NotServed(why)
            } else {
                RecoveryError::ServeFailed { why, is_transient: true }
            });
        }
        let got: Option<Got<'_>> = serde_json::from_slice(&answer).ok();
        let is_same = got.is_some_and(|got| {
            got.version_id == Some(entry.version)
                && got.value.is_some_and(|value| value.get() == entry.value)
        });
        others += usize::from(!is_same);
    }
    if others > 0 {
        return Err(RecoveryError::NotServed(format!(
            "{others} of {} entries are answered with something else than the database holds",
            sample.len()
        )));
    }
    let Some((tenant, key)) = keys.first_key_value() else { return Ok(()) };
    let agent = sample.iter().find(|entry| entry.tenant == *tenant);
    let agent = agent.map_or("verification", |entry| &entry.agent);
    let body = json!({"agent_id": agent, "query": QUERY}).to_string();
    match served.post("/v1/search", key, body).await? {
        (StatusCode::OK, _) => Ok(()),
        (status, _) => Err(RecoveryError::ServeFailed {
            why: format!("/v1/search answers {status}"),
            is_transient: status.is_server_error(),
        }),
    }
}
