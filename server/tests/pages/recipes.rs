//! docs/RECIPES.md, after `make dev`, and its loop also against `serve` with the limits that it has by default.

use std::fs;

use agentfs_documents::chapter;

use crate::machine::{AFTER_MAKE_DEV, Machine, brought};
use crate::operations::variables;

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_recipes_do_what_the_page_says() {
    brought("model", &[]);
    brought("pgclient", &["18"]);
    let machine = Machine::new();
    let before = [AFTER_MAKE_DEV, &variables(&machine)].concat();
    machine.run(&machine.page("docs/RECIPES.md"), 25, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_retries_loses_nothing_to_the_rate_limit() {
    let machine = Machine::new();
    let page = machine.page("docs/RECIPES.md");
    let (api, operations) = (machine.port(2), machine.port(3));
    let before = format!(
        r#"{AFTER_MAKE_DEV}
export PORT={api} AGENTFS_URL=http://127.0.0.1:{api}
agentfs-server serve >serve.log 2>&1 &
trap 'curl -sS http://127.0.0.1:{operations}/metrics >metrics; leave' EXIT
curl -sS "$AGENTFS_URL/readyz" --retry 60 --retry-delay 1 --retry-all-errors --fail >ready.json
# Limits are those of the clock's minute: a loop that begins at its end would have those of two.
while [ "$(date +%-S)" -ge 30 ]; do sleep 0.5; done
"#
    );
    machine.run(chapter(&page, "## Write many entries by a shell loop"), 2, &before).await;
    // It did meet the limit.
    let metrics = fs::read_to_string(machine.home().join("metrics")).unwrap();
    let put = metrics.lines().filter(|line| line.starts_with("agentfs_http_requests_total{"));
    let refused = put.filter(|line| line.contains("\"/v1/put\"") && line.contains("\"429\""));
    assert_eq!(refused.count(), 1, "{metrics}");
}
