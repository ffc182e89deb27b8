//! Settings of the embedding providers and the worker.

use std::path::PathBuf;
use std::time::Duration;

use agentfs_contract::setting;
use axum::http::Uri;
use secrecy::SecretString;

use super::reader::{Described, Reader};

/// An embedding provider.
#[derive(Debug, Clone)]
pub enum Provider {
    /// None: search is full text only.
    None,
    /// A model on this machine's processors.
    Local(LocalSettings),
    /// An endpoint that speaks OpenAI's protocol.
    OpenAi(OpenAiSettings),
}

/// Where local models are, and which of them it is.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// The folder of one model, or of several with a folder each.
    pub folder: PathBuf,
    /// The model's name; `None` leaves the choice among several to the database.
    pub model: Option<String>,
}

/// An endpoint that speaks OpenAI's protocol.
#[derive(Debug, Clone)]
pub struct OpenAiSettings {
    /// Sent as a bearer token; self-hosted endpoints often need none.
    pub key: Option<SecretString>,
    /// The endpoint's URL: OPENAI_BASE_URL with `/embeddings`.
    pub endpoint: Uri,
    /// The model's name, as the endpoint knows it.
    pub model: String,
    /// The length of its vectors.
    pub dimensions: usize,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

/// Settings of embeddings.
#[derive(Debug, Clone)]
pub struct EmbeddingSettings {
    /// The current provider.
    pub provider: Provider,
    /// The provider of the next model: workers fill its embeddings beside the current ones, and searches can use either.
    pub next: Provider,
    /// Most jobs that a worker claims at a time, and texts of a request.
    pub batch: usize,
    /// Batches that a worker has under way at a time.
    pub concurrency: usize,
    /// Longest wait of a search for its query's vector; then it falls back to full text.
    pub query_timeout: Duration,
    /// The lease of a claimed job; afterwards another worker may take it.
    pub lease: Duration,
    /// Tokens a tenant may have embedded a day (UTC); `None` is without limit.
    pub tokens_per_day: Option<i64>,
}

const MODEL_DIR: &str = setting::EMBEDDING_MODEL_DIR;
const LOCAL_MODEL: &str = setting::EMBEDDING_MODEL;
const KEY: &str = setting::OPENAI_API_KEY;
const BASE_URL: &str = setting::OPENAI_BASE_URL;
const MODEL: &str = setting::OPENAI_EMBED_MODEL;
const DIMENSIONS: &str = setting::OPENAI_EMBED_DIMENSIONS;
const TIMEOUT: &str = setting::EMBED_TIMEOUT_SECONDS;
const QUERY_TIMEOUT: &str = "EMBED_QUERY_TIMEOUT_SECONDS";
const BATCH: &str = "EMBED_BATCH_SIZE";
const CONCURRENCY: &str = "EMBED_CONCURRENCY";
const LEASE: &str = "EMBED_LEASE_SECONDS";
const TOKENS: &str = setting::EMBED_TOKENS_QUOTA_PER_DAY;

/// The prefix of the settings of the next model.
const NEXT: &str = "NEXT_";

const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";
const DEFAULT_MODEL: &str = "text-embedding-3-small";

impl EmbeddingSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[
        Described {
            name: KEY,
            about: "API key of an OpenAI-compatible endpoint, which then computes the embeddings (none)",
        },
        Described {
            name: BASE_URL,
            about: "base URL of that endpoint; set only this if it needs no key (https://api.openai.com/v1)",
        },
        Described {
            name: MODEL,
            about: "embedding model of that endpoint (text-embedding-3-small)",
        },
        Described {
            name: DIMENSIONS,
            about: "length of the model's vectors, 1 to 4000; required for models that are not OpenAI's (the model's)",
        },
        Described {
            name: MODEL_DIR,
            about: "folder of the local model, as scripts/model prints it, or of several; used if no endpoint is set (none)",
        },
        Described {
            name: LOCAL_MODEL,
            about: "local model of that folder (the one that the database has embeddings of; for a new database the first that is there of all-mpnet-base-v2, which finds most, all-MiniLM-L6-v2, which is fast, and bge-small-en-v1.5)",
        },
        Described {
            name: "NEXT_...",
            about: "each of the settings above with the prefix NEXT_: the model to switch to, which workers fill (none)",
        },
        Described { name: TIMEOUT, about: "seconds to wait for the endpoint (30)" },
        Described {
            name: QUERY_TIMEOUT,
            about: "seconds that a search waits for the query's embedding, 1 to 20; then it is full-text (3)",
        },
        Described { name: BATCH, about: "texts per embedding batch, 1 to 256 (64)" },
        Described { name: CONCURRENCY, about: "batches that a worker embeds concurrently (4)" },
        Described {
            name: LEASE,
            about: "seconds after which another worker may take a claimed job (120)",
        },
        Described {
            name: TOKENS,
            about: "tokens embedded per day and tenant, 0 for unlimited (2000000)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let provider = current(reader);
        let next = next(reader);
        let query_timeout = number(reader, QUERY_TIMEOUT, 3, 1, 20);
        let batch = number(reader, BATCH, 64, 1, 256);
        let concurrency = number(reader, CONCURRENCY, 4, 1, 32);
        let lease = number(reader, LEASE, 120, 2, 3600);
        let tokens_per_day =
            reader.parsed(TOKENS, Some(2_000_000), "a whole number, 0 for unlimited", |text| {
                text.parse().ok().filter(|n| *n >= 0).map(|n: i64| (n > 0).then_some(n))
            });
        Some(Self {
            provider: provider?,
            next: next?,
            batch: batch?,
            concurrency: concurrency?,
            query_timeout: Duration::from_secs(query_timeout? as u64),
            lease: Duration::from_secs(lease? as u64),
            tokens_per_day: tokens_per_day?,
        })
    }
}

fn provider(reader: &mut Reader<'_>) -> Option<Provider> {
    let key = reader.text(KEY);
    if key.is_none() && reader.text(BASE_URL).is_none() {
        return Some(local(reader.text(MODEL_DIR), reader.text(LOCAL_MODEL)));
    }
    let endpoint = endpoint(reader);
    let model = reader.text(MODEL).unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let timeout = number(reader, TIMEOUT, 30, 1, 600);
    let dimensions = dimensions(reader, &model);
    Some(Provider::OpenAi(OpenAiSettings {
        key: key.map(Into::into),
        endpoint: endpoint?,
        model,
        dimensions: dimensions?,
        timeout: Duration::from_secs(timeout? as u64),
    }))
}

/// Reads the current model.
fn current(reader: &mut Reader<'_>) -> Option<Provider> {
    let current = provider(reader)?;
    if matches!(current, Provider::None) && reader.text(LOCAL_MODEL).is_some() {
        reader
            .problem(format!("{LOCAL_MODEL} is set, but not where it is; set {MODEL_DIR} as well"));
    }
    Some(current)
}

/// A local model needs a folder.
fn local(folder: Option<String>, model: Option<String>) -> Provider {
    folder.map_or(Provider::None, |folder| {
        Provider::Local(LocalSettings { folder: folder.into(), model })
    })
}

/// Reads the next model. It inherits nothing from the current one, which may be of another kind; but local models may lie in one folder.
fn next(reader: &mut Reader<'_>) -> Option<Provider> {
    let next = reader.within(NEXT, provider)?;
    if !matches!(next, Provider::None) {
        return Some(next);
    }
    if reader.text(&format!("{NEXT}{MODEL}")).is_some() {
        reader.problem(format!(
            "{NEXT}{MODEL} is set, but not where it is; set {NEXT}{KEY} or {NEXT}{BASE_URL} as well"
        ));
    }
    let Some(model) = reader.text(&format!("{NEXT}{LOCAL_MODEL}")) else { return Some(next) };
    let folder = reader.text(MODEL_DIR);
    if folder.is_none() {
        reader.problem(format!(
            "{NEXT}{LOCAL_MODEL} is set, but not where it is; set {NEXT}{MODEL_DIR} as well"
        ));
    }
    Some(local(folder, Some(model)))
}

/// Does not repeat the text: it may hold a password.
fn endpoint(reader: &mut Reader<'_>) -> Option<Uri> {
    let text = reader.text(BASE_URL).unwrap_or_else(|| DEFAULT_BASE_URL.to_owned());
    let uri: Option<Uri> = format!("{}/embeddings", text.trim_end_matches('/')).parse().ok();
    let uri = uri.filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|h| !h.is_empty())
    });
    if uri.is_none() {
        reader.problem(format!("{BASE_URL} is not valid; it must be like {DEFAULT_BASE_URL}"));
    }
    uri
}

