//! Asks before what cannot be taken back.

use std::io::{BufRead, IsTerminal as _};

use super::error::Error;
use super::screen::Screen;

/// Where the answer comes from.
pub(super) enum Answers<'a> {
    /// It was given beforehand, by `--yes`.
    Given,
    /// Somebody types it.
    Typed(&'a mut dyn BufRead),
    /// Nobody can be asked.
    Nobody,
}

/// Asks on standard input, unless the answer was given by `--yes`.
pub(super) fn agree(screen: &mut Screen, question: &str, yes: bool) -> Result<(), Error> {
    let input = std::io::stdin();
    if yes {
        return agree_by(screen, question, Answers::Given);
    }
    if !input.is_terminal() {
        return agree_by(screen, question, Answers::Nobody);
    }
    agree_by(screen, question, Answers::Typed(&mut input.lock()))
}

fn agree_by(screen: &mut Screen, question: &str, answers: Answers<'_>) -> Result<(), Error> {
    match answers {
        Answers::Given => {
            screen.line(&format!("  {question}"));
            Ok(())
        }
        Answers::Nobody => {
            screen.line(&format!("  {question}"));
            Err(Error::Usage(
                "nothing was done: this asks before it goes on, and there is no terminal to ask on. Give --yes to agree".into(),
            ))
        }
        Answers::Typed(input) => {
            screen.ask(&format!("  {question} Continue? [y/N] "));
            let mut answer = String::new();
            let read = input.read_line(&mut answer);
            let agreed = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
            if matches!(read, Ok(1..)) && agreed { Ok(()) } else { Err(Error::Declined) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::screen::tests::Paper;
    use super::*;

    fn answered(answer: &str) -> (Result<(), u8>, String) {
        let paper = Paper::default();
        let mut input = answer.as_bytes();
        let agreed = agree_by(&mut paper.screen(true), "All is lost.", Answers::Typed(&mut input));
        (agreed.map_err(|error| error.exit_code()), paper.text())
    }

    #[test]
    fn only_yes_is_yes() {
        for answer in ["y\n", "Y\n", "yes\n", " YES \n"] {
            assert_eq!(answered(answer).0, Ok(()), "{answer:?}");
        }
        for answer in ["", "\n", "n\n", "no\n", "yo\n", "yes please\n"] {
            assert_eq!(answered(answer).0, Err(1), "{answer:?}");
        }
        assert_eq!(answered("y\n").1, "  All is lost. Continue? [y/N] ");
    }

    #[test]
    fn nobody_to_ask_is_a_wrong_use_that_names_the_flag() {
        let paper = Paper::default();
        let error =
            agree_by(&mut paper.screen(false), "All is lost.", Answers::Nobody).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--yes"), "{error}");
        assert_eq!(paper.text(), "  All is lost.\n");
        assert!(agree_by(&mut paper.screen(false), "All is lost.", Answers::Given).is_ok());
    }
}
