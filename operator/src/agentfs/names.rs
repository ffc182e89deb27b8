//! Names, ports and annotations of everything that belongs to one AgentFS.

use agentfs_contract::record;

use crate::kit::labels::Component;

/// The annotation of a pod template that holds the hash of the Secret keys its pods use.
pub const SECRET_HASH: &str = "agentfs.io/secret-hash";
/// The annotation of a pod template that holds the hash of what of others its pods read.
pub const ENVIRONMENT_HASH: &str = "agentfs.io/environment-hash";
/// The annotation of a pod template that tells which database its pods work on, and by which route.
pub const DATABASE: &str = "agentfs.io/database";

/// The annotation of a pod template whose pods have a port for probes and metrics alone: that port.
pub const OPERATIONS_ANNOTATION: &str = "agentfs.io/operations-port";

/// The annotation of a CronJob whose image carries a request out once: `true`.
pub const REQUESTS: &str = "agentfs.io/requests";

/// The port of the API.
pub const API_PORT: u16 = agentfs_contract::port::API;
/// The port of the API's pods and the workers' where there are only probes and metrics.
pub const OPERATIONS_PORT: u16 = agentfs_contract::port::OPERATIONS;
/// The name of that port of a container, and of the API's Service.
pub const OPERATIONS: &str = "operations";
/// The port of PgBouncer.
pub const POOLER_PORT: u16 = 6432;
/// The port of PostgreSQL.
pub const POSTGRES_PORT: u16 = 5432;

/// Where pods see the certificates of the authorities that the spec names, in a folder of its own.
pub const AUTHORITY: &str = "/etc/agentfs/authority/ca.crt";
/// The certificates of the public authorities in our images.
pub const PUBLIC_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The names of the children of one AgentFS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    name: String,
}

impl Names {
    /// The names for the AgentFS `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The objects of a component that have its name: its workload, and what stands before that.
    pub fn of(&self, component: Component) -> String {
        format!("{}-{}", self.name, component.as_str())
    }

    /// The ServiceAccount of all pods but those that make and try backups.
    pub fn account(&self) -> String {
        format!("{}-agentfs", self.name)
    }

    /// The Secret with the database's user, password and URL.
    pub fn credentials(&self) -> String {
        format!("{}-credentials", self.name)
    }

    /// The Secret with the first API key.
    pub fn admin_key(&self) -> String {
        format!("{}-admin-key", self.name)
    }

    /// The StatefulSet of PostgreSQL and its Service.
    pub fn postgres(&self) -> String {
        format!("{}-postgres", self.name)
    }

    /// PostgreSQL's pod.
    pub fn postgres_pod(&self) -> String {
        format!("{}-0", self.postgres())
    }

    /// The name under which clients in the cluster reach PostgreSQL.
    pub fn postgres_host(&self, namespace: &str) -> String {
        format!("{}.{namespace}.svc", self.postgres())
    }

    /// The name under which the API reaches PgBouncer.
    pub fn pooler_host(&self, namespace: &str) -> String {
        format!("{}.{namespace}.svc", self.pooler())
    }

    /// The Deployment of PgBouncer, its Service, configuration and disruption budget.
    pub fn pooler(&self) -> String {
        format!("{}-pooler", self.name)
    }

    /// The claim of the database volume.
    pub fn volume(&self) -> String {
        format!("data-{}-postgres-0", self.name)
    }

    /// The Deployment of the API, its Service, autoscaler and disruption budget.
    pub fn api(&self) -> String {
        format!("{}-api", self.name)
    }

    /// The CronJob that makes the backups.
    pub fn backup(&self) -> String {
        format!("{}-backup", self.name)
    }

    /// The CronJob that tries the newest backup.
    pub fn verify(&self) -> String {
        format!("{}-verify", self.name)
    }

    /// The CronJob of disaster recovery drills.
    pub fn drill(&self) -> String {
        format!("{}-drill", self.name)
    }

    /// The ServiceAccount of the pods that make and try backups, its Role and the binding of both.
    pub fn recovery_account(&self) -> String {
        format!("{}-recovery", self.name)
    }

    /// The claim of the volume that holds the backups.
    pub fn backups(&self) -> String {
        format!("{}-backups", self.name)
    }

    /// The URL under which clients in the cluster reach the API.
    pub fn api_url(&self, namespace: &str) -> String {
        format!("http://{}.{namespace}.svc:{API_PORT}", self.api())
    }

    /// The AgentFSBackup of one try of the backup before one upgrade. Its own name and those of its Job and pods are made from it.
    pub fn backup_before(&self, upgrade: &str, attempt: u32) -> String {
        let end = match attempt {
            0 | 1 => format!("-before-{upgrade}"),
            again => format!("-before-{upgrade}-{again}"),
        };
        // Up to try 999 it is cut at the same place.
        let room = record::MAX_NAME.saturating_sub(end.len()).min(32);
        let name = self.name.get(..room).unwrap_or(&self.name).trim_end_matches('-');
        format!("{name}{end}")
    }

    /// The Job of one try of one migration.
    pub fn migration(&self, hash: &str, attempt: u32) -> String {
        let short = hash.get(..8).unwrap_or(hash);
        match attempt {
            0 | 1 => format!("{}-migrate-{short}", self.name),
            again => format!("{}-migrate-{short}-{again}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_before_an_upgrade_has_a_name_that_kubernetes_takes_at_each_try() {
        for name in
            ["memory".to_owned(), "m".repeat(40), format!("{}-{}", "m".repeat(31), "n".repeat(8))]
        {
            let names = Names::new(&name);
            for attempt in [1, 2, 999, 1000, 100_000, u32::MAX] {
                let backup = names.backup_before("0123abcd", attempt);
                assert!(backup.len() <= record::MAX_NAME, "{backup}");
                assert!(!backup.contains("--") && backup.contains("-before-0123abcd"), "{backup}");
            }
            assert_ne!(
                names.backup_before("0123abcd", 1000),
                names.backup_before("0123abcd", 1001)
            );
        }
        assert_eq!(Names::new("memory").backup_before("0123abcd", 2), "memory-before-0123abcd-2");
    }
}
