//! Uploads in parts of one size, of which two are on their way at most.
//!
//! Parts of an upload that died take room and are seen in no list of objects. So a marker is written before: a hidden object
//! beside the one that is to be, which names it. Whoever sweeps asks S3 for the uploads of that name and aborts them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartId, ObjectStoreExt as _};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::connection::NoAnswer;
use super::failure::{Act, Problem, cause};
use super::{Bucket, StorageError};
use crate::recovery::storage::{Removal, settling};

/// Parts that are on their way at once, beside the one that is filled.
const IN_FLIGHT: usize = 2;
/// S3 takes no more.
const MAX_PARTS: usize = 10_000;
/// How often the marker is renewed, so that an upload that takes long looks alive.
const RENEWED: Duration = Duration::from_mins(10);
/// The suffix of markers.
const MARKER: &str = ".upload";

type Part = Result<(usize, PartId), Error>;

/// A large object that is being written.
#[derive(Debug)]
pub struct BucketUpload {
    bucket: Bucket,
    name: String,
    /// What fills the next part.
    buffer: BytesMut,
    /// What is in parts; an object of less than one has none.
    begun: Option<Begun>,
}

/// An upload in parts.
#[derive(Debug)]
struct Begun {
    /// Dropped before the upload is aborted.
    sending: JoinSet<Part>,
    sent: BTreeMap<usize, PartId>,
    count: usize,
    bytes: u64,
    marked: Instant,
    unfinished: Unfinished,
}

/// An upload in parts that is aborted unless it is finished.
#[derive(Debug)]
struct Unfinished {
    bucket: Bucket,
    name: String,
    key: Path,
    id: MultipartId,
    is_finished: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let (bucket, name) = (self.bucket.clone(), std::mem::take(&mut self.name));
        let (key, id) = (self.key.clone(), std::mem::take(&mut self.id));
        settling::spawn(async move {
            // What cannot be aborted now is swept by the next backup, which the marker tells of it.
            if bucket.store.abort_multipart(&key, &id).await.is_ok() {
                let _ = bucket.remove(&marker_of(&name)).await;
            }
        });
    }
}

impl Bucket {
    pub(in crate::recovery::storage) async fn upload(
        &self,
        name: &str,
    ) -> Result<BucketUpload, StorageError> {
        if self.head(name).await?.is_some() {
            return Err(StorageError::Exists(self.shown(name)));
        }
        let (bucket, name, buffer) = (self.clone(), name.to_owned(), BytesMut::new());
        Ok(BucketUpload { bucket, name, buffer, begun: None })
    }

    /// Aborts uploads that died; returns how many.
    pub(in crate::recovery::storage) async fn sweep(
        &self,
        prefix: &str,
        age: Duration,
    ) -> Result<usize, StorageError> {
        let entries = self.entries().await?;
        let is_there = |name: &String| {
            entries.binary_search_by(|entry| entry.name.as_str().cmp(name.as_str())).is_ok()
        };
        let (mut aborted, mut may_remove) = (0, true);
        for entry in &entries {
            let Some(name) = marked_by(&entry.name).filter(|name| name.starts_with(prefix)) else {
                continue;
            };
            let idle = self.clock.now().duration_since(entry.modified);
            if idle.is_negative() && !age.is_zero() || idle.unsigned_abs() < age {
                continue;
            }
            // One that was finished has left the marker alone.
            if !is_there(&name) {
                let key = self.key(&name)?;
                match self.abort_all(&key).await {
                    Ok(count) => aborted += count,
                    Err(error) => {
                        let error = self.failed(&name, Act::List, &error);
                        tracing::warn!(
                            "what a dead upload left cannot be removed (this takes s3:ListBucketMultipartUploads and \
                             s3:AbortMultipartUpload, or a lifecycle rule): {error}"
                        );
                        continue;
                    }
                }
            }
            if may_remove {
                may_remove = self.remove(&entry.name).await? == Removal::Removed;
            }
        }
        Ok(aborted)
    }

