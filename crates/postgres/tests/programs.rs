//! Programs of PostgreSQL 16, 17 and 18, of scripts/pgserver and scripts/pgclient: servers that leave nothing behind, and clients
//! that end with the process that started them.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use agentfs_postgres::instance::{Installation, Throwaway};
use agentfs_postgres::{Client, ClientPrograms, ExecArgs, Pipes, SUBCOMMAND, SUPPORTED, exec};
use clap::Parser;
use libtest_mimic::{Arguments, Failed, Trial};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, copy};

type Outcome = Result<(), Box<dyn Error>>;

/// How long something that happens at once on an idle machine may take.
const SOON: Duration = Duration::from_mins(1);
/// The first argument of a process that a test kills.
const HOLD: &str = "hold";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(OsStr::to_str) {
        Some(SUBCOMMAND) => become_a_program(),
        Some(HOLD) => {
            let parent = arguments.next().unwrap_or_default();
            match wait_for(hold(Path::new(&parent))) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            }
        }
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

#[derive(Parser)]
enum Hidden {
    #[command(name = SUBCOMMAND)]
    Exec(ExecArgs),
}

fn become_a_program() -> ExitCode {
    let Hidden::Exec(args) = Hidden::parse();
    failed(&exec(&args))
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn trials() -> Vec<Trial> {
    fn trial(name: &str, test: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
        Trial::test(name, || test().map_err(|error| Failed::from(error.to_string())))
    }
    let of_each = SUPPORTED.map(|major| {
        trial(&format!("a_dump_of_{major}_restores_into_one"), move || wait_for(round_trip(major)))
    });
    of_each
        .chain([
            trial("a_dropped_server_leaves_nothing", || wait_for(dropped())),
            trial("a_killed_process_leaves_nothing_that_runs", || wait_for(killed())),
            trial("a_restore_into_16_tolerates_one_error", || wait_for(tolerant())),
        ])
        .collect()
}

fn wait_for(test: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Runtime::new()?.block_on(test)
}

/// A folder that the user may enter who PostgreSQL runs as.
fn open_folder() -> Result<TempDir, Box<dyn Error>> {
    Ok(tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir()?)
}

async fn server(major: u32, parent: &Path) -> Result<Throwaway, Box<dyn Error>> {
    let installation = Installation::find_major(None, major)?;
    Ok(Throwaway::start(&installation, parent, vec!["work_mem=8MB".parse()?]).await?)
}

async fn connect(url: &SecretString) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect(url.expose_secret()).await
}

/// The environment that leads to a database.
fn variables(url: &SecretString) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let (_, rest) = url.expose_secret().split_once("://").ok_or("no URL")?;
    let parts: Vec<&str> = rest.split([':', '@', '/']).collect();
    let [user, password, host, port, database] = parts[..] else { return Err("a URL".into()) };
    let told = [user, password, host, port, database].map(str::to_owned);
    let names = ["PGUSER", "PGPASSWORD", "PGHOST", "PGPORT", "PGDATABASE"];
    Ok(names.into_iter().zip(told).chain([("LC_ALL", "C".to_owned())]).collect())
}

/// Runs a program to its end, its output in a file if one is given.
async fn run(
    program: &Path,
    url: &SecretString,
    arguments: &[&str],
    into: Option<&Path>,
    tolerant: bool,
) -> Outcome {
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let pipes = Pipes { stdout: into.is_some(), ..Pipes::default() };
    let mut client = Client::start(program, &variables(url)?, &arguments, pipes, tolerant)?;
    if let (Some(mut stdout), Some(path)) = (client.stdout.take(), into) {
        copy(&mut stdout, &mut tokio::fs::File::create(path).await?).await?;
    }
    Ok(client.ended().await?)
}

async fn round_trip(major: u32) -> Outcome {
    let parent = open_folder()?;
    let server = server(major, parent.path()).await?;
    assert_eq!(server.version().major(), major);
    for name in ["from", "to"] {
        server.create_database(name).await?;
    }
    let url = server.owner_url("from");
    let mut from = connect(&url).await?;
    let settings = "SELECT concat_ws(' ', current_setting('fsync'), current_setting('work_mem'), current_setting('is_superuser'))";
    let settings: String = sqlx::query_scalar(settings).fetch_one(&mut from).await?;
    assert_eq!(settings, "off 8MB off");
    from.execute("CREATE TABLE t (v vector(2)); INSERT INTO t VALUES ('[1,2]')").await?;

    let programs = ClientPrograms::for_server(None, major).await.ok_or("client programs")?;
    assert_eq!(programs.version().major(), major, "scripts/pgserver brings them");
    let has_zstd = programs.compression() == "zstd:1";
    assert_eq!(has_zstd, major > 16, "scripts/pgclient brings those of 17 and 18");
    let archive = parent.path().join("archive");
    let dump = ["-Fc", "-Z", programs.compression()];
    run(&programs.path("pg_dump"), &url, &dump, Some(&archive), false).await?;
    let reader = ClientPrograms::for_archive(None, major, major).await.ok_or("client programs")?;
    let name = archive.to_str().ok_or("UTF-8")?;
    let restore = ["-d", "to", "--no-comments", "-j", "2", name];
    let older = reader.version().major() > major;
    run(&reader.path("pg_restore"), &server.owner_url("to"), &restore, None, older).await?;
    let text: String = sqlx::query_scalar("SELECT v::text FROM t")
        .fetch_one(&mut connect(&server.owner_url("to")).await?)
        .await?;
    assert_eq!(text, "[1,2]");

    fs::remove_file(archive)?;
    let pid = server.pid();
    server.stop().await?;
    assert!(!runs(pid) && is_empty(parent.path()));
    Ok(())
}

