//! Buckets that fail, and what is said of it: against versitygw, and MinIO by `make test-s3`.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use agentfs_contract::manifest::hex;
use agentfs_server::recovery::storage::{Lock, Removal, Storage, StorageError, settled};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::signer::Method;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::support::cli::agentfs;
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;
use crate::support::s3_proxy::{Fault, S3Proxy};
use crate::support::s3_server::{ACCESS_KEY, Bucket, KMS_KEY, S3Server, SECRET_KEY};

const PART: usize = 5 << 20;

/// The failure of a storage, which has to say this and hold no secret.
#[track_caller]
fn says(result: Result<impl Sized, StorageError>, wanted: &str) -> StorageError {
    let Err(error) = result else { panic!("no failure, but wanted: {wanted}") };
    let said = error.to_string();
    assert!(said.contains(wanted), "{said}\nwanted: {wanted}");
    for secret in [SECRET_KEY, "Signature=", "X-Amz-Signature"] {
        assert!(!said.contains(secret), "{said}");
    }
    error
}

async fn upload(storage: &Storage, name: &str, parts: usize) -> Result<(), StorageError> {
    let mut upload = storage.upload(name).await?;
    for part in 0..parts {
        upload.write(vec![part as u8; PART].into()).await?;
    }
    upload.write(Bytes::from_static(b"end")).await?;
    upload.finish().await
}

/// Whether all parts are there, and in their order.
async fn is_whole(storage: &Storage, name: &str, parts: usize) -> bool {
    let mut read = Vec::new();
    storage.read(name).await.unwrap().read_to_end(&mut read).await.unwrap();
    let wanted = (0..parts).flat_map(|part| std::iter::repeat_n(part as u8, PART));
    read.into_iter().eq(wanted.chain(*b"end"))
}

#[tokio::test]
async fn wrong_credentials_are_told_from_missing_ones_and_from_a_missing_bucket() {
    refuses_wrong_credentials(S3Server::versitygw().bucket().await).await;
}

async fn refuses_wrong_credentials(bucket: Bucket) {
    for wrong in [("AWS_ACCESS_KEY_ID", "nobody"), ("AWS_SECRET_ACCESS_KEY", "not-this")] {
        let error = says(bucket.storage(&[wrong]).await, "the credentials are refused (");
        assert!(!error.is_transient());
        assert!(!error.to_string().contains("not-this"), "{error}");
    }
    let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("HOME", "/nowhere")];
    says(bucket.storage(&none).await, "there are no credentials");
    let elsewhere = Bucket { server: bucket.server, name: "there-is-no-such".into() };
    let missing = says(elsewhere.storage(&[]).await, "there is no bucket there-is-no-such");
    assert!(!missing.is_transient());
}

#[tokio::test]
async fn credentials_may_be_in_files() {
    let bucket = S3Server::versitygw().bucket().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("AWS_ACCESS_KEY_ID"), ACCESS_KEY).unwrap();
    std::fs::write(folder.join("AWS_SECRET_ACCESS_KEY"), SECRET_KEY).unwrap();
    let profile = format!(
        "[attic]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    );
    std::fs::write(folder.join("credentials"), profile).unwrap();
    let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let path = |name: &str| folder.join(name).display().to_string();
    let (mounted, shared) = (path(""), path("credentials"));
    let mounted = [("BACKUP_S3_CREDENTIALS_DIR", mounted.as_str())];
    let shared = [("AWS_SHARED_CREDENTIALS_FILE", shared.as_str()), ("AWS_PROFILE", "attic")];
    let storage = bucket.storage(&[&none[..], &mounted].concat()).await.unwrap();
    bucket.storage(&[&none[..], &shared].concat()).await.unwrap();
    let other = [shared[0], ("AWS_PROFILE", "cellar")];
    says(bucket.storage(&[&none[..], &other].concat()).await, "no profile cellar");
    // Keys that have been changed count at once.
    std::fs::write(folder.join("AWS_SECRET_ACCESS_KEY"), "not-this").unwrap();
    says(storage.list().await, "the credentials are refused");
}

#[tokio::test]
async fn a_bucket_that_vanishes_is_named() {
    names_what_vanished(S3Server::versitygw().bucket().await).await;
}

