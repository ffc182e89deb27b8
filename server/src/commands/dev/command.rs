//! `agentfs-server dev`: PostgreSQL, migrations, the API and the worker in one process on one machine.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use agentfs_contract::setting;
use agentfs_postgres::cache;
use agentfs_postgres::instance::{
    DataFolder, Installation, Instance, InstanceOptions, PostgresError, ending, leftover,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};

use super::env_file::{self, Keys};
use super::error::DevError;
use crate::commands::worker::WorkerError;
use crate::commands::{listening, migrate, serve};
use crate::domain::access::scope::DEFAULT_SCOPES;
use crate::embedding::embedders::{self, ChoiceError, EmbedderError, Embedders, has_models};
use crate::runtime::logging;
use crate::runtime::memory_limit::memory_limit;
use crate::runtime::metrics::Metrics;
use crate::runtime::signals::Shutdown;
use crate::settings::{LimitSettings, LogFormat, LogSettings, MONITORING_ON_PORT, Settings};
use crate::store::connection::address::DatabaseAddress;
use crate::tenancy::Tenancy;
use crate::worker;

/// What to do where there is no embedding model.
const NO_MODEL: &str = "run scripts/model, then start again";
/// Who keeps the API key of dev.env.
const MANAGER: &str = "dev";
/// How long the API may take to reach its database, which runs already.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What holds where the environment sets no limit.
const NO_LIMITS: &str = "none; settings such as WRITE_QUOTA_PER_DAY set them";

/// Arguments of `agentfs-server dev`.
#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// Where the data is stored. Defaults to .agentfs-dev in this folder; as root, whose folders other users may not
    /// enter, to one in /var/lib/agentfs-dev
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API listens: an address with a port, or a port of 127.0.0.1
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787", value_parser = address)]
    listen: SocketAddr,
    /// The folder of PostgreSQL's programs (16 to 18, with pgvector). Defaults to those of scripts/pgserver, else to
    /// what is installed
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
}

/// Runs PostgreSQL and the API until a signal asks for the end.
pub(super) fn run(args: &DevArgs) -> Result<(), DevError> {
    let logs =
        LogSettings::from_env(LogSettings { format: LogFormat::Text, ..LogSettings::SERVING })?;
    let _logs = logging::start(logs).map_err(DevError::Logging)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(PostgresError::io("start", Path::new("the runtime")))?;
    runtime.block_on(start_and_serve(args))
}

async fn start_and_serve(args: &DevArgs) -> Result<(), DevError> {
    // What is set wrongly is told before anything is made; no database is there yet.
    settings(&ANY_DATABASE.to_owned().into(), args.listen)?;
    let mut told_to_end = pin!(ending::signalled()?);
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|source| DevError::Listen { address: args.listen, source })?;
    let installation = Installation::find(args.pg_bin.as_deref())?;
    let folder = DataFolder::take(args.data_dir.as_deref())?;
    let cluster = folder.cluster();

    let begun = Instant::now();
    let options = InstanceOptions { creates_databases: true, ..InstanceOptions::default() };
    let mut instance = tokio::select! {
        started = Instance::start(&installation, folder, options) => started?,
        () = &mut told_to_end => {
            leftover::stop(&cluster).await?;
            return Ok(());
        },
    };
    say(&format!(
        "PostgreSQL {:<39} ready   {:.1} s",
        format!("{} ({})", instance.version(), whereabouts(&instance)),
        begun.elapsed().as_secs_f64()
    ));
    let result = Box::pin(serve_on(&mut instance, listener, told_to_end)).await;
    instance.stop().await;
    result
}

/// Serves the API on the instance until the end is asked for.
async fn serve_on(
    instance: &mut Instance,
    listener: TcpListener,
    told_to_end: impl Future<Output = ()>,
) -> Result<(), DevError> {
    let mut told_to_end = pin!(told_to_end);
    let listening = listener.local_addr().map_err(DevError::Serve)?;
    listening::warn_of_unknown_settings();
    let settings = settings(&instance.database_url(), listening)?;
    let limits = settings.limits_in_words();
    let limits = if limits == "none" { NO_LIMITS } else { &limits };
    let address = DatabaseAddress::of(&settings.database.url);
    let keys = tokio::select! {
        prepared = prepare(instance, &address) => prepared?,
        () = &mut told_to_end => return Ok(()),
    };
    let embedders = embedders_of(&settings, &address).await?;
    let worker = Background::start(&settings, embedders.clone())?;
    say(&format!("{:<50} {limits}", "limits"));
    let (end, ended) = oneshot::channel::<()>();
    // Resolves when the sender is dropped.
    let shutdown: Shutdown = Box::pin(async move { ended.await.unwrap_or_default() });
    let mut api = tokio::spawn(serve::serve_with(settings, embedders, listener, shutdown));
    let result = tokio::select! {
        failed = announce_and_supervise(instance, reachable(listening), &keys) => failed.map(|never| match never {}),
        ended = &mut api => return result_of(ended),
        () = &mut told_to_end => Ok(()),
    };
    drop(end);
    let drained = result_of(api.await);
    worker.end().await;
    result.and(drained)
}