async fn dropped() -> Outcome {
    let parent = open_folder()?;
    let server = server(18, parent.path()).await?;
    let pid = server.pid();
    drop(server);
    assert!(!runs(pid) && is_empty(parent.path()));
    for milliseconds in [1, 100, 400, 700] {
        let installation = Installation::find_major(None, 18)?;
        let start = Throwaway::start(&installation, parent.path(), Vec::new());
        let started = tokio::time::timeout(Duration::from_millis(milliseconds), start).await;
        drop(started);
        assert!(is_empty(parent.path()), "dropped after {milliseconds} ms");
    }
    Ok(())
}

/// Starts a server and a `pg_dump` that waits there, and tells their process ids.
async fn hold(parent: &Path) -> Outcome {
    let server = server(18, parent).await?;
    server.create_database("held").await?;
    let url = server.owner_url("held");
    let mut holder = connect(&url).await?;
    holder.execute("CREATE TABLE t ()").await?;
    holder.execute("BEGIN; LOCK TABLE t").await?;
    let programs = ClientPrograms::for_server(None, 18).await.ok_or("client programs")?;
    let pipes = Pipes { stdout: true, ..Pipes::default() };
    let mut client =
        Client::start(&programs.path("pg_dump"), &variables(&url)?, &[], pipes, false)?;
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let mut superuser = connect(&server.superuser_url("held")).await?;
    let since = Instant::now();
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut superuser).await? == 0 {
        assert!(since.elapsed() < SOON, "pg_dump does not wait");
    }
    println!("{} {}", server.pid(), client.pid());
    std::io::stdout().flush()?;
    let mut stdout = client.stdout.take().ok_or("piped")?;
    stdout.read_to_end(&mut Vec::new()).await?;
    Ok(client.ended().await?)
}

async fn killed() -> Outcome {
    let parent = open_folder()?;
    let this = std::env::current_exe()?;
    let mut holder =
        Command::new(this).arg(HOLD).arg(parent.path()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(holder.stdout.take().ok_or("piped")?).read_line(&mut line)?;
    let pids: Vec<i32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    assert!(pids.len() == 2 && pids.iter().all(|pid| runs(*pid)), "{line:?}");

    holder.kill()?;
    holder.wait()?;
    let since = Instant::now();
    while pids.iter().any(|pid| runs(*pid)) {
        assert!(since.elapsed() < SOON, "{pids:?} still run");
        sleep(Duration::from_millis(10));
    }
    assert!(!is_empty(parent.path()), "nobody was there to remove it");
    server(18, parent.path()).await?.stop().await?;
    assert!(is_empty(parent.path()));
    Ok(())
}

async fn tolerant() -> Outcome {
    let parent = open_folder()?;
    let server = server(16, parent.path()).await?;
    for name in ["from", "to"] {
        server.create_database(name).await?;
    }
    let (from, to) = (server.owner_url("from"), server.owner_url("to"));
    connect(&from).await?.execute("CREATE TABLE t AS SELECT 1 AS n").await?;
    // A server of 16 with TLS has only programs that are newer than itself.
    let programs = ClientPrograms::for_server(None, 17).await.ok_or("client programs")?;
    let (pg_dump, pg_restore) = (programs.path("pg_dump"), programs.path("pg_restore"));
    let archive = parent.path().join("archive");
    run(&pg_dump, &from, &["-Fc"], Some(&archive), false).await?;
    assert!(File::open(&archive)?.metadata()?.len() > 0);

    let name = archive.to_str().ok_or("UTF-8")?;
    let restore = ["-d", "to", "--no-comments", name];
    let strict = [&["--exit-on-error"], &restore[..]].concat();
    let said = complaint(run(&pg_restore, &to, &strict, None, false).await);
    assert!(said.contains("transaction_timeout"), "{said}");
    run(&pg_restore, &to, &restore, None, true).await?;
    let n: i32 = sqlx::query_scalar("SELECT n FROM t").fetch_one(&mut connect(&to).await?).await?;
    assert_eq!(n, 1);
    let said = complaint(run(&pg_restore, &to, &restore, None, true).await);
    assert!(said.contains("\"t\" already exists") && !said.contains("CREATE TABLE"), "{said}");

    fs::remove_file(archive)?;
    Ok(server.stop().await?)
}

fn complaint(outcome: Outcome) -> String {
    outcome.err().map_or_else(|| "it succeeded".to_owned(), |error| error.to_string())
}

/// Whether a process is there and is no zombie.
fn runs(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}
