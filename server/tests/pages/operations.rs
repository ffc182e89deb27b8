//! docs/OPERATIONS.md, the chapters for one machine, after `make dev`.

use crate::machine::{AFTER_MAKE_DEV, Machine, brought};

/// The variables that `dev.env` does not have, and an entry.
pub fn variables(machine: &Machine) -> String {
    format!(
        r#"
export AGENTFS_LOG=$PWD/dev.log BACKUPS=$PWD/backups SPARE_PORT={} WAL_ARCHIVE=$PWD/archive
mkdir -p "$WAL_ARCHIVE"
curl -sS --fail-with-body "$AGENTFS_URL/v1/put" -H "Authorization: Bearer $AGENTFS_API_KEY" -H 'Content-Type: application/json' \
    -d '{{"agent_id":"ada","path":"/notes/lunch","value":"peanuts","searchable":true}}' >put.json
"#,
        machine.spare_port()
    )
}

/// The PostgreSQL of `make dev` is no service of the system; and servers that the page starts end, where it did not come to that.
const SERVERS: &str = r#"
systemctl() { stop; make dev >/dev/null; }
trap 'for data in "$WAL_ARCHIVE"/then "${WAL_ARCHIVE%/*}"/replica; do
          [ ! -e "$data/postmaster.pid" ] || pg_ctl -D "$data" -m immediate stop >/dev/null; done; leave' EXIT
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_operations_page_do_what_it_says() {
    brought("model", &[]);
    // With zstd, which dumps are compressed with.
    brought("pgclient", &["18"]);
    let machine = Machine::new();
    let before = [AFTER_MAKE_DEV, SERVERS, &variables(&machine)].concat();
    machine.run(&machine.page("docs/OPERATIONS.md"), 90, &before).await;
}
