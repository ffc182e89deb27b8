//! The Events of a task's steps, besides those that its end and its failures give.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};

use super::Task;
use crate::crd::fields::Conditions as _;
use crate::kit::conditions::{READY, RECONCILING};

/// What there is to tell of a status that comes after another: a new step, or that what it waits for is something else.
pub fn steps<T: Task>(before: Option<&T::Status>, after: &T::Status) -> Option<Event> {
    let (was, is) = (before.and_then(T::step), T::step(after));
    let ready = |status: &T::Status| find(status.conditions(), READY).cloned();
    let now = ready(after)?;
    // Another word of the step, or of why it is not ready while that is well: what ends or is wrong is told by its condition.
    find(after.conditions(), RECONCILING)?;
    let is_news = before.and_then(ready).is_none_or(|before| before.reason != now.reason);
    let reason = match is {
        Some(step) if was != Some(step) => step.to_owned(),
        _ if is_news => now.reason,
        _ => return None,
    };
    Some(Event {
        type_: EventType::Normal,
        reason,
        note: Some(now.message.chars().take(1000).collect()),
        action: READY.into(),
        secondary: None,
    })
}

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}
