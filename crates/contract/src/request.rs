//! A request: a resource that is carried out once for ever, and how a command is told for which one it works.

use std::fmt;
use std::str::FromStr;

/// The resource that a command works for. The database remembers it: a command that is told of the same one again does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The resource's kind, for example `AgentFSRestore`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// A hash of its spec, in hexadecimal.
    pub spec: String,
}

/// A text is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("give KIND/NAMESPACE/NAME/HASH, such as AgentFSRestore/agents/undo/0f3a")
    }
}

impl std::error::Error for Malformed {}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.kind, self.namespace, self.name, self.spec)
    }
}

impl FromStr for Request {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parts: Vec<&str> = text.split('/').collect();
        let [kind, namespace, name, spec] = parts[..] else { return Err(Malformed) };
        if [kind, namespace, name, spec].iter().any(|part| part.is_empty()) {
            return Err(Malformed);
        }
        Ok(Self {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            spec: spec.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written() {
        let text = "AgentFSRestore/agents/undo/0f3a";
        assert_eq!(text.parse::<Request>().unwrap().to_string(), text);
        for text in ["", "undo", "a/b/c", "a/b/c/", "a/b/c/d/e"] {
            assert_eq!(text.parse::<Request>(), Err(Malformed), "{text}");
        }
    }
}
