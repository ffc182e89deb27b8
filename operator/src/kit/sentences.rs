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

/// A text without the ids that containers and their sandboxes get anew with each try.
pub fn without_ids(text: &str) -> String {
    const SHORTEST: usize = 32;
    let is_id = |run: &str| run.len() >= SHORTEST && run.bytes().all(|b| b.is_ascii_hexdigit());
    let parts = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()).map(|part| {
        let run = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_id(run) { part.replacen(run, "…", 1) } else { part.to_owned() }
    });
    parts.collect()
}

/// A text as one line without a full stop at its end, to go on after.
pub fn without_full_stop(text: &str) -> String {
    one_line(text).trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_change_with_each_try_are_left_out() {
        let said =
            |id: &str| without_ids(&format!("sandbox \"{id}\": no memory for memory-api-5d4f"));
        let (first, second) = (said(&"0a".repeat(32)), said(&"b1".repeat(32)));
        assert_eq!(first, "sandbox \"…\": no memory for memory-api-5d4f");
        assert_eq!(first, second);
    }
}