fn dimensions(reader: &mut Reader<'_>, model: &str) -> Option<usize> {
    let known = match model {
        "text-embedding-3-small" | "text-embedding-ada-002" => 1536,
        "text-embedding-3-large" => 3072,
        // 0 is no length: it shows that nothing was set.
        _ => 0,
    };
    let dimensions = number(reader, DIMENSIONS, known, 1, 4000)?;
    if dimensions == 0 {
        reader.problem(format!(
            "{DIMENSIONS} is not set; set it to the length of the vectors of {model:?}, such as 768"
        ));
        return None;
    }
    Some(dimensions)
}

fn number(
    reader: &mut Reader<'_>,
    name: &str,
    default: usize,
    least: usize,
    most: usize,
) -> Option<usize> {
    reader.parsed(name, default, &format!("a number from {least} to {most}"), |text| {
        text.parse().ok().filter(|n| (least..=most).contains(n))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<EmbeddingSettings, String> {
        let find =
            |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let mut reader = Reader::new(&find);
        let settings = EmbeddingSettings::read(&mut reader);
        reader.finish().map_err(|e| e.to_string())?;
        Ok(settings.unwrap())
    }

    #[test]
    fn the_provider_is_what_is_set() {
        assert!(matches!(read(&[]).unwrap().provider, Provider::None));
        let local = read(&[("EMBEDDING_MODEL_DIR", "/m")]).unwrap().provider;
        let Provider::Local(local) = local else { panic!("{local:?}") };
        assert_eq!((local.folder.to_str(), local.model), (Some("/m"), None));
        let both = read(&[("EMBEDDING_MODEL_DIR", "/m"), ("OPENAI_API_KEY", "k")]).unwrap();
        let Provider::OpenAi(endpoint) = both.provider else { panic!("{both:?}") };
        assert_eq!(endpoint.endpoint, "https://api.openai.com/v1/embeddings");
        assert_eq!(endpoint.dimensions, 1536);
        assert!(!format!("{endpoint:?}").contains("\"k\""), "no key is shown");
    }

    #[test]
    fn the_model_to_come_is_set_by_itself() {
        let present = ("OPENAI_API_KEY", "k");
        assert!(matches!(read(&[present]).unwrap().next, Provider::None));
        let next = ("NEXT_OPENAI_BASE_URL", "http://e/v1");
        let model = ("NEXT_OPENAI_EMBED_MODEL", "nomic");
        let found = read(&[present, next, model, ("NEXT_OPENAI_EMBED_DIMENSIONS", "768")]).unwrap();
        let Provider::OpenAi(endpoint) = found.next else { panic!("{found:?}") };
        assert_eq!((endpoint.dimensions, endpoint.key.is_none()), (768, true));
        let wrong = read(&[present, next, model]).unwrap_err();
        assert!(wrong.starts_with("NEXT_OPENAI_EMBED_DIMENSIONS is not set"), "{wrong}");
        let alone = read(&[present, model]).unwrap_err();
        assert!(alone.starts_with("NEXT_OPENAI_EMBED_MODEL is set"), "{alone}");
    }

    #[test]
    fn the_next_local_model_lies_where_the_current_one_does() {
        let (folder, next) = (("EMBEDDING_MODEL_DIR", "/m"), ("NEXT_EMBEDDING_MODEL", "large"));
        let found = read(&[folder, next, ("EMBEDDING_MODEL", "small")]).unwrap();
        let model = |provider| {
            let Provider::Local(local) = provider else { panic!("{provider:?}") };
            (local.folder, local.model)
        };
        assert_eq!(model(found.provider), ("/m".into(), Some("small".to_owned())));
        assert_eq!(model(found.next), ("/m".into(), Some("large".to_owned())));
        let other = read(&[folder, next, ("NEXT_EMBEDDING_MODEL_DIR", "/n")]).unwrap().next;
        assert_eq!(model(other), ("/n".into(), Some("large".to_owned())));
        for name in ["NEXT_EMBEDDING_MODEL", "EMBEDDING_MODEL"] {
            let alone = read(&[(name, "small")]).unwrap_err();
            assert!(alone.starts_with(&format!("{name} is set, but not where it is")), "{alone}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        let own = [("OPENAI_BASE_URL", "u:hunter2@host"), ("OPENAI_EMBED_MODEL", "nomic")];
        assert_eq!(
            read(&own).unwrap_err(),
            "OPENAI_BASE_URL is not valid; it must be like https://api.openai.com/v1\n\
             OPENAI_EMBED_DIMENSIONS is not set; set it to the length of the vectors of \"nomic\", such as 768"
        );
        assert!(read(&[("EMBED_BATCH_SIZE", "0")]).unwrap_err().contains("from 1 to 256"));
    }
}
