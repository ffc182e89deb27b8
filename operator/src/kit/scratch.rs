//! The volumes that backups are restored into for a look: each lives as long as its pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::conditions::Failure;
use super::pods;
use super::reasons::VOLUME_PENDING;
use super::sentences::without_full_stop;
use crate::crd::fields::Quantity;

/// The field of the AgentFS that says how large the volume is.
pub const FIELD: &str = "spec.backup.verify.storage.size";

/// What PostgreSQL and the system say where a volume is full.
const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
/// What the server says where that is the location of the backups.
const OF_LOCATION: &str = "no space is left in ";

/// How large a volume of this size has to be instead, where a pod with it ended with `words` that say that it is full.
pub fn to_set(words: &str, size: &Quantity) -> Option<Quantity> {
    let is_full = FULL.iter().any(|full| words.contains(full)) && !words.contains(OF_LOCATION);
    let twice = size.bytes().filter(|_| is_full)?.saturating_mul(2);
    Some(Quantity::new(format!("{}Gi", twice.div_ceil(1 << 30))))
}

/// Why the volume of its own that one of `pods` waits for does not come, where that is `said`. `field` describes the volume, in words
/// for somebody who is to set it.
pub fn missing(pods: &[&Pod], said: &BTreeMap<String, String>, field: &str) -> Option<Failure> {
    let mut claims = pods.iter().flat_map(|pod| pods::claims(pod));
    let said = claims.find_map(|claim| said.get(&claim))?;
    Some(Failure::new(
        VOLUME_PENDING,
        format!("The volume to restore into is not available: {}", without_full_stop(said)),
        format!("Fix what the message names, or set {field}; it continues by itself."),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_volume_of_backups_is_none_of_it() {
        let said =
            |words: &str| to_set(words, &Quantity::new("2Gi")).map(|size| size.as_str().to_owned());
        for words in
            ["could not extend file: No space left on device", "Disk quota exceeded (os error 122)"]
        {
            assert_eq!(said(words).as_deref(), Some("4Gi"), "{words}");
        }
        let of_backups = "no space is left in /backups (No space left on device (os error 28)): make the volume larger";
        assert_eq!((said(of_backups), said("the database is away")), (None, None));
    }
}
