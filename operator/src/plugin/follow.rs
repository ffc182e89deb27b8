//! Waits for what was asked for, and tells how it goes.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use super::cli::ActionFlags;
use super::cluster::{Cluster, Found, Kind};
use super::error::Error;
use super::output::{name, object as object_text, print};
use super::screen::Screen;
use super::table::Row;
use super::words::{condition, elapsed, holds};

/// How often the API server is asked.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How many looks in a row something waits for the same before that is told: the operator needs a moment for what is new.
const PATIENCE: u32 = 3;

/// How something stands that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    /// What is done, a line each, in order. It only grows.
    pub(super) done: Vec<String>,
    /// What goes on, for example `Loading`.
    pub(super) step: String,
    /// How far that is, and what else changes.
    pub(super) far: String,
    /// What it waits for, with what to do.
    pub(super) waits_for: Option<String>,
    /// How it ended: well, or with this message.
    pub(super) end: Option<Result<(), String>>,
}

/// A kind that is carried out once, and followed.
pub(super) trait Followed: Kind {
    /// The short name of the kind for kubectl.
    const SHORT: &'static str;
    /// What Ctrl-C leaves to say of it, besides that it goes on. A sentence, or nothing.
    fn on_leaving(cluster: &Cluster, name: &str) -> String;
}

/// Creates an object named `prefix` and something, and follows it unless `action` says otherwise. `begin` says what begins, given
/// the name, and `now` how it stands.
pub(super) async fn carry_out<K: Followed + Row + Serialize>(
    cluster: &Cluster,
    screen: &mut Screen,
    action: ActionFlags,
    (mut object, prefix): (K, &str),
    begin: impl Fn(&str) -> String,
    now: impl Fn(&K) -> Now,
) -> Result<Found<K>, Error> {
    object.meta_mut().name = None;
    object.meta_mut().generate_name = Some(prefix.into());
    let mut made = cluster.create(&object).await?;
    let created = made.name().to_owned();
    let format = action.output.output;
    if action.wait {
        screen.line(&begin(&created));
        made = follow(cluster, screen, &created, now).await?;
    } else if format.is_none() {
        screen.line(&format!("{} created", name::<K>(&created)));
    }
    if let Some(format) = format {
        print(&object_text(format, &made, Timestamp::now())?)?;
    }
    Ok(made)
}

/// Follows an object to its end, and returns it as it was then. `now` says how it stands.
async fn follow<K: Followed>(
    cluster: &Cluster,
    screen: &mut Screen,
    name: &str,
    now: impl Fn(&K) -> Now,
) -> Result<Found<K>, Error> {
    let (kind, flags) = (K::kind(&()), &cluster.flags);
    let what = format!("{kind} {}/{name}", cluster.namespace);
    let leaving = format!(
        "{what} goes on in the cluster. See how it goes: kubectl get {} {name}{flags} -w.{}",
        K::SHORT,
        K::on_leaving(cluster, name)
    );
    let mut last = None;
    let looking = until_end(screen, &what, EVERY, async || {
        last = cluster.get::<K>(name).await?;
        Ok(last.as_ref().map(|found: &Found<K>| now(&found.it)))
    });
    let followed = unless_interrupted(looking, leaving).await;
    screen.settle();
    followed?;
    last.ok_or_else(|| deleted(&what))
}

/// Works until Ctrl-C is pressed; then it says this.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Error>>,
    leaving: String,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        Ok(()) = tokio::signal::ctrl_c() => Err(Error::Interrupted(leaving)),
        done = work => done,
    }
}

