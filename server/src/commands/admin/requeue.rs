//! `agentfs-server admin requeue`.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::{AdminError, must_exist, open};
use crate::store::connection::address::DatabaseAddress;
use crate::store::embeddings::jobs;

/// Which jobs are to be tried again.
#[derive(Debug, clap::Args)]
pub(crate) struct Requeue {
    /// The jobs' present status
    #[arg(long, value_enum)]
    status: Status,
    /// At most so many, the oldest first; without it all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// The tenant whose jobs they are; without it those of all
    #[arg(long, value_name = "ID")]
    tenant: Option<Uuid>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Status {
    // Given up after the last attempt.
    Failed,
}

#[derive(Debug, Serialize)]
pub(crate) struct Requeued {
    ok: bool,
    requeued: u64,
}

impl fmt::Display for Requeued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.requeued {
            1 => f.write_str("1 job is queued again"),
            n => write!(f, "{n} jobs are queued again"),
        }
    }
}

impl Requeue {
    pub(crate) async fn run(&self, address: &DatabaseAddress) -> Result<Requeued, AdminError> {
        let mut connection = open(address).await?;
        let tenant = must_exist(&mut connection, self.tenant).await?;
        let requeued = match self.status {
            Status::Failed => jobs::requeue_failed(&mut connection, tenant, self.limit).await?,
        };
        Ok(Requeued { ok: true, requeued })
    }
}
