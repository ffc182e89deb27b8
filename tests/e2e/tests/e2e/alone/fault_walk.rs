//! The operator killed at every step of a reconcile.
//!
//! What a killed operator leaves behind is what it has written so far, so a walk needs no new AgentFS for each step: each
//! operator of a chain is killed at its first write, and the next one finds the AgentFS exactly that much further on.

use std::time::Duration;

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{condition, is_current};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::operator::{Gate, Operator, away};
use agentfs_e2e::way::Cut;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 1}
  pooler: {replicas: 1}
";

/// An operator that came to the end of the work lives on this long without a write.
const QUIET: Duration = Duration::from_secs(5);
/// The longest that one step may take: pods of an embedded database start meanwhile.
const STEP: Duration = Duration::from_mins(3);
/// More operators than any step needs: each one does a write at least.
const MOST: usize = 100;

/// One change of the spec, and how it is seen that it was carried out.
struct Step {
    what: &'static str,
    change: Value,
    /// At least this many writes are due, or the walk walked nothing.
    writes: usize,
    /// What is there afterwards, and what is not.
    there: &'static [(&'static str, &'static str)],
    gone: &'static [(&'static str, &'static str)],
}

const BACKUPS: (&str, &str) = ("cronjob", "memory-backup");
const POOL: (&str, &str) = ("deployment", "memory-pooler");
const POOL_SERVICE: (&str, &str) = ("service", "memory-pooler");
const POOL_CONFIG: (&str, &str) = ("secret", "memory-pooler");

fn steps() -> [Step; 5] {
    [
        Step {
            what: "made",
            change: json!({}),
            writes: 15,
            there: &[("statefulset", "memory-postgres"), ("deployment", "memory-api"), BACKUPS],
            gone: &[],
        },
        Step {
            what: "without pool and backups, and scaled by CPU",
            change: json!({"pooler": {"enabled": false}, "backup": {"enabled": false},
                "api": {"autoscaling": {"minReplicas": 1, "maxReplicas": 1},
                        "resources": {"requests": {"cpu": "50m"}}}}),
            writes: 7,
            there: &[("horizontalpodautoscaler", "memory-api")],
            gone: &[BACKUPS, POOL, POOL_SERVICE, POOL_CONFIG],
        },
        Step {
            what: "stopped",
            change: json!({"suspend": true}),
            writes: 3,
            there: &[("pvc", "data-memory-postgres-0")],
            gone: &[("horizontalpodautoscaler", "memory-api"), ("pod", "memory-postgres-0")],
        },
        Step {
            what: "resumed, with a pool",
            change: json!({"suspend": false, "pooler": {"enabled": true}}),
            writes: 7,
            there: &[POOL, POOL_SERVICE, POOL_CONFIG],
            gone: &[],
        },
        Step {
            what: "to be deleted with its data",
            change: json!({"deletionPolicy": "Delete"}),
            writes: 3,
            there: &[],
            gone: &[],
        },
    ]
}

#[tokio::test]
#[ignore = "needs a cluster for itself: make test-all"]
async fn an_operator_killed_at_every_write_comes_to_the_end() -> Result<(), Failure> {
    let _away = away().await?;
    walk(Cut::AfterTheFirstWrite).await?;
    walk(Cut::BeforeTheSecondWrite).await
}

async fn walk(cut: Cut) -> Result<(), Failure> {
    let gate = Gate::open().await?;
    let namespace = Namespace::create().await?;
    namespace.agentfs("memory", SPEC).await?;
    for step in steps() {
        namespace.change_spec("memory", &step.change).await?;
        let (killed, writes) = timeout(STEP, chain(&gate, &namespace, &step, cut))
            .await
            .map_err(|_| format!("{}: not within {} s", step.what, STEP.as_secs()))??;
        eprintln!("{cut:?}, {}: {killed} operators killed, {writes} writes begun", step.what);
        assert!(writes >= step.writes, "{}: only {writes} writes", step.what);
        assert!(killed * 2 >= step.writes, "{}: only {killed} were killed", step.what);
        for (kind, name) in step.there {
            namespace.object(kind, name).await?;
        }
        for (kind, name) in step.gone {
            namespace.gone(kind, name).await?;
        }
        one_migration(&namespace).await?;
    }
    // The volume of backups that are off by now as well.
    namespace.kubectl(&["delete", "agentfs", "memory"]).await?;
    for (kind, name) in [
        ("statefulset", "memory-postgres"),
        ("pvc", "data-memory-postgres-0"),
        ("pvc", "memory-backups"),
        ("secret", "memory-credentials"),
    ] {
        namespace.gone(kind, name).await?;
    }
    Ok(())
}

/// Operators, one after the other, until one finds nothing more to do: how many were killed, and how much they wrote.
async fn chain(
    gate: &Gate,
    namespace: &Namespace,
    step: &Step,
    cut: Cut,
) -> Result<(usize, usize), Failure> {
    let (mut killed, mut writes) = (0, 0);
    while killed < MOST {
        // A container that is started again bears the name of its pod, as these do.
        let mut operator = gate.operator("walk", namespace.name(), cut).await?;
        let is_done = tokio::select! {
            ended = operator.ended() => ended.map(|()| false)?,
            done = is_done(namespace) => done?,
        };
        if is_done && is_quiet(&mut operator).await? {
            return Ok((killed, writes + operator.writes()));
        }
        writes += operator.writes();
        killed += 1;
    }
    Err(format!("{}: {MOST} operators were killed, and there is still something to do", step.what)
        .into())
}

/// Whether the operator goes on without a write.
async fn is_quiet(operator: &mut Operator) -> Result<bool, Failure> {
    loop {
        let before = operator.writes();
        tokio::select! {
            ended = operator.ended() => return ended.map(|()| false),
            () = sleep(QUIET) => {}
        }
        if operator.writes() == before {
            return Ok(true);
        }
    }
}

/// Returns once the AgentFS says that its present spec is carried out.
async fn is_done(namespace: &Namespace) -> Result<bool, Failure> {
    loop {
        let object = namespace.object("agentfs", "memory").await?;
        if is_current(&object)
            && condition(&object, "Ready") == Some("True")
            && condition(&object, "Progressing") == Some("False")
        {
            return Ok(true);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// However often it was begun, there is one migration.
async fn one_migration(namespace: &Namespace) -> Result<(), Failure> {
    let jobs = namespace.kubectl(&["get", "jobs", "-o", "name"]).await?;
    assert_eq!(jobs.lines().count(), 1, "{jobs}");
    Ok(())
}
