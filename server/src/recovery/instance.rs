//! Which database a backup is of, and which history of it.

use std::fmt;

use super::error::RecoveryError;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::connection::snapshot::Identity;

/// A database and its history: after a recovery to a point in time, or on a copy of its volume, it is another instance, so that
/// neither removes the other's backups. It is a part of the names of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    name: String,
}

impl Instance {
    /// The instance of a database; `copy` tells it from copies with the same history, such as the uid of its volume's claim.
    pub fn of(identity: &Identity, copy: Option<&str>) -> Self {
        let Identity { system, timeline, database } = identity;
        let mut name = format!("{system}-{timeline}-{}", escaped(database));
        if let Some(copy) = copy.filter(|copy| !copy.is_empty()) {
            name = format!("{name}-{}", escaped(copy));
        }
        Self { name }
    }

    /// The instance of this name, as manifests have it.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// The instance that a URL leads to now; asks it.
    pub async fn of_database(url: &DatabaseUrl, copy: Option<&str>) -> Result<Self, RecoveryError> {
        let identity = Identity::of(&DatabaseAddress::of(url)).await?;
        Ok(Self::of(&identity, copy))
    }

    /// Whether a manifest with this `instance` is of this instance. Releases before 0.2 wrote it without the history.
    pub fn is(&self, instance: &str) -> bool {
        instance == self.name || Self::succeeds(&self.name, instance)
    }

    /// Whether it is of the database that is told from its copies by `copy`.
    pub fn is_of(&self, copy: &str) -> bool {
        self.name.split('-').nth(3) == Some(&escaped(copy))
    }

    /// Whether `name` is of the database that releases before 0.2 called `former`, as far as these knew.
    pub(super) fn succeeds(name: &str, former: &str) -> bool {
        let Some((system, database)) = former.split_once('/') else { return false };
        let mut parts = name.split('-');
        parts.next() == Some(system) && parts.nth(1) == Some(&escaped(database))
    }

    /// Its name, which is that of the folder of its backups.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A text of letters, digits, `_` and `.` alone; other characters become their code points, such as `~2f`.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => c.to_string(),
        c => format!("~{:x}", u32::from(c)),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(timeline: u32, database: &str) -> Identity {
        Identity { system: "74".into(), timeline, database: database.into() }
    }

    #[test]
    fn another_history_is_another_instance() {
        let of = |timeline, copy| Instance::of(&identity(timeline, "agentfs"), copy);
        assert_eq!(of(1, None).name(), "74-1-agentfs");
        assert_ne!(of(1, None), of(2, None));
        assert_ne!(of(1, Some("claim-a")), of(1, Some("claim-b")));
        assert!(of(1, None).is("74-1-agentfs") && of(2, None).is("74/agentfs"));
        assert_eq!(Instance::named(of(1, Some("claim-a")).name()), of(1, Some("claim-a")));
        assert!(of(1, Some("claim-a")).is_of("claim-a") && !of(1, Some("claim-a")).is_of("claim"));
        assert!(!of(1, None).is_of("agentfs"));
        assert!(!of(2, None).is("74-1-agentfs") && !of(1, None).is("75/agentfs"));
        let succeeds = |former| Instance::succeeds(of(2, Some("claim")).name(), former);
        assert!(succeeds("74/agentfs") && !succeeds("74/agent") && !succeeds("7/agentfs"));
    }

    #[test]
    fn no_two_databases_have_one_name_and_none_leads_elsewhere() {
        let name = |database| Instance::of(&identity(1, database), None).name().to_owned();
        assert_eq!(name("../my-db"), "74-1-..~2fmy~2ddb");
        assert_ne!(name("a-b"), Instance::of(&identity(1, "a"), Some("b")).name());
    }
}
