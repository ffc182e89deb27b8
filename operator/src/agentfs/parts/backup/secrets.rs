//! The Secrets of others that backups need: the keys of a bucket, who signs its certificate, and what decrypts.

use k8s_openapi::api::core::v1::Secret;

use super::condition::BACKUPS_SCHEDULED;
use crate::agentfs::database::credentials::certificates;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::EntryRef;
use crate::kit::blockers::{Blocker, Problem};
use crate::kit::secrets::{Unusable, entry, text};

/// The entries of a Secret with the keys of a bucket.
const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// What to do where one cannot be used.
const REMEDY: &str =
    "Correct the Secret, or name another in spec.backup; the operator then continues by itself.";

/// A Secret that is needed.
pub struct Needed<'a> {
    /// Its name.
    secret: &'a str,
    /// The field that names it.
    field: &'static str,
    /// What is needed of it.
    content: Content<'a>,
}

/// What is needed of a Secret.
enum Content<'a> {
    /// The keys of a bucket.
    Keys,
    /// Certificates in this entry.
    Certificates(&'a str),
    /// What decrypts, in this entry.
    Identities(&'a str),
}

impl<'a> Needed<'a> {
    /// The keys of a bucket.
    pub fn keys(secret: &'a str) -> Self {
        let field = "spec.backup.destination.s3.secretRef";
        Self { secret, field, content: Content::Keys }
    }

    /// The certificates of who signs the store's.
    pub fn authority(EntryRef { name: secret, key }: &'a EntryRef) -> Self {
        let field = "spec.backup.destination.s3.caSecretRef";
        Self { secret, field, content: Content::Certificates(key) }
    }

    /// The identities that decrypt.
    pub fn identity(EntryRef { name: secret, key }: &'a EntryRef) -> Self {
        let field = "spec.backup.encryption.identitySecretRef";
        Self { secret, field, content: Content::Identities(key) }
    }

    /// Whether it can be had; where not, a blocker tells why.
    pub fn can_be_had(&self, inputs: &PlanInputs<'_>, blockers: &mut Vec<Blocker>) -> bool {
        let (secret, field) = (self.secret.to_owned(), self.field);
        let problem = match inputs.observed.references.secrets.get(self.secret) {
            None => Problem::SecretMissing {
                remedy: format!(
                    "Create it, and the operator continues by itself: kubectl create secret generic {secret} -n {} {}",
                    inputs.owner.namespace,
                    self.content.example()
                ),
                secret,
                field,
            },
            Some(live) => match self.content.check(live) {
                Ok(()) => return true,
                Err(unusable) => Problem::SecretUnusable { secret, unusable, remedy: REMEDY },
            },
        };
        blockers.push(Blocker { of: BACKUPS_SCHEDULED, problem });
        false
    }
}

impl Content<'_> {
    /// What is wrong with it, where something is.
    fn check(&self, secret: &Secret) -> Result<(), Unusable> {
        match self {
            Self::Keys => KEYS.iter().try_for_each(|key| text(secret, key).map(drop)),
            Self::Certificates(key) => certificates(secret, key).map(drop),
            Self::Identities(key) => entry(secret, key).map(drop),
        }
    }

    /// How kubectl is told of it.
    fn example(&self) -> String {
        match self {
            Self::Keys => KEYS.map(|key| format!("--from-literal={key}=example")).join(" "),
            Self::Certificates(key) => format!("--from-file={key}=ca.crt"),
            Self::Identities(key) => format!("--from-file={key}=identity.txt"),
        }
    }
}
