//! A store that speaks S3 inside the cluster, over TLS: versitygw.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::Failure;
use crate::kubectl::eventually;
use crate::namespace::Namespace;

/// The Secret with the credentials.
pub const CREDENTIALS: &str = "s3-credentials";
/// The Secret with the certificate of the authority, under `ca.crt`.
pub const AUTHORITY: &str = "s3-authority";
/// The bucket.
pub const BUCKET: &str = "attic";

const PORT: u16 = 7070;

/// Makes the Secrets of the store in the namespace `of` in another one as well.
pub async fn copy_secrets(of: &Namespace, to: &Namespace) -> Result<(), Failure> {
    for name in [CREDENTIALS, AUTHORITY] {
        copy_secret(of, to, name).await?;
    }
    Ok(())
}

/// Makes one of them.
pub async fn copy_secret(of: &Namespace, to: &Namespace, name: &str) -> Result<(), Failure> {
    let mut secret = of.object("secret", name).await?;
    secret["metadata"] = json!({"name": name});
    to.apply(&secret.to_string()).await.map(drop)
}

/// `spec.backup.destination` for the store in the namespace `of`.
pub fn destination(of: &Namespace) -> Value {
    json!({"s3": {
        "bucket": BUCKET,
        "endpoint": format!("https://s3.{}.svc:{PORT}", of.name()),
        "secretRef": CREDENTIALS,
        "caSecretRef": {"name": AUTHORITY, "key": "ca.crt"},
    }})
}

/// Starts a store in the pod and Service `s3`, with an empty bucket, and makes its Secrets.
pub async fn start(namespace: &Namespace) -> Result<(), Failure> {
    let image = std::env::var("AGENTFS_S3_IMAGE")
        .map_err(|_| "AGENTFS_S3_IMAGE names no image of versitygw; tests/e2e/run builds it")?;
    let host = format!("s3.{}.svc", namespace.name());
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key)?.pem();
    let key = KeyPair::generate()?;
    let own = CertificateParams::new(vec!["s3".to_owned(), host])?;
    let own = own.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();

    let password = uuid::Uuid::new_v4().simple().to_string();
    let secret = |name: &str, entries: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": entries});
    let from = |variable: &str, entry: &str| json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": CREDENTIALS, "key": entry}}});
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let script = format!(
        "mkdir -p /data/{BUCKET} && exec versitygw --port :{PORT} --cert /tls/tls.crt --key /tls/tls.key --health /health --quiet posix /data"
    );
    let probe = json!({"httpGet": {"path": "/health", "port": PORT, "scheme": "HTTPS"}, "periodSeconds": 1});
    let pod = json!({
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "s3", "image": image, "command": ["sh", "-c", script], "securityContext": restricted, "readinessProbe": probe,
            "env": [from("ROOT_ACCESS_KEY", "AWS_ACCESS_KEY_ID"), from("ROOT_SECRET_KEY", "AWS_SECRET_ACCESS_KEY")],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tls", "mountPath": "/tls"}],
        }],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tls", "secret": {"secretName": "s3-tls"}}],
    });
    let labels = json!({"role": "s3"});
    let objects = [
        secret(
            CREDENTIALS,
            json!({"AWS_ACCESS_KEY_ID": "attic", "AWS_SECRET_ACCESS_KEY": password}),
        ),
        secret(AUTHORITY, json!({"ca.crt": root})),
        secret("s3-tls", json!({"tls.crt": own, "tls.key": key.serialize_pem()})),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s3"},
               "spec": {"selector": labels, "ports": [{"port": PORT}]}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "s3", "labels": labels}, "spec": pod}),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    namespace.apply(&list.to_string()).await?;
    let ready = ["wait", "--for=condition=Ready", "pod/s3", "--timeout=120s"];
    namespace.kubectl(&ready).await.map(drop)
}

/// The names of the dumps in the bucket.
pub async fn dumps(namespace: &Namespace) -> Result<Vec<String>, Failure> {
    let find = format!("find /data/{BUCKET} -name 'agentfs_*.dump*'");
    let names = namespace.kubectl(&["exec", "s3", "--", "sh", "-c", &find]).await?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Waits until there are so many dumps in the bucket.
pub async fn has_dumps(namespace: &Namespace, count: usize) -> Result<Vec<String>, Failure> {
    let what = format!("there are {count} dumps in the bucket");
    eventually(&what, async || dumps(namespace).await, |dumps| dumps.len() == count).await
}
