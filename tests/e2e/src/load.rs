//! Clients inside the cluster that put and get through the Service, and count what fails and what is lost.

use std::time::Duration;

use jiff::Timestamp;

use crate::Failure;
use crate::kubectl::{eventually, kubectl};
use crate::namespace::Namespace;

/// What the clients do; it runs in the image of the embedded PostgreSQL, which has Perl.
const SCRIPT: &str = include_str!("load.pl");

/// A pod with clients.
#[derive(Debug)]
pub struct Load<'a> {
    namespace: &'a Namespace,
    pod: String,
}

/// What all clients saw.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Requests that were not answered with success.
    pub failed: u64,
    /// Writes that were.
    pub acknowledged: u64,
    /// Those of them that were not there at the end.
    pub lost: u64,
    /// The first answers that were no success.
    pub answers: Vec<String>,
    /// The long ones of the pauses between two answers of a client.
    pub gaps: Vec<Gap>,
}

/// A pause between two answers of a client of more than 100 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// When it ended, in milliseconds since 1970.
    pub ended: i64,
    /// How many milliseconds it took.
    pub took: i64,
}

impl Counts {
    /// The longest pause of a client that touches the two seconds before or after `moment`, in milliseconds; 0 where none was
    /// longer than 100.
    pub fn longest_gap_around(&self, moment: Timestamp) -> i64 {
        self.gaps_around(moment).map(|gap| gap.took).max().unwrap_or_default()
    }

    /// When those pauses began and how long they took, in milliseconds: `-320+457` began 320 ms before the moment.
    pub fn told_around(&self, moment: Timestamp) -> String {
        let told = |gap: &Gap| {
            format!("{:+}+{}", gap.ended - gap.took - moment.as_millisecond(), gap.took)
        };
        self.gaps_around(moment).map(told).collect::<Vec<_>>().join(" ")
    }

    fn gaps_around(&self, moment: Timestamp) -> impl Iterator<Item = &Gap> {
        const AROUND: i64 = 2000;
        let (first, last) = (moment.as_millisecond() - AROUND, moment.as_millisecond() + AROUND);
        self.gaps.iter().filter(move |gap| gap.ended >= first && gap.ended - gap.took <= last)
    }
}

impl<'a> Load<'a> {
    /// Starts `clients` that pause `pause` between a put with its get and the next; returns when they are at work.
    pub async fn start(
        namespace: &'a Namespace,
        agentfs: &str,
        clients: u32,
        pause: Duration,
    ) -> Result<Load<'a>, Failure> {
        Self::run(namespace, agentfs, clients, pause, false).await
    }

    /// The same with clients that also search.
    pub async fn start_searching(
        namespace: &'a Namespace,
        agentfs: &str,
        clients: u32,
        pause: Duration,
    ) -> Result<Load<'a>, Failure> {
        Self::run(namespace, agentfs, clients, pause, true).await
    }

    async fn run(
        namespace: &'a Namespace,
        agentfs: &str,
        clients: u32,
        pause: Duration,
        searches: bool,
    ) -> Result<Load<'a>, Failure> {
        let image = script_image().await?;
        let pod = format!("load-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let script = indented(SCRIPT);
        let manifest = format!(
            r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: {pod}}}
data:
  load.pl: |
{script}
---
apiVersion: v1
kind: Pod
metadata: {{name: {pod}, labels: {{role: load}}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    seccompProfile: {{type: RuntimeDefault}}
  containers:
    - name: load
      image: {image}
      command: [perl, /load/load.pl]
      env:
        - {{name: URL, value: "http://{agentfs}-api:8787"}}
        - {{name: CLIENTS, value: "{clients}"}}
        - {{name: PAUSE, value: "{pause}"}}
        - {{name: ROUND, value: "{pod}"}}
        - {{name: SEARCH, value: "{searches}"}}
        - name: KEY
          valueFrom: {{secretKeyRef: {{name: {agentfs}-admin-key, key: key}}}}
      securityContext:
        allowPrivilegeEscalation: false
        capabilities: {{drop: [ALL]}}
      volumeMounts: [{{name: load, mountPath: /load}}]
  volumes:
    - name: load
      configMap: {{name: {pod}}}
"#,
            pause = pause.as_secs_f64(),
            searches = if searches { "1" } else { "" },
        );
        namespace.apply(&manifest).await?;
        namespace
            .kubectl(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=60s"])
            .await?;
        Ok(Self { namespace, pod })
    }

    /// The name of the pod, which is the second part of the paths that its clients write, after `/load`.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Lets the clients end, and look after all that was acknowledged.
    pub async fn stop(self) -> Result<Counts, Failure> {
        self.namespace.kubectl(&["exec", &self.pod, "--", "touch", "/tmp/stop"]).await?;
        let phase = async || {
            self.namespace
                .kubectl(&["get", "pod", &self.pod, "-o", "jsonpath={.status.phase}"])
                .await
        };
        let ended = |phase: &String| phase == "Succeeded" || phase == "Failed";
        eventually("the clients end", phase, ended).await?;
        counted(&self.namespace.kubectl(&["logs", &self.pod]).await?)
    }
}

/// The image that the operator gives an embedded PostgreSQL: it has Perl, and is on the node.
pub(crate) async fn script_image() -> Result<String, Failure> {
    let image = "jsonpath={.spec.template.spec.containers[0].env[?(@.name==\"AGENTFS_POSTGRES_IMAGE\")].value}";
    kubectl(&[
        "--namespace",
        "agentfs-system",
        "get",
        "deployment",
        "agentfs-operator",
        "-o",
        image,
    ])
    .await
}

/// A script as an entry of a ConfigMap.
pub(crate) fn indented(script: &str) -> String {
    let lines: Vec<_> = script.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

fn counted(log: &str) -> Result<Counts, Failure> {
    const SHOWN: usize = 5;
    let mut counts = Counts::default();
    for line in log.lines() {
        if let Some(gap) = line.strip_prefix("gap ") {
            let (ended, took) = gap.split_once(' ').ok_or("half a gap")?;
            counts.gaps.push(Gap { ended: ended.parse()?, took: took.parse()? });
            continue;
        }
        let Some(of_client) = line.strip_prefix("client ") else {
            if counts.answers.len() < SHOWN {
                counts.answers.push(line.to_owned());
            }
            continue;
        };
        for pair in of_client.split_whitespace() {
            let (name, number) = pair.split_once('=').ok_or("no number")?;
            let number: u64 = number.parse()?;
            match name {
                "requests" => counts.requests += number,
                "failed" => counts.failed += number,
                "acknowledged" => counts.acknowledged += number,
                "lost" => counts.lost += number,
                _ => return Err(format!("what is {pair}?").into()),
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_counted() {
        let log = "gap 5000 150\ngap 9000 300\nfailed 7 503 busy\n\
                   client requests=4 failed=1 acknowledged=2 lost=0\nclient requests=2 failed=0 acknowledged=1 lost=1\n";
        let counts = counted(log).unwrap();
        let expected = (6, 1, 3, 1);
        assert_eq!((counts.requests, counts.failed, counts.acknowledged, counts.lost), expected);
        assert_eq!(counts.answers, ["failed 7 503 busy"]);
        let at = |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap();
        assert_eq!(counts.longest_gap_around(at(4000)), 150);
        assert_eq!(counts.longest_gap_around(at(7000)), 300);
        // It ended more than two seconds before.
        assert_eq!(counts.longest_gap_around(at(20_000)), 0);
    }
}
