//! Finds variables of the environment that look like settings and are none: nobody would notice that a misspelt one changes nothing.

use agentfs_contract::setting;

use super::Settings;
use crate::domain::nearest_name::nearest;

/// Beginnings of settings' names that few other programs use.
const BEGINNINGS: [&str; 13] = [
    "BACKUP_",
    "DATABASE_",
    "EMBED",
    "IDEMPOTENCY_",
    "MCP_ALLOWED_",
    "OPENAI_",
    "PREAUTH_",
    "RATE_LIMIT_",
    "SEARCH_",
    "STORED_",
    "TENANT_RATE_LIMIT_",
    "TENANT_SEARCH_",
    "WRITE_",
];

/// What other programs call the address that they listen on.
const LISTEN_ELSEWHERE: [&str; 4] = ["LISTEN_ADDR", "LISTEN_ADDRESS", "LISTEN_HOST", "LISTEN_ON"];

/// The prefix of settings of the next model, and one that the programs' other variables have.
const NEXT: &str = "NEXT_";
const OURS: &str = "AGENTFS_";

/// A sentence for each variable of `environment` that looks like a setting and is none.
pub fn unknown_settings(environment: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let of_recovery = setting::OF_RECOVERY.into_iter().chain([setting::BACKUP_SCRATCH_URL]);
    let of_recovery = of_recovery.filter(|name| name.starts_with("BACKUP_"));
    let known: Vec<&str> =
        Settings::described().map(|setting| setting.name).chain(of_recovery).collect();
    let mut sentences: Vec<String> = environment
        .filter(|(name, value)| !is_service_link(name, value))
        .filter_map(|(name, _)| sentence(&name, &known))
        .collect();
    sentences.sort_unstable();
    sentences
}

fn sentence(name: &str, known: &[&str]) -> Option<String> {
    let advice = if let Some(rest) = name.strip_prefix(OURS) {
        known.contains(&rest).then(|| format!("did you mean {rest}?"))?
    } else if LISTEN_ELSEWHERE.contains(&name) {
        format!("did you mean {}?", setting::LISTEN)
    } else {
        let (prefix, rest) = name.strip_prefix(NEXT).map_or(("", name), |rest| (NEXT, rest));
        let beginning = BEGINNINGS.into_iter().find(|beginning| rest.starts_with(beginning))?;
        // Those of S3 are read where it is used.
        if known.contains(&rest) || rest.starts_with("BACKUP_S3_") {
            return None;
        }
        // What they begin with would make all of them alike.
        let ends: Vec<&str> =
            known.iter().filter_map(|name| name.strip_prefix(beginning)).collect();
        nearest(&rest[beginning.len()..], &ends).map_or_else(
            || "agentfs-server serve --help lists all".to_owned(),
            |meant| format!("did you mean {prefix}{beginning}{meant}?"),
        )
    };
    Some(format!("{name} is not a setting, so it changes nothing; {advice}"))
}

/// Whether Kubernetes, or Docker's links, set it for a service that is called like a setting begins.
fn is_service_link(name: &str, value: &str) -> bool {
    ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme))
        || ["_SERVICE_HOST", "_SERVICE_PORT", "_TCP_", "_UDP_"]
            .iter()
            .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, value: &str) -> Vec<String> {
        unknown_settings([(name.to_owned(), value.to_owned())].into_iter())
    }

    #[test]
    fn a_misspelt_setting_is_named_with_the_one_that_is_meant() {
        for (name, meant) in [
            ("RATE_LIMIT_PER_MINUTE", "RATE_LIMIT_REQUESTS_PER_MINUTE"),
            ("WRITE_QUOTA", "WRITE_QUOTA_PER_DAY"),
            ("DATABASE_POOLSIZE", "DATABASE_POOL_SIZE"),
            ("OPENAI_MODEL", "OPENAI_EMBED_MODEL"),
            ("NEXT_OPENAI_KEY", "NEXT_OPENAI_API_KEY"),
            ("EMBEDDINGS_MODEL_DIR", "EMBEDDING_MODEL_DIR"),
            ("MCP_ALLOWED_HOST", "MCP_ALLOWED_HOSTS"),
            ("AGENTFS_WRITE_QUOTA_PER_DAY", "WRITE_QUOTA_PER_DAY"),
            ("AGENTFS_PORT", "PORT"),
            ("BACKUP_RECIPIENT", "BACKUP_RECIPIENTS"),
            ("BACKUP_LOCATON", "BACKUP_LOCATION"),
            ("LISTEN_ADDRESS", "LISTEN"),
            ("EMBEDING_MODEL_DIR", "EMBEDDING_MODEL_DIR"),
        ] {
            let sentence =
                format!("{name} is not a setting, so it changes nothing; did you mean {meant}?");
            assert_eq!(said(name, "secret"), [sentence], "{name}");
        }
        let far = said("DATABASE_HOST", "db").concat();
        assert!(far.ends_with("agentfs-server serve --help lists all"), "{far}");
    }

    #[test]
    fn what_is_set_rightly_or_for_others_is_not_named() {
        let ours = [&setting::OF_SERVING[..], &setting::OF_MIGRATION, &setting::OF_RECOVERY];
        let ours = ours.into_iter().flatten().map(|name| (*name, "1"));
        let others = [
            ("NEXT_OPENAI_API_KEY", "k"),
            ("NEXT_PUBLIC_URL", "u"),
            ("HOME", "/root"),
            ("LISTEN_FDS", "1"),
            ("TENANT_ID", "t"),
            ("AGENTFS_API_KEY", "k"),
            ("AGENTFS_PORT", "tcp://10.0.0.1:8787"),
            ("SEARCH_SERVICE_HOST", "10.0.0.1"),
            ("SEARCH_SERVICE_PORT_HTTP", "80"),
            ("DATABASE_PORT_5432_TCP_ADDR", "10.0.0.1"),
        ];
        for (name, value) in ours.chain(others) {
            assert_eq!(said(name, value), [""; 0], "{name}");
        }
    }
}