/// The embedders, for worker and API. Says which model embeds, or what to do to have one.
async fn embedders_of(
    settings: &Settings,
    address: &DatabaseAddress,
) -> Result<Embedders, DevError> {
    let begun = Instant::now();
    let none = |why: &str| {
        say(&format!("{:<50} none, so search is full-text only: {why}", "embedding model"));
        Ok(Embedders::default())
    };
    let embedders = match embedders::embedders(&settings.embeddings) {
        Ok(embedders) => embedders,
        Err(missing @ EmbedderError::Missing { .. }) => return none(&missing.to_string()),
        Err(error) => return Err(WorkerError::from(error).into()),
    };
    let chosen = match embedders.of_worker(&address.pool(1)).await {
        Ok(chosen) => chosen,
        Err(missing @ ChoiceError::Missing(_)) => return none(&missing.to_string()),
        Err(ChoiceError::Store(error)) => return Err(DevError::Model(error)),
    };
    let Some(embedder) = chosen.first() else { return none(NO_MODEL) };
    if let Err(error) = embedder.prepare().await {
        return none(&error.to_string());
    }
    let model = embedder.model();
    say(&format!(
        "embedding model {:<34} ready   {:.1} s",
        format!("{} ({})", model.name, model.dimensions),
        begun.elapsed().as_secs_f64()
    ));
    Ok(embedders)
}

/// The worker, in this process.
struct Background {
    task: Option<JoinHandle<()>>,
    end: watch::Sender<bool>,
}

impl Background {
    /// Starts it where somebody embeds.
    fn start(settings: &Settings, embedders: Embedders) -> Result<Self, WorkerError> {
        let (end, ended) = watch::channel(false);
        if embedders.is_empty() {
            return Ok(Self { task: None, end });
        }
        let embeddings = settings.embeddings.clone();
        let address = DatabaseAddress::of(&settings.database.url);
        let pool = address.pool(embeddings.concurrency as u32 + 2);
        let metrics = Metrics::new()?;
        let task = tokio::spawn(worker::work(pool, embedders, embeddings, metrics, ended));
        Ok(Self { task: Some(task), end })
    }

    async fn end(self) {
        self.end.send_replace(true);
        if let Some(task) = self.task {
            // It panics only where there is a fault in it, which it has logged.
            let _ = task.await;
        }
    }
}

/// Stands for the database where there is none yet.
const ANY_DATABASE: &str = "postgres://127.0.0.1/agentfs";

/// What the environment says, with the database and the address of this command, and without limits unless it sets them.
fn settings(database_url: &SecretString, listening: SocketAddr) -> Result<Settings, DevError> {
    // Set to nothing it says that there is to be none.
    let models = std::env::var(setting::EMBEDDING_MODEL_DIR).ok().or_else(cached_models);
    let models = models.filter(|folder| !folder.trim().is_empty());
    let variable = |name: &str| match name {
        setting::DATABASE_URL => Some(database_url.expose_secret().to_owned()),
        setting::LISTEN | setting::PORT | setting::PORT_OPERATIONS => None,
        // Its one port is for everything.
        MONITORING_ON_PORT => Some("true".to_owned()),
        setting::EMBEDDING_MODEL_DIR => models.clone(),
        // Where there is none, the API searches by words.
        setting::EMBEDDING_MODEL if models.is_none() => None,
        limit if LimitSettings::WITH_DEFAULTS.contains(&limit) => {
            let set = std::env::var(limit).ok().filter(|text| !text.trim().is_empty());
            Some(set.unwrap_or_else(|| "0".to_owned()))
        }
        other => std::env::var(other).ok(),
    };
    let mut settings = Settings::read(variable, memory_limit())?;
    settings.listen.address = listening;
    Ok(settings)
}

