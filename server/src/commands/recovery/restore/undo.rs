//! `restore --undo`: what was live before the last restore in place is live again.

use super::arguments::RestoreArgs;
use super::asking::Asking;
use super::printing::{Act, Printed};
use super::{Failure, strategies};
use crate::recovery::RecoveryError;

pub(super) async fn run(
    args: &RestoreArgs,
    ended: impl Future<Output = RecoveryError> + Send,
) -> Result<(), Failure> {
    let options = args.undo_options()?;
    let asking = Asking::new(args.yes);
    let undone = strategies::undo(&options, args.lost_to.is_some(), &asking, ended).await?;
    Printed::new(Act::Undone, undone).tell(args, &options.url).await
}
