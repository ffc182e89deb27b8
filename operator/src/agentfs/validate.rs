//! The second call of a reconcile: the resource and what was seen become a plan that can be carried
//! out, or a sentence that says why not.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::database::embedded::identity::START_EMPTY;
use super::names::Names;
use super::observe::Observed;
use super::parts::admin_key::ROTATE;
use super::parts::{Plans, has_clients, with_operations_port};
use super::plan::Plan;
use crate::crd::AgentFS;
use crate::crd::agentfs::{AgentFSSpec, AgentFSStatus};
use crate::kit::ownership::Owner;
use crate::kit::validation::Invalid;
use crate::process::settings::Images;

/// What plans are made from.
#[derive(Clone, Copy)]
pub struct PlanInputs<'a> {
    /// What the spec asks for.
    pub spec: &'a AgentFSSpec,
    /// The AgentFS.
    pub owner: &'a Owner,
    /// The names of its children.
    pub names: &'a Names,
    /// The image of the server that is wanted.
    pub image: &'a str,
    /// What was seen.
    pub observed: &'a Observed,
    /// What was said of it last.
    pub former: Option<&'a AgentFSStatus>,
    /// The lost database in whose place somebody wants an empty one.
    pub start_empty: Option<&'a str>,
    /// The newest wish for another first API key.
    pub rotate_admin_key: Option<&'a str>,
}

impl PlanInputs<'_> {
    /// When the newest backup was made that is there, as far as is known.
    pub fn newest_backup(&self) -> Option<Timestamp> {
        self.observed.newest_backup()
    }
}

/// Makes the plan for `agentfs`, which is `owner`, given what was seen.
pub fn validate(
    agentfs: &AgentFS,
    owner: Owner,
    observed: &Observed,
    images: &Images,
) -> Result<Plan, Invalid> {
    name_is_valid(&owner.name)?;
    let names = Names::new(&owner.name);
    let mut blockers = observed.blockers.clone();
    let spec = &agentfs.spec;
    let image = spec.image.as_ref().unwrap_or(&images.server);
    let annotation = |key: &str| agentfs.annotations().get(key).map(String::as_str);
    let inputs = PlanInputs {
        spec,
        owner: &owner,
        names: &names,
        image,
        observed,
        former: agentfs.status.as_ref(),
        start_empty: annotation(START_EMPTY),
        rotate_admin_key: annotation(ROTATE).filter(|value| !value.is_empty()),
    };
    let parts = Plans::of(&inputs, &mut blockers)?;
    Ok(Plan {
        owner,
        names,
        images: Images {
            server: image.clone(),
            postgres: images.postgres.clone(),
            pgbouncer: images.pgbouncer.clone(),
        },
        with_operations_port: with_operations_port(&parts, observed),
        deletion_policy: spec.deletion_policy,
        suspended: spec.suspend,
        image_pull_secrets: spec.image_pull_secrets.clone(),
        parts,
        has_clients: has_clients(observed),
        blockers,
    })
}

fn name_is_valid(name: &str) -> Result<(), Invalid> {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    let ends = name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if begins && ends && rest && name.len() <= 40 {
        return Ok(());
    }
    Err(Invalid {
        field: "metadata.name",
        problem: "at most 40 lower-case letters, digits and '-', beginning with a letter and \
                  ending with a letter or digit"
            .into(),
    })
}
