//! Pods, processes, the operator and PostgreSQL killed at every step of a backup, its verification, a drill and a restore; the node is in
//! `alone`. Each comes to its end by itself, what is live is all of before or all of after, it is switched once, and nothing is left
//! behind. These run beside each other: most of the time a Job waits before it tries again.

use std::collections::BTreeSet;

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::{eventually, kubectl};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::node::{freeze_in_pods, kill_in_pods, kill_program};
use agentfs_e2e::recovery::{Kind, Task};
use agentfs_e2e::s3;
use agentfs_e2e::step::{Standing, Steps};
use serde_json::{Value, json};

use crate::recovery::{
    SPEC, all, fill, has, is_sound, put, run_now, served, switches, with_bucket,
};

/// So many that most steps last long enough to be seen.
const ENTRIES: u32 = 100_000;
/// More tries than there are steps: each one kills at another step.
const MOST: usize = 30;

/// What is killed at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Killed {
    /// kill -9 of the program.
    Process,
    /// The pod of the Job is deleted, as a drain does it.
    Pod,
    /// The operator's pod, without grace.
    Operator,
    /// kill -9 of all of PostgreSQL.
    Postgres,
    /// All that runs of the AgentFS at once, and the kubelet. The node of `tests/cluster` itself keeps no data when it ends.
    Node,
}

impl Killed {
    /// The name of the `n`th task that it happens to.
    fn task(self, n: usize) -> String {
        format!("{self:?}-{n}").to_lowercase()
    }

    async fn kill(self, namespace: &Namespace, at: &Standing) -> Result<(), Failure> {
        let uid = async |pod: &str| {
            let uid = namespace.object("pod", pod).await?["metadata"]["uid"].take();
            Ok::<_, Failure>(uid.as_str().unwrap_or_default().to_owned())
        };
        match self {
            Self::Process => {
                kill_in_pods(std::slice::from_ref(&at.uid), Some("agentfs-server"))?;
            }
            Self::Pod => {
                namespace.kubectl(&["delete", "pod", &at.pod, "--wait=false"]).await?;
            }
            Self::Operator => {
                let operator = [
                    "delete",
                    "pod",
                    "--namespace",
                    "agentfs-system",
                    "--grace-period=0",
                    "--force",
                ];
                let name = "--selector=app.kubernetes.io/name=agentfs-operator";
                kubectl(&[&operator[..], &[name]].concat()).await?;
            }
            Self::Postgres => {
                kill_in_pods(&[uid("memory-postgres-0").await?], Some("postgres"))?;
            }
            Self::Node => {
                let pods = all(namespace, "pods").await?;
                let uids = pods.iter().filter_map(|pod| pod["metadata"]["uid"].as_str());
                let uids: Vec<_> = uids.map(str::to_owned).collect();
                kill_in_pods(&uids, None)?;
                kill_program("kubelet")?;
            }
        }
        Ok(())
    }
}

/// An AgentFS that walks.
pub(super) struct Walker {
    namespace: Namespace,
    agent: Agent,
    steps: Steps,
}

impl Walker {
    async fn make() -> Result<Self, Failure> {
        let (namespace, agent) = served(SPEC).await?;
        fill(&namespace, ENTRIES).await?;
        Ok(Self { namespace, agent, steps: Steps::open().await? })
    }

    /// One that has the backup `first`.
    pub(super) async fn with_backup() -> Result<Self, Failure> {
        let walker = Self::make().await?;
        Task::done(&walker.namespace, Kind::Backup, "first", json!({})).await?;
        Ok(walker)
    }

    /// Carries out tasks of a kind, one after the other; each is killed at the first step at which none was before. Ends with the one that
    /// comes to its end without a kill. The steps at which it was killed.
    async fn walk(
        &mut self,
        kind: Kind,
        spec: &Value,
        killed: Killed,
    ) -> Result<BTreeSet<String>, Failure> {
        let mut walked = BTreeSet::new();
        for n in 0..MOST {
            let name = killed.task(n);
            let at = self
                .killed_once(kind, &name, spec, killed, |at| !walked.contains(at.step()))
                .await?;
            let Some(at) = at else {
                eprintln!("{killed:?} in a {}: at {walked:?}", kind.word());
                return Ok(walked);
            };
            walked.insert(at.step().to_owned());
        }
        Err(format!("{killed:?} in a {}: no end after {walked:?}", kind.word()).into())
    }

    /// Restores the backup `first` once for each of the [`MOMENTS`], and kills at that.
    pub(super) async fn killed_at_its_moments(&mut self, killed: Killed) -> Result<(), Failure> {
        for (n, (when, is_meant)) in MOMENTS.into_iter().enumerate() {
            let name = killed.task(n);
            let at = self
                .killed_once(Kind::Restore, &name, &from_first(), killed, is_meant)
                .await?
                .ok_or_else(|| format!("{killed:?}: nobody saw it {when}"))?;
            eprintln!("{killed:?} {when}: at {}", at.step());
        }
        Ok(())
    }

