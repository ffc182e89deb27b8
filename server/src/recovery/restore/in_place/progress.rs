//! How far a restore is.

/// Told on the way.
pub type Progress<'a> = &'a (dyn Fn(&Update) + Send + Sync);

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The step, such as `load`.
    pub step: &'static str,
    /// The table or index, where there is one, or what is waited for.
    pub of: Option<String>,
    /// Bytes that are done of the step.
    pub done: u64,
    /// Bytes of the whole step; 0 where nobody knows.
    pub total: u64,
}

impl Update {
    /// Of a step that begins, and of which nothing is known.
    pub(super) fn begun(step: &'static str) -> Self {
        Self { step, of: None, done: 0, total: 0 }
    }
}
