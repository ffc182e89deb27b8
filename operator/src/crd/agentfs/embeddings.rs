//! `spec.embeddings`: who turns texts into vectors.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::names::{entry_name, object_name};

/// Who turns texts into vectors. Nobody, where it is left out: search then goes by words.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.openAI) && has(self.local))").message("set openAI or local, not both")
)]
pub struct Embeddings {
    /// An endpoint that speaks OpenAI's protocol: OpenAI's own, or one that you run.
    #[serde(default, rename = "openAI", skip_serializing_if = "Option::is_none")]
    pub open_ai: Option<OpenAi>,

    /// A model that the pods of the API and of the workers run themselves: no text leaves them, and no
    /// account is needed. It wants the server's image with a model in it, `server-local-embeddings`
    /// (all-MiniLM-L6-v2, or the one that the image was built with); without it new pods do not start, and those that run serve on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
}

/// The model that the server's image brings. It has no settings.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
pub struct Local {}

/// An endpoint that speaks OpenAI's protocol.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.baseUrl) || has(self.secretRef)").message(
        "set secretRef, the key of api.openai.com, or baseUrl, an endpoint that may need none"
    ),
    validation = Rule::new("has(self.dimensions) || self.model in ['text-embedding-3-small', 'text-embedding-3-large', 'text-embedding-ada-002']").message(
        "dimensions: must be set for a model that is not OpenAI's, to the length of its vectors; example: 768"
    )
)]
pub struct OpenAi {
    /// Where the endpoint is, for example `http://ollama.models.svc:11434/v1`. Left out, it is
    /// `https://api.openai.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("self.matches('^https?://[^/@?# ]+(/[^@?# ]*)?$')")
            .message("must be the URL of an endpoint, without user or password; example: https://api.openai.com/v1")
    )]
    pub base_url: Option<String>,

    /// The Secret that holds the endpoint's key. When it changes, the pods that use it are replaced.
    /// Left out, no key is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyRef>,

    /// The embedding model, as the endpoint knows it. To change it without a gap, give the new one to
    /// api.extraEnv and worker.extraEnv first, as NEXT_OPENAI_EMBED_MODEL and so on; workers fill it,
    /// `agentfs-server admin embeddings switch` makes it serve, and then it is named here.
    #[serde(default = "OpenAi::default_model")]
    #[schemars(length(min = 1, max = 256))]
    pub model: String,

    /// The length of the model's vectors. Left out, it is that of OpenAI's model; it must be set for
    /// any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4000))]
    pub dimensions: Option<i32>,

    /// How many seconds the endpoint is waited for.
    #[serde(default = "OpenAi::default_timeout")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: i32,
}

/// An entry of a Secret in the namespace of the AgentFS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The Secret's name.
    #[schemars(schema_with = "object_name")]
    pub name: String,

    /// The entry that holds the key.
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
