//! Servers that speak S3: versitygw, and MinIO for those who build it. One of each a test process, one bucket a test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use agentfs_server::recovery::Location;
use agentfs_server::recovery::storage::{BucketSettings, Storage, StorageError};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::signer::{HeaderName, HeaderValue, Method, SignedUrlOptions, Signer as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::eventually::eventually;
use super::process::free_port;

pub const ACCESS_KEY: &str = "attic";
pub const SECRET_KEY: &str = "a-secret-that-nobody-shows";
/// The name of the key by which MinIO encrypts what it is asked to.
pub const KMS_KEY: &str = "keeper";

/// Ends the server, and removes its folder, when the standard input ends: with the process that started it, however that ends.
const KEEPER: &str = r#"
    folder=$1; shift
    "$@" >"$folder/log" 2>&1 & server=$!
    cat >/dev/null
    kill -9 $server; wait $server; rm -rf "$folder"
"#;

/// A server that ends with the process that started it.
pub struct S3Server {
    /// Kept open; its end is the server's.
    _keeper: Child,
    port: u16,
    folder: PathBuf,
}

impl S3Server {
    /// The one that most tests share. Its buckets have no versions.
    pub fn versitygw() -> &'static Self {
        static SHARED: OnceLock<S3Server> = OnceLock::new();
        SHARED.get_or_init(|| {
            Self::start("versitygw", |folder, port| {
                std::fs::create_dir(folder.join("buckets")).unwrap();
                let place = folder.join("buckets").display().to_string();
                vec![
                    "--port".into(),
                    format!("127.0.0.1:{port}"),
                    "--quiet".into(),
                    "posix".into(),
                    place,
                ]
            })
        })
    }

    /// The same with buckets that keep old versions.
    pub fn versitygw_of_versions() -> &'static Self {
        static SHARED: OnceLock<S3Server> = OnceLock::new();
        SHARED.get_or_init(|| {
            Self::start("versitygw", |folder, port| {
                for inner in ["buckets", "versions"] {
                    std::fs::create_dir(folder.join(inner)).unwrap();
                }
                let place = |inner| folder.join(inner).display().to_string();
                vec![
                    "--port".into(),
                    format!("127.0.0.1:{port}"),
                    "--quiet".into(),
                    "posix".into(),
                    "--versioning-dir".into(),
                    place("versions"),
                    place("buckets"),
                ]
            })
        })
    }

    /// MinIO.
    pub fn minio() -> &'static Self {
        static SHARED: OnceLock<S3Server> = OnceLock::new();
        SHARED.get_or_init(|| {
            Self::start("minio", |folder, port| {
                let place = folder.join("buckets").display().to_string();
                let (address, console) =
                    (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()));
                vec![
                    "server".into(),
                    "--address".into(),
                    address,
                    "--console-address".into(),
                    console,
                    place,
                ]
            })
        })
    }

    /// Starts a program that a script of that name builds.
    fn start(script: &str, arguments: impl FnOnce(&Path, u16) -> Vec<String>) -> Self {
        let script = format!("{}/../scripts/{script}", env!("CARGO_MANIFEST_DIR"));
        let built = Command::new(&script).stderr(Stdio::inherit()).output().expect(&script);
        assert!(built.status.success(), "{script}");
        let program = String::from_utf8(built.stdout).unwrap();
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap().keep());
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&folder)
            .arg(program.trim())
            .args(arguments(&folder, port))
            .envs([("ROOT_ACCESS_KEY", ACCESS_KEY), ("ROOT_SECRET_KEY", SECRET_KEY)])
            .envs([("MINIO_ROOT_USER", ACCESS_KEY), ("MINIO_ROOT_PASSWORD", SECRET_KEY)])
            .env("MINIO_KMS_SECRET_KEY", format!("{KMS_KEY}:{}", BASE64_STANDARD.encode([7; 32])))
            .env("HOME", &folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self { _keeper: keeper, port, folder }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A bucket of a test's own.
    pub async fn bucket(&'static self) -> Bucket {
        self.bucket_with(None).await
    }

    /// The same, in which objects can be locked.
    pub async fn bucket_of_locks(&'static self) -> Bucket {
        self.bucket_with(Some(("x-amz-bucket-object-lock-enabled", "true"))).await
    }

    /// The same, in which every object is locked for a day.
    pub async fn bucket_that_locks(&'static self) -> Bucket {
        let bucket = self.bucket_of_locks().await;
        let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                    <Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
        bucket.told(Method::PUT, "", &[("object-lock", "")], rule).await;
        bucket
    }

    async fn bucket_with(&'static self, header: Option<(&'static str, &str)>) -> Bucket {
        let bucket = Bucket { server: self, name: format!("test-{}", Uuid::new_v4().simple()) };
        let asked = async || match bucket.ask(Method::PUT, "", &[], header, "").await {
            Ok(answer) => answer.status().as_u16(),
            // It starts.
            Err(_) => 503,
        };
        let made = eventually("the server makes a bucket", asked, |status| *status != 503).await;
        assert_eq!(made, 200, "{}", std::fs::read_to_string(self.folder.join("log")).unwrap());
        bucket
    }
}

