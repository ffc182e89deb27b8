//! `agentfs-server admin quota show`, `quota reset` and `quota recount`.

use std::fmt;

use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::tenants::tenant_id;
use super::{AdminError, all_pages};
use crate::commands::output::Table;
use crate::domain::TenantId;
use crate::http::Usage;
use crate::store::access::quota::Count;
use crate::store::entries::stored_bytes::Counted;
use crate::tenancy::quotas::{ResetUsage, today};
use crate::tenancy::{Administrator, PageRequest, Tenancy};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum QuotaCommand {
    /// Show what tenants used on a day, and what they stored at its end
    Show(Show),
    /// Reset today's counts of a tenant to 0, effective at once: those that options name, else all
    Reset(Reset),
    /// Recount the stored bytes of tenants, which a partial restore or an older release may have left wrong
    Recount(Recount),
}

/// Whose use is to be shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The tenant. Defaults to all that used anything
    #[arg(long, value_name = "ID", value_parser = tenant_id)]
    tenant: Option<Uuid>,
    /// The day in UTC, such as 2026-01-28. Defaults to today
    #[arg(long, value_name = "DAY")]
    day: Option<Date>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    day: String,
    usage: Vec<Usage>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.usage.is_empty() {
            return write!(f, "no tenant has used anything on {}", self.day);
        }
        let rows = self.usage.iter().map(|used| {
            let counts = [
                used.writes,
                used.bytes,
                used.idempotency_keys,
                used.embed_tokens,
                used.searches,
                used.stored_bytes,
            ];
            let [writes, bytes, keys, tokens, searches, stored] =
                counts.map(|count| count.to_string());
            let tenant = used.tenant_id.to_string();
            let (name, day) = (used.name.clone(), self.day.clone());
            [tenant, name, day, writes, bytes, keys, tokens, searches, stored]
        });
        let heading = [
            "TENANT",
            "NAME",
            "DAY",
            "WRITES",
            "BYTES",
            "IDEMPOTENCY KEYS",
            "EMBED TOKENS",
            "SEARCHES",
            "STORED BYTES",
        ];
        Table::new(heading, rows).fmt(f)
    }
}

impl Show {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Shown, AdminError> {
        let tenant = self.tenant.map(TenantId);
        let day = self.day.unwrap_or_else(today);
        let page = async |page: PageRequest| {
            let used = tenancy.usage(Administrator::command(), tenant, Some(day), &page).await?;
            Ok(used.tenants)
        };
        let usage = all_pages(page).await?.into_iter().map(Usage::from).collect();
        Ok(Shown { day: day.to_string(), usage })
    }
}

/// Which counts are to be 0.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
pub(crate) struct Reset {
    /// The tenant
    #[arg(long, value_name = "ID", value_parser = tenant_id)]
    tenant: Uuid,
    /// Reset the count of writes
    #[arg(long)]
    writes: bool,
    /// Reset the count of bytes written
    #[arg(long)]
    bytes: bool,
    /// Reset the count of idempotency keys
    #[arg(long)]
    idempotency_keys: bool,
    /// Reset the count of searches
    #[arg(long)]
    searches: bool,
    /// Reset the count of embedded tokens
    #[arg(long)]
    embed_tokens: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Emptied {
    ok: bool,
    tenant_id: Uuid,
    day: String,
    reset: Vec<&'static str>,
    /// False when nothing had been used yet.
    used_before: bool,
}

impl fmt::Display for Emptied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant_id, day, reset, .. } = self;
        if self.used_before {
            write!(f, "{} of tenant {tenant_id} on {day} set to 0", reset.join(", "))
        } else {
            write!(f, "tenant {tenant_id} has used nothing on {day}")
        }
    }
}

impl Reset {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Emptied, AdminError> {
        let counts = self.counts();
        let tenant = TenantId(self.tenant);
        let ResetUsage { day, used_before } =
            tenancy.reset_usage(Administrator::command(), tenant, &counts).await?;
        Ok(Emptied {
            ok: true,
            tenant_id: self.tenant,
            day: day.to_string(),
            reset: counts.into_iter().map(Count::as_str).collect(),
            used_before,
        })
    }

    fn counts(&self) -> Vec<Count> {
        let is_meant = |count: &Count| match count {
            Count::Writes => self.writes,
            Count::Bytes => self.bytes,
            Count::IdempotencyKeys => self.idempotency_keys,
            Count::Searches => self.searches,
            Count::EmbedTokens => self.embed_tokens,
        };
        let meant: Vec<Count> = Count::ALL.into_iter().filter(is_meant).collect();
        if meant.is_empty() { Count::ALL.to_vec() } else { meant }
    }
}

/// Whose stored bytes are to be counted.
#[derive(Debug, clap::Args)]
pub(crate) struct Recount {
    /// The tenant. Defaults to all
    #[arg(long, value_name = "ID", value_parser = tenant_id)]
    tenant: Option<Uuid>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Recounted {
    ok: bool,
    tenants: Vec<RecountedRow>,
}

#[derive(Debug, Serialize)]
struct RecountedRow {
    tenant_id: Uuid,
    stored_bytes: i64,
    /// Before the count.
    stored_bytes_before: i64,
}

impl fmt::Display for Recounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.tenants.iter().map(|counted| {
            let bytes = [counted.stored_bytes, counted.stored_bytes_before];
            let [now, before] = bytes.map(|bytes| bytes.to_string());
            [counted.tenant_id.to_string(), now, before]
        });
        Table::new(["TENANT", "STORED BYTES", "BEFORE"], rows).fmt(f)
    }
}

impl Recount {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Recounted, AdminError> {
        let counted = tenancy.recount(Administrator::command(), self.tenant.map(TenantId)).await?;
        let row = |counted: Counted| RecountedRow {
            tenant_id: counted.tenant.0,
            stored_bytes: counted.now,
            stored_bytes_before: counted.before,
        };
        Ok(Recounted { ok: true, tenants: counted.into_iter().map(row).collect() })
    }
}
