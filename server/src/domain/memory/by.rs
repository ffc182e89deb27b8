//! Whose memory is written, and by which key.

use crate::domain::TenantId;
use crate::domain::access::api_key::KeyId;

/// Who writes: versions keep the key that wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// The tenant whose memory it is.
    pub tenant: TenantId,
    /// The key; none where it is written without one.
    pub key: Option<KeyId>,
}

impl From<TenantId> for By {
    fn from(tenant: TenantId) -> Self {
        Self { tenant, key: None }
    }
}
