//! The volumes that backups are restored into for a look: each lives as long as its pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::conditions::Failure;
use super::pods;
use super::reasons::VOLUME_PENDING;
use super::sentences::without_full_stop;

/// What PostgreSQL and the system say where a volume is full.
const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// Whether these words say that a volume is full.
pub fn is_full(words: &str) -> bool {
    FULL.iter().any(|full| words.contains(full))
}

/// Why the volume of its own that one of `pods` waits for does not come, where that is `said`. `field` describes the volume, in words
/// for somebody who is to set it.
pub fn missing(pods: &[&Pod], said: &BTreeMap<String, String>, field: &str) -> Option<Failure> {
    let mut claims = pods.iter().flat_map(|pod| pods::claims(pod));
    let said = claims.find_map(|claim| said.get(&claim))?;
    Some(Failure::new(
        VOLUME_PENDING,
        format!("The volume to restore into does not come: {}", without_full_stop(said)),
        format!("Mend what the sentence names, or set {field}; it goes on by itself."),
    ))
}
