//! What holds of each storage of backups: of a folder, and of a bucket.

use std::time::Duration;

use agentfs_server::recovery::Location;
use agentfs_server::recovery::storage::{Removal, SMALL, Storage, StorageError, settled};
use bytes::Bytes;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use crate::support::s3_server::S3Server;

/// The size of a part in these tests, and one that needs a few.
const PART: usize = 5 << 20;
const LARGE: usize = 3 * PART + 12_345;

/// The same tests at each storage.
macro_rules! everywhere {
    ($($name:ident)*) => {
        mod folder {
            $(#[tokio::test]
            async fn $name() {
                let place = tempfile::TempDir::new().unwrap();
                super::$name(&super::in_folder(&place).await).await;
            })*
        }
        mod versitygw {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::in_bucket(crate::support::s3_server::S3Server::versitygw()).await).await;
            })*
        }
        mod versions {
            $(#[tokio::test]
            async fn $name() {
                let server = crate::support::s3_server::S3Server::versitygw_of_versions();
                super::$name(&super::in_bucket_that_locks(server).await).await;
            })*
        }
        mod minio {
            $(#[ignore = "MinIO is built by make test-s3"]
            #[tokio::test]
            async fn $name() {
                super::$name(&super::in_bucket(crate::support::s3_server::S3Server::minio()).await).await;
            })*
        }
        mod minio_versions {
            $(#[ignore = "MinIO is built by make test-s3"]
            #[tokio::test]
            async fn $name() {
                super::$name(&super::in_bucket_that_locks(crate::support::s3_server::S3Server::minio()).await).await;
            })*
        }
    };
}

everywhere! {
    small_objects_are_written_once
    an_object_that_is_too_large_to_be_small_is_refused
    large_objects_arrive_whole
    an_object_that_is_there_is_never_replaced
    what_is_dropped_is_not_there
    what_died_is_swept
    a_lock_is_held_by_one
    names_that_lead_elsewhere_are_refused
}

async fn in_folder(place: &TempDir) -> Storage {
    Storage::create(&Location::Folder(place.path().join("backups"))).await.unwrap()
}

async fn in_bucket(server: &'static S3Server) -> Storage {
    server.bucket().await.storage(&[]).await.unwrap()
}

async fn in_bucket_that_locks(server: &'static S3Server) -> Storage {
    server.bucket_that_locks().await.storage(&[]).await.unwrap()
}

fn random(bytes: usize) -> Bytes {
    let mut content = vec![0; bytes];
    StdRng::seed_from_u64(bytes as u64).fill_bytes(&mut content);
    content.into()
}

async fn write(storage: &Storage, name: &str, content: &Bytes) -> Result<(), StorageError> {
    let mut upload = storage.upload(name).await?;
    // Pieces that end nowhere in particular.
    for piece in content.chunks(777_777) {
        upload.write(content.slice_ref(piece)).await?;
    }
    upload.finish().await
}

async fn names(storage: &Storage) -> Vec<String> {
    storage.list().await.unwrap().into_iter().map(|object| object.name).collect()
}

async fn small_objects_are_written_once(storage: &Storage) {
    assert_eq!(storage.list().await.unwrap(), []);
    assert_eq!(storage.read_small("i/none").await.unwrap(), None);
    for name in ["i/b.manifest.json", "i/a.manifest.json", "flat.manifest.json", "i/.hidden"] {
        storage.write_small(name, name.as_bytes()).await.unwrap();
    }
    let twice = storage.write_small("i/a.manifest.json", b"another").await;
    assert!(matches!(twice, Err(StorageError::Exists(_))), "{twice:?}");
    let same = storage.write_small("i/a.manifest.json", b"i/a.manifest.json").await;
    assert!(matches!(same, Err(StorageError::Exists(_))), "{same:?}");
    assert_eq!(
        storage.read_small("i/a.manifest.json").await.unwrap().unwrap(),
        b"i/a.manifest.json"
    );
    let listed = storage.list().await.unwrap();
    let seen: Vec<_> = listed.iter().map(|object| (object.name.as_str(), object.bytes)).collect();
    assert_eq!(
        seen,
        [("flat.manifest.json", 18), ("i/a.manifest.json", 17), ("i/b.manifest.json", 17)]
    );
    let age = jiff::Timestamp::now().duration_since(listed[0].modified);
    assert!(age.unsigned_abs() < Duration::from_mins(2), "{age:?}");
    for _ in 0..2 {
        assert_eq!(storage.remove("i/a.manifest.json").await.unwrap(), Removal::Removed);
    }
    assert_eq!(storage.read_small("i/a.manifest.json").await.unwrap(), None);
    assert_eq!(names(storage).await, ["flat.manifest.json", "i/b.manifest.json"]);
}

