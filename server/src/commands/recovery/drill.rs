//! `agentfs-server drill`: a disaster recovery drill and its report.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agentfs_contract::manifest::Manifest;
use agentfs_contract::setting::{
    AGENTFS_URL, BACKUP_INSTANCE, BACKUP_RECIPIENTS, BACKUP_SCRATCH_URL, PORT,
};
use agentfs_contract::termination::{DrillReport, Objectives as Kept};
use agentfs_contract::verification::Step;
use jiff::SignedDuration;
use secrecy::SecretString;
use serde::Serialize;

use super::abandoned::end_abandoned;
use super::requested::{begin, first_line};
use super::{duration, ended, identities, location, setting, start_logging};
use crate::commands::in_runtime;
use crate::commands::output::{Output, Seconds};
use crate::records;
use crate::recovery::catalogue::Selector;
use crate::recovery::drill::{
    DrillError, DrillOptions, Objectives, RecoveryPoint, Report, TO_SERVING, brief, drill,
};
use crate::recovery::{Recipients, RecoveryError};
use crate::runtime::exit::{
    after_failure, failed, failed_for_all_to_see, write_termination_message,
};
use crate::settings::{DatabaseSettings, DatabaseUrl};

/// Where an API listens that has no PORT.
const DEFAULT_PORT: &str = "8787";

