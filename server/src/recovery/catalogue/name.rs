//! What the name of an object says: `<instance>/<id>.<suffix>`, and `<id>.<suffix>` for backups of releases before 0.2.

/// The suffix of manifests.
pub(in crate::recovery) const MANIFEST: &str = ".manifest.json";

/// What an object of a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::recovery) enum Kind {
    Manifest,
    Dump,
    /// A verification that succeeded.
    Verified,
    /// A verification that failed.
    Failed,
    Lease,
}

/// The name of an object of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::recovery) struct Name<'a> {
    /// The folder with a slash at its end; empty for backups of releases before 0.2.
    pub(in crate::recovery) folder: &'a str,
    /// The backup's id.
    pub(in crate::recovery) id: &'a str,
    pub(in crate::recovery) kind: Kind,
}

impl<'a> Name<'a> {
    /// The parts of a name; `None` where it is none of ours.
    pub(in crate::recovery) fn parse(name: &'a str) -> Option<Self> {
        let (folder, file) = name.split_at(name.rfind('/').map_or(0, |slash| slash + 1));
        let (id, suffix) = file.split_once('.')?;
        let kind = match suffix {
            "manifest.json" => Kind::Manifest,
            "dump" | "dump.age" => Kind::Dump,
            _ => match suffix.strip_suffix(".json")?.split_once('_')?.0 {
                "verified" => Kind::Verified,
                "failed" => Kind::Failed,
                "lease" => Kind::Lease,
                _ => return None,
            },
        };
        let is_ours = folder.matches('/').count() <= 1 && stamp(id).is_some();
        is_ours.then_some(Self { folder, id, kind })
    }

    /// Whether the object has to be read, for what it says.
    pub(super) fn is_read(self) -> bool {
        self.kind != Kind::Dump
    }
}

/// The moment in an id, such as `20260128_020000` in `agentfs_entries_20260128_020000`; `None` where it is no id.
pub(super) fn stamp(id: &str) -> Option<&str> {
    const SHAPE: &str = "00000000_000000";
    let rest = id.strip_prefix("agentfs_")?;
    let stamp = rest.get(rest.len().checked_sub(SHAPE.len())?..)?;
    let kind = &rest[..rest.len() - SHAPE.len()];
    let is_kind = kind.is_empty() || kind.ends_with('_');
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let is_stamp = stamp.chars().map(shape).eq(SHAPE.chars());
    (is_stamp && is_kind && kind.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_known_and_no_others() {
        let id = "agentfs_20260128_020000";
        for (suffix, kind) in [
            ("manifest.json", Kind::Manifest),
            ("dump", Kind::Dump),
            ("dump.age", Kind::Dump),
            ("verified_20260129_030000.json", Kind::Verified),
            ("failed_20260129_030000_2.json", Kind::Failed),
            ("lease_00ff.json", Kind::Lease),
        ] {
            for folder in ["", "7-1-db/"] {
                let name = format!("{folder}{id}.{suffix}");
                assert_eq!(Name::parse(&name), Some(Name { folder, id, kind }));
            }
        }
        assert!(Name::parse("agentfs_drill_20260128_020000.dump").is_some());
        for foreign in [
            "backup_20260128_020000.dump",
            "agentfs_notes.manifest.json",
            "agentfs_2026012é_02000.dump",
            "agentfs_x20260128_020000.dump",
            "agentfs_20260128_020000.dump.gz",
            "agentfs_20260128_020000.verified.json",
            "agentfs_20260128_020000",
            "a/b/agentfs_20260128_020000.dump",
            "manifest.json",
            "",
        ] {
            assert_eq!(Name::parse(foreign), None, "{foreign}");
        }
    }
}
