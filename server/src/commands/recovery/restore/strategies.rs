//! The ways in which a restore takes the place of what is live, and what was live before goes again.

use std::time::Duration;

use super::Failure;
use super::arguments::{NOT_LISTED, Strategy};
use super::asking::{Asking, Restoring, Undoing};
use super::progress::Shown;
use crate::recovery::RecoveryError;
use crate::recovery::progress;
use crate::recovery::restore::in_place::{
    self, Dropped, InPlaceOptions, Plan, Switched, UndoOptions, clean,
};
use crate::recovery::restore::{kept, rename};
use crate::settings::DatabaseUrl;

/// Restores in place, once somebody has agreed.
pub(super) async fn restore(
    strategy: Strategy,
    options: &InPlaceOptions,
    asking: &Asking,
    stop: impl Future<Output = RecoveryError> + Send,
) -> Result<Switched, Failure> {
    let shown = Shown::new();
    let agrees = |plan: &Plan| {
        shown.clear();
        let keep_previous = match strategy {
            Strategy::Clean => Duration::ZERO,
            Strategy::SwapSchema | Strategy::RenameDatabase => options.keep_previous,
        };
        let restoring = Restoring { plan, keep_previous };
        match plan.dropped_versions {
            // A resource is carried out as it is declared: nobody could answer, or run another command first.
            1.. if options.of.request.is_none() => asking.agrees_to_drop(&restoring),
            _ => asking.agrees(&restoring),
        }
    };
    let show = |update: &_| {
        shown.show(update);
        progress::update(update);
    };
    let restored = match strategy {
        Strategy::SwapSchema => Box::pin(in_place::restore(options, agrees, &show, stop)).await,
        Strategy::RenameDatabase => Box::pin(rename::restore(options, agrees, &show, stop)).await,
        Strategy::Clean => Box::pin(clean::restore(options, agrees, &show, stop)).await,
    };
    restored.map_err(|error| asking.explain(error))
}

/// Undoes the last restore in place, once somebody has agreed. `lists`: whether each lost version is to be listed.
pub(super) async fn undo(
    options: &UndoOptions,
    lists: bool,
    asking: &Asking,
    stop: impl Future<Output = RecoveryError> + Send,
) -> Result<Switched, Failure> {
    let shown = Shown::new();
    clean::refuse_undo(&options.url).await?;
    let kept = kept(&options.url).await?;
    let agrees = |plan: &_| {
        shown.clear();
        asking.agrees(&Undoing(plan, &kept))
    };
    let show = |update: &_| {
        shown.show(update);
        progress::update(update);
    };
    let undone = if rename::is_last(&options.url).await? {
        if lists {
            return Err(Failure::said(NOT_LISTED));
        }
        Box::pin(rename::undo(options, agrees, &show, stop)).await
    } else {
        Box::pin(in_place::undo(options, agrees, &show, stop)).await
    };
    undone.map_err(|error| asking.explain(error))
}

/// Drops what was live before the last restore in place.
pub(super) async fn drop_previous(url: &DatabaseUrl) -> Result<Dropped, RecoveryError> {
    if rename::is_last(url).await? {
        return rename::drop_previous(url).await;
    }
    in_place::drop_previous(url).await
}