const SETTINGS: &str = "\
Settings (environment variables; default in parentheses):
  DATABASE_URL          postgres://user:password@host:5432/database, of PostgreSQL itself, not of a connection pool (required)
  AGENTFS_URL           the API that serves it (http://127.0.0.1:$PORT; PORT defaults to 8787)
  BACKUP_LOCATION       where backups are stored: a folder, or s3://bucket/prefix (none)
  BACKUP_INSTANCE       tells the database apart from copies with the same history (none)
  BACKUP_RECIPIENTS     age recipients that backups are encrypted to, separated by commas (none)
  BACKUP_IDENTITY_FILE  the file with age identities that decrypt backups (none)
  BACKUP_SCRATCH_URL    a PostgreSQL server to restore into (a throwaway one on this machine)
  TMPDIR                a folder with space for the restored database (/tmp)";

/// Arguments of `agentfs-server drill`.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
pub struct DrillArgs {
    /// Restore this existing backup instead of writing an entry and making a backup: its id, `latest` or
    /// `latest-verified`. The recovery point is then the age of its snapshot
    #[arg(long, value_name = "ID", conflicts_with_all = ["api", "rpo_days"])]
    backup: Option<String>,
    /// Where backups are stored: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_aliases = ["dir", "from"], value_name = "LOCATION")]
    to: Option<String>,
    /// The API that serves the database of DATABASE_URL. Defaults to AGENTFS_URL, else to http://127.0.0.1:$PORT
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// The recovery point objective: the longest span of writes that may be lost, such as 26h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    rpo: Option<Duration>,
    /// The recovery time objective: the longest time until the API serves again, such as 15m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    rto: Option<Duration>,
    /// How many days back to measure gaps between backups for the recovery point; retention thins out older backups
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    rpo_days: u32,
    /// A PostgreSQL server to restore into, as a superuser's postgres:// URL. Defaults to BACKUP_SCRATCH_URL, else
    /// to a throwaway one on this machine
    #[arg(long, value_name = "URL")]
    scratch_url: Option<SecretString>,
    /// The file with age identities that decrypt the backup. Defaults to BACKUP_IDENTITY_FILE
    #[arg(long, value_name = "FILE")]
    identity_file: Option<PathBuf>,
    /// The time limit, such as 2h. Defaults to none
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// The folder of PostgreSQL's programs, if they are not on PATH
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(args: DrillArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: DrillArgs) -> ExitCode {
    if let Err(sentence) = start_logging() {
        return failed(sentence);
    }
    let ended = match ended("drill", args.deadline) {
        Ok(ended) => ended,
        Err(sentence) => return failed(sentence),
    };
    let (board, requested) = match begin().await {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let ended = requested.ended(ended);
    let report = Box::pin(board.of(drill_as_asked(&args, ended))).await;
    let is_transient = match &report {
        Ok(report) => report.failure.as_ref().is_some_and(DrillError::is_transient),
        Err(error) => error.is_transient(),
    };
    let printed = report.map(|report| (report.begun_at, Printed::of(report, args.objectives())));
    let came_out = match &printed {
        Ok((_, printed)) => {
            let sentence = printed.sentence();
            sentence.map_or(Ok(first_line(printed)), |why| Err((why, is_transient)))
        }
        Err(error) => Err((error.to_string(), is_transient)),
    };
    let noted = requested.end(came_out).await.map_err(DrillError::from);
    let (begun_at, printed) = match printed.and_then(|printed| noted.map(|()| printed)) {
        Ok(printed) => printed,
        Err(error) => return failed_for_all_to_see(&error, error.is_transient()),
    };
    let told = printed.for_kubernetes(is_transient);
    write_termination_message(&told.write());
    // One that is carried out again by itself is not over.
    if !is_transient {
        records::keep_drill(begun_at, &told).await;
    }
    if let Err(error) = args.output.print(&printed) {
        return failed(error);
    }
    let code = match printed.sentence() {
        None => ExitCode::SUCCESS,
        Some(sentence) => {
            failed(sentence);
            after_failure(is_transient)
        }
    };
    end_abandoned().await;
    code
}

async fn drill_as_asked(
    args: &DrillArgs,
    ended: impl Future<Output = RecoveryError>,
) -> Result<Report, DrillError> {
    let url = DatabaseSettings::url_from_env().map_err(RecoveryError::from)?;
    let given = args.scratch_url.clone();
    let scratch = given.or_else(|| setting(BACKUP_SCRATCH_URL).map(SecretString::from));
    let scratch = scratch.as_ref().map(DatabaseUrl::parse).transpose();
    let options = DrillOptions {
        url,
        copy: setting(BACKUP_INSTANCE),
        backup: args.backup.as_deref().map(Selector::from),
        api: args.api(),
        location: location(args.to.as_deref(), "--to")?,
        recipients: Recipients::parse(setting(BACKUP_RECIPIENTS).as_slice())
            .map_err(RecoveryError::from)?,
        identities: identities(args.identity_file.as_ref()),
        pg_bin: args.pg_bin.clone(),
        scratch: scratch.map_err(RecoveryError::ScratchUrl)?,
        objectives: args.objectives(),
    };
    Box::pin(drill(&options, ended)).await
}

impl DrillArgs {
    fn objectives(&self) -> Objectives {
        let signed =
            |time: Option<Duration>| time.and_then(|time| SignedDuration::try_from(time).ok());
        Objectives { rpo: signed(self.rpo), rto: signed(self.rto), rpo_days: self.rpo_days }
    }

    fn api(&self) -> String {
        self.api.clone().or_else(|| setting(AGENTFS_URL)).unwrap_or_else(|| {
            let port = setting(PORT).unwrap_or_else(|| DEFAULT_PORT.to_owned());
            format!("http://127.0.0.1:{port}")
        })
    }
}

/// A drill as it is printed.
#[derive(Debug, Serialize)]
struct Printed {
    /// Whether the marker came back, or the entries of a given backup, all objectives are met and nothing is left.
    passed: bool,
    instance: String,
    begun_at: String,
    backup: Option<String>,
    /// Whether that was given, and is not the drill's own.
    backup_given: bool,
    /// Entries of a given backup that the API has answered as it holds them.
    served: Option<usize>,
    dump_bytes: Option<u64>,
    rows: Option<i64>,
    steps: Vec<Step>,
    /// What a disaster would have lost: the greater of the next two. Of a given backup, its age.
    rpo_seconds: Option<f64>,
    greatest_gap_seconds: Option<f64>,
    newest_backup_age_seconds: Option<f64>,
    rpo_days: u32,
    /// Backups that count for the recovery point.
    backups: usize,
    /// The sum of the steps of [`TO_SERVING`].
    serving_seconds: Option<f64>,
    /// The same + index.
    indexed_seconds: Option<f64>,
    rpo_objective_seconds: Option<f64>,
    rto_objective_seconds: Option<f64>,
    missed: Vec<String>,
    failure: Option<String>,
    /// What could not be removed.
    left: Vec<String>,
    /// What the location keeps by object lock.
    protected: Vec<String>,
}

impl Printed {
    fn of(report: Report, objectives: Objectives) -> Self {
        let seconds = |duration: Option<SignedDuration>| duration.map(|d| d.as_secs_f64());
        let RecoveryPoint { backups, greatest_gap, newest_age } = report.point;
        let missed: Vec<String> = report.missed.iter().map(ToString::to_string).collect();
        Self {
            passed: report.failure.is_none() && missed.is_empty() && report.left.is_empty(),
            instance: report.instance,
            begun_at: report.begun_at.to_string(),
            backup: report.manifest.as_ref().map(|manifest| manifest.id().to_owned()),
            backup_given: report.is_given,
            served: report.served,
            dump_bytes: report.manifest.as_ref().map(|manifest| manifest.bytes),
            rows: report.manifest.as_ref().map(Manifest::rows),
            steps: report.steps,
            rpo_seconds: seconds(report.point.worst()),
            greatest_gap_seconds: seconds(greatest_gap),
            newest_backup_age_seconds: seconds(newest_age),
            rpo_days: objectives.rpo_days,
            backups,
            serving_seconds: report.time.map(|time| time.serving_seconds),
            indexed_seconds: report.time.map(|time| time.indexed_seconds),
            rpo_objective_seconds: seconds(objectives.rpo),
            rto_objective_seconds: seconds(objectives.rto),
            missed,
            failure: report.failure.map(|error| error.to_string()),
            left: report.left,
            protected: report.protected,
        }
    }

    /// Why the drill did not pass, in one sentence.
    fn sentence(&self) -> Option<String> {
        let failure = self.failure.iter().map(|why| format!("the drill failed: {why}"));
        let left = self.left.iter().map(|what| format!("not removed: {what}"));
        let said: Vec<String> = failure.chain(self.missed.iter().cloned()).chain(left).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    fn for_kubernetes(&self, transient: bool) -> DrillReport {
        DrillReport {
            passed: self.passed,
            message: self.sentence(),
            transient: (!self.passed).then_some(transient),
            rpo_seconds: self.rpo_seconds,
            serving_seconds: self.serving_seconds,
            indexed_seconds: self.indexed_seconds,
            objectives: self.kept(),
            steps: self.steps.clone(),
        }
    }

    /// Whether all objectives are met; `None` where there are none, or a drill that failed did not measure all.
    fn kept(&self) -> Option<Kept> {
        match (self.rpo_objective_seconds.or(self.rto_objective_seconds), &*self.missed) {
            (None, _) => None,
            (Some(_), []) => self.failure.is_none().then_some(Kept::Met),
            (Some(_), _) => Some(Kept::Missed),
        }
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came_back = match self.served {
            None => "the marker came back".to_owned(),
            Some(served) => {
                let backup = self.backup.as_deref().unwrap_or_default();
                format!("the backup {backup} came back and served {served} of {served} entries")
            }
        };
        let outcome = match (&self.failure, self.passed) {
            (Some(_), _) => "failed".to_owned(),
            (None, true) => format!("passed: {came_back}"),
            (None, false) => format!("did not pass, though {came_back}"),
        };
        writeln!(f, "The drill of {} at {} {outcome}", self.instance, self.begun_at)?;
        writeln!(f, "{}", Seconds(&self.steps))?;
        let wanted = |objective: Option<f64>, measured: Option<f64>| match objective {
            None => String::new(),
            Some(wanted) => {
                let met = measured.is_some_and(|measured| measured <= wanted);
                format!(" ({} wanted: {})", of_seconds(wanted), if met { "met" } else { "missed" })
            }
        };
        match (self.rpo_seconds, self.newest_backup_age_seconds) {
            (Some(rpo), _) if self.backup_given => write!(
                f,
                "  RPO  {}{}: the age of the backup {}",
                of_seconds(rpo),
                wanted(self.rpo_objective_seconds, Some(rpo)),
                self.backup.as_deref().unwrap_or_default()
            )?,
            (Some(rpo), Some(age)) => write!(
                f,
                "  RPO  {}{}: the newest of {} restorable backups is {} old{}",
                of_seconds(rpo),
                wanted(self.rpo_objective_seconds, Some(rpo)),
                self.backups,
                of_seconds(age),
                self.greatest_gap_seconds.map_or_else(String::new, |gap| format!(
                    ", the greatest gap in {} days is {}",
                    self.rpo_days,
                    of_seconds(gap)
                ))
            )?,
            _ => write!(
                f,
                "  RPO  everything{}: there is no restorable backup",
                wanted(self.rpo_objective_seconds, None)
            )?,
        }
        if let Some((serving, indexed)) = self.serving_seconds.zip(self.indexed_seconds) {
            write!(
                f,
                "\n  RTO  {}{} to serving ({}), {} to indexed",
                of_seconds(serving),
                wanted(self.rto_objective_seconds, Some(serving)),
                TO_SERVING.join(", "),
                of_seconds(indexed)
            )?;
        }
        self.protected.iter().try_for_each(|what| write!(f, "\n  kept by object lock: {what}"))
    }
}

fn of_seconds(seconds: f64) -> String {
    SignedDuration::try_from_secs_f64(seconds).map(brief).unwrap_or_default()
}