    /// Aborts all uploads of an object.
    async fn abort_all(&self, key: &Path) -> Result<usize, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Uploads {
            #[serde(default)]
            upload: Vec<Upload>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Upload {
            key: String,
            upload_id: MultipartId,
        }
        let listed = self.ask(&Path::ROOT, &[("prefix", key.as_ref()), ("uploads", "")]).await?;
        let uploads: Uploads = quick_xml::de::from_reader(listed.as_ref())
            .map_err(|error| Error::Generic { store: "S3", source: Box::new(error) })?;
        let mut aborted = 0;
        for Upload { upload_id, .. } in
            uploads.upload.into_iter().filter(|upload| upload.key == key.as_ref())
        {
            match self.store.abort_multipart(key, &upload_id).await {
                Ok(()) => aborted += 1,
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(aborted)
    }

    async fn mark(&self, name: &str) -> Result<(), StorageError> {
        let marker = marker_of(name);
        let key = self.key(&marker)?;
        match self.store.put(&key, Bytes::copy_from_slice(name.as_bytes()).into()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.not_written(&marker, &key, &error).await),
        }
    }
}

impl Bucket {
    /// The failure of a part. A store that refuses it may close the connection while it is on its way, and then its answer is lost;
    /// a request without a body gets one.
    async fn not_sent(&self, name: &str, error: &Error) -> StorageError {
        let failed = self.failed(name, Act::Write, error);
        if cause::<NoAnswer>(error).is_none() {
            return failed;
        }
        match self.read_small(&marker_of(name)).await {
            Err(refused) if !refused.is_transient() => refused,
            _ => failed,
        }
    }
}

/// The name of the marker of an upload of `name`.
fn marker_of(name: &str) -> String {
    let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
    let slash = if folder.is_empty() { "" } else { "/" };
    format!("{folder}{slash}.{file}{MARKER}")
}

/// What a marker names; `None` for other objects.
fn marked_by(marker: &str) -> Option<String> {
    let (folder, file) = marker.rsplit_once('/').unwrap_or(("", marker));
    let name = file.strip_prefix('.')?.strip_suffix(MARKER)?;
    let slash = if folder.is_empty() { "" } else { "/" };
    Some(format!("{folder}{slash}{name}"))
}

impl BucketUpload {
    pub(in crate::recovery::storage) async fn write(
        &mut self,
        mut bytes: Bytes,
    ) -> Result<(), StorageError> {
        let whole = self.bucket.part_bytes;
        while bytes.has_remaining() {
            if self.buffer.len() == whole {
                self.send().await?;
            }
            let taken = bytes.split_to(bytes.len().min(whole - self.buffer.len()));
            self.buffer.extend_from_slice(&taken);
        }
        Ok(())
    }

    /// Sends what is in the buffer as a part, once less than two are on their way.
    async fn send(&mut self) -> Result<(), StorageError> {
        let Self { bucket, name, buffer, begun } = self;
        let begun = match begun {
            Some(begun) => begun,
            None => begun.insert(Begun::new(bucket, name).await?),
        };
        if begun.count == MAX_PARTS {
            return Err(bucket.error(name, Problem::TooManyParts(bucket.part_bytes >> 20)));
        }
        while begun.sending.len() >= IN_FLIGHT {
            begun.sent_one(bucket, name).await?;
        }
        if begun.marked.elapsed() >= RENEWED {
            bucket.mark(name).await?;
            begun.marked = Instant::now();
        }
        let (store, number) = (bucket.store.clone(), begun.count);
        let (key, id) = (begun.unfinished.key.clone(), begun.unfinished.id.clone());
        let part = buffer.split().freeze();
        begun.bytes += part.len() as u64;
        begun.count += 1;
        begun.sending.spawn(async move {
            let sent = store.put_part(&key, &id, number, part.into()).await;
            sent.map(|id| (number, id))
        });
        Ok(())
    }

    pub(in crate::recovery::storage) async fn finish(mut self) -> Result<(), StorageError> {
        if self.begun.is_none() {
            return self.bucket.write_new(&self.name, self.buffer.freeze()).await;
        }
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        let Some(mut begun) = self.begun else { return Ok(()) };
        while !begun.sending.is_empty() {
            begun.sent_one(&self.bucket, &self.name).await?;
        }
        let parts = std::mem::take(&mut begun.sent).into_values().collect();
        let Unfinished { key, id, .. } = &begun.unfinished;
        let completed = self.bucket.store.complete_multipart(key, id, parts).await;
        match completed.map_err(|error| self.bucket.failed(&self.name, Act::Write, &error)) {
            Ok(_) => {}
            // An earlier answer was lost, and this one is that there is no such upload any more.
            Err(StorageError::Missing(_))
                if self.bucket.head(&self.name).await?.is_some_and(|o| o.size == begun.bytes) => {}
            Err(error) => return Err(error),
        }
        begun.unfinished.is_finished = true;
        // A marker without an upload does no harm, and is swept.
        let _ = self.bucket.remove(&marker_of(&self.name)).await;
        Ok(())
    }
}

impl Begun {
    async fn new(bucket: &Bucket, name: &str) -> Result<Self, StorageError> {
        bucket.mark(name).await?;
        let key = bucket.key(name)?;
        let id = bucket.store.create_multipart(&key).await;
        let id = id.map_err(|error| bucket.failed(name, Act::Write, &error))?;
        let (bucket, name) = (bucket.clone(), name.to_owned());
        Ok(Self {
            sending: JoinSet::new(),
            sent: BTreeMap::new(),
            count: 0,
            bytes: 0,
            marked: Instant::now(),
            unfinished: Unfinished { bucket, name, key, id, is_finished: false },
        })
    }

    /// Waits for a part that is on its way.
    async fn sent_one(&mut self, bucket: &Bucket, name: &str) -> Result<(), StorageError> {
        let sent = self.sending.join_next().await;
        let sent = sent.transpose().map_err(|error| Error::JoinError { source: error });
        let sent = sent.and_then(Option::transpose);
        match sent {
            Ok(sent) => {
                self.sent.extend(sent);
                Ok(())
            }
            Err(error) => Err(bucket.not_sent(name, &error).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_names_its_object() {
        for name in ["inst/agentfs_1.dump", "agentfs_1.dump"] {
            assert_eq!(marked_by(&marker_of(name)).as_deref(), Some(name));
        }
        assert_eq!(marker_of("inst/agentfs_1.dump"), "inst/.agentfs_1.dump.upload");
        for other in ["inst/.lock", "inst/agentfs_1.dump", "inst/x.upload", ".lock"] {
            assert_eq!(marked_by(other), None, "{other}");
        }
    }
}
