//! Gets and puts through PgBouncer beside the way without, on one database.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use agentfs_contract::session::SERVING;
use agentfs_load::entries::DEFAULT;
use agentfs_load::servers::{free_port, tied_as};
use agentfs_load::wrk;
use anyhow::{Context as _, anyhow, bail};
use nix::unistd::{User, chown, geteuid};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::deployment::Bench;
use crate::report::Row;
use crate::turns::turns;

/// Longest time that PgBouncer may take until it listens.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How both sorts of requests fare.
pub(crate) async fn measure(bench: &mut Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let direct = bench.deploy("pooled", DEFAULT).await?;
    let pool = start(bench, &direct.url).await?;
    let through = direct.served_by(vec![bench.start_api(&pool).await?]);
    let mut rows = Vec::new();
    for (name, requests) in [("gets", wrk::GET), ("puts", wrk::PUT)] {
        bench.postgres.recycle_wal().await?;
        through.warm_up(bench, requests).await?;
        let pooled = async || through.closed(bench, requests).await;
        let without = async || direct.closed(bench, requests).await;
        let both = turns(bench.plan.rounds, pooled, without).await?;
        rows.push(both.row(format!("{name}, through PgBouncer ÷ without"), None));
    }
    bench.end([direct]).await?;
    bench.servers.end("PgBouncer").await;
    Ok(rows)
}

/// Starts PgBouncer with the settings of the product's image, and returns the database's URL through it.
async fn start(bench: &mut Bench<'_>, database: &Url) -> anyhow::Result<Url> {
    let user = unprivileged()?;
    let folder = bench.folder.join("pgbouncer");
    fs::create_dir(&folder)?;
    // The folder above is ours alone.
    fs::set_permissions(bench.folder, Permissions::from_mode(0o711))?;
    let port = free_port()?;
    let (users, ini) = (folder.join("userlist.txt"), folder.join("pgbouncer.ini"));
    let password = database.password().context("the database's URL has no password")?;
    fs::write(&users, format!("\"{}\" \"{password}\"\n", database.username()))?;
    fs::write(&ini, settings(database, port, &users)?)?;
    for path in [&folder, &users, &ini] {
        if let Some(User { uid, gid, .. }) = &user {
            chown(path, Some(*uid), Some(*gid))?;
        }
    }
    let mut pool = tied_as(user.as_ref(), &bench.plan.pgbouncer)
        .arg("--quiet")
        .arg(&ini)
        .stdin(Stdio::null())
        .spawn()
        .context("setpriv (of util-linux) cannot be started")?;
    let is_ready = tokio::select! {
        ready = timeout(READY_WITHIN, listens(port)) => ready.is_ok(),
        _ = pool.wait() => false,
    };
    bench.servers.keep("PgBouncer", pool);
    if !is_ready {
        bail!("PgBouncer did not start; the reason is above");
    }
    let mut url = database.clone();
    url.set_port(Some(port)).map_err(|()| anyhow!("the database's URL takes no port"))?;
    Ok(url)
}

fn settings(database: &Url, port: u16, users: &Path) -> anyhow::Result<String> {
    let settings = format!(
        "[databases]
         * = host={host} port={server} connect_query='{query}'
         [pgbouncer]
         listen_addr = 127.0.0.1
         listen_port = {port}
         unix_socket_dir =
         auth_type = scram-sha-256
         auth_file = {users}
         pool_mode = transaction
         max_client_conn = 1000
         default_pool_size = 20
         max_prepared_statements = 200
         ignore_startup_parameters = extra_float_digits
         server_lifetime = 60
         log_connections = 0
         log_disconnections = 0",
        host = database.host_str().context("the database's URL has no host")?,
        server = database.port().unwrap_or(5432),
        query = SERVING.replace('\'', "''"),
        users = users.display(),
    );
    Ok(settings.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
}

/// Whom PgBouncer runs as where we are root, which it refuses to be.
fn unprivileged() -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    User::from_name("nobody")?.context("there is no user nobody").map(Some)
}

async fn listens(port: u16) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
}
