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
    /// Its uid, which another one of the same name has not got. It tells nothing of what is asked for: the same manifest, applied
    /// again, is the same request.
    pub uid: Option<String>,
}

impl Request {
    /// The request as a command is told of it, with the uid.
    pub fn write(&self) -> String {
        match &self.uid {
            Some(uid) => format!("{self}/{uid}"),
            None => self.to_string(),
        }
    }
}

/// A text is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "give KIND/NAMESPACE/NAME/HASH, such as AgentFSRestore/agents/undo/0f3a, and perhaps /UID",
        )
    }
}

impl std::error::Error for Malformed {}

/// What is asked for, without the uid.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.kind, self.namespace, self.name, self.spec)
    }
}

impl FromStr for Request {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(Malformed);
        }
        let (kind, namespace, name, spec, uid) = match parts[..] {
            [kind, namespace, name, spec] => (kind, namespace, name, spec, None),
            [kind, namespace, name, spec, uid] => (kind, namespace, name, spec, Some(uid)),
            _ => return Err(Malformed),
        };
        Ok(Self {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            spec: spec.into(),
            uid: uid.map(Into::into),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written() {
        let text = "AgentFSRestore/agents/undo/0f3a";
        assert_eq!(text.parse::<Request>().unwrap().write(), text);
        let with_uid = format!("{text}/5ad1c3e0");
        let request: Request = with_uid.parse().unwrap();
        assert_eq!((request.write(), request.to_string()), (with_uid, text.to_owned()));
        for text in ["", "undo", "a/b/c", "a/b/c/", "a/b/c/d/", "a/b/c/d/e/f"] {
            assert_eq!(text.parse::<Request>(), Err(Malformed), "{text}");
        }
    }
}
