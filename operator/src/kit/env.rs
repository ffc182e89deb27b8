//! Environment variables.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

/// An environment variable with the value of a Secret's key.
pub fn secret_env(variable: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: variable.into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.into(),
                key: key.into(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// An environment variable with a plain value.
pub fn env(variable: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: variable.into(), value: Some(value.into()), value_from: None }
}
