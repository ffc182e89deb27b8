//! How backups are encrypted, and what decrypts them.

use agentfs_contract::setting;

use super::attachments::Attachments;
use super::secrets::Needed;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::Encryption;
use crate::kit::blockers::Blocker;

/// What a pod needs to encrypt and, where the spec has an identity, to decrypt. `None` where the Secret of that cannot be had, of which
/// a blocker tells.
pub fn attachments(
    encryption: Option<&Encryption>,
    inputs: &PlanInputs<'_>,
    blockers: &mut Vec<Blocker>,
) -> Option<Attachments> {
    let Some(encryption) = encryption else { return Some(Attachments::default()) };
    let recipients = (setting::BACKUP_RECIPIENTS, encryption.recipients.join(","));
    let attachments = Attachments::variables([recipients]);
    let Some(identity) = &encryption.identity_secret_ref else { return Some(attachments) };
    let is_there = Needed::identity(identity).can_be_had(inputs, blockers);
    is_there.then(|| attachments.with_entry(setting::BACKUP_IDENTITY_FILE, "identity", identity))
}