/// A bucket of a test's own.
pub struct Bucket {
    pub server: &'static S3Server,
    pub name: String,
}

impl Bucket {
    /// A prefix in it.
    pub fn location(&self) -> Location {
        Location::Bucket { bucket: self.name.clone(), prefix: "agentfs/prod".into() }
    }

    /// How it is reached, with others in the place of the usual variables.
    pub fn settings(&self, others: &[(&str, &str)]) -> BucketSettings {
        let endpoint = self.server.endpoint();
        let usual = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("BACKUP_S3_PART_MIB", "5"),
            ("BACKUP_S3_RETRIES", "4"),
        ];
        usual
            .iter()
            .chain(others)
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    /// A storage there.
    pub async fn storage(&self, others: &[(&str, &str)]) -> Result<Storage, StorageError> {
        Storage::create_with(&self.location(), &self.settings(others)).await
    }

    /// The name of an object in the bucket.
    pub fn key(name: &str) -> String {
        format!("agentfs/prod/{name}")
    }

    fn signer(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(self.server.endpoint())
            .with_bucket_name(&self.name)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .with_http_connector(NoConnector)
            .build()
            .unwrap()
    }

    /// Asks the server for something about the bucket, or about an object in it.
    async fn ask(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        header: Option<(&'static str, &str)>,
        body: &str,
    ) -> reqwest::Result<reqwest::Response> {
        // Some bodies have to come with one.
        let sum = BASE64_STANDARD.encode(Sha256::digest(body));
        let sum = Some(("x-amz-checksum-sha256", sum.as_str())).filter(|_| !body.is_empty());
        let headers: Vec<_> = header.into_iter().chain(sum).collect();
        let mut options = SignedUrlOptions::new().with_query(query.iter().copied());
        for (name, value) in &headers {
            let value = HeaderValue::from_str(value).unwrap();
            options = options.with_signed_header(HeaderName::from_static(name), value);
        }
        let (key, minute) = (Key::parse(key).unwrap(), Duration::from_mins(1));
        let url = self.signer().signed_url_opts(method.clone(), &key, minute, &options).await;
        let client = reqwest::Client::new();
        let mut request = client.request(method, url.unwrap()).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await
    }

    /// The same, which has to succeed.
    pub async fn told(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        body: &str,
    ) -> String {
        let answer = self.ask(method, key, query, None, body).await.unwrap();
        let (status, said) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status} {said}");
        said
    }

    /// How an object is encrypted, as the server says.
    pub async fn encryption(&self, key: &str) -> Option<String> {
        let answer = self.ask(Method::HEAD, key, &[], None, "").await.unwrap();
        let said = answer.headers().get("x-amz-server-side-encryption")?;
        Some(said.to_str().unwrap().to_owned())
    }

    /// All keys in it, of whatever is there.
    pub async fn keys(&self) -> Vec<String> {
        let listed = self.told(Method::GET, "", &[("list-type", "2")], "").await;
        between(&listed, "<Key>", "</Key>")
    }

    /// The keys of uploads that were not ended.
    pub async fn uploads(&self, key: &str) -> Vec<String> {
        // MinIO tells of those of one key alone.
        let query = [("prefix", key), ("uploads", "")];
        let listed = self.told(Method::GET, "", &query, "").await;
        between(&listed, "<Key>", "</Key>")
    }

    /// How many parts of an upload have come.
    pub async fn parts(&self, key: &str) -> usize {
        let listed = self.told(Method::GET, "", &[("prefix", key), ("uploads", "")], "").await;
        let Some(id) = between(&listed, "<UploadId>", "</UploadId>").pop() else { return 0 };
        let parts = self.told(Method::GET, key, &[("uploadId", &id)], "").await;
        between(&parts, "<Part>", "</Part>").len()
    }

    /// Removes it with all that is in it, as somebody else does.
    pub async fn vanish(&self) {
        for key in self.keys().await {
            self.told(Method::DELETE, &key, &[], "").await;
        }
        let folder = self.server.folder.join("buckets").join(&self.name);
        // Parts of uploads keep it.
        std::fs::remove_dir_all(folder).unwrap();
    }
}

fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    let parts = text.split(open).skip(1);
    parts.filter_map(|part| Some(part.split_once(close)?.0.to_owned())).collect()
}

/// The signer connects nothing.
#[derive(Debug)]
struct NoConnector;

#[derive(Debug)]
struct NoService;

impl object_store::client::HttpConnector for NoConnector {
    fn connect(
        &self,
        _options: &object_store::ClientOptions,
    ) -> object_store::Result<object_store::client::HttpClient> {
        Ok(object_store::client::HttpClient::new(NoService))
    }
}

#[async_trait::async_trait]
impl object_store::client::HttpService for NoService {
    async fn call(
        &self,
        _request: object_store::client::HttpRequest,
    ) -> Result<object_store::client::HttpResponse, object_store::client::HttpError> {
        unreachable!("it signs alone")
    }
}
