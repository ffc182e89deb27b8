//! `make bench-find`: how often a search finds what was meant. Puts the sets of tests/search into a real server with a local
//! model, asks their questions in each mode, and counts where the right note comes. README.md says how to read it.

mod ask;
mod sets;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agentfs_embedder_local::LocalModel;
use agentfs_load::postgres::Postgres;
use agentfs_load::program;
use agentfs_load::servers::Servers;
use agentfs_server::commands::admin;
use agentfs_server::commands::admin::CreateKey;
use agentfs_server::commands::migrate;
use anyhow::Context as _;
use clap::Parser;
use secrecy::ExposeSecret as _;

use crate::ask::{Asker, Mode};
use crate::sets::{Cases, Set};
use crate::table::Table;

/// How often the right note comes first, among the first three, and among the first ten, in each mode of search.
#[derive(Debug, Parser)]
#[command(name = "bench-find")]
struct Args {
    /// The model's folder, as scripts/model prints it
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The folder of the sets
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../search"))]
    sets: PathBuf,
    /// Only these sets
    #[arg(long, value_name = "NAME", default_values = sets::NAMES)]
    set: Vec<String>,
    /// Print each question whose note does not come first, with the note that does
    #[arg(long)]
    misses: bool,
}

// One thread: a child is sent a signal when the thread that started it ends, and this one ends last.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    Box::pin(program::run("bench-find", async |servers, folder| {
        bench(&args, servers, folder).await
    }))
    .await
}

/// Asks and prints; always true, since it holds no limit.
async fn bench(args: &Args, servers: &mut Servers, folder: &Path) -> anyhow::Result<bool> {
    let model = args.model.to_str().context("the model's folder is not UTF-8")?;
    let name = LocalModel::load(&args.model)?.name();
    let postgres = Postgres::start(servers).await?;
    let database = postgres.database()?;
    migrate::migrate(&database, None).await?;
    let wanted =
        CreateKey { label: "bench".into(), tenant: None, scopes: vec![], expires_in_seconds: None };
    let key = admin::create_key(&database, &wanted).await?.reveal();
    let environment = [
        ("DATABASE_URL", postgres.database_url()),
        ("EMBEDDING_MODEL_DIR", model),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
        ("SEARCH_RATE_LIMIT_PER_MINUTE", "0"),
        ("EMBED_TOKENS_QUOTA_PER_DAY", "0"),
    ];
    let api = servers.start_http("agentfs-server", &["serve"], &environment, folder).await?;
    servers.start_http("agentfs-server", &["worker"], &environment, folder).await?;
    let asker = Asker::new(&api.url, key.expose_secret())?;
    println!("{name}: questions whose note comes first, among the first three, the first ten");
    let mut table = Table::new();
    println!("{}", Table::heading());
    for name in &args.set {
        if name == sets::WORDS {
            let cases = Cases::read(&args.sets)?;
            asker.put(name, cases.notes()).await?;
            println!("{}", cases.ask(&asker, args.misses).await?);
            continue;
        }
        let set = Set::read(&args.sets, name)?;
        asker.put(name, set.notes()).await?;
        asker.until_embedded(name).await?;
        for question in &set.questions {
            for mode in Mode::ALL {
                let found = asker.ask(name, &question.text, mode).await?;
                let place = found.iter().position(|id| *id == question.note);
                table.count(set.groups(question), mode, place);
                if args.misses && place != Some(0) {
                    let first = found.first().map_or("nothing", |id| set.text(id));
                    eprintln!("{name}, {mode}: {:?} gives {first:?}", question.text);
                }
            }
        }
        table.print_new();
    }
    Ok(true)
}
