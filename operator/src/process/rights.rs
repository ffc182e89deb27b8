//! The operator's rights: every one that its code uses, and no other.
//!
//! The chart's roles are made from this table by `make generate`. A test records what the operator
//! asks of an API server, and compares.

use std::fmt::Write as _;

/// What may be done with some resources.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resources, with their subresource where one is meant.
    pub resources: &'static [&'static str],
    /// What may be done with them.
    pub verbs: &'static [&'static str],
    /// What for, where it does not say itself.
    pub why: &'static str,
}

/// What the operator may do in the namespaces that it watches.
pub const RIGHTS: &[Right] = &[
    Right {
        group: "agentfs.io",
        resources: &["agentfses"],
        verbs: &["get", "list", "watch"],
        why: "",
    },
    Right {
        group: "agentfs.io",
        resources: &["agentfses/status", "agentfses/scale"],
        verbs: &["patch"],
        why: "Autoscaling that is turned off leaves its number of pods in spec.api.replicas.",
    },
    Right {
        group: "agentfs.io",
        resources: &["agentfsbackups"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "What is carried out once is deleted when its ttl is over, and the operator applies the backup before an upgrade, and sets the \
              finalizer of a resource whose backup is deleted with it. \
              The pods of backups keep the records of what they did, for which it grants them some of these: nobody may grant \
              what they do not have.",
    },
    Right {
        group: "agentfs.io",
        resources: &["agentfsdrills"],
        verbs: &["get", "list", "watch", "create", "delete"],
        why: "The same: a drill of the schedule is recorded by its pod.",
    },
    Right {
        group: "agentfs.io",
        resources: &["agentfsrestores"],
        verbs: &["get", "list", "watch", "delete"],
        why: "",
    },
    Right {
        group: "agentfs.io",
        resources: &["agentfsbackups/status", "agentfsrestores/status", "agentfsdrills/status"],
        verbs: &["patch"],
        why: "",
    },
    Right {
        group: "",
        resources: &["secrets", "services"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "Secrets are read by name; of all others only the metadata is watched. The one that is \
              deleted is the connection pool's.",
    },
    Right {
        group: "",
        resources: &["serviceaccounts"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "Two for the pods of each AgentFS: one without rights, and one of those that make and try backups.",
    },
    Right {
        group: "rbac.authorization.k8s.io",
        resources: &["roles", "rolebindings"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "By which the latter keep the records of what they did.",
    },
    Right {
        group: "",
        resources: &["persistentvolumeclaims"],
        verbs: &["get", "list", "watch", "create", "patch"],
        why: "Never deleted: they hold the data.",
    },
    Right {
        group: "",
        resources: &["configmaps"],
        verbs: &["get", "list", "watch"],
        why: "To replace pods when what they read of others changes.",
    },
    Right {
        group: "storage.k8s.io",
        resources: &["storageclasses"],
        verbs: &["get"],
        why: "To see whether a volume can grow. In a Role, which holds for one namespace, it grants nothing.",
    },
    Right { group: "", resources: &["pods"], verbs: &["list", "watch"], why: "" },
    Right {
        group: "",
        resources: &["events"],
        verbs: &["list"],
        why: "To read why a StatefulSet, a Job, a volume claim or a pod is stuck.",
    },
    Right {
        group: "apps",
        resources: &["deployments", "statefulsets"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "",
    },
    Right {
        group: "apps",
        resources: &["deployments/scale", "statefulsets/scale"],
        verbs: &["patch"],
        why: "",
    },
    Right {
        group: "autoscaling",
        resources: &["horizontalpodautoscalers"],
        verbs: &["list", "watch", "create", "patch", "delete"],
        why: "Those of others are read as well: one that scales the API has the number of its pods.",
    },
    Right {
        group: "policy",
        resources: &["poddisruptionbudgets"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "",
    },
    Right {
        group: "batch",
        resources: &["jobs"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "",
    },
    Right {
        group: "batch",
        resources: &["cronjobs"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "",
    },
    Right { group: "events.k8s.io", resources: &["events"], verbs: &["create"], why: "" },
];

/// The rules of a Role or ClusterRole, as the YAML that the chart includes.
pub fn to_yaml() -> String {
    let mut yaml =
        "# Generated from the table in operator/src/process/rights.rs by `make generate`; do not edit.\n"
            .to_owned();
    for Right { group, resources, verbs, why } in RIGHTS {
        // Writing to a String cannot fail.
        if !why.is_empty() {
            let _ = writeln!(yaml, "# {why}");
        }
        let _ = writeln!(
            yaml,
            "- apiGroups: [{}]\n  resources: [{}]\n  verbs: [{}]",
            if group.is_empty() { "\"\"" } else { group },
            resources.join(", "),
            verbs.join(", ")
        );
    }
    yaml
}