async fn names_what_vanished(bucket: Bucket) {
    let storage = bucket.storage(&[]).await.unwrap();
    let mut upload = storage.upload("i/a.dump").await.unwrap();
    upload.write(vec![0; PART + 1].into()).await.unwrap();
    // A part that comes while versitygw removes the bucket makes half a bucket.
    let parts = async || bucket.parts(&Bucket::key("i/a.dump")).await;
    eventually("the first part comes", parts, |parts| *parts == 1).await;
    bucket.vanish().await;
    let wanted = format!("there is no bucket {}", bucket.name);
    let ended = async {
        upload.write(vec![0; 4 * PART].into()).await?;
        upload.finish().await
    };
    says(ended.await, &wanted);
    says(storage.list().await, &wanted);
    says(storage.read_small("i/a.manifest.json").await, &wanted);
    says(storage.write_small("i/a.manifest.json", b"{}").await, &wanted);
    says(storage.lock("i/.lock").await, &wanted);
}

#[tokio::test]
async fn a_connection_that_is_cut_within_a_part_costs_that_part_alone() {
    sends_a_part_again(S3Server::versitygw().bucket().await).await;
}

async fn sends_a_part_again(bucket: Bucket) {
    let proxy = S3Proxy::before(bucket.server.port(), Fault::CutAt(7 << 20)).await;
    let storage = bucket.storage(&[("AWS_ENDPOINT_URL", &proxy.endpoint())]).await.unwrap();
    upload(&storage, "i/a.dump", 4).await.unwrap();
    assert_eq!(proxy.faults(), 1, "a connection was cut");
    assert!(is_whole(&storage, "i/a.dump", 4).await);
    assert_eq!(bucket.keys().await, [Bucket::key("i/a.dump")]);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_may_be_reached_later() {
    let bucket = S3Server::versitygw().bucket().await;
    let proxy = S3Proxy::before(bucket.server.port(), Fault::CutAll).await;
    let port = crate::support::process::free_port();
    for endpoint in [proxy.endpoint(), format!("http://127.0.0.1:{port}")] {
        let reached = bucket.storage(&[("AWS_ENDPOINT_URL", &endpoint)]).await;
        let error = says(reached, "127.0.0.1 cannot be reached: ");
        assert!(error.is_transient());
    }
    let unknown = bucket.storage(&[("AWS_ENDPOINT_URL", "http://nowhere.invalid")]).await;
    says(unknown, "nowhere.invalid cannot be reached: ");
}

#[tokio::test]
async fn a_server_that_asks_to_slow_down_is_asked_again() {
    slows_down(S3Server::versitygw().bucket().await).await;
}

async fn slows_down(bucket: Bucket) {
    let busy = S3Proxy::before(bucket.server.port(), Fault::SlowDown(3)).await;
    let storage = bucket.storage(&[("AWS_ENDPOINT_URL", &busy.endpoint())]).await.unwrap();
    upload(&storage, "i/a.dump", 2).await.unwrap();
    assert_eq!(busy.faults(), 3);
    assert!(is_whole(&storage, "i/a.dump", 2).await);

    let overloaded = S3Proxy::before(bucket.server.port(), Fault::SlowDown(u64::MAX)).await;
    let settings = [("AWS_ENDPOINT_URL", overloaded.endpoint())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let error = says(
        bucket.storage(&settings).await,
        "asks to slow down (503 Service Unavailable SlowDown)",
    );
    assert!(error.is_transient());
    assert_eq!(overloaded.faults(), 4, "one try and three more");
}

#[tokio::test]
async fn what_object_lock_keeps_is_protected() {
    let bucket = S3Server::versitygw().bucket_of_locks().await;
    let storage = bucket.storage(&[]).await.unwrap();
    for name in ["i/free.json", "i/dated.json", "i/held.json"] {
        storage.write_small(name, b"{}").await.unwrap();
    }
    let until = "2099-01-02T03:04:05Z";
    let retention = format!(
        "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
    );
    bucket.told(Method::PUT, &Bucket::key("i/dated.json"), &[("retention", "")], &retention).await;
    let hold = "<LegalHold><Status>ON</Status></LegalHold>";
    bucket.told(Method::PUT, &Bucket::key("i/held.json"), &[("legal-hold", "")], hold).await;
    assert_eq!(storage.remove("i/free.json").await.unwrap(), Removal::Removed);
    let dated = Removal::Protected(Some(until.parse().unwrap()));
    assert_eq!(storage.remove("i/dated.json").await.unwrap(), dated);
    assert_eq!(storage.remove("i/held.json").await.unwrap(), Removal::Protected(None));
    assert_eq!(storage.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_deletion_marker_is_a_removal() {
    removes_by_a_marker(S3Server::versitygw_of_versions().bucket_that_locks().await).await;
}

async fn removes_by_a_marker(bucket: Bucket) {
    let storage = bucket.storage(&[]).await.unwrap();
    storage.write_small("i/a.json", b"{}").await.unwrap();
    assert_eq!(storage.remove("i/a.json").await.unwrap(), Removal::Removed);
    assert_eq!(storage.list().await.unwrap(), []);
    let versions = bucket.told(Method::GET, "", &[("versions", "")], "").await;
    assert!(versions.contains("<DeleteMarker>") && versions.contains("<Version>"), "{versions}");
}

#[tokio::test]
async fn an_upload_that_was_killed_is_swept() {
    sweeps_what_was_killed(S3Server::versitygw().bucket().await).await;
}

/// The variable with the settings of the process that is killed.
const VICTIM: &str = "TEST_OF_THE_UPLOAD_THAT_IS_KILLED";

async fn sweeps_what_was_killed(bucket: Bucket) {
    let endpoint = bucket.server.endpoint();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "recovery::s3::the_upload_that_is_killed"])
        .env(VICTIM, bucket.location().to_string())
        .envs([("AWS_ENDPOINT_URL", endpoint.as_str()), ("BACKUP_S3_PART_MIB", "5")])
        .envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let key = Bucket::key("i/a.dump");
    let uploads = async || bucket.uploads(&key).await;
    eventually("an upload begins", uploads, |uploads| !uploads.is_empty()).await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    let marker = Bucket::key("i/.a.dump.upload");
    assert_eq!(bucket.keys().await, [marker], "seen by whoever looks for it");
    let storage = bucket.storage(&[]).await.unwrap();
    assert_eq!(storage.list().await.unwrap(), []);
    assert_eq!(storage.sweep("i/", Duration::ZERO).await.unwrap(), 1);
    assert_eq!((bucket.uploads(&key).await, bucket.keys().await), (vec![], vec![]));
}

#[ignore = "is no test: the process that is killed by one"]
#[tokio::test]
async fn the_upload_that_is_killed() {
    let Ok(location) = std::env::var(VICTIM) else { return };
    let location = agentfs_server::recovery::Location::parse(&location).unwrap();
    let storage = Storage::create(&location).await.unwrap();
    let mut upload = storage.upload("i/a.dump").await.unwrap();
    upload.write(vec![0; 3 * PART].into()).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn an_upload_holds_three_parts_in_memory() {
    let bucket = S3Server::versitygw().bucket().await;
    let endpoint = bucket.server.endpoint();
    let uploading = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "recovery::s3::the_upload_that_is_measured", "--nocapture"])
        .env(VICTIM, bucket.location().to_string())
        .envs([("AWS_ENDPOINT_URL", endpoint.as_str()), ("BACKUP_S3_PART_MIB", "5")])
        .envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)])
        .output()
        .unwrap();
    let said = String::from_utf8(uploading.stdout).unwrap();
    let grown: u64 = said
        .split("grown by ")
        .nth(1)
        .and_then(|said| said.split(' ').next())
        .unwrap()
        .parse()
        .unwrap();
    // What the connections hold besides is small.
    assert!(grown < 40 << 10, "{grown} KiB");
    let objects = bucket.storage(&[]).await.unwrap().list().await.unwrap();
    assert_eq!(objects[0].bytes, 40 * PART as u64 + 3);
}

