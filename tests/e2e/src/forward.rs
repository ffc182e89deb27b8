//! `kubectl port-forward`, started again whenever the pod behind it has gone.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;

const START: Duration = Duration::from_secs(20);

/// A way to a Service from here.
#[derive(Debug)]
pub struct Forward {
    namespace: String,
    service: String,
    running: Option<(Child, String)>,
}

impl Forward {
    /// To port 8787 of `service`; starts nothing yet.
    pub fn to(namespace: &str, service: &str) -> Self {
        Self { namespace: namespace.to_owned(), service: service.to_owned(), running: None }
    }

    /// Where the Service can be reached now.
    pub async fn url(&mut self) -> Result<String, Failure> {
        if let Some((child, url)) = &mut self.running
            && child.try_wait()?.is_none()
        {
            return Ok(url.clone());
        }
        let started = self.start().await?;
        let url = started.1.clone();
        self.running = Some(started);
        Ok(url)
    }

    /// Gives up the way that there was: the pod at its end is gone.
    pub fn lost(&mut self) {
        self.running = None;
    }

    async fn start(&self) -> Result<(Child, String), Failure> {
        let service = format!("service/{}", self.service);
        let mut child = Command::new("kubectl")
            .args(["--namespace", &self.namespace, "port-forward", &service, ":8787"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        // "Forwarding from 127.0.0.1:41234 -> 8787"
        let line = timeout(START, lines.next_line()).await??.ok_or("port-forward ended at once")?;
        let address = line.split_whitespace().nth(2).ok_or(line.clone())?.to_owned();
        // Read on, or kubectl stops at a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok((child, format!("http://{address}")))
    }
}
