//! Where backups are kept: a volume that the operator makes, one of somebody's, or a bucket.

use std::collections::BTreeMap;

use agentfs_contract::setting;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Volume};

use super::attachments::Attachments;
use super::secrets::Needed;
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::{Algorithm, Backup, S3};
use crate::kit::blockers::Blocker;
use crate::kit::validation::Invalid;
use crate::kit::volumes::VolumePlan;

/// Where the backups are seen in a pod.
const FOLDER: &str = "/backups";

/// Where backups are kept.
#[derive(Clone, Debug)]
pub enum Destination {
    /// In a volume that the operator makes.
    Own(VolumePlan),
    /// In that of this claim, which somebody else made.
    Existing(String),
    /// In a bucket.
    Bucket(Box<S3>),
}

impl Destination {
    /// Where the spec wants them.
    pub fn of(spec: &Backup, inputs: &PlanInputs<'_>) -> Result<Self, Invalid> {
        let (size, observed) = ("spec.backup.volume.size", inputs.observed);
        if let Some(destination) = &spec.destination {
            return Ok(Self::Bucket(Box::new(destination.s3.clone())));
        }
        if let Some(claim) = &spec.existing_claim {
            return Ok(Self::Existing(claim.clone()));
        }
        let live = observed.parts.backup.volume.as_ref();
        Ok(Self::Own(VolumePlan::wanted(size, &spec.volume, live, &observed.growth)?))
    }

    /// The annotations by which a cloud gives the pods' account an identity.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        match self {
            Self::Bucket(bucket) => bucket.service_account_annotations.clone(),
            Self::Own(_) | Self::Existing(_) => BTreeMap::new(),
        }
    }

    /// What a pod needs to reach them. `None` where a Secret of the bucket's cannot be had, of which a blocker tells.
    pub fn attachments(
        &self,
        inputs: &PlanInputs<'_>,
        blockers: &mut Vec<Blocker>,
    ) -> Option<Attachments> {
        let claim = match self {
            Self::Own(_) => inputs.names.backups(),
            Self::Existing(claim) => claim.clone(),
            Self::Bucket(bucket) => return of_bucket(bucket, inputs, blockers),
        };
        let volume = Volume {
            name: "backups".into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim,
                read_only: None,
            }),
            ..Volume::default()
        };
        let location = [(setting::BACKUP_LOCATION, FOLDER.to_owned())];
        Some(Attachments::variables(location).with_volume(volume, FOLDER))
    }
}

fn of_bucket(
    bucket: &S3,
    inputs: &PlanInputs<'_>,
    blockers: &mut Vec<Blocker>,
) -> Option<Attachments> {
    let keys = bucket.secret_ref.as_deref().map(Needed::keys);
    let authority = bucket.ca_secret_ref.as_ref().map(Needed::authority);
    let mut needed = keys.iter().chain(&authority);
    if !needed.all(|of| of.can_be_had(inputs, blockers)) {
        return None;
    }
    let owner = inputs.owner;
    let by_default = || format!("{}/{}", owner.namespace, owner.name);
    let prefix = bucket.prefix.clone().unwrap_or_else(by_default);
    let encryption = bucket.server_side_encryption.as_ref();
    let algorithm = encryption.map(|of| match of.algorithm {
        Algorithm::AES256 => "AES256".to_owned(),
        Algorithm::Kms => "aws:kms".to_owned(),
    });
    let settings = [
        (setting::BACKUP_LOCATION, Some(format!("s3://{}/{prefix}", bucket.bucket))),
        (setting::AWS_ENDPOINT_URL_S3, bucket.endpoint.clone()),
        (setting::AWS_REGION, bucket.region.clone()),
        (setting::AWS_SERVER_SIDE_ENCRYPTION, algorithm),
        (setting::AWS_SSE_KMS_KEY_ID, encryption.and_then(|of| of.kms_key_id.clone())),
    ];
    let settings = settings.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut attachments = Attachments::variables(settings);
    if let Some(secret) = &bucket.secret_ref {
        let variable = setting::BACKUP_S3_CREDENTIALS_DIR;
        attachments = attachments.with_secret(variable, "bucket", secret);
    }
    if let Some(entry) = &bucket.ca_secret_ref {
        attachments = attachments.with_entry(setting::BACKUP_S3_CA_FILE, "bucket-authority", entry);
    }
    Some(attachments)
}
