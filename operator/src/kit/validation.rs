//! Validation of fields of a spec that the API server did not refuse.

use std::cmp::Ordering;

use crate::crd::fields::{Quantity, Resources};

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

/// The least memory that a container can be limited to and still be started.
const LEAST_MEMORY: &str = "16Mi";

/// Checks that every amount of `resources` is one, that memory is not an amount that was surely not
/// meant, and that nothing is requested beyond its limit.
pub fn resources_are_valid(
    field: &'static str,
    resources: Option<&Resources>,
) -> Result<(), Invalid> {
    let Some(Resources { requests, limits }) = resources else { return Ok(()) };
    let invalid = |problem| Err(Invalid { field, problem });
    for (of, amounts) in [("requests", requests), ("limits", limits)] {
        for (name, amount) in amounts {
            let text = amount.as_str();
            if !amount.is_valid() {
                return invalid(format!(
                    "{of}.{name} {text:?} is not a quantity; examples: 250m, 512Mi"
                ));
            }
        }
    }
    let too_little = |memory: &&Quantity| {
        memory.compare(&Quantity::new(LEAST_MEMORY)).is_some_and(Ordering::is_lt)
    };
    // Other tools write whole bytes in thousandths too.
    let is_fraction = |memory: &&Quantity| {
        memory.as_str().ends_with(['n', 'u', 'm'])
            && memory.compare(&Quantity::new("0")).is_some_and(Ordering::is_gt)
            && too_little(memory)
    };
    let told = "m stands for a thousandth of a byte, Mi for mebibytes";
    if let Some(limit) = limits.get("memory").filter(too_little) {
        let text = limit.as_str();
        return invalid(format!("limits.memory {text:?} is less than {LEAST_MEMORY}; {told}"));
    }
    if let Some(request) = requests.get("memory").filter(is_fraction) {
        let text = request.as_str();
        return invalid(format!("requests.memory {text:?} is a fraction of bytes; {told}"));
    }
    let beyond = requests.iter().find_map(|(name, request)| {
        let limit = limits.get(name)?;
        request.compare(limit)?.is_gt().then_some((name, request, limit))
    });
    match beyond {
        Some((name, request, limit)) => invalid(format!(
            "requests.{name} {} is more than limits.{name} {}",
            request.as_str(),
            limit.as_str()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn problem(resources: &Value) -> Option<String> {
        let resources = serde_json::from_value(resources.clone()).unwrap();
        resources_are_valid("spec.api.resources", Some(&resources)).err().map(|e| e.to_string())
    }

    #[test]
    fn what_is_wrong_with_resources_is_named_with_its_field() {
        let thousandth = problem(&json!({"limits": {"memory": "512m"}})).unwrap();
        assert!(
            thousandth.starts_with("spec.api.resources: limits.memory \"512m\" is less than 16Mi"),
            "{thousandth}"
        );
        let fraction = problem(&json!({"requests": {"memory": "512m"}})).unwrap();
        assert!(fraction.contains("requests.memory \"512m\" is a fraction"), "{fraction}");
        assert_eq!(
            problem(&json!({"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}})).unwrap(),
            "spec.api.resources: requests.cpu 2 is more than limits.cpu 1500m"
        );
        assert!(problem(&json!({"requests": {"cpu": "lots"}})).unwrap().contains("requests.cpu"));
        let right = json!({"requests": {"cpu": "1", "memory": "16Mi"}, "limits": {"cpu": "1000m"}});
        assert_eq!(problem(&right), None);
        for little in [json!("10Mi"), json!(0), json!("0m"), json!("134217728000m")] {
            assert_eq!(problem(&json!({"requests": {"cpu": 0, "memory": little}})), None);
        }
    }
}
