//! A provider of embeddings inside the cluster.

use crate::Failure;
use crate::load::{indented, script_image};
use crate::namespace::Namespace;

const SCRIPT: &str = include_str!("provider.pl");

/// Makes the Secret `provider` with some key.
pub async fn make_key(namespace: &Namespace) -> Result<(), Failure> {
    let key = "--from-literal=OPENAI_API_KEY=anything";
    namespace.kubectl(&["create", "secret", "generic", "provider", key]).await.map(drop)
}

/// Starts one behind the Service `name`, port 8080, with vectors of eight numbers; it wants some key.
pub async fn start(namespace: &Namespace, name: &str) -> Result<(), Failure> {
    let image = script_image().await?;
    let script = indented(SCRIPT);
    let manifest = format!(
        r"
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}}}
data:
  provider.pl: |
{script}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{role: {name}}}
  ports: [{{port: 8080}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{role: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: provider
      image: {image}
      command: [perl, /scripts/provider.pl]
      securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
      volumeMounts: [{{name: scripts, mountPath: /scripts}}]
  volumes:
    - name: scripts
      configMap: {{name: {name}}}
"
    );
    namespace.apply(&manifest).await?;
    let ready = ["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"];
    namespace.kubectl(&ready).await.map(drop)
}
