//! kubectl's own flags, and the cluster that they lead to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::cluster::Cluster;
use super::error::Error;

/// The flags by which kubectl finds a cluster. They follow `kubectl agentfs`: kubectl hands none on that stands before it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster options, as in kubectl")]
pub(super) struct KubeFlags {
    /// The namespace. Defaults to that of the context
    #[arg(long, short, global = true, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// The context of the kubeconfig. Defaults to the current context
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// The kubeconfig file. Defaults to KUBECONFIG, then to ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The cluster of the kubeconfig. Defaults to that of the context
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) cluster: Option<String>,
    /// The user of the kubeconfig. Defaults to that of the context
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// Act as this user
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(super) as_user: Option<String>,
    /// Act as a member of this group; may be repeated
    #[arg(long, global = true, value_name = "NAME", requires = "as_user")]
    pub(super) as_group: Vec<String>,
    /// The timeout of each request, such as 30s or 2m; 0 for none
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    pub(super) request_timeout: Timeout,
}

/// How long a request may take; `None`: any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeout(pub(super) Option<Duration>);

/// Reads a time as kubectl takes it: a whole number of seconds, or such as `30s` or `1m30s`.
fn timeout(text: &str) -> Result<Timeout, String> {
    let wrong = || "give a time such as 30s or 2m, or 0".to_owned();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Timeout((seconds > 0).then(|| Duration::from_secs(seconds))));
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let time = Duration::try_from(span).map_err(|_| wrong())?;
    Ok(Timeout((!time.is_zero()).then_some(time)))
}

impl KubeFlags {
    /// The cluster. Nothing is asked of it yet.
    pub(super) async fn cluster(&self) -> Result<Cluster, Error> {
        let mut config = self.config().await?;
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        if let Some(user) = &self.as_user {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups =
                (!self.as_group.is_empty()).then(|| self.as_group.clone());
        }
        let (url, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let client =
            Client::try_from(config).map_err(|error| Error::NoCluster(words_of(&error)))?;
        Ok(Cluster::new(client, url, namespace, self.request_timeout.0, self.typed()))
    }

    async fn config(&self) -> Result<Config, Error> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let read = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let named = self.kubeconfig.is_some() || self.context.is_some();
        let config = match read {
            // In a pod there is none, and its account does.
            Err(error) if !named && is_absent(&error) => {
                return Config::incluster().map_err(|_| Error::NoCluster(words_of(&error)));
            }
            Err(error) => return Err(Error::NoCluster(words_of(&error))),
            Ok(config) => config,
        };
        let config = Config::from_custom_kubeconfig(config, &options).await;
        config.map_err(|error| Error::NoCluster(words_of(&error)))
    }

    /// The flags as they were typed, to be repeated in a command that is suggested.
    fn typed(&self) -> String {
        let kubeconfig = self.kubeconfig.as_ref().map(|file| file.display().to_string());
        let flags = [
            ("-n", self.namespace.as_ref()),
            ("--context", self.context.as_ref()),
            ("--kubeconfig", kubeconfig.as_ref()),
            ("--cluster", self.cluster.as_ref()),
            ("--user", self.user.as_ref()),
            ("--as", self.as_user.as_ref()),
        ];
        let given = flags.into_iter().filter_map(|(flag, value)| Some((flag, value?)));
        let groups = self.as_group.iter().map(|group| ("--as-group", group));
        let mut typed = String::new();
        for (flag, value) in given.chain(groups) {
            typed.extend([" ", flag, " ", &quoted(value)]);
        }
        typed
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(cause, _) => cause.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn words_of(error: &dyn std::error::Error) -> String {
    error.to_string().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_kubectl_reads_it() {
        let seconds = |text| timeout(text).map(|Timeout(time)| time.map(|time| time.as_secs()));
        assert_eq!(seconds("0"), Ok(None));
        assert_eq!(seconds("0s"), Ok(None));
        assert_eq!(seconds("90"), Ok(Some(90)));
        assert_eq!(seconds("1m30s"), Ok(Some(90)));
        assert!(seconds("soon").is_err() && seconds("-5s").is_err());
    }

    #[test]
    fn a_suggested_command_leads_to_the_same_cluster() {
        let flags = KubeFlags {
            namespace: Some("agents".into()),
            context: Some("prod eu".into()),
            as_user: Some("it's".into()),
            as_group: vec!["sre".into()],
            ..KubeFlags::default()
        };
        assert_eq!(flags.typed(), " -n agents --context 'prod eu' --as 'it'\\''s' --as-group sre");
    }
}
