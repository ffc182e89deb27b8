//! `restore --in-place`: puts a backup in the place of what is live.

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
    let options = args.in_place_options(request)?;
    let asking = Asking::new(args.yes);
    let restored = strategies::restore(args.strategy(), &options, &asking, ended).await?;
    Ok(Done::InPlace(Box::new(Printed::new(Act::Restored, restored)), options.of.url))
}
