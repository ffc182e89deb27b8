//! The third call of a reconcile: every object of a plan, made without any I/O. Each is held by a golden
//! file in `tests/snapshots`.

pub use super::parts::Children;
use super::plan::Plan;
use crate::kit::desired::Prepared;

/// Makes every object of `plan`.
pub fn build(plan: &Plan) -> Result<Children<Prepared>, serde_json::Error> {
    Children::build(plan)
}
