//! What `/readyz`, `/healthz` and `/livez` answer.

use serde::{Deserialize, Serialize};

/// The response of a health route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Health))]
pub struct Answer {
    /// Whether everything works.
    ok: bool,
    /// If not, the reason in one word for programs: Draining, DatabaseUnreachable, DatabaseReadOnly, SchemaTooOld,
    /// SchemaTooNew or DatabaseNotUtf8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// If not, a message for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Answer {
    /// All is well.
    pub fn well() -> Self {
        Self { ok: true, reason: None, message: None }
    }

    /// Something is not, and `message` says what.
    pub fn not_ready(reason: NotReadyReason, message: String) -> Self {
        Self { ok: false, reason: Some(reason.as_str().to_owned()), message: Some(message) }
    }

    /// Reads an answer that is not `ok`: its reason, which a newer server may have made up, and its sentence.
    pub fn read_not_ready(body: &[u8]) -> Option<(String, String)> {
        let Self { ok, reason, message } = serde_json::from_slice(body).ok()?;
        if ok { None } else { reason.zip(message) }
    }
}

/// Why a server cannot serve: a word for programs, of which the operator makes reasons of conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReadyReason {
    /// It is about to end.
    Draining,
    /// Its database does not answer.
    DatabaseUnreachable,
    /// Its database takes no writes.
    DatabaseReadOnly,
    /// It needs a newer schema.
    SchemaTooOld,
    /// It needs an older schema.
    SchemaTooNew,
    /// Its database cannot hold every text.
    DatabaseNotUtf8,
}

impl NotReadyReason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Draining,
        Self::DatabaseUnreachable,
        Self::DatabaseReadOnly,
        Self::SchemaTooOld,
        Self::SchemaTooNew,
        Self::DatabaseNotUtf8,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "Draining",
            Self::DatabaseUnreachable => "DatabaseUnreachable",
            Self::DatabaseReadOnly => "DatabaseReadOnly",
            Self::SchemaTooOld => "SchemaTooOld",
            Self::SchemaTooNew => "SchemaTooNew",
            Self::DatabaseNotUtf8 => "DatabaseNotUtf8",
        }
    }

    /// The reason of that word; `None` for one that is not known here.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_program_answers_the_other_reads() {
        for reason in NotReadyReason::ALL {
            let body = serde_json::to_vec(&Answer::not_ready(reason, "why".into())).unwrap();
            let (word, message) = Answer::read_not_ready(&body).unwrap();
            assert_eq!((NotReadyReason::from_word(&word), message.as_str()), (Some(reason), "why"));
        }
        let well = serde_json::to_string(&Answer::well()).unwrap();
        assert_eq!(well, r#"{"ok":true}"#);
        assert_eq!(Answer::read_not_ready(well.as_bytes()), None);
    }
}
