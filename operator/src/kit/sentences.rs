//! Sentences for conditions, from what others say.

/// A text as one line of bounded length without control characters.
pub fn one_line(text: &str) -> String {
    const LONGEST: usize = 600;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or(&line)),
        None => line,
    }
}

/// A text without what differs with each try: the ids that containers, sandboxes and requests get anew, with the count of the
/// try, and the order of the names in a list `volumes=[a b]`.
pub fn steady(text: &str) -> String {
    let mut steady = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (taken, kept) = match (id(rest), list(rest).filter(|_| steady.ends_with("volumes"))) {
            (Some(len), _) => (len, "…".to_owned()),
            (None, Some((len, list))) => (len, list),
            (None, None) => {
                let len = end.max(first.len_utf8());
                (len, rest.get(..len).unwrap_or(rest).to_owned())
            }
        };
        steady.push_str(&kept);
        rest = rest.get(taken..).unwrap_or_default();
    }
    steady
}

/// How long the id is with which `text` begins, where it does: a UUID, or a long hexadecimal number.
fn id(text: &str) -> Option<usize> {
    const SHORTEST: usize = 32;
    const UUID: [usize; 5] = [8, 4, 4, 4, 12];
    let end = text.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(text.len());
    let run = text.get(..end)?;
    let is_uuid = run.split('-').map(str::len).eq(UUID);
    let is_number = run.len() >= SHORTEST && !run.contains('-');
    let after = text.get(end..)?;
    let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric());
    let count = after.strip_prefix('_').unwrap_or_default();
    let count = count.find(|c: char| !c.is_ascii_digit()).unwrap_or(count.len());
    let counted = if count > 0 { end + 1 + count } else { end };
    (ends && (is_uuid || is_number)).then_some(counted)
}

/// How long the list is with which `text` begins, where it does, and the list with its names in order.
fn list(text: &str) -> Option<(usize, String)> {
    let (names, _) = text.strip_prefix("=[")?.split_once(']')?;
    let mut sorted: Vec<_> = names.split_whitespace().collect();
    sorted.sort_unstable();
    Some((names.len() + 3, format!("=[{}]", sorted.join(" "))))
}

/// A text as one line without a full stop at its end, to go on after.
pub fn without_full_stop(text: &str) -> String {
    one_line(text).trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_with_each_try_is_left_out() {
        let said = |id: &str| steady(&format!("sandbox \"{id}\": no memory for memory-api-5d4f"));
        let (first, second) = (said(&"0a".repeat(32)), said(&"b1".repeat(32)));
        assert_eq!(first, "sandbox \"…\": no memory for memory-api-5d4f");
        assert_eq!(first, second);

        let said = |id: &str, others: &str, attempt: u32| {
            steady(&format!(
                "netns \"/var/run/netns/cni-{id}\" of memory-api-5d4f_agents_{id}_{attempt}: \
                 unmounted volumes=[data], unattached volumes=[{others}]: 1610612736 bytes"
            ))
        };
        let first = said("3f2c0a1b-94d7-4c1e-8a55-0123456789ab", "tmp data", 0);
        assert_eq!(
            first,
            "netns \"/var/run/netns/cni-…\" of memory-api-5d4f_agents_…: unmounted volumes=[data], \
             unattached volumes=[data tmp]: 1610612736 bytes"
        );
        assert_eq!(first, said("9e8d7c6b-0a1b-4c2d-9e3f-ba9876543210", "data tmp", 12));
        assert_eq!(steady("[::1]:443, err=[b a] é [c"), "[::1]:443, err=[b a] é [c");
    }
}
