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

/// A text as one line without a full stop at its end, to go on after.
pub fn without_full_stop(text: &str) -> String {
    one_line(text).trim_end_matches(['.', ' ']).to_owned()
}
