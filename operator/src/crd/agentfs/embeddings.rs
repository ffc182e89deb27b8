//! `spec.embeddings`: the model that computes embeddings.

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::crd::fields::names::{entry_name, object_name};

/// The model that computes embeddings, for semantic search. Without it, search is full-text only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.openAI) && has(self.local))").message("set openAI or local, not both")
)]
pub struct Embeddings {
    /// An OpenAI-compatible endpoint: OpenAI's own, or one that you run.
    #[serde(default, rename = "openAI", skip_serializing_if = "Option::is_none")]
    pub open_ai: Option<OpenAi>,

    /// A model that the API and worker pods run themselves: no text leaves them, and no account is needed. It needs the
    /// server image with models, `server-local-embeddings`. With another image new pods do not start; running pods keep
    /// serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
}

/// A model in the server image.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Local {
    /// The model. Defaults to the one that the database has embeddings of, and in a new database to all-mpnet-base-v2,
    /// which finds most. all-MiniLM-L6-v2 does an eighth of the work and takes half the memory.
    /// bge-small-en-v1.5 is only in images that were built with it. To change the model without interrupting search,
    /// first add NEXT_EMBEDDING_MODEL with the new model's name to api.extraEnv and worker.extraEnv. Workers then embed
    /// all values with it. Afterwards run `agentfs-server admin embeddings switch`, set the new model here or nothing,
    /// and remove the variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "local_model")]
    pub model: Option<String>,
}

/// The names of the models that the server can run.
fn local_model(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "enum": ["all-mpnet-base-v2", "all-MiniLM-L6-v2", "bge-small-en-v1.5"],
    })
}

/// An OpenAI-compatible endpoint.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.baseUrl) || has(self.secretRef)").message(
        "set secretRef for api.openai.com, or baseUrl for another endpoint, which may need no key"
    ),
    validation = Rule::new("has(self.dimensions) || self.model in ['text-embedding-3-small', 'text-embedding-3-large', 'text-embedding-ada-002']").message(
        "dimensions: must be set for a model that is not OpenAI's, to the length of its vectors; example: 768"
    )
)]
pub struct OpenAi {
    /// The base URL of the endpoint, for example `http://ollama.models.svc:11434/v1`. Defaults to
    /// `https://api.openai.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("self.matches('^https?://[^/@?# ]+(/[^@?# ]*)?$')")
            .message("must be the URL of an endpoint, without user or password; example: https://api.openai.com/v1")
    )]
    pub base_url: Option<String>,

    /// The Secret with the API key of the endpoint. When it changes, the pods that use it are replaced. Without it, no
    /// key is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyRef>,

    /// The name of the embedding model. To change it without interrupting search, first add the new model to
    /// api.extraEnv and worker.extraEnv as NEXT_OPENAI_EMBED_MODEL and so on. Workers then embed all values with it.
    /// Afterwards run `agentfs-server admin embeddings switch`, and set the new model here.
    #[serde(default = "OpenAi::default_model")]
    #[schemars(length(min = 1, max = 256))]
    pub model: String,

    /// The length of the model's vectors. Defaults to that of OpenAI's model; required for any other model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4000))]
    pub dimensions: Option<i32>,

    /// How many seconds to wait for an answer of the endpoint.
    #[serde(default = "OpenAi::default_timeout")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: i32,
}

/// A key of a Secret in the namespace of the AgentFS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The Secret's name.
    #[schemars(schema_with = "object_name")]
    pub name: String,

    /// The key in the Secret that holds the API key.
    #[serde(default = "KeyRef::default_key")]
    #[schemars(schema_with = "entry_name")]
    pub key: String,
}

impl OpenAi {
    fn default_model() -> String {
        "text-embedding-3-small".into()
    }

    fn default_timeout() -> i32 {
        30
    }
}

impl KeyRef {
    fn default_key() -> String {
        "OPENAI_API_KEY".into()
    }
}