    /// Carries out a task that is killed at a step that `is_meant`; where it was, if it came to one. It comes to its end by itself.
    async fn killed_once(
        &mut self,
        kind: Kind,
        name: &str,
        spec: &Value,
        killed: Killed,
        is_meant: impl Fn(&Standing) -> bool,
    ) -> Result<Option<Standing>, Failure> {
        put(&mut self.agent, name).await?;
        let before = switches(&self.namespace).await?;
        let task = Task::create(&self.namespace, kind, name, spec.clone()).await?;
        let at = self.steps.reached(&task, is_meant).await?;
        if let Some(at) = &at {
            killed.kill(&self.namespace, at).await?;
        }
        let ended =
            task.succeeded().await.map_err(|error| format!("{killed:?} at {at:?}: {error}"))?;
        self.namespace.ready("memory").await?;
        is_sound(&self.namespace).await?;
        let switched = switches(&self.namespace).await? - before;
        if kind == Kind::Restore {
            assert_eq!(switched, 1, "{killed:?} at {at:?}");
            has(&mut self.agent, "peanuts").await?;
        } else {
            assert_eq!(switched, 0, "{killed:?} at {at:?}");
            has(&mut self.agent, name).await?;
        }
        if kind == Kind::Backup {
            assert_eq!(
                ended["status"]["verification"]["verified"], "True",
                "{killed:?} at {at:?}: {ended}"
            );
        }
        Ok(at)
    }
}

/// Fails where it was killed at none of these.
fn has_walked(walked: &BTreeSet<String>, steps: &[&str]) {
    for step in steps {
        assert!(walked.contains(*step), "it was never killed at {step}: {walked:?}");
    }
}

/// Backups with their verification, killed at each of their steps.
async fn walk_backups(killed: Killed) -> Result<(), Failure> {
    let mut walker = Walker::make().await?;
    let steps = walker.walk(Kind::Backup, &json!({"verify": "Restore"}), killed).await?;
    has_walked(&steps, &["dump", "load", "compare"]);
    Ok(())
}

/// Drills, killed at each of their steps.
async fn walk_drills(killed: Killed) -> Result<(), Failure> {
    let mut walker = Walker::make().await?;
    let steps = walker.walk(Kind::Drill, &json!({}), killed).await?;
    has_walked(&steps, &["backup", "load"]);
    nothing_of_drills(&walker.namespace).await
}