/// The folder of the models that scripts/model has fetched, if there are any.
fn cached_models() -> Option<String> {
    let models = cache::folder()?.join("models");
    has_models(&models).then(|| models.into_os_string().into_string().ok())?
}

/// Migrates the database and makes the keys of dev.env valid in it.
async fn prepare(instance: &Instance, address: &DatabaseAddress) -> Result<Keys, DevError> {
    let keys = Keys::of(instance.folder())?;
    let report = migrate::migrate(address, Some(&keys.admin.reveal())).await?;
    let applied = match report.applied {
        0 => "none to apply".to_owned(),
        applied => format!("{applied} applied"),
    };
    say(&format!("{:<50} {applied}", "migrations"));

    let scopes = DEFAULT_SCOPES.into_iter().collect();
    Tenancy::direct(address.clone()).keep_key(&keys.api, scopes, MANAGER).await?;
    Ok(keys)
}

/// Says that the API is ready once it is, then starts PostgreSQL again whenever it dies. Ends only by a failure.
async fn announce_and_supervise(
    instance: &mut Instance,
    at: SocketAddr,
    keys: &Keys,
) -> Result<Infallible, DevError> {
    timeout(READY_WITHIN, is_ready(at))
        .await
        .map_err(|_| DevError::ApiNotReady { address: at, seconds: READY_WITHIN.as_secs() })?;
    let url = format!("http://{at}");
    let file = env_file::write(instance, &url, keys).await?;
    say(&format!("{:<50} ready", format!("AgentFS on {url}")));
    say(&format!(
        "Try:  . {}; curl -s \"$AGENTFS_URL/v1/put\" -H \"Authorization: Bearer $AGENTFS_API_KEY\" \
         -H 'Content-Type: application/json' \
         -d '{{\"agent_id\":\"ada\",\"path\":\"/notes/lunch\",\"value\":\"Ada is allergic to peanuts\",\"searchable\":true}}'",
        env_file::quoted(&from_here(&file))
    ));
    loop {
        let ended = instance.ended().await;
        tracing::error!("{ended} It is started again.");
        instance.restart().await?;
        tracing::info!("PostgreSQL runs again");
    }
}

/// Asks /readyz until it says yes.
async fn is_ready(at: SocketAddr) {
    let ask = async || -> io::Result<bool> {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer.split(|byte| *byte == b' ').nth(1) == Some(b"200"))
    };
    loop {
        // Its first look at the database takes about as long.
        sleep(Duration::from_millis(50)).await;
        if ask().await.unwrap_or(false) {
            return;
        }
    }
}

/// What `--listen` says.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let found = text.to_socket_addrs().into_iter().flatten();
    // Names often lead to both kinds of addresses.
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| {
        "it is not an address to listen on; write 127.0.0.1:8787, localhost:8787, or 8787"
            .to_owned()
    })
}

fn result_of(api: Result<io::Result<()>, JoinError>) -> Result<(), DevError> {
    api.map_err(io::Error::other).flatten().map_err(DevError::Serve)
}

/// Where a listener is reached on this machine: one on all addresses is on the loopback too.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

fn whereabouts(instance: &Instance) -> String {
    let data = from_here(instance.data_dir());
    let account = instance.folder().account();
    let user =
        if account.is_another() { format!(", run by {}", account.name()) } else { String::new() };
    format!("embedded, data in {}/{user}", data.display())
}

/// A path as short as it can be typed in the current folder.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    match here.as_deref().map(|here| path.strip_prefix(here)) {
        Ok(Ok(rest)) if rest.components().count() > 0 => rest.to_owned(),
        _ => path.to_owned(),
    }
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Whoever closed standard output does not want to read it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_people_write_it() {
        let at = |text: &str| address(text).map(|address| address.to_string());
        for (text, is) in [
            ("8787", "127.0.0.1:8787"),
            ("localhost:8787", "127.0.0.1:8787"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:8787", "[::1]:8787"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(is));
        }
        for wrong in ["localhost", "127.0.0.1", "87870", ":8787"] {
            assert!(at(wrong).unwrap_err().contains("localhost:8787, or 8787"), "{wrong}");
        }
    }

    #[test]
    fn all_addresses_are_reached_by_the_loopback() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:8787"), "127.0.0.1:8787");
        assert_eq!(at("[::]:8787"), "[::1]:8787");
        assert_eq!(at("192.0.2.7:80"), "192.0.2.7:80");
    }
}
