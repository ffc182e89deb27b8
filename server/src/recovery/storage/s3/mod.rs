//! A prefix of a bucket as a storage of backups, at any server that speaks S3.

mod connection;
mod credentials;
mod failure;
mod lock;
mod settings;
mod upload;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use hyper::Method;
use jiff::Timestamp;
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use object_store::{
    Error, GetResult, ListResult, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutOptions,
};
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;
use url::Url;

use self::connection::{Clock, Tries};
use self::failure::{Act, is_kept, is_unsupported};
use super::{Object, Removal, SMALL, StorageError};
pub use failure::{BucketError, Problem};
pub(super) use lock::BucketLock;
pub use settings::BucketSettings;
use settings::Reach;
pub(super) use upload::BucketUpload;

/// How long a signed URL is valid; it is used at once.
const SIGNATURE: Duration = Duration::from_mins(1);

/// A prefix of a bucket.
#[derive(Clone)]
pub struct Bucket {
    name: String,
    prefix: Path,
    endpoint: Url,
    store: AmazonS3,
    /// For what object_store does not ask.
    client: HttpClient,
    clock: Clock,
    /// Whether writes can have a condition, as far as is known.
    conditional: Arc<AtomicBool>,
    part_bytes: usize,
    lock_lasts: Duration,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.shown("")).finish()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.as_ref().is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.name, self.prefix)
    }
}

impl Bucket {
    /// The prefix of a bucket, which has to be there.
    pub(super) async fn open(
        name: &str,
        prefix: &str,
        settings: &BucketSettings,
    ) -> Result<Self, StorageError> {
        let reach = settings.reach(name)?;
        let contact = reach.contact.clone();
        let bucket = Self::new(name, prefix, reach)?;
        // Whoever may use the bucket may list it.
        let one = PaginatedListOptions { max_keys: Some(1), ..Default::default() };
        let prefix = format!("{}/", bucket.prefix);
        let prefix = Some(prefix.as_str()).filter(|_| !bucket.prefix.is_root());
        let listed = contact.list_paginated(prefix, one).await;
        listed.map_err(|error| bucket.failed("", Act::List, &error))?;
        Ok(bucket)
    }

    fn new(name: &str, prefix: &str, reach: Reach) -> Result<Self, StorageError> {
        Ok(Self {
            name: name.to_owned(),
            prefix: Path::parse(prefix).map_err(|_| StorageError::Name(prefix.to_owned()))?,
            endpoint: reach.endpoint,
            store: reach.store,
            client: reach.client,
            clock: reach.clock,
            conditional: Arc::new(AtomicBool::new(true)),
            part_bytes: reach.part_bytes,
            lock_lasts: reach.lock_lasts,
        })
    }

    /// The location of an object for a person.
    fn shown(&self, name: &str) -> String {
        let parts = [&self.name, self.prefix.as_ref(), name];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("s3://{}", parts.join("/"))
    }

    fn key(&self, name: &str) -> Result<Path, StorageError> {
        let whole =
            if self.prefix.is_root() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        Path::parse(whole).map_err(|_| StorageError::Name(name.to_owned()))
    }

