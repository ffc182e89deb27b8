//! Validation of fields of a spec that the API server did not refuse.

use crate::crd::fields::Resources;

/// A field of the spec is wrong. The API server refuses most of these already. Nothing is changed
/// until it is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field's path.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

/// Checks that every amount of `resources` is one.
pub fn amounts_are_valid(
    field: &'static str,
    resources: Option<&Resources>,
) -> Result<(), Invalid> {
    let Some(resources) = resources else { return Ok(()) };
    match resources.requests.iter().chain(&resources.limits).find(|(_, amount)| !amount.is_valid())
    {
        Some((name, amount)) => Err(Invalid {
            field,
            problem: format!(
                "{name} {:?} is not an amount; examples: 250m, 512Mi",
                amount.as_str()
            ),
        }),
        None => Ok(()),
    }
}
