//! Reads environment variables and collects their problems.

use std::fmt;

/// A setting, for people.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// The variable's name.
    pub name: &'static str,
    /// What it does, with its default.
    pub about: &'static str,
}

/// A setting of the environment, for a command that needs no other; empty counts as absent, since compose passes unset variables as
/// empty.
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// All problems of the settings, one a line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

/// Reads variables one by one; collects problems and goes on.
pub(super) struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    memory: u64,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { variable, memory: 0, problems: Vec::new() }
    }

    /// Of a process that may use `memory` bytes, which some defaults follow.
    pub(super) fn within_memory(self, memory: u64) -> Self {
        Self { memory, ..self }
    }

    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    /// Runs `read` on the process' environment.
    pub(super) fn read_env<T>(
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Result<T, SettingsError> {
        let variable = |name: &str| std::env::var(name).ok();
        let mut reader = Reader::new(&variable);
        let settings = read(&mut reader);
        reader.finish()?;
        // It is there when no problem was noted.
        settings.ok_or_else(SettingsError::default)
    }

    /// Runs `read` on the variables that begin with `prefix`, which is left out of their names.
    pub(super) fn within<T>(
        &mut self,
        prefix: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Option<T> {
        let outer = self.variable;
        let variable = |name: &str| outer(&format!("{prefix}{name}"));
        let mut inner = Reader::new(&variable).within_memory(self.memory);
        let found = read(&mut inner);
        // Each begins with the name of what is wrong.
        let problems = inner.problems.into_iter().map(|problem| format!("{prefix}{problem}"));
        self.problems.extend(problems);
        found
    }

    /// The variable's text; empty counts as absent, since compose passes unset variables as empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The variable, parsed by `parse`, else `default`. `must` says what it must be.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        default: T,
        must: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(text) = self.text(name) else { return Some(default) };
        let parsed = parse(&text);
        if parsed.is_none() {
            self.problem(format!("{name} is {text:?}; it must be {must}"));
        }
        parsed
    }

    pub(super) fn problem(&mut self, sentence: String) {
        self.problems.push(sentence);
    }

    pub(super) fn finish(self) -> Result<(), SettingsError> {
        if self.problems.is_empty() { Ok(()) } else { Err(SettingsError(self.problems)) }
    }
}