    /// The name of a key below the prefix.
    fn name_of<'a>(&self, key: &'a Path) -> Option<&'a str> {
        let key = key.as_ref();
        let name = match self.prefix.as_ref() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        Some(name).filter(|name| !name.is_empty())
    }

    /// The objects directly below a folder, and the folders there.
    async fn level(&self, folder: &Path) -> Result<ListResult, StorageError> {
        let listed = self.store.list_with_delimiter(Some(folder)).await;
        listed.map_err(|error| self.failed("", Act::List, &error))
    }

    /// All objects of the prefix and of the folders below it, hidden ones too.
    async fn entries(&self) -> Result<Vec<Object>, StorageError> {
        let ListResult { mut objects, common_prefixes, .. } = self.level(&self.prefix).await?;
        for folder in common_prefixes {
            if self.name_of(&folder).is_some_and(|name| !name.starts_with('.')) {
                objects.extend(self.level(&folder).await?.objects);
            }
        }
        let entry = |meta: ObjectMeta| {
            let name = self.name_of(&meta.location)?.to_owned();
            Some(Object { name, bytes: meta.size, modified: modified(&meta) })
        };
        let mut entries: Vec<Object> = objects.into_iter().filter_map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub(super) async fn list(&self) -> Result<Vec<Object>, StorageError> {
        let mut objects = self.entries().await?;
        objects.retain(|object| !is_hidden(&object.name));
        Ok(objects)
    }

    pub(super) async fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(found) = self.get(name).await? else { return Ok(None) };
        if found.meta.size > SMALL {
            return Err(StorageError::TooLarge(self.shown(name)));
        }
        let read = found.bytes().await;
        Ok(Some(read.map_err(|error| self.failed(name, Act::Read, &error))?.to_vec()))
    }

    pub(super) async fn read(
        &self,
        name: &str,
    ) -> Result<Pin<Box<dyn AsyncRead + Send>>, StorageError> {
        let missing = || StorageError::Missing(self.shown(name));
        let stream = self.get(name).await?.ok_or_else(missing)?.into_stream();
        let (bucket, name) = (self.clone(), name.to_owned());
        let stream = stream
            .map_err(move |error| std::io::Error::other(bucket.failed(&name, Act::Read, &error)));
        Ok(Box::pin(StreamReader::new(stream)))
    }

    async fn get(&self, name: &str) -> Result<Option<GetResult>, StorageError> {
        let found = self.store.get(&self.key(name)?).await;
        match found.map_err(|error| self.failed(name, Act::Read, &error)) {
            Ok(found) => Ok(Some(found)),
            Err(StorageError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is an object.
    async fn head(&self, name: &str) -> Result<Option<ObjectMeta>, StorageError> {
        let found = self.store.head(&self.key(name)?).await;
        match found.map_err(|error| self.failed(name, Act::Read, &error)) {
            Ok(found) => Ok(Some(found)),
            Err(StorageError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an object that is not there yet, in one request.
    pub(super) async fn write_new(&self, name: &str, content: Bytes) -> Result<(), StorageError> {
        let key = self.key(name)?;
        if self.is_conditional() {
            let tries = Tries::default();
            let options = PutOptions {
                mode: PutMode::Create,
                extensions: tries.in_extensions(),
                ..Default::default()
            };
            match self.store.put_opts(&key, content.clone().into(), options).await {
                Ok(_) => return Ok(()),
                // An answer was lost, and what is there is what was written then.
                Err(Error::AlreadyExists { .. })
                    if tries.count() > 1 && self.holds(name, &content).await? =>
                {
                    return Ok(());
                }
                Err(Error::AlreadyExists { .. }) => {
                    return Err(StorageError::Exists(self.shown(name)));
                }
                Err(error) if is_unsupported(&error) => self.note_unconditional(),
                Err(error) => return Err(self.not_written(name, &key, &error).await),
            }
        }
        if self.head(name).await?.is_some() {
            return Err(StorageError::Exists(self.shown(name)));
        }
        match self.store.put(&key, content.into()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.not_written(name, &key, &error).await),
        }
    }

    /// The failure of a write; what was stored without the encryption that was asked for goes.
    async fn not_written(&self, name: &str, key: &Path, error: &Error) -> StorageError {
        let failed = self.failed(name, Act::Write, error);
        let not_encrypted = |failed: &BucketError| matches!(failed.problem, Problem::NotEncrypted);
        if matches!(&failed, StorageError::Bucket(failed) if not_encrypted(failed)) {
            // The failure is what counts.
            let _ = self.store.delete(key).await;
        }
        failed
    }

    async fn holds(&self, name: &str, content: &Bytes) -> Result<bool, StorageError> {
        let Some(found) = self.get(name).await? else { return Ok(false) };
        if found.meta.size != content.len() as u64 {
            return Ok(false);
        }
        let read = found.bytes().await;
        Ok(read.map_err(|error| self.failed(name, Act::Read, &error))? == content)
    }

    fn is_conditional(&self) -> bool {
        self.conditional.load(Ordering::Relaxed)
    }

    fn note_unconditional(&self) {
        if self.conditional.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "{} has no conditional writes: two backups at once are kept apart by the lock in the database alone",
                self.shown("")
            );
        }
    }

    pub(super) async fn remove(&self, name: &str) -> Result<Removal, StorageError> {
        let key = self.key(name)?;
        match self.store.delete(&key).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(Removal::Removed),
            Err(error) if is_kept(&error) => Ok(Removal::Protected(self.retained(&key).await)),
            Err(error) => Err(self.failed(name, Act::Remove, &error)),
        }
    }

    /// Until when object lock keeps an object, if it says so.
    async fn retained(&self, key: &Path) -> Option<Timestamp> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Retention {
            retain_until_date: Timestamp,
        }
        let answer = self.ask(key, &[("retention", "")]).await.ok()?;
        let retention: Retention = quick_xml::de::from_reader(answer.as_ref()).ok()?;
        Some(retention.retain_until_date)
    }

    /// Asks what object_store does not. The signature is in the URL, so that this is in no message.
    async fn ask(&self, key: &Path, query: &[(&str, &str)]) -> Result<Bytes, Error> {
        let options = SignedUrlOptions::new().with_query(query.iter().copied());
        let url = self.store.signed_url_opts(Method::GET, key, SIGNATURE, &options).await?;
        let failed = |error: HttpError| Error::Generic { store: "S3", source: Box::new(error) };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|error| failed(HttpError::new(HttpErrorKind::Request, error)))?;
        let answer = self.client.execute(request).await.map_err(failed)?;
        if !answer.status().is_success() {
            let (path, source) = (key.to_string(), answer.status().to_string().into());
            return Err(Error::NotFound { path, source });
        }
        answer.into_body().bytes().await.map_err(failed)
    }
}

/// Whether an object is none of the catalogue's, such as a lock.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.'))
}

fn modified(meta: &ObjectMeta) -> Timestamp {
    Timestamp::from_millisecond(meta.last_modified.timestamp_millis()).unwrap_or_default()
}
