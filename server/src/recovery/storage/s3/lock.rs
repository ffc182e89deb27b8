//! The lock at a prefix of a bucket: an object that its holder renews for as long as it lives.
//!
//! All of it goes by writes with a condition: the object is made where there is none, and replaced only by whoever has seen its
//! newest ETag. It is never deleted, since a deletion has no condition. Ages are measured by the server's clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::{Error, ObjectStore as _, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::failure::Act;
use super::{Bucket, StorageError, modified};
use crate::recovery::storage::{Lock, settling};

/// How often the lock is renewed while it lasts.
const RENEWALS: u32 = 4;
/// How long giving it back may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The holder's id.
    id: Uuid,
    /// The holder for a person.
    holder: String,
    /// How long it lasts after it was written, in seconds; zero once it is given back.
    lasts: u64,
    /// Makes each one another, so that its ETag is too.
    renewal: u64,
}

/// What was found.
struct Found {
    record: Record,
    e_tag: String,
    /// How long it has been there.
    age: Duration,
}

/// A lock of a bucket that is held.
#[derive(Debug)]
pub struct BucketLock {
    shown: String,
    /// Until when it is held, unless it is renewed; `None` where somebody else has it.
    until: Arc<Mutex<Option<Instant>>>,
    /// Its end asks the task to give the lock back.
    held: Option<oneshot::Sender<()>>,
    renewing: Option<JoinHandle<()>>,
}

impl Bucket {
    pub(in crate::recovery::storage) async fn lock(
        &self,
        name: &str,
    ) -> Result<Lock, StorageError> {
        let asked = Instant::now();
        let mut file = LockFile { bucket: self.clone(), name: name.to_owned() };
        let mut record = Record {
            id: Uuid::new_v4(),
            holder: holder(),
            lasts: self.lock_lasts.as_secs(),
            renewal: 0,
        };
        match self.write_new(name, content(&record)).await {
            Err(StorageError::Exists(_)) => {}
            Err(error) => return Err(error),
            Ok(()) if !self.is_conditional() => return Ok(Lock::Unguarded),
            // Some stores take the condition and ignore it.
            Ok(()) => {
                record.renewal += 1;
                match self.write_new(name, content(&record)).await {
                    Err(StorageError::Exists(_)) => record.renewal -= 1,
                    Err(error) => return Err(error),
                    Ok(()) => {
                        self.note_unconditional();
                        return Ok(Lock::Unguarded);
                    }
                }
            }
        }
        let busy = || StorageError::Busy(self.shown(""));
        let found = file.read().await?.ok_or_else(busy)?;
        let e_tag = if found.record.id == record.id {
            found.e_tag
        } else {
            let lasts = Duration::from_secs(found.record.lasts);
            // With a grace for answers that take long.
            if !lasts.is_zero() && found.age < lasts + lasts / RENEWALS {
                let holder = found.record.holder;
                return Err(StorageError::Busy(format!("{} ({holder})", self.shown(""))));
            }
            file.replace(&record, found.e_tag).await?.ok_or_else(busy)?
        };
        let lasts = self.lock_lasts;
        let until = Arc::new(Mutex::new(Some(asked + lasts)));
        let (held, ended) = oneshot::channel();
        let renewing = file.renew(record, e_tag, lasts, until.clone(), ended);
        let renewing = Some(tokio::spawn(renewing));
        let shown = self.shown("");
        Ok(Lock::Bucket(BucketLock { shown, until, held: Some(held), renewing }))
    }
}

impl BucketLock {
    pub(in crate::recovery::storage) fn check(&self) -> Result<(), StorageError> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        match until {
            Some(until) if Instant::now() < until => Ok(()),
            _ => Err(StorageError::LockLost(self.shown.clone())),
        }
    }

    pub(in crate::recovery::storage) async fn release(mut self) {
        drop(self.held.take());
        if let Some(renewing) = self.renewing.take() {
            // One that cannot be given back ends by itself.
            let _ = timeout(PATIENCE, renewing).await;
        }
    }
}

impl Drop for BucketLock {
    fn drop(&mut self) {
        drop(self.held.take());
        if let Some(renewing) = self.renewing.take() {
            settling::wait_for(renewing);
        }
    }
}

/// The object of a lock.
struct LockFile {
    bucket: Bucket,
    name: String,
}

impl LockFile {
    async fn read(&mut self) -> Result<Option<Found>, StorageError> {
        let Some(found) = self.bucket.get(&self.name).await? else { return Ok(None) };
        let age = self.bucket.clock.now().duration_since(modified(&found.meta));
        let e_tag = found.meta.e_tag.clone().unwrap_or_default();
        let read = found.bytes().await;
        let read = read.map_err(|error| self.bucket.failed(&self.name, Act::Read, &error))?;
        // What is no record is nobody's lock.
        let nobody = Record { id: Uuid::nil(), holder: String::new(), lasts: 0, renewal: 0 };
        let record = serde_json::from_slice(&read).unwrap_or(nobody);
        let age = if age.is_negative() { Duration::ZERO } else { age.unsigned_abs() };
        Ok(Some(Found { record, e_tag, age }))
    }

    /// Replaces the record that has this ETag; `None` where there is another holder's now.
    async fn replace(
        &mut self,
        record: &Record,
        mut e_tag: String,
    ) -> Result<Option<String>, StorageError> {
        let key = self.bucket.key(&self.name)?;
        loop {
            let mode = PutMode::Update(UpdateVersion { e_tag: Some(e_tag), version: None });
            let options = PutOptions { mode, ..Default::default() };
            match self.bucket.store.put_opts(&key, content(record).into(), options).await {
                Ok(put) if put.e_tag.is_some() => return Ok(put.e_tag),
                Ok(_) | Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(self.bucket.failed(&self.name, Act::Write, &error)),
            }
            // It may be one of ours, whose answer was lost.
            match self.read().await? {
                Some(found) if found.record == *record => return Ok(Some(found.e_tag)),
                Some(found) if found.record.id == record.id => e_tag = found.e_tag,
                _ => return Ok(None),
            }
        }
    }

    /// Renews the lock until it `ended`, and gives it back then.
    async fn renew(
        mut self,
        mut record: Record,
        mut e_tag: String,
        lasts: Duration,
        until: Arc<Mutex<Option<Instant>>>,
        mut ended: oneshot::Receiver<()>,
    ) {
        let set = |moment| *until.lock().unwrap_or_else(PoisonError::into_inner) = moment;
        while timeout(lasts / RENEWALS, &mut ended).await.is_err() {
            record.renewal += 1;
            let asked = Instant::now();
            match self.replace(&record, e_tag.clone()).await {
                Ok(Some(renewed)) => {
                    e_tag = renewed;
                    set(Some(asked + lasts));
                }
                Ok(None) => {
                    set(None);
                    return;
                }
                // It may go well next time; if it does not in time, the holder learns of it.
                Err(error) => tracing::warn!("the lock could not be renewed: {error}"),
            }
        }
        record.renewal += 1;
        record.lasts = 0;
        // One that cannot be given back ends by itself.
        let _ = self.replace(&record, e_tag).await;
    }
}

fn content(record: &Record) -> Bytes {
    serde_json::to_vec(record).unwrap_or_default().into()
}

/// This process for a person.
fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}
