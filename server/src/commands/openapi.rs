//! `agentfs-server openapi`: the description of the API, without a running server.

use crate::http::description;

/// Prints it.
///
/// # Errors
/// Where it cannot be written as JSON.
pub fn print() -> Result<(), serde_json::Error> {
    println!("{}", description().to_pretty_json()?);
    Ok(())
}
