//! The roles of an instance.

/// The superuser's role.
pub(super) const SUPERUSER: &str = "postgres";
/// The role that AgentFS uses, and the name of its database.
pub(super) const OWNER: &str = "agentfs";
