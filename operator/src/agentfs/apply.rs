//! The fourth call of a reconcile: write what differs, in an order in which each object finds what it
//! needs, and remove what is no longer wanted.

use kube::Client;

use super::observe::Observed;
use super::parts::Children;
use crate::kit::blockers::Blocker;
use crate::kit::desired::{Applied, Prepared};
use crate::kit::writer::Writer;

pub use crate::kit::writer::Error;

/// What became of the children.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The children as the API server has them.
    pub children: Children<Applied>,
    /// What keeps some of them from being as they should: what was known before, and what the API
    /// server refused.
    pub blockers: Vec<Blocker>,
}

/// Writes what differs between `children` and what was `observed`. Objects that the API server refuses
/// are noted as blockers, and the others are written nevertheless.
pub async fn apply(
    client: &Client,
    namespace: &str,
    children: Children<Prepared>,
    observed: &Observed,
    blockers: Vec<Blocker>,
) -> Result<Outcome, Error> {
    let mut writer = Writer::new(client, namespace, blockers);
    let children = Box::pin(children.write(&mut writer, &observed.parts)).await?;
    Ok(Outcome { children, blockers: writer.blockers })
}
