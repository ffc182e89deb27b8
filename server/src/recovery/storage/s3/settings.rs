//! How a bucket is reached: AWS_* as the tools of AWS know them, and BACKUP_S3_* for what those lack.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use agentfs_contract::setting::{
    BACKUP_S3_CA_FILE as CA_FILE, BACKUP_S3_CREDENTIALS_DIR as CREDENTIALS_DIR,
};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::client::HttpClient;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use url::Url;

use super::connection::{Clock, Connector};
use super::credentials::Credentials;
use crate::recovery::storage::StorageError;
use crate::runtime::innermost::innermost;

/// The same for the tools of AWS.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// MiB of a part of an upload; three of them are in memory at once.
const PART_MIB: &str = "BACKUP_S3_PART_MIB";
/// How often a request is tried again.
const RETRIES: &str = "BACKUP_S3_RETRIES";
/// Seconds after which the lock of a process that died counts for nothing.
const LOCK_SECONDS: &str = "BACKUP_S3_LOCK_SECONDS";

/// Where AWS gives credentials to programs on its machines.
const METADATA_DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// Requests of the first contact are tried again this often at most: a person waits for its answer.
const RETRIES_OF_CONTACT: usize = 3;
/// From when on a request is not tried again. Its signature is that of the first try, so less than 5 minutes.
const RETRY_TIMEOUT: Duration = Duration::from_mins(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The variables of the environment that say how buckets are reached.
#[derive(Clone, Default)]
pub struct BucketSettings(BTreeMap<String, String>);

/// Values may be secrets.
impl fmt::Debug for BucketSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for BucketSettings {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(variables: T) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let mut last: BTreeMap<String, String> = variables.collect();
        // An empty one is as good as none, as in manifests that set each variable.
        last.retain(|_, value| !value.is_empty());
        Self(last)
    }
}