/// Looks again and again, tells what is new, and returns once it ended. Where the API server is away it goes on looking.
pub(super) async fn until_end(
    screen: &mut Screen,
    what: &str,
    every: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<Now>, Error>,
) -> Result<(), Error> {
    let begun = Instant::now();
    let (mut told, mut waited_for, mut looks) = (0, None, 0);
    loop {
        match look().await {
            Ok(None) => return Err(deleted(what)),
            Err(error) if error.is_passing() => {
                screen.live("away", &format!("  {error}; asking again"));
            }
            Err(error) => return Err(error),
            Ok(Some(now)) => {
                for line in now.done.iter().skip(told) {
                    screen.line(&format!("  {line}"));
                }
                told = told.max(now.done.len());
                if let Some(end) = now.end {
                    return end.map_err(|message| Error::Failed { what: what.into(), message });
                }
                looks = if now.waits_for == waited_for { looks + 1 } else { 1 };
                waited_for.clone_from(&now.waits_for);
                if let Some(waits_for) = now.waits_for.filter(|_| looks == PATIENCE) {
                    screen.line(&format!("  {waits_for}"));
                }
                let mark = format!("{} {}", now.step, tens(&now.far));
                let text = [now.step.as_str(), now.far.as_str()].join(" ");
                let passed = elapsed(begun.elapsed().as_secs());
                screen.live(&mark, &format!("  {}   {passed}", text.trim()));
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// The tens of a percentage, so that not each percent is a line where lines stay.
fn tens(far: &str) -> String {
    match far.split_once('%').and_then(|(percent, _)| percent.parse::<u8>().ok()) {
        Some(percent) => (percent / 10).to_string(),
        None => far.into(),
    }
}

fn deleted(what: &str) -> Error {
    Error::Failed { what: what.into(), message: "it was deleted before it finished".into() }
}

/// How a task ended, where it has: by its condition Ready, once it says that it is finished.
pub(super) fn end(conditions: &[Condition], is_finished: bool) -> Option<Result<(), String>> {
    let ready = condition(conditions, "Ready")?;
    let succeeded = ready.status == "True";
    let at_rest = succeeded && !holds(conditions, "Reconciling");
    (is_finished || at_rest).then(|| if succeeded { Ok(()) } else { Err(ready.message.clone()) })
}

/// What goes on, where the status has no step: the reason of Ready.
pub(super) fn step(conditions: &[Condition]) -> String {
    let ready = condition(conditions, "Ready").filter(|ready| ready.status != "Unknown");
    ready.map_or_else(|| "Waiting".to_owned(), |ready| ready.reason.clone())
}

/// What a task waits for, where that is for somebody to know: its turn, or what has to be mended.
pub(super) fn waits_for(conditions: &[Condition]) -> Option<String> {
    let ready = condition(conditions, "Ready")?;
    let waits = ready.reason == "Waiting" || ready.status == "Unknown";
    (waits || holds(conditions, "Stalled")).then(|| ready.message.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::screen::tests::Paper;
    use super::*;

    fn at(step: &str, far: &str) -> Now {
        Now { step: step.into(), far: far.into(), ..Now::default() }
    }

    async fn told(
        looks: impl IntoIterator<Item = Result<Option<Now>, Error>>,
    ) -> (Result<(), String>, String) {
        let paper = Paper::default();
        let mut looks: VecDeque<_> = looks.into_iter().collect();
        let look = async || looks.pop_front().unwrap();
        let end =
            until_end(&mut paper.screen(false), "AgentFSRestore agents/undo", Duration::ZERO, look)
                .await;
        (end.map_err(|error| error.to_string()), paper.text())
    }

    #[tokio::test]
    async fn each_step_and_each_tenth_is_a_line_and_an_outage_ends_nothing() {
        let away = Error::NotNow("etcd is away".into());
        let waiting =
            Now { waits_for: Some("AgentFSBackup nightly is first.".into()), ..at("Waiting", "") };
        let loaded = Now { done: vec!["loaded   31 s".into()], ..at("Verifying", "") };
        let ended = Now { end: Some(Ok(())), ..loaded.clone() };
        let looks = [
            Ok(Some(waiting.clone())),
            Ok(Some(waiting.clone())),
            Ok(Some(waiting.clone())),
            Ok(Some(waiting)),
            Ok(Some(at("Loading", "31%"))),
            Ok(Some(at("Loading", "37%"))),
            Err(away),
            Ok(Some(at("Loading", "41%"))),
            Ok(Some(loaded)),
            Ok(Some(ended)),
        ];
        let (end, text) = told(looks).await;
        assert_eq!(end, Ok(()));
        let without_time = |line: &'_ str| -> String {
            line.trim_end_matches(" s").trim_end_matches(char::is_numeric).to_owned()
        };
        assert_eq!(
            text.lines().map(without_time).collect::<Vec<_>>(),
            [
                "  Waiting   ",
                "  AgentFSBackup nightly is first.",
                "  Loading 31%   ",
                "  the cluster cannot do it now: etcd is away; asking again",
                "  Loading 41%   ",
                "  loaded   ",
                "  Verifying   ",
            ]
        );
    }

    #[tokio::test]
    async fn what_failed_or_was_deleted_is_told() {
        let failed = Now { end: Some(Err("The backup is broken.".into())), ..Now::default() };
        let (end, _) = told([Ok(Some(failed))]).await;
        assert_eq!(end.unwrap_err(), "AgentFSRestore agents/undo failed: The backup is broken.");
        let (end, _) = told([Ok(Some(at("Loading", ""))), Ok(None)]).await;
        assert_eq!(
            end.unwrap_err(),
            "AgentFSRestore agents/undo failed: it was deleted before it finished"
        );
    }
}
