//! Requeues failed embedding jobs.

use super::{Administrator, Connection, Tenancy, TenancyError, must_exist};
use crate::domain::TenantId;
use crate::store::embeddings::jobs;

impl Tenancy {
    /// Requeues failed jobs, the oldest first and at most `limit`: those of `tenant`, else of all that the administrator
    /// may administer. Returns how many.
    pub async fn requeue_failed(
        &self,
        by: Administrator,
        tenant: Option<TenantId>,
        limit: Option<i64>,
    ) -> Result<u64, TenancyError> {
        let reached = by.tenants(tenant)?;
        let requeue = move |mut connection: Connection, by: Administrator| async move {
            // The administrator's own tenant is there.
            must_exist(&mut connection, tenant).await?;
            let act = by.begin("requeue_jobs", "failed", reached);
            let requeued = jobs::requeue_failed(&mut *connection, reached, limit).await?;
            act.done(&format!("{requeued} jobs"));
            Ok(requeued)
        };
        self.to_the_end(by, requeue).await
    }
}
