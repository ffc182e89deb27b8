//! `agentfs-server admin requeue`.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::AdminError;
use super::tenants::tenant_id;
use crate::domain::TenantId;
use crate::tenancy::{Administrator, Tenancy};

/// Which jobs are to be tried again.
#[derive(Debug, clap::Args)]
pub(crate) struct Requeue {
    /// The current status of the jobs
    #[arg(long, value_enum)]
    status: Status,
    /// Requeue at most this many, the oldest first. Defaults to all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// The tenant of the jobs. Defaults to all tenants
    #[arg(long, value_name = "ID", value_parser = tenant_id)]
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
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Requeued, AdminError> {
        let tenant = self.tenant.map(TenantId);
        let requeued = match self.status {
            Status::Failed => {
                tenancy.requeue_failed(Administrator::command(), tenant, self.limit).await?
            }
        };
        Ok(Requeued { ok: true, requeued })
    }
}
