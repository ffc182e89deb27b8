//! Environment variables of the server's pods: embeddings, limits, and those of the spec.

use agentfs_contract::setting;
use k8s_openapi::api::core::v1::EnvVar;

use super::observe::Observed;
use super::plan::Part;
use super::references::References;
use super::status_inputs::CREDENTIALS_READY;
use super::validate::PlanInputs;
use crate::crd::agentfs::{AgentFSSpec, KeyRef, Local, OpenAi};
use crate::kit::blockers::{Blocker, Problem};
use crate::kit::env::{env, secret_env};
use crate::kit::ownership::Owner;
use crate::kit::secrets::{self, Unusable};

/// The field that names the Secret of the provider of embeddings.
const SECRET_REF: &str = "spec.embeddings.openAI.secretRef";

/// Where the image server-local-embeddings has its models.
const MODEL_DIR: &str = "/usr/share/agentfs/model";

/// What the server's pods are told by variables, besides the way to the database.
#[derive(Clone, Debug)]
pub enum Env {
    /// These variables.
    Complete(Environment),
    /// These, and others that cannot be had: pods that run are left as they are.
    Partial(Environment),
}

impl Env {
    /// The variables that are known.
    pub fn known(&self) -> &Environment {
        match self {
            Self::Complete(environment) | Self::Partial(environment) => environment,
        }
    }
}

/// Variables, and where they come from.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The variables.
    pub variables: Vec<EnvVar>,
    /// A hash of the entries of others that they are taken from, where they are.
    pub hash: Option<String>,
}

/// The variables that say who makes embeddings.
pub type Embeddings = Part<Vec<EnvVar>>;

/// Who makes embeddings, as the server is told. A key that is missing keeps no agent from its
/// memory: pods that run are left as they are, and the first ones search by words.
pub fn embeddings(inputs: &PlanInputs<'_>, blockers: &mut Vec<Blocker>) -> Embeddings {
    let PlanInputs { spec, owner, observed, .. } = inputs;
    let Some(open_ai) = &spec.embeddings.open_ai else {
        return match &spec.embeddings.local {
            Some(local) => Part::Enabled(Box::new(of_image(local))),
            None => Part::Disabled,
        };
    };
    let key = open_ai.secret_ref.as_ref();
    if let Some(problem) = key.and_then(|key| key_problem(key, owner, observed)) {
        blockers.push(Blocker { of: CREDENTIALS_READY, problem });
        return Part::Blocked;
    }
    Part::Enabled(Box::new(endpoint(open_ai)))
}

fn key_problem(key: &KeyRef, owner: &Owner, observed: &Observed) -> Option<Problem> {
    let KeyRef { name, key } = key;
    let Some(secret) = observed.references.secrets.get(name) else {
        return Some(Problem::SecretMissing {
            secret: name.clone(),
            field: SECRET_REF,
            remedy: format!(
                "Create it, and the operator continues by itself: kubectl create secret generic {name} -n \
                 {} --from-literal={key}=sk-example",
                owner.namespace
            ),
        });
    };
    let unusable: Unusable = secrets::text(secret, key).err()?;
    Some(Problem::SecretUnusable {
        secret: name.clone(),
        unusable,
        remedy: "Correct the Secret, or name another in spec.embeddings.openAI.secretRef; the operator then continues by itself.",
    })
}

/// Without a model the server takes the one that the database has.
fn of_image(local: &Local) -> Vec<EnvVar> {
    let model = local.model.as_ref().map(|model| env(setting::EMBEDDING_MODEL, model));
    [env(setting::EMBEDDING_MODEL_DIR, MODEL_DIR)].into_iter().chain(model).collect()
}

fn endpoint(open_ai: &OpenAi) -> Vec<EnvVar> {
    let key = open_ai.secret_ref.as_ref();
    let number = |name: &str, number: i32| env(name, number.to_string());
    let variables = [
        open_ai.base_url.as_ref().map(|url| env(setting::OPENAI_BASE_URL, url)),
        key.map(|key| secret_env(setting::OPENAI_API_KEY, &key.name, &key.key)),
        Some(env(setting::OPENAI_EMBED_MODEL, &open_ai.model)),
        open_ai.dimensions.map(|length| number(setting::OPENAI_EMBED_DIMENSIONS, length)),
        Some(number(setting::EMBED_TIMEOUT_SECONDS, open_ai.timeout_seconds)),
    ];
    variables.into_iter().flatten().collect()
}

/// What the API is told.
pub fn of_api(spec: &AgentFSSpec, embeddings: &Embeddings, references: &References) -> Env {
    let mut variables = limits(spec);
    if !spec.api.trust_proxy.is_empty() {
        variables.push(env(setting::TRUST_PROXY, spec.api.trust_proxy.join(",")));
    }
    variables.extend(embeddings.enabled().into_iter().flatten().cloned());
    let environment = with_extra(variables, &spec.api.extra_env, references);
    match embeddings {
        Part::Blocked => Env::Partial(environment),
        Part::Enabled(_) | Part::Disabled => Env::Complete(environment),
    }
}

/// What the workers are told, besides `embeddings`.
pub fn of_workers(
    spec: &AgentFSSpec,
    embeddings: &[EnvVar],
    references: &References,
) -> Environment {
    let mut variables = limits(spec);
    variables.retain(|variable| variable.name == TOKENS);
    variables.extend(embeddings.iter().cloned());
    with_extra(variables, &spec.worker.extra_env, references)
}

/// The one limit that workers keep.
const TOKENS: &str = setting::EMBED_TOKENS_QUOTA_PER_DAY;

fn limits(spec: &AgentFSSpec) -> Vec<EnvVar> {
    let (quotas, rates) = (&spec.quotas, &spec.rate_limits);
    let limits = [
        (setting::WRITE_QUOTA_PER_DAY, quotas.writes_per_day),
        (setting::SEARCH_QUOTA_PER_DAY, quotas.searches_per_day),
        (TOKENS, quotas.embed_tokens_per_day),
        (setting::STORED_MIB_QUOTA, quotas.stored_mib),
        (setting::WRITE_MIB_QUOTA_PER_DAY, quotas.write_mib_per_day),
        (setting::IDEMPOTENCY_KEYS_QUOTA_PER_DAY, quotas.idempotency_keys_per_day),
        (setting::MAX_KEYS_PER_TENANT, quotas.keys),
        (setting::RATE_LIMIT_REQUESTS_PER_MINUTE, rates.requests_per_minute),
        (setting::SEARCH_RATE_LIMIT_PER_MINUTE, rates.searches_per_minute),
        (setting::TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE, rates.tenant_requests_per_minute),
        (setting::TENANT_SEARCH_RATE_LIMIT_PER_MINUTE, rates.tenant_searches_per_minute),
        (setting::PREAUTH_RATE_LIMIT_PER_MINUTE, rates.unauthenticated_per_minute),
    ];
    let set = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
    set.map(|(name, limit)| env(name, limit.to_string())).collect()
}

/// `variables`, and those of the spec before them: no name may be there twice.
fn with_extra(
    mut variables: Vec<EnvVar>,
    extra: &[EnvVar],
    references: &References,
) -> Environment {
    variables.retain(|variable| !extra.iter().any(|extra| extra.name == variable.name));
    variables.extend(extra.iter().cloned().map(without_empty_value));
    Environment { hash: references.hash(&variables), variables }
}

/// The API server leaves an empty value out, and it would read as changed for ever.
pub fn without_empty_value(mut variable: EnvVar) -> EnvVar {
    variable.value = variable.value.filter(|value| !value.is_empty());
    variable
}
