//! Events: what changed, for `kubectl describe` and `kubectl get events`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};

use super::conditions::{READY, State};

/// The Events that tell what changed between two lists of conditions: a Warning for each failure that
/// is new, once, and a Normal one when all is well again.
pub fn changes(
    states: &[(&'static str, State)],
    before: &[Condition],
    after: &[Condition],
) -> Vec<Event> {
    let mut told: Vec<&State> = Vec::new();
    let mut events = Vec::new();
    // Ready repeats what another condition says in detail, so it comes last.
    let (ready, others): (Vec<_>, Vec<_>) = states.iter().partition(|(kind, _)| *kind == READY);
    for (kind, state) in others.into_iter().chain(ready) {
        let Some(now) = after.iter().find(|c| c.type_ == *kind) else { continue };
        let was = before.iter().find(|c| c.type_ == *kind);
        let changed = was.is_none_or(|was| {
            (&was.status, &was.reason, &was.message) != (&now.status, &now.reason, &now.message)
        });
        let is_news = match state {
            State::Failed(_) => changed && !told.contains(&state),
            // What somebody wanted is told when it has come: that it is ready, or that it is stopped.
            State::True { .. } | State::False { .. } => {
                *kind == READY && was.is_none_or(|was| was.reason != now.reason)
            }
            _ => false,
        };
        told.push(state);
        if is_news {
            events.push(Event {
                type_: if state.is_failed() { EventType::Warning } else { EventType::Normal },
                reason: now.reason.clone(),
                note: Some(now.message.chars().take(1000).collect()),
                action: (*kind).into(),
                secondary: None,
            });
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::kit::conditions::{Failure, condition};
    use crate::kit::reasons::{self, Reason};

    const DATABASE_READY: &str = "DatabaseReady";

    fn told(
        states: &[(&'static str, State)],
        before: &[Condition],
    ) -> (Vec<Event>, Vec<Condition>) {
        let render = |(kind, f): &(&'static str, State)| {
            condition(kind, f, before, Some(1), Timestamp::UNIX_EPOCH)
        };
        let after: Vec<_> = states.iter().map(render).collect();
        (changes(states, before, &after), after)
    }

    #[test]
    fn one_trouble_is_told_once_and_its_end_is_told() {
        let wrong = State::Failed(Failure::new(reasons::UNSCHEDULABLE, "No node", "Add one."));
        let bad = [(READY, wrong.clone()), (DATABASE_READY, wrong)];
        let (first, conditions) = told(&bad, &[]);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].type_, EventType::Warning);
        assert_eq!(
            (first[0].reason.as_str(), first[0].action.as_str()),
            ("Unschedulable", DATABASE_READY)
        );
        let (again, conditions) = told(&bad, &conditions);
        assert!(again.is_empty());
        let well = [
            (READY, State::true_because(reasons::READY, "It answers.")),
            (DATABASE_READY, State::true_because(Reason::new("Running"), "x")),
        ];
        let (end, conditions) = told(&well, &conditions);
        assert_eq!(end.iter().map(|e| e.reason.as_str()).collect::<Vec<_>>(), ["Ready"]);
        assert!(told(&well, &conditions).0.is_empty());
    }
}
