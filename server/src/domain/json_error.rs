//! Says what is wrong with JSON in JSON's own words, and what to do.

use serde_json::Error;

/// Types and ends, as serde names them, and for callers.
const TYPES: [(&str, &str); 9] = [
    ("ident", "true, false or null"),
    ("a sequence", "a list"),
    ("a map", "an object"),
    ("a boolean", "true or false"),
    ("f32", "a number"),
    ("f64", "a number"),
    ("i64", "a whole number"),
    ("u64", "a whole number"),
    ("value", "a value"),
];
const ENDS: [(&str, &str); 4] = [
    ("EOF while parsing an object", "it ends within an object"),
    ("EOF while parsing a list", "it ends within a list"),
    ("EOF while parsing a string", "it ends within a string"),
    ("EOF while parsing a value", "it ends where a value is expected"),
];
const REMEDIES: [(&str, &str); 5] = [
    ("expected ident", "; text takes double quotes"),
    (
        "control character",
        "; escape it, such as a line break as \\n, or have a JSON library write the body",
    ),
    ("key must be a string", "; names and strings take double quotes"),
    ("hex escape", "; a surrogate takes two escapes, such as \\ud83d\\ude00"),
    ("invalid escape", "; a backslash itself is written \\\\"),
];

/// A sentence about `error`.
pub fn sentence(error: &Error) -> String {
    let said = error.to_string();
    if error.is_data() {
        return expected(&said);
    }
    for (theirs, ours) in ENDS {
        if let Some(place) = said.strip_prefix(theirs) {
            return format!("{ours}{place}");
        }
    }
    let remedy = REMEDIES.into_iter().find(|(theirs, _)| said.contains(theirs));
    format!("{}{}", expected(&said), remedy.map_or("", |(_, remedy)| remedy))
}

/// With the type that is expected, which comes last, in JSON's words.
fn expected(said: &str) -> String {
    let plain = said.rsplit_once("expected ").and_then(|(before, expected)| {
        TYPES.into_iter().find_map(|(theirs, ours)| {
            let rest = expected.strip_prefix(theirs)?;
            let is_whole = rest.is_empty() || rest.starts_with(' ');
            is_whole.then(|| format!("{before}expected {ours}{rest}"))
        })
    });
    plain.unwrap_or_else(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is parsed alone")]
    struct Request {
        path: Option<String>,
        tags: Option<Vec<String>>,
        importance: Option<f32>,
        searchable: Option<bool>,
    }

    #[test]
    fn serde_speaks_as_json_does() {
        for (json, said) in [
            (
                "{\"path\":\"a\nb\"}",
                "; escape it, such as a line break as \\n, or have a JSON library write the body",
            ),
            ("{\"path\":\"\\ud800\"}", "; a surrogate takes two escapes, such as \\ud83d\\ude00"),
            ("{\"path\":\"a\\d\"}", "; a backslash itself is written \\\\"),
            (
                "{'path':1}",
                "key must be a string at line 1 column 2; names and strings take double quotes",
            ),
            ("{\"path\":\"a\"", "it ends within an object at line 1 column 11"),
            ("", "it ends where a value is expected at line 1 column 0"),
            (
                "{\"path\":none}",
                "expected true, false or null at line 1 column 10; text takes double quotes",
            ),
            ("path=a", "expected a value at line 1 column 1"),
            ("{\"tags\":\"a\"}", "invalid type: string \"a\", expected a list at line 1 column 11"),
            (
                "{\"importance\":\"high\"}",
                "invalid type: string \"high\", expected a number at line 1 column 20",
            ),
            (
                "{\"searchable\":\"expected f32\"}",
                "invalid type: string \"expected f32\", expected true or false at line 1 column 28",
            ),
        ] {
            let error = serde_json::from_str::<Request>(json).unwrap_err();
            assert!(sentence(&error).ends_with(said), "{json}: {}", sentence(&error));
        }
    }
}
