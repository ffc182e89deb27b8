//! The marker: a value that is put before the backup and has to come back from what was restored.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::super::api::Api;
use super::super::serve::Served;
use super::error::DrillError;

const AGENT: &str = "dr-test";
const PATH: &str = "/dr-test/marker";

/// A marker that was put.
#[derive(Debug)]
pub(super) struct Marker {
    value: Box<RawValue>,
    version_id: Uuid,
}

#[derive(Serialize)]
struct Put<'a> {
    agent_id: &'a str,
    path: &'a str,
    value: &'a RawValue,
}

#[derive(Serialize)]
struct Get<'a> {
    agent_id: &'a str,
    path: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    version_id: Uuid,
}

#[derive(Deserialize)]
struct Entry {
    found: bool,
    value: Option<Box<RawValue>>,
    version_id: Option<Uuid>,
}

impl Marker {
    /// Puts a marker that no drill has put before.
    pub(super) async fn put(api: &Api) -> Result<Self, DrillError> {
        let value = to_raw_value(&serde_json::json!({
            "timestamp": Timestamp::now().to_string(),
            "drill": Uuid::new_v4(),
        }));
        let value = value.map_err(|_| DrillError::NoVersion)?;
        let answer =
            api.post("/v1/put", &Put { agent_id: AGENT, path: PATH, value: &value }).await?;
        let Answer { version_id } =
            serde_json::from_slice(&answer).map_err(|_| DrillError::NoVersion)?;
        Ok(Self { value, version_id })
    }

    /// Gets the marker from what was restored from the backup `backup`: it has to be the same, byte for byte.
    pub(super) async fn get(
        &self,
        restored: &Served,
        key: &SecretString,
        backup: &str,
    ) -> Result<(), DrillError> {
        let get = Get { agent_id: AGENT, path: PATH };
        let get = serde_json::to_string(&get).map_err(|_| DrillError::NoVersion)?;
        let (_, answer) = restored.post("/v1/get", key, get).await?;
        let marker = |what| Err(DrillError::Marker(what, backup.to_owned()));
        match serde_json::from_slice(&answer) {
            Ok(Entry { found: true, value: Some(value), version_id: Some(version) })
                if value.get() == self.value.get() && version == self.version_id =>
            {
                Ok(())
            }
            Ok(Entry { found: true, .. }) => marker("another value has come back than"),
            Ok(Entry { found: false, .. }) => marker("nothing has come back of"),
            Err(_) => marker("the API gave no entry for"),
        }
    }
}
