//! The roles of an instance.

/// The superuser's role.
pub(crate) const SUPERUSER: &str = "postgres";
/// The role that AgentFS uses, and the name of its database.
pub(crate) const OWNER: &str = "agentfs";
