//! docs/INSTALL.md: the server on a PostgreSQL that somebody has already.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::machine::{Machine, brought};

/// That PostgreSQL, as its packages leave it: a superuser, and nothing else.
const POSTGRES: &str = r#"
trap 'kill $(jobs -p) || true; pg_ctl -D "$HOME/data" -m immediate stop >/dev/null' EXIT
initdb -D "$HOME/data" -U postgres --auth=trust >initdb.log
options="-c listen_addresses=127.0.0.1 -c unix_socket_directories="
pg_ctl -D "$HOME/data" -l postgres.log -o "$options" -w start >pg_ctl.log
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_installation_on_one_machine_print_what_it_says() {
    let machine = Machine::new();
    let home = machine.home();
    // In place of a checkout: what `cargo build` makes, and what `scripts/model` prints.
    for folder in ["target/release", "scripts"] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    let program = home.join("target/release/agentfs-server");
    symlink(machine.programs().join("agentfs-server"), program).unwrap();
    let script = home.join("scripts/model");
    fs::write(&script, format!("#!/bin/sh\necho {}\n", brought("model", &[]))).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();

    let before = format!(
        "cargo() {{ :; }}\nexport PATH={}:$PATH PGHOST=127.0.0.1 PGPORT={} PORT={}\n{POSTGRES}",
        brought("pgserver", &["18"]),
        machine.database_port(),
        machine.port(0),
    );
    machine.run(&machine.page("docs/INSTALL.md"), 6, &before).await;
}
