//! `restore --drop-previous`: frees the room of what was live before.

use std::fmt;

use serde::Serialize;

use super::arguments::RestoreArgs;
use super::asking::{Asking, others, which};
use super::{Failure, strategies};
use crate::recovery::restore::in_place::Dropped;
use crate::recovery::restore::{Kept, kept};
use crate::recovery::{RecoveryError, size};
use crate::settings::DatabaseSettings;

/// What is about to be dropped.
struct Dropping<'a>(&'a [Kept]);

impl fmt::Display for Dropping<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dropping what was live before the last restore in place")?;
        if let [last, ..] = self.0 {
            write!(f, ", {}", which(last))?;
        }
        f.write_str(": after that it cannot be undone.")?;
        others(f, self.0)
    }
}

pub(super) async fn run(args: &RestoreArgs) -> Result<(), Failure> {
    let url = DatabaseSettings::url_from_env().map_err(RecoveryError::from)?;
    let asking = Asking::new(args.yes);
    let kept = kept(&url).await?;
    if !asking.agrees(&Dropping(&kept)) {
        return Err(asking.not_agreed());
    }
    let dropped = strategies::drop_previous(&url).await?;
    args.output.print(&Printed(dropped)).map_err(|error| Failure::of_output(&error))
}

/// What was dropped, as it is printed.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Printed(Dropped);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Dropped { restore: Some(restore), bytes } => {
                write!(
                    f,
                    "Dropped what was live before the restore {restore}: {} are free",
                    size(*bytes)
                )
            }
            Dropped { restore: None, .. } => {
                write!(f, "Nothing to drop: no data from before a restore in place is kept")
            }
        }
    }
}
