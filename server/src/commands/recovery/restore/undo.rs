//! `restore --undo`: what was live before the last restore in place is live again.

use agentfs_contract::request::Request;

use super::arguments::RestoreArgs;
use super::asking::Asking;
use super::printing::{Act, Printed};
use super::{Done, Failure, strategies};
use crate::recovery::RecoveryError;

pub(super) async fn run(
    args: &RestoreArgs,
    request: Option<Request>,
    ended: impl Future<Output = RecoveryError> + Send,
) -> Result<Done, Failure> {
    let options = args.undo_options(request)?;
    let asking = Asking::new(args.yes);
    let undone = strategies::undo(&options, args.lost_to.is_some(), &asking, ended).await?;
    Ok(Done::InPlace(Box::new(Printed::new(Act::Undone, undone)), options.url))
}