async fn an_object_that_is_too_large_to_be_small_is_refused(storage: &Storage) {
    for (name, bytes) in [("i/small", SMALL), ("i/large", SMALL + 1)] {
        write(storage, name, &random(bytes as usize)).await.unwrap();
    }
    assert_eq!(storage.read_small("i/small").await.unwrap().unwrap().len() as u64, SMALL);
    let large = storage.read_small("i/large").await;
    assert!(matches!(large, Err(StorageError::TooLarge(_))), "{large:?}");
}

async fn large_objects_arrive_whole(storage: &Storage) {
    for bytes in [0, 1, PART, PART + 1, 2 * PART, LARGE] {
        let (name, content) = (format!("i/{bytes}.dump"), random(bytes));
        write(storage, &name, &content).await.unwrap();
        let (mut reader, mut sum) = (storage.read(&name).await.unwrap(), Sha256::new());
        let (mut buffer, mut read) = (vec![0; 1 << 20], 0);
        while let count @ 1.. = reader.read(&mut buffer).await.unwrap() {
            sum.update(&buffer[..count]);
            read += count;
        }
        assert_eq!((read, sum.finalize()), (bytes, Sha256::digest(&content)), "{name}");
        let listed = storage.list().await.unwrap();
        assert!(listed.iter().any(|object| object.name == name && object.bytes == bytes as u64));
    }
    assert_eq!(names(storage).await.len(), 6);
    let missing = storage.read("i/none").await.err();
    assert!(matches!(missing, Some(StorageError::Missing(_))), "{missing:?}");
}

async fn an_object_that_is_there_is_never_replaced(storage: &Storage) {
    let content = random(PART + 1);
    write(storage, "i/a.dump", &content).await.unwrap();
    for bytes in [1, LARGE] {
        let twice = write(storage, "i/a.dump", &random(bytes)).await;
        assert!(matches!(twice, Err(StorageError::Exists(_))), "{twice:?}");
    }
    let mut read = Vec::new();
    storage.read("i/a.dump").await.unwrap().read_to_end(&mut read).await.unwrap();
    assert!(read == content);
}

async fn what_is_dropped_is_not_there(storage: &Storage) {
    for bytes in [1, LARGE] {
        let mut upload = storage.upload("i/a.dump").await.unwrap();
        upload.write(random(bytes)).await.unwrap();
        assert_eq!(storage.list().await.unwrap(), [], "it is not finished");
        drop(upload);
        settled(Duration::from_mins(1)).await;
        assert_eq!(storage.sweep("i/", Duration::ZERO).await.unwrap(), 0, "nothing is left");
    }
    write(storage, "i/a.dump", &random(1)).await.unwrap();
    assert_eq!(names(storage).await, ["i/a.dump"]);
}

async fn what_died_is_swept(storage: &Storage) {
    for name in ["i/a.dump", "other/b.dump"] {
        let mut upload = storage.upload(name).await.unwrap();
        upload.write(random(LARGE)).await.unwrap();
        // As a process that is killed.
        std::mem::forget(upload);
    }
    write(storage, "i/whole.dump", &random(LARGE)).await.unwrap();
    assert_eq!(storage.sweep("i/", Duration::from_hours(1)).await.unwrap(), 0, "it may be at work");
    assert_eq!(storage.sweep("i/", Duration::ZERO).await.unwrap(), 1);
    assert_eq!(storage.sweep("i/", Duration::ZERO).await.unwrap(), 0);
    assert_eq!(storage.sweep("other/", Duration::ZERO).await.unwrap(), 1);
    assert_eq!(names(storage).await, ["i/whole.dump"]);
}

async fn a_lock_is_held_by_one(storage: &Storage) {
    let one = storage.lock("i/.lock").await.unwrap();
    one.check().await.unwrap();
    let two = storage.lock("i/.lock").await;
    assert!(matches!(two, Err(StorageError::Busy(_))), "{two:?}");
    let other = storage.lock("other/.lock").await.unwrap();
    one.check().await.unwrap();
    one.release().await;
    let two = storage.lock("i/.lock").await.unwrap();
    drop(two);
    settled(Duration::from_mins(1)).await;
    let three = storage.lock("i/.lock").await.unwrap();
    three.check().await.unwrap();
    other.release().await;
    assert_eq!(storage.list().await.unwrap(), [], "locks are no objects");
}

async fn names_that_lead_elsewhere_are_refused(storage: &Storage) {
    for name in ["../x", "i/../../x", "/etc/passwd", ""] {
        let refused = |error: Option<StorageError>| {
            assert!(matches!(error, Some(StorageError::Name(_))), "{name}");
        };
        refused(storage.read_small(name).await.err());
        refused(storage.read(name).await.err());
        refused(storage.write_small(name, b"x").await.err());
        refused(storage.upload(name).await.err());
        refused(storage.remove(name).await.err());
        refused(storage.lock(name).await.err());
        refused(storage.open_file(name).await.err());
    }
}
