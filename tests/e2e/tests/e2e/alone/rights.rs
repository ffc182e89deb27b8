//! The operator's rights against what it used of them. It looks back on the whole run, so it comes last.

use agentfs_e2e::Failure;
use agentfs_e2e::audit::{AuditLog, Right, held, used};

/// More requests than one test makes: with fewer the log tells of no whole run.
const WHOLE_RUN: usize = 1000;

/// What the operator has only to pass it on, to pods that keep records: verb and resource.
const PASSED_ON: [(&str, &str); 3] =
    [("create", "agentfsbackups"), ("patch", "agentfsbackups"), ("create", "agentfsdrills")];

fn is_passed_on(Right { verb, resource, .. }: &Right) -> bool {
    PASSED_ON.contains(&(verb.as_str(), resource.as_str()))
}

#[tokio::test]
#[ignore = "needs a cluster and all other tests before it: make test-all"]
async fn nothing_is_refused_and_no_right_is_idle() -> Result<(), Failure> {
    let requests = AuditLog::whole()?.requests()?;
    assert!(requests.len() > WHOLE_RUN, "only {} requests: run all tests first", requests.len());
    let refused: Vec<_> = requests
        .iter()
        .filter(|request| request.is_forbidden)
        .map(|request| format!("{} of {}", request.right, request.object))
        .collect();
    assert!(refused.is_empty(), "operator/src/process/rights.rs does not grant: {refused:#?}");

    let used = used(&requests);
    let held = held().await?;
    let idle = held.difference(&used).filter(|right| !is_passed_on(right));
    let idle: Vec<_> = idle.map(ToString::to_string).collect();
    assert!(idle.is_empty(), "no test makes the operator use these of its rights: {idle:#?}");
    eprintln!("{} requests, {} rights, each used and none missing", requests.len(), held.len());
    Ok(())
}