#[ignore = "is no test: the process that is measured by one"]
#[tokio::test]
async fn the_upload_that_is_measured() {
    let Ok(location) = std::env::var(VICTIM) else { return };
    let location = agentfs_server::recovery::Location::parse(&location).unwrap();
    let storage = Storage::create(&location).await.unwrap();
    let peak = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    };
    let (before, part) = (peak(), Bytes::from(vec![7; PART]));
    let mut upload = storage.upload("i/a.dump").await.unwrap();
    for _ in 0..40 {
        upload.write(part.clone()).await.unwrap();
    }
    upload.write(Bytes::from_static(b"end")).await.unwrap();
    upload.finish().await.unwrap();
    println!("grown by {} KiB", peak() - before);
}

#[tokio::test]
async fn the_lock_of_a_dead_process_is_taken_over() {
    takes_over(S3Server::versitygw().bucket().await).await;
    takes_over(S3Server::versitygw_of_versions().bucket_that_locks().await).await;
}

async fn takes_over(bucket: Bucket) {
    let settings = [("BACKUP_S3_LOCK_SECONDS", "3")];
    let storage = bucket.storage(&settings).await.unwrap();
    let (location, of_dead) = (bucket.location(), bucket.settings(&settings));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let storage = Storage::create_with(&location, &of_dead).await.unwrap();
            std::mem::forget(storage.lock("i/.lock").await.unwrap());
        });
        // As with a process, nothing of it goes on.
    })
    .join()
    .unwrap();
    says(storage.lock("i/.lock").await, "another process is at work");
    let lock = async || storage.lock("i/.lock").await;
    let lock = eventually("the lock ends", lock, Result::is_ok).await.unwrap();
    lock.check().await.unwrap();
    // Its holder lives, and keeps it for longer than it would last.
    let ends = tokio::time::Instant::now() + Duration::from_secs(4);
    let waited = async || tokio::time::Instant::now() > ends;
    eventually("time passes", waited, |over| *over).await;
    says(storage.lock("i/.lock").await, "another process is at work");
    lock.check().await.unwrap();
    lock.release().await;
}

