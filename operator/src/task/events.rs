//! The Events of a task's steps, besides those that its end and its failures give.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};

use super::reasons::TRYING_AGAIN;
use super::{Task, step_word};
use crate::crd::fields::Conditions as _;
use crate::kit::conditions::{READY, RECONCILING};

/// What there is to tell of a status that comes after another: a new step, or that what it waits for is something else. `progress`
/// is the step that its pod says, for kinds whose status has none.
pub fn steps<T: Task>(
    before: Option<&T::Status>,
    after: &T::Status,
    progress: Option<&str>,
) -> Option<Event> {
    let ready = |status: &T::Status| find(status.conditions(), READY).cloned();
    let (was, now) = (before.and_then(ready), ready(after)?);
    // What has ended or is wrong is told by its condition.
    find(after.conditions(), RECONCILING)?;
    let is_other = |of: fn(&Condition) -> &str| was.as_ref().is_none_or(|was| of(was) != of(&now));
    let reason = match (T::step(after), progress) {
        (Some(step), _) if before.and_then(T::step) != Some(step) => step.to_owned(),
        (None, Some(step)) if is_other(|c| &c.message) => step_word(step),
        _ if is_other(|c| &c.reason) => now.reason,
        _ => return None,
    };
    // It goes on by itself, but somebody may have to mend what the try failed for.
    let has_failed = reason == TRYING_AGAIN.as_str();
    Some(Event {
        type_: if has_failed { EventType::Warning } else { EventType::Normal },
        reason,
        note: Some(now.message.chars().take(1000).collect()),
        action: READY.into(),
        secondary: None,
    })
}

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}
