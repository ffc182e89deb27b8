//! The options that say which backups are kept.

use crate::recovery::Retention;
use crate::recovery::forget::Protected;

// Without docs, which clap would take for those of the commands. `backups` has these options too, to say what `backup` will keep.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct RetentionArgs {
    /// How many days to keep backups
    #[arg(long, default_value_t = 30, value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(0..=36_500))]
    retention_days: u32,
    /// How many of the newest backups to keep whatever their age, at least one
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    keep_last: usize,
    /// For how many days (UTC) to keep the newest backup of each day
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_daily: usize,
    /// For how many weeks, from Monday, to keep the newest backup of each week
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_weekly: usize,
    /// For how many months to keep the newest backup of each month
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_monthly: usize,
}

impl RetentionArgs {
    pub(super) fn policy(self) -> Retention {
        let Self { retention_days: days, keep_last, keep_daily, keep_weekly, keep_monthly } = self;
        Retention { days, keep_last, keep_daily, keep_weekly, keep_monthly }
    }
}

/// What is to be said of backups that should have gone; empty where there are none.
pub(super) fn told(backups: &[Protected]) -> String {
    let tell = |Protected { backup, until }: &Protected| match until {
        Some(until) => format!("; {backup} is protected until {until:.0}"),
        None => format!("; {backup} is protected by its location"),
    };
    backups.iter().map(tell).collect()
}
