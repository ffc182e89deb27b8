//! `restore --in-place`: puts a backup in the place of what is live.

use super::arguments::RestoreArgs;
use super::asking::Asking;
use super::printing::{Act, Printed};
use super::{Failure, strategies};
use crate::recovery::RecoveryError;

pub(super) async fn run(
    args: &RestoreArgs,
    ended: impl Future<Output = RecoveryError> + Send,
) -> Result<(), Failure> {
    let options = args.in_place_options()?;
    let asking = Asking::new(args.yes);
    let restored = strategies::restore(args.strategy(), &options, &asking, ended).await?;
    Printed::new(Act::Restored, restored).tell(args, &options.of.url).await
}