#[tokio::test]
async fn a_lock_that_was_lost_says_so() {
    let bucket = S3Server::versitygw().bucket().await;
    let storage = bucket.storage(&[("BACKUP_S3_LOCK_SECONDS", "4")]).await.unwrap();
    let lock = storage.lock("i/.lock").await.unwrap();
    lock.check().await.unwrap();
    let other = r#"{"id":"0191a7a0-0000-7000-8000-000000000000","holder":"another","lasts":60,"renewal":0}"#;
    bucket.told(Method::PUT, &Bucket::key("i/.lock"), &[], other).await;
    let check = async || lock.check().await;
    let lost = eventually("the lock is lost", check, Result::is_err).await;
    assert!(says(lost, "could not be held").is_transient());
    lock.release().await;
    says(storage.lock("i/.lock").await, "another process is at work in ");
}

#[tokio::test]
async fn a_store_without_conditional_writes_has_to_do() {
    let bucket = S3Server::versitygw().bucket().await;
    let storage = bucket.storage(&[("AWS_CONDITIONAL_PUT", "disabled")]).await.unwrap();
    storage.write_small("i/a.json", b"{}").await.unwrap();
    says(storage.write_small("i/a.json", b"[]").await, "is there already");
    let lock = storage.lock("i/.lock").await.unwrap();
    assert!(matches!(lock, Lock::Unguarded), "{lock:?}");
}

#[tokio::test]
async fn a_server_that_silently_does_not_encrypt_is_found_out() {
    let bucket = S3Server::versitygw().bucket().await;
    let storage = bucket.storage(&[("AWS_SERVER_SIDE_ENCRYPTION", "AES256")]).await.unwrap();
    let wanted = "the storage does not encrypt";
    says(storage.write_small("i/a.json", b"{}").await, wanted);
    says(upload(&storage, "i/a.dump", 0).await, wanted);
    says(upload(&storage, "i/b.dump", 2).await, wanted);
    says(storage.lock("i/.lock").await, wanted);
    settled(Duration::from_mins(1)).await;
    assert_eq!(bucket.keys().await, [""; 0], "nothing is left unencrypted");
}

#[tokio::test]
async fn a_certificate_of_ones_own_authority_is_trusted_where_it_is_named() {
    trusts_whom_it_is_told_to(S3Server::versitygw().bucket().await).await;
}

