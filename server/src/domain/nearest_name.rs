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
    let alike = known.iter().map(|known| (likeness(known), *known));
    let nearest = alike.filter(|(likeness, _)| *likeness >= ALIKE);
    nearest.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
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
