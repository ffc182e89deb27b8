//! What a drill measured, and whether that is within what the AgentFS declares.

use agentfs_contract::termination::DrillReport;
use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::crd::agentfs::Objectives;
use crate::crd::drill::{AgentFSDrillStatus, TimedStep};

/// Notes in `status` what a drill measured, held against what is `declared`.
pub(super) fn measured(
    status: &mut AgentFSDrillStatus,
    report: &DrillReport,
    declared: Objectives,
) {
    status.rpo_seconds = report.rpo_seconds.map(whole_seconds);
    status.rto_seconds = report.serving_seconds.map(whole_seconds);
    status.rpo = status.rpo_seconds.map(for_people);
    status.rto = status.rto_seconds.map(for_people);
    let pairs = [(declared.rpo, report.rpo_seconds), (declared.rto, report.serving_seconds)];
    let held: Vec<_> =
        pairs.into_iter().filter_map(|(wanted, is)| Some(is_met(&wanted?, is))).collect();
    let word = if held.iter().all(|is_met| *is_met) { "met" } else { "missed" };
    status.objectives = (!held.is_empty()).then(|| word.to_owned());
    let step = |step: &agentfs_contract::verification::Step| TimedStep {
        name: step.name.clone(),
        milliseconds: whole(step.seconds * 1000.0),
    };
    status.steps = report.steps.iter().map(step).collect();
}

/// Whether what was measured is within what is wanted. Nothing that was measured is not.
fn is_met(wanted: &str, measured: Option<f64>) -> bool {
    let wanted = duration(wanted).map(|wanted| wanted.as_secs_f64());
    wanted.zip(measured).is_some_and(|(wanted, measured)| measured <= wanted)
}

/// A duration such as `26h` or `1d12h`. A day of a backup is 24 hours.
fn duration(text: &str) -> Option<SignedDuration> {
    text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

/// Seconds, rounded up: no objective looks better than it is.
fn whole_seconds(seconds: f64) -> i64 {
    whole(seconds.ceil())
}

#[allow(clippy::cast_possible_truncation)] // what is out of all bounds becomes the greatest
fn whole(number: f64) -> i64 {
    number as i64
}

/// Seconds as people read them: `58s`, `12m5s`, `21h52m`.
fn for_people(seconds: i64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, rest) => format!("{minutes}m{rest}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use agentfs_contract::verification::Step;

    use super::*;

    fn status(
        rpo: Option<f64>,
        rto: Option<f64>,
        declared: [Option<&str>; 2],
    ) -> AgentFSDrillStatus {
        let report = DrillReport {
            passed: true,
            message: None,
            transient: None,
            rpo_seconds: rpo,
            serving_seconds: rto,
            indexed_seconds: None,
            steps: vec![Step { name: "load".into(), seconds: 1.2345 }],
        };
        let [rpo, rto] = declared.map(|text| text.map(str::to_owned));
        let mut status = AgentFSDrillStatus::default();
        measured(&mut status, &report, Objectives { rpo, rto });
        status
    }

    #[test]
    fn what_was_measured_is_for_people_and_for_programs() {
        let status = status(Some(78_720.4), Some(57.2), [None, None]);
        assert_eq!((status.rpo.as_deref(), status.rto.as_deref()), (Some("21h52m"), Some("58s")));
        assert_eq!((status.rpo_seconds, status.rto_seconds), (Some(78_721), Some(58)));
        assert_eq!(status.objectives, None, "none is declared");
        assert_eq!(status.steps[0].milliseconds, 1234);
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (725, "12m5s"), (3600, "1h"), (93_600, "26h")]
        {
            assert_eq!(for_people(seconds), text);
        }
    }

    #[test]
    fn objectives_are_met_where_all_that_are_declared_are() {
        let said = |rpo, rto, declared| status(rpo, rto, declared).objectives;
        let met = Some("met".to_owned());
        let missed = Some("missed".to_owned());
        assert_eq!(said(Some(93_600.0), Some(10.0), [Some("26h"), Some("15m")]), met);
        assert_eq!(said(Some(93_600.5), Some(10.0), [Some("26h"), Some("15m")]), missed);
        assert_eq!(said(Some(93_600.5), Some(10.0), [Some("1d3h"), None]), met);
        assert_eq!(said(None, Some(10.0), [Some("26h"), None]), missed, "there is no backup");
        assert_eq!(said(None, Some(10.0), [None, Some("15m")]), met);
    }
}