async fn trusts_whom_it_is_told_to(bucket: Bucket) {
    let (proxy, certificate) = S3Proxy::of_tls(bucket.server.port()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    let endpoint = proxy.tls_endpoint();
    let settings = [("AWS_ENDPOINT_URL", endpoint.as_str())];
    let error =
        says(bucket.storage(&settings).await, "the certificate of localhost is not trusted");
    assert!(error.to_string().contains("BACKUP_S3_CA_FILE") && !error.is_transient(), "{error}");
    for name in ["BACKUP_S3_CA_FILE", "AWS_CA_BUNDLE"] {
        let trusted = [settings[0], (name, file.path().to_str().unwrap())];
        let storage = bucket.storage(&trusted).await.unwrap();
        storage.write_small(&format!("i/{name}.json"), b"{}").await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_goes_to_a_bucket_by_command() {
    let (bucket, database) = (S3Server::versitygw().bucket().await, Database::migrated().await);
    let (location, endpoint) = (bucket.location().to_string(), bucket.server.endpoint());
    let programs = shared().programs().to_str().expect("UTF-8");
    let variables = [
        ("DATABASE_URL", database.url.as_str()),
        ("BACKUP_LOCATION", &location),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    let said = agentfs(&["backup", "--pg-bin", programs, "--output", "json"], &variables).json();
    let path = said["path"].as_str().unwrap();
    let name = path.strip_prefix(&format!("{location}/")).unwrap();
    let mut dump = Vec::new();
    let storage = bucket.storage(&[]).await.unwrap();
    storage.read(name).await.unwrap().read_to_end(&mut dump).await.unwrap();
    let sum = hex(&Sha256::digest(&dump));
    assert_eq!(said["manifest"]["sha256"], sum.as_str());
    let names: Vec<String> = storage.list().await.unwrap().into_iter().map(|o| o.name).collect();
    assert_eq!(names, [name.to_owned(), name.replace(".dump", ".manifest.json")]);
    let wrong = [&variables[..4], &[("AWS_SECRET_ACCESS_KEY", "not-this")]].concat();
    let failure = agentfs(&["backup", "--pg-bin", programs], &wrong).failure();
    assert!(failure.contains("the credentials are refused"), "{failure}");
    let twice = agentfs(&["backup", "--pg-bin", programs], &variables);
    // The lock has been given back; within the same second there is such a backup already.
    assert!(twice.code == Some(0) || twice.err.contains("is there already"), "{twice:?}");
}

#[tokio::test]
async fn a_long_list_is_read_to_its_end() {
    let bucket = S3Server::versitygw().bucket().await;
    let storage = Arc::new(bucket.storage(&[]).await.unwrap());
    let names: Vec<String> = (0..1003).map(|n| format!("i/{n:04}.json")).collect();
    let writing = futures::stream::iter(names.clone()).map(|name| {
        let storage = storage.clone();
        async move { storage.write_small(&name, b"{}").await }
    });
    writing.buffer_unordered(16).try_collect::<()>().await.unwrap();
    let listed: Vec<String> =
        storage.list().await.unwrap().into_iter().map(|object| object.name).collect();
    assert!(listed == names, "{} of {}", listed.len(), names.len());
}

/// The same against MinIO.
mod minio {
    use super::*;

    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn wrong_credentials_are_told_from_missing_ones_and_from_a_missing_bucket() {
        refuses_wrong_credentials(S3Server::minio().bucket().await).await;
    }

    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn an_upload_that_was_killed_is_swept() {
        sweeps_what_was_killed(S3Server::minio().bucket().await).await;
    }

    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn the_lock_of_a_dead_process_is_taken_over() {
        takes_over(S3Server::minio().bucket().await).await;
        takes_over(S3Server::minio().bucket_that_locks().await).await;
    }

    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn a_bucket_that_vanishes_is_named() {
        names_what_vanished(S3Server::minio().bucket().await).await;
    }

    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn a_connection_that_is_cut_within_a_part_costs_that_part_alone() {
        sends_a_part_again(S3Server::minio().bucket().await).await;
    }

    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn a_server_that_asks_to_slow_down_is_asked_again() {
        slows_down(S3Server::minio().bucket().await).await;
    }

    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn a_certificate_of_ones_own_authority_is_trusted_where_it_is_named() {
        trusts_whom_it_is_told_to(S3Server::minio().bucket().await).await;
    }

    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn what_the_server_encrypts_is_read_as_it_was_written() {
        let plain = S3Server::minio().bucket().await;
        plain.storage(&[]).await.unwrap().write_small("i/a.json", b"{}").await.unwrap();
        assert_eq!(plain.encryption(&Bucket::key("i/a.json")).await, None);
        let key = ("AWS_SSE_KMS_KEY_ID", KMS_KEY);
        for (algorithm, more) in [("AES256", None), ("aws:kms", Some(key))] {
            let bucket = S3Server::minio().bucket().await;
            let settings = [("AWS_SERVER_SIDE_ENCRYPTION", algorithm)].into_iter().chain(more);
            let storage = bucket.storage(&settings.collect::<Vec<_>>()).await.unwrap();
            storage.write_small("i/a.json", b"{}").await.unwrap();
            upload(&storage, "i/a.dump", 2).await.unwrap();
            let lock = storage.lock("i/.lock").await.unwrap();
            lock.check().await.unwrap();
            for name in ["i/a.json", "i/a.dump", "i/.lock"] {
                let said = bucket.encryption(&Bucket::key(name)).await;
                assert_eq!(said.as_deref(), Some(algorithm), "{name}");
            }
            assert!(is_whole(&storage, "i/a.dump", 2).await);
            assert_eq!(storage.read_small("i/a.json").await.unwrap().unwrap(), b"{}");
            says(storage.lock("i/.lock").await, "another process is at work");
            lock.release().await;
            storage.lock("i/.lock").await.unwrap().release().await;
        }
    }

    /// Its buckets with object lock have versions, so that no removal is refused.
    #[ignore = "MinIO is built by make test-s3"]
    #[tokio::test]
    async fn a_deletion_marker_is_a_removal() {
        removes_by_a_marker(S3Server::minio().bucket_that_locks().await).await;
    }
}