impl BucketSettings {
    /// Those of this process.
    pub fn from_env() -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let ours = name.starts_with("AWS_") || name.starts_with("BACKUP_S3_") || name == "HOME";
            Some((name, value.into_string().ok()?)).filter(|_| ours)
        });
        variables.collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// A number within bounds.
    fn number<T: FromStr + PartialOrd + fmt::Display>(
        &self,
        name: &'static str,
        default: T,
        (least, most): (T, T),
    ) -> Result<T, StorageError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.trim().parse().ok().filter(|n| (&least..=&most).contains(&n));
        number.ok_or_else(|| wrong(name, format!("give a number from {least} to {most}")))
    }

    /// All that is needed to reach the bucket.
    pub(super) fn reach(&self, bucket: &str) -> Result<Reach, StorageError> {
        let connector = Connector::new(self.path(CA_FILE).or_else(|| self.path(CA_BUNDLE)))?;
        let mut builder = AmazonS3Builder::new();
        for (name, value) in &self.0 {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let endpoint = self.endpoint(&builder, bucket)?;
        if let Some(endpoint) = &endpoint {
            // Of the two keys this one wins. A slash at its end would be doubled.
            let endpoint = endpoint.as_str().trim_end_matches('/');
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        if let Some(credentials) = self.credentials(endpoint.is_some())? {
            builder = builder.with_credentials(Arc::new(credentials));
        }
        let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
        let options =
            ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_allow_http(plain);
        let builder = builder
            .with_bucket_name(bucket)
            .with_client_options(options.clone())
            .with_http_connector(connector.clone())
            // Buckets with object lock demand one.
            .with_checksum_algorithm(Checksum::SHA256)
            // Not all servers have the other kind, and it hides why a deletion is refused.
            .with_disable_bulk_delete(true);
        let retries = self.number(RETRIES, 10, (0, 50))?;
        let build = |retries| {
            let built = builder.clone().with_retry(retry(retries)).build();
            built.map_err(|error| wrong("AWS_*", innermost(&error)))
        };
        let amazon = || {
            let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
            let region = region.unwrap_or_else(|| "us-east-1".to_owned());
            Url::parse(&format!("https://s3.{region}.amazonaws.com"))
        };
        let region = |error: url::ParseError| wrong("AWS_REGION", error.to_string());
        Ok(Reach {
            store: build(retries)?,
            contact: build(retries.min(RETRIES_OF_CONTACT))?,
            client: connector.client(&options),
            clock: connector.clock,
            endpoint: endpoint.map_or_else(amazon, Ok).map_err(region)?,
            part_bytes: self.number(PART_MIB, 8, (5, 1024))? << 20,
            lock_lasts: Duration::from_secs(self.number(LOCK_SECONDS, 120, (2, 3600))?),
        })
    }

    /// The endpoint, where one is set; it has the bucket's name in its host where that is how buckets are addressed.
    fn endpoint(
        &self,
        builder: &AmazonS3Builder,
        bucket: &str,
    ) -> Result<Option<Url>, StorageError> {
        let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
        let Some(endpoint) = keys.iter().find_map(|key| builder.get_config_value(key)) else {
            return Ok(None);
        };
        let invalid = || wrong("AWS_ENDPOINT_URL", "give a URL such as https://s3.example.com");
        let mut endpoint = Url::parse(endpoint.trim()).map_err(|_| invalid())?;
        let known = matches!(endpoint.scheme(), "http" | "https") && endpoint.username().is_empty();
        let host = endpoint.host_str().filter(|_| known).ok_or_else(invalid)?.to_owned();
        let in_host = self.is("AWS_VIRTUAL_HOSTED_STYLE_REQUEST");
        if in_host && !host.starts_with(&format!("{bucket}.")) {
            endpoint.set_host(Some(&format!("{bucket}.{host}"))).map_err(|_| invalid())?;
        }
        Ok(Some(endpoint))
    }

    /// The credentials in files; `None` where they are in variables, or a workload identity gives them.
    fn credentials(&self, elsewhere: bool) -> Result<Option<Credentials>, StorageError> {
        let set = |names: &[&str]| names.iter().all(|name| self.0.contains_key(*name));
        if let Some(folder) = self.path(CREDENTIALS_DIR) {
            return Ok(Some(Credentials::Folder(folder)));
        }
        match (self.get("AWS_ACCESS_KEY_ID"), self.get("AWS_SECRET_ACCESS_KEY")) {
            (Some(_), Some(_)) => return Ok(None),
            (Some(_), None) => return Err(wrong("AWS_SECRET_ACCESS_KEY", "it is missing")),
            (None, Some(_)) => return Err(wrong("AWS_ACCESS_KEY_ID", "it is missing")),
            (None, None) => {}
        }
        let home = self.path("HOME").map(|home| home.join(".aws/credentials"));
        let file = self.path("AWS_SHARED_CREDENTIALS_FILE");
        let profile = self.get("AWS_PROFILE").unwrap_or("default").to_owned();
        let identity = set(&["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"])
            || set(&["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
            || set(&[
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            ]);
        let named = file.is_some() || set(&["AWS_PROFILE"]);
        match file.or(home).filter(|file| named || !identity && file.exists()) {
            Some(file) => Ok(Some(Credentials::Shared { file, profile })),
            None if identity || self.is("AWS_SKIP_SIGNATURE") => Ok(None),
            // Others than AWS have no such service, and to look for it takes long.
            None if elsewhere || self.is(METADATA_DISABLED) => Err(StorageError::NoCredentials),
            None => Ok(None),
        }
    }

    fn is(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| {
            ["true", "1", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
        })
    }
}

/// How a bucket is reached.
pub(super) struct Reach {
    pub(super) store: AmazonS3,
    /// The same for the first contact, with less patience.
    pub(super) contact: AmazonS3,
    /// For what object_store does not ask.
    pub(super) client: HttpClient,
    pub(super) clock: Clock,
    pub(super) endpoint: Url,
    pub(super) part_bytes: usize,
    pub(super) lock_lasts: Duration,
}

fn retry(max_retries: usize) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(20),
        base: 3.,
    };
    RetryConfig { backoff, max_retries, retry_timeout: RETRY_TIMEOUT }
}

fn wrong(name: &'static str, problem: impl Into<String>) -> StorageError {
    StorageError::Setting { name, problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 2] =
        [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];

    fn reach(variables: &[(&str, &str)]) -> Result<Reach, String> {
        let settings: BucketSettings = KEYS.iter().chain(variables).copied().collect();
        settings.reach("attic").map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_is_amazons_unless_it_is_set() {
        let endpoint = |variables: &[(&str, &str)]| reach(variables).map(|r| r.endpoint.into());
        let amazon = |region| Ok(format!("https://s3.{region}.amazonaws.com/"));
        assert_eq!(endpoint(&[]), amazon("us-east-1"));
        assert_eq!(endpoint(&[("AWS_REGION", "eu-west-1")]), amazon("eu-west-1"));
        assert_eq!(endpoint(&[("AWS_DEFAULT_REGION", "eu-west-1")]), amazon("eu-west-1"));
        let general = ("AWS_ENDPOINT_URL", "http://minio:9000/");
        assert_eq!(endpoint(&[general]), Ok("http://minio:9000/".to_owned()));
        let special = ("AWS_ENDPOINT_URL_S3", "https://s3.example");
        assert_eq!(endpoint(&[general, special]), Ok("https://s3.example/".to_owned()));
        let in_host = ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true");
        let hosted = Ok("https://attic.s3.example/".to_owned());
        assert_eq!(endpoint(&[special, in_host]), hosted);
        let whole = ("AWS_ENDPOINT_URL", "https://attic.s3.example");
        assert_eq!(endpoint(&[whole, in_host]), hosted);
    }

    #[test]
    fn nonsense_is_named_with_its_variable() {
        for (name, value) in [
            ("AWS_ENDPOINT_URL", "minio:9000"),
            ("AWS_ENDPOINT_URL", "minio"),
            ("AWS_ENDPOINT_URL", "https://user:pass@minio"),
            (PART_MIB, "4"),
            (PART_MIB, "many"),
            (RETRIES, "-1"),
            (LOCK_SECONDS, "0"),
            (CA_FILE, "/nowhere/ca.pem"),
        ] {
            let said = reach(&[(name, value)]).err().unwrap_or_default();
            assert!(said.starts_with(name), "{name}={value}: {said}");
        }
        let said = reach(&[("AWS_SERVER_SIDE_ENCRYPTION", "rot13")]).err().unwrap_or_default();
        assert!(said.contains("rot13"), "{said}");
    }

    #[test]
    fn credentials_are_those_that_were_meant() {
        let found = |variables: &[(&str, &str)], elsewhere| {
            let settings: BucketSettings = variables.iter().copied().collect();
            settings.credentials(elsewhere).map_err(|error| error.to_string())
        };
        let identity =
            [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")];
        let file = ("AWS_SHARED_CREDENTIALS_FILE", "/secret/credentials");
        let of_file = |profile: &str| {
            Ok(Some(Credentials::Shared { file: file.1.into(), profile: profile.into() }))
        };
        assert_eq!(found(&KEYS, true), Ok(None));
        assert_eq!(found(&[file], true), of_file("default"));
        assert_eq!(found(&[file, ("AWS_PROFILE", "attic")], true), of_file("attic"));
        assert_eq!(found(&identity, true), Ok(None));
        assert_eq!(found(&[identity[0], identity[1], file], true), of_file("default"));
        let mounted = (CREDENTIALS_DIR, "/secret");
        let of_folder = Ok(Some(Credentials::Folder("/secret".into())));
        assert_eq!(found(&[KEYS[0], KEYS[1], mounted], true), of_folder);
        assert!(found(&[("HOME", "/nowhere")], true).unwrap_err().contains("AWS_ACCESS_KEY_ID"));
        assert_eq!(found(&[("HOME", "/nowhere")], false), Ok(None), "an instance of AWS");
        assert!(found(&[(METADATA_DISABLED, "true")], false).is_err());
        assert!(found(&KEYS[..1], true).unwrap_err().starts_with("AWS_SECRET_ACCESS_KEY"));
        assert!(found(&KEYS[1..], true).unwrap_err().starts_with("AWS_ACCESS_KEY_ID"));
        assert_eq!(found(&[("AWS_ACCESS_KEY_ID", ""), file], true), of_file("default"));
    }

    #[test]
    fn no_secret_is_shown() {
        let settings: BucketSettings = KEYS.into_iter().collect();
        let shown = format!("{settings:?}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("s3cret"), "{shown}");
    }
}