/// Restores in place, killed at each of their steps.
async fn walk_restores(killed: Killed) -> Result<(), Failure> {
    let mut walker = Walker::with_backup().await?;
    let steps = walker.walk(Kind::Restore, &from_first(), killed).await?;
    has_walked(&steps, &["load", "index"]);
    Ok(())
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_backup_whose_process_is_killed_at_each_step_comes_to_its_end() -> Result<(), Failure> {
    walk_backups(Killed::Process).await
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_backup_whose_pod_is_deleted_at_each_step_comes_to_its_end() -> Result<(), Failure> {
    walk_backups(Killed::Pod).await
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_drill_whose_process_is_killed_at_each_step_comes_to_its_end() -> Result<(), Failure> {
    walk_drills(Killed::Process).await
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_drill_whose_pod_is_deleted_at_each_step_comes_to_its_end() -> Result<(), Failure> {
    walk_drills(Killed::Pod).await
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_restore_whose_process_is_killed_at_each_step_comes_to_its_end() -> Result<(), Failure> {
    walk_restores(Killed::Process).await
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_restore_whose_pod_is_deleted_at_each_step_comes_to_its_end() -> Result<(), Failure> {
    walk_restores(Killed::Pod).await
}

/// A drill that was killed leaves no tenant, no key and no backup.
async fn nothing_of_drills(namespace: &Namespace) -> Result<(), Failure> {
    let keys = "SELECT count(*) FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE t.name = 'agentfs-drill' AND revoked_at IS NULL AND expires_at > now()";
    assert_eq!(namespace.sql("memory", "agentfs", keys).await?, "0");
    let markers = "SELECT count(*) FROM entries e JOIN tenants t ON t.id = e.tenant_id WHERE t.name = 'agentfs-drill' AND deleted_at IS NULL";
    assert_eq!(namespace.sql("memory", "agentfs", markers).await?, "0");
    assert_eq!(all(namespace, "afsb").await?.len(), 0, "a drill's backup is none");
    Ok(())
}

/// A restore in place of the backup `first`.
fn from_first() -> Value {
    json!({"source": {"backup": "first"}, "target": {"inPlace": {}}})
}

/// A moment of a restore in place.
type Moment = (&'static str, fn(&Standing) -> bool);

const MOMENTS: [Moment; 4] = [
    ("loading", |at| at.step() == "load"),
    ("before the switch", |at| {
        ["build", "compare", "migrate", "analyse", "complete", "switch"].contains(&at.step())
            && at.progress["switched_at"].is_null()
    }),
    ("after the switch", |at| at.progress["switched_at"].is_string()),
    ("indexing", |at| at.step() == "index"),
];

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_restore_outlives_the_operator_and_postgres() -> Result<(), Failure> {
    let mut walker = Walker::with_backup().await?;
    for killed in [Killed::Operator, Killed::Postgres] {
        walker.killed_at_its_moments(killed).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs the node of tests/cluster: make test-recovery"]
async fn a_namespace_deleted_in_the_middle_and_made_anew_ends_what_it_began() -> Result<(), Failure>
{
    // The database and the bucket outlive the namespace.
    let (store, _) = served(SPEC).await?;
    s3::start(&store).await?;
    store.new_database("memory", "moved").await?;
    let namespace = Namespace::create().await?;
    with_external_database(&store, &namespace).await?;
    let mut agent = crate::recovery::with_lunch(&namespace, "peanuts").await?;
    store.sql("memory", "moved", &large("moved")).await?;
    Task::done(&namespace, Kind::Backup, "first", json!({})).await?;
    put(&mut agent, "walnuts").await?;
    let spec = json!({"source": {"latest": true}, "target": {"inPlace": {}}});
    let steps = Steps::open().await?;
    let restore = Task::create(&namespace, Kind::Restore, "back", spec.clone()).await?;
    let loading = steps.reached(&restore, |at| at.step() == "load").await?;
    let loading = loading.ok_or("it never loads")?;
    // Else it may switch before Kubernetes comes to its pod. Kubernetes kills it at the end of its grace period.
    freeze_in_pods(std::slice::from_ref(&loading.uid), Some("agentfs-server"))?;

    namespace.make_anew().await?;
    with_external_database(&store, &namespace).await?;
    let mut agent = Agent::of(&namespace, "memory").await?;
    has(&mut agent, "walnuts").await?;
    // What was cancelled with the namespace stays so; what is asked for by another name is done.
    let again = Task::create(&namespace, Kind::Restore, "back", spec.clone()).await?;
    again.failed(&["it was cancelled or gave up"]).await?;
    has(&mut agent, "walnuts").await?;
    Task::done(&namespace, Kind::Restore, "back-again", spec.clone()).await?;
    has(&mut agent, "peanuts").await?;
    put(&mut agent, "almonds").await?;

    // Once it has ended, neither a new resource nor a new namespace begins it again.
    namespace.make_anew().await?;
    with_external_database(&store, &namespace).await?;
    let again = Task::done(&namespace, Kind::Restore, "back-again", spec).await?;
    assert_eq!(again["status"]["result"], "AlreadyDone", "{again}");
    let mut agent = Agent::of(&namespace, "memory").await?;
    has(&mut agent, "almonds").await?;
    let count = "SELECT count(*) FROM agentfs_meta.restores WHERE switched_at IS NOT NULL";
    assert_eq!(store.sql("memory", "moved", count).await?, "1");
    // The next run makes the records anew: its own, and that of the backup before.
    run_now(&namespace, "backup", "nightly").await?;
    let records = async || all(&namespace, "afsb").await;
    eventually("the records are there again", records, |records| records.len() == 2).await.map(drop)
}

/// Many versions, without entries that show them: a restore loads for a while.
fn large(database: &str) -> String {
    format!(
        "INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
         SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), '{database}', '/' || n, 1,
                to_json(repeat('x', 200)), '{{}}', 0, false, now()
           FROM generate_series(1, 200000) n"
    )
}

/// An AgentFS on the database `moved` of the AgentFS of `store`, with its backups in the bucket there.
async fn with_external_database(store: &Namespace, namespace: &Namespace) -> Result<(), Failure> {
    s3::copy_secrets(store, namespace).await?;
    let password = store.secret("memory-credentials", "password").await?;
    let url = format!(
        "--from-literal=DATABASE_URL=postgres://agentfs:{password}@memory-postgres.{}/moved",
        store.name()
    );
    namespace.kubectl(&["create", "secret", "generic", "memory-db", &url]).await?;
    let embedded = "embedded: {storage: {size: 10Gi}}";
    let spec = with_bucket(store).replace(embedded, "external: {secretRef: {name: memory-db}}");
    namespace.agentfs("memory", &spec).await?;
    namespace.ready("memory").await.map(drop)
}
