//! Drills, asked for and by the schedule, and what they are held to.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::recovery::{Kind, Task};
use serde_json::{Value, json};

use super::{SPEC, agentfs_says, all, has, is_sound, run_now, served};

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_drill_measures_the_recovery_point_and_the_recovery_time() -> Result<(), Failure> {
    let spec = SPEC.replace("    drill:", "    objectives: {rpo: 26h, rto: 15m}\n    drill:");
    let (namespace, mut agent) = served(&spec).await?;
    run_now(&namespace, "backup", "nightly").await?;
    let drill = Task::done(&namespace, Kind::Drill, "asked", json!({})).await?;
    let status = &drill["status"];
    assert_eq!(status["result"], "Succeeded", "{status}");
    assert_eq!(status["objectives"], "met", "{status}");
    for field in ["rpoSeconds", "rtoSeconds"] {
        assert!(
            status[field].as_i64().is_some_and(|seconds| (0..900).contains(&seconds)),
            "{status}"
        );
    }
    let names: Vec<_> =
        status["steps"].as_array().into_iter().flatten().map(|step| &step["name"]).collect();
    for step in ["put", "backup", "load", "compare", "serve", "marker"] {
        assert!(names.contains(&&json!(step)), "{step} is not among {names:?}");
    }
    agentfs_says(&namespace, "DrillCurrent", "True").await?;
    agentfs_says(&namespace, "ObjectivesMet", "True").await?;
    let columns = namespace.kubectl(&["get", "afsd"]).await?;
    for column in ["RESULT", "RPO", "RTO", "OBJECTIVES", "Succeeded", "met"] {
        assert!(columns.contains(column), "{columns}");
    }

    // Of the nightly backup: what the drill measures is how old that is, and how long it takes to restore.
    let nightly = all(&namespace, "afsb").await?.remove(0);
    let backup = json!({"backup": nightly["metadata"]["name"]});
    let drill = Task::done(&namespace, Kind::Drill, "of-nightly", backup).await?;
    let steps = drill["status"]["steps"].to_string();
    assert!(steps.contains("sample") && !steps.contains("marker"), "{steps}");
    assert!(drill["status"]["rpoSeconds"].as_i64() >= Some(1), "{drill}");
    assert_eq!(drill["status"]["objectives"], "met", "{drill}");

    // By the schedule: its pod writes the record itself.
    run_now(&namespace, "drill", "quarterly").await?;
    let records = async || {
        let mut drills = all(&namespace, "afsd").await?;
        drills.retain(|drill| drill["spec"]["recordOf"].is_string());
        Ok(drills)
    };
    let told = |records: &Vec<Value>| records.len() == 1 && records[0]["status"]["rto"].is_string();
    eventually("the scheduled drill has its record", records, told).await?;

    // Nothing of a drill is left, neither where it serves nor among the backups.
    has(&mut agent, "peanuts").await?;
    is_sound(&namespace).await?;
    for table in ["entries", "api_keys"] {
        let of_drill = format!(
            "SELECT count(*) FROM {table} t JOIN tenants ON tenants.id = t.tenant_id WHERE tenants.name = 'agentfs-drill'"
        );
        assert_eq!(namespace.sql("memory", "agentfs", &of_drill).await?, "0", "{table}");
    }
    assert_eq!(all(&namespace, "afsb").await?.len(), 1, "a drill's backup is none");

    // What cannot be met is said to be missed.
    namespace
        .change_spec("memory", &json!({"backup": {"objectives": {"rto": "1s", "rpo": "1s"}}}))
        .await?;
    namespace.ready("memory").await?;
    let missed = Task::create(&namespace, Kind::Drill, "missed", json!({})).await?.ended().await?;
    assert_eq!(missed["status"]["objectives"], "missed", "{missed}");
    let agentfs = agentfs_says(&namespace, "ObjectivesMet", "False").await?;
    assert!(agentfs["status"].to_string().contains("1s"), "{agentfs}");
    Ok(())
}
