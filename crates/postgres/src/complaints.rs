//! What a client program complains of on standard error, told apart by its words in English.

/// Most characters that are kept.
const KEPT: usize = 2000;
/// The statement of `pg_restore` 17 and newer that a server of 16 does not know. Nothing depends on it.
const UNKNOWN_TO_16: &str = "Command was: SET transaction_timeout = 0;";
/// What the error at that statement says, in whatever language.
const UNKNOWN_NAME: &str = "transaction_timeout";

/// How lines begin that show statements and rows.
const SHOWN: [&str; 3] = ["DETAIL:", "CONTEXT:", "Command was:"];

/// Complaints of one program.
#[derive(Debug)]
pub(crate) struct Complaints {
    /// How its own lines begin.
    prefix: String,
    tolerant: bool,
    /// Its errors and warnings, in one line.
    own: String,
    /// What else it says, for when there is no line of its own.
    other: String,
    /// A line on the unknown setting, whose next one says which statement it was.
    pending: Option<String>,
    errors: usize,
    tolerated: usize,
    is_final: bool,
}

impl Complaints {
    /// Of the program with this name.
    pub(crate) fn of(program: &str, tolerant: bool) -> Self {
        Self {
            prefix: format!("{program}: "),
            tolerant,
            own: String::new(),
            other: String::new(),
            pending: None,
            errors: 0,
            tolerated: 0,
            is_final: false,
        }
    }

    /// Takes in a line. What follows an error on further lines, the server's details and the statement, may hold rows, and is
    /// not kept.
    pub(crate) fn hear(&mut self, line: &str) {
        // Processes of a parallel restore write the beginnings of their lines between each other's: what holds is their number.
        self.errors += line.matches("error: ").count();
        if let Some(pending) = self.pending.take() {
            if line == UNKNOWN_TO_16 {
                self.tolerated += 1;
                return;
            }
            self.settle(&pending);
        }
        if self.tolerant && line.contains(UNKNOWN_NAME) {
            self.pending = Some(line.to_owned());
        } else {
            self.settle(line);
        }
    }

    /// No line follows.
    pub(crate) fn end(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.settle(&pending);
        }
    }

    /// A line that is not tolerated.
    fn settle(&mut self, line: &str) {
        let own = line.strip_prefix(&self.prefix);
        let is_error = own.is_some_and(|own| own.starts_with("error: "));
        if is_error || own.is_some_and(|own| own.starts_with("warning: ")) {
            keep(&mut self.own, line);
        } else if !SHOWN.iter().any(|shown| line.starts_with(shown)) {
            keep(&mut self.other, line);
        }
        self.is_final |= is_error && self.tolerant;
    }

    /// Whether the program need not go on.
    pub(crate) fn is_final(&self) -> bool {
        self.is_final
    }

    /// Whether there are errors, and all of them are tolerated.
    pub(crate) fn are_tolerated(&self) -> bool {
        self.tolerated > 0 && self.tolerated == self.errors
    }

    /// All in one line; empty where it said nothing.
    pub(crate) fn into_sentence(self) -> String {
        if self.own.is_empty() { self.other } else { self.own }
    }
}

fn keep(kept: &mut String, line: &str) {
    let line = line.trim();
    if !line.is_empty() && kept.len() < KEPT {
        if !kept.is_empty() {
            kept.push_str("; ");
        }
        kept.extend(line.chars().take(KEPT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDER_SERVER: &str = "\
        pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\n\
        Command was: SET transaction_timeout = 0;\n\
        \n";

    fn of(tolerant: bool, said: &str) -> Complaints {
        let mut complaints = Complaints::of("pg_restore", tolerant);
        said.lines().for_each(|line| complaints.hear(line));
        complaints.end();
        complaints
    }

    #[test]
    fn an_error_is_told_without_the_rows_and_statements_around_it() {
        let said = "pg_restore: error: COPY failed for table \"entries\": ERROR:  invalid input\n\
            DETAIL:  Token \"secret\" is invalid.\n\
            CONTEXT:  COPY entries, line 1, column value: \"secret\"\n\
            Command was: SELECT 'secret'\n\
            pg_restore: warning: errors ignored on restore: 1\n";
        let told = "pg_restore: error: COPY failed for table \"entries\": ERROR:  invalid input; \
            pg_restore: warning: errors ignored on restore: 1";
        assert_eq!(of(false, said).into_sentence(), told);
        assert!(!of(false, said).are_tolerated());
    }

    #[test]
    fn what_is_no_complaint_of_its_own_is_told_where_there_is_no_other() {
        let said = "libpq.so.5: cannot open shared object file\n";
        assert_eq!(of(false, said).into_sentence(), said.trim_end());
        assert_eq!(of(false, "").into_sentence(), "");
    }

    #[test]
    fn a_setting_that_an_older_server_does_not_know_is_tolerated_and_nothing_else() {
        let ignored = "pg_restore: warning: errors ignored on restore: 2\n";
        let twice = format!("{OLDER_SERVER}{OLDER_SERVER}{ignored}");
        assert!(of(true, &twice).are_tolerated());
        assert!(!of(false, &twice).are_tolerated(), "not asked for");
        assert!(!of(true, "").are_tolerated());

        for other in [
            "pg_restore: error: could not execute query: ERROR:  relation \"x\" exists\nCommand was: CREATE TABLE x ();\n",
            // The same setting in another statement, and words of the tolerated one in another error.
            "pg_restore: error: could not execute query: ERROR:  no \"transaction_timeout\"\nCommand was: SET transaction_timeout = 1;\n",
            "pg_restore: error: could not execute query: ERROR:  other\nCommand was: SET transaction_timeout = 0;\n",
            "pg_restore: error: no \"transaction_timeout\"\n",
        ] {
            let complaints = of(true, &format!("{OLDER_SERVER}{other}{ignored}"));
            assert!(complaints.is_final() && !complaints.are_tolerated(), "{other}");
            assert!(complaints.into_sentence().starts_with(other.lines().next().unwrap()));
        }
    }

    #[test]
    fn errors_of_processes_that_write_at_once_are_counted() {
        let (unknown, command) =
            ("could not execute query: ERROR:  no \"transaction_timeout\"", UNKNOWN_TO_16);
        let twice = format!(
            "pg_restore: pg_restore: error: error: {unknown}\n{command}\n{unknown}\n{command}\n"
        );
        assert!(of(true, &twice).are_tolerated());
        let other = "could not execute query: ERROR:  relation \"x\" exists\nCommand was: CREATE TABLE x ();\n";
        let one = format!("pg_restore: pg_restore: error: error: {unknown}\n{command}\n{other}");
        assert!(!of(true, &one).are_tolerated());
    }
}
