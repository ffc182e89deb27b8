//! Finds the known name that a misspelt one may stand for.

/// How like two names are where one may be meant by the other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The known name that may be meant by `name`.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let name = plain(name);
    let likeness = |known: &&str| {
        let known = plain(known);
        let is_part = name.len() > 2 && (known.contains(&name) || name.contains(&known));
        let likeness = strsim::jaro_winkler(&name, &known);
        if is_part { likeness.max(ALIKE) } else { likeness }
    };
    let alike = known.iter().filter(|known| likeness(known) >= ALIKE);
    // Of several alike ones, the one that fewer letters make of it.
    let nearness = |known: &&str| {
        likeness(known) + strsim::normalized_damerau_levenshtein(&name, &plain(known))
    };
    alike.max_by(|a, b| nearness(a).total_cmp(&nearness(b))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_found_by_its_likeness() {
        let known =
            ["agent_id", "path", "value", "ttl_seconds", "tags", "if_version", "path_prefix"];
        for (name, meant) in [
            ("ttl", Some("ttl_seconds")),
            ("TTL", Some("ttl_seconds")),
            ("agentId", Some("agent_id")),
            ("agent", Some("agent_id")),
            ("tag", Some("tags")),
            ("vlaue", Some("value")),
            ("path_prefx", Some("path_prefix")),
            ("prefix", Some("path_prefix")),
            ("version", Some("if_version")),
            ("colour", None),
            ("", None),
            ("a", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
    }
}
