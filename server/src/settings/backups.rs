//! Settings of backups that an API looks at.

use agentfs_contract::setting::{BACKUP_INSTANCE, BACKUP_LOCATION};

use super::reader::{Described, Reader};

/// Where the backups of the database are, for gauges of them.
#[derive(Debug, Clone, Default)]
pub struct BackupSettings {
    /// Where they are kept; `None` shows no gauges.
    pub location: Option<String>,
    /// What tells the database from copies with the same history.
    pub instance: Option<String>,
}

impl BackupSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[
        Described {
            name: BACKUP_LOCATION,
            about: "where `backup` stores backups, for metrics about them: a folder, or s3://bucket/prefix (none)",
        },
        Described {
            name: BACKUP_INSTANCE,
            about: "tells the database apart from copies with the same history; the same as for `backup` (none)",
        },
    ];

    pub(super) fn read(reader: &Reader<'_>) -> Self {
        Self { location: reader.text(BACKUP_LOCATION), instance: reader.text(BACKUP_INSTANCE) }
    }
}
