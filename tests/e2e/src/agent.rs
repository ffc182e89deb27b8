//! An agent: puts and gets memories through the Service.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::forward::Forward;
use crate::namespace::Namespace;

/// Speaks to the API of one AgentFS.
#[derive(Debug)]
pub struct Agent {
    forward: Forward,
    key: String,
    http: reqwest::Client,
}

impl Agent {
    /// With the admin key that the operator made.
    pub async fn of(namespace: &Namespace, agentfs: &str) -> Result<Self, Failure> {
        let key = namespace.secret(&format!("{agentfs}-admin-key"), "key").await?;
        Self::with_key(namespace, agentfs, key)
    }

    /// With another key.
    pub fn with_key(namespace: &Namespace, agentfs: &str, key: String) -> Result<Self, Failure> {
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { forward: Forward::to(namespace.name(), &format!("{agentfs}-api")), key, http })
    }

    /// The answer to one request; an error when there was none or it was no success.
    pub async fn post(&mut self, route: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}{route}", self.forward.url().await?);
        let request = self.http.post(url).bearer_auth(&self.key).json(body);
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(response.json().await?),
            Ok(response) => Err(response.text().await?.into()),
            Err(error) => {
                self.forward.lost();
                Err(error.into())
            }
        }
    }

    /// Puts a value; the version's id.
    pub async fn put(&mut self, path: &str, value: &Value) -> Result<String, Failure> {
        let answer =
            self.post("/v1/put", &json!({"agent_id": "ada", "path": path, "value": value})).await?;
        Ok(answer["version_id"].as_str().ok_or("no version_id")?.to_owned())
    }

    /// Gets a value; `None` when there is none.
    pub async fn get(&mut self, path: &str) -> Result<Option<Value>, Failure> {
        let mut answer = self.post("/v1/get", &json!({"agent_id": "ada", "path": path})).await?;
        Ok((answer["found"] == true).then(|| answer["value"].take()))
    }
}
