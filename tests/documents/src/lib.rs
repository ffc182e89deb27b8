//! The examples of a document: a script that runs them as they stand, and what they must print.
//!
//! `sh` blocks are run; in `console` blocks the lines after `$ ` are run and the others are what is printed. JSON is compared as
//! JSON. `…` stands for any text; in JSON it stands at the end of a text. What follows the language is the place where a block is
//! run: nothing for one machine, or one of [`PLACES`].

mod fits;
pub mod links;
pub mod terms;

use std::fmt::Write as _;
use std::process::Output;

use fits::fits;

const MARK: &str = "--- agentfs example";

/// The places of blocks that are not run on one machine: a cluster (`tests/e2e`), compose (`tests/compose`), and nowhere.
pub const PLACES: [&str; 3] = ["kubernetes", "compose", "untested"];

/// A command and what the document says it prints.
#[derive(Debug)]
struct Example {
    command: String,
    printed: String,
}

/// The examples of a document that are meant for one place.
#[derive(Debug)]
pub struct Examples {
    script: String,
    examples: Vec<Example>,
}

/// A block of code, with the text before it.
struct Block<'a> {
    before: &'a str,
    language: &'a str,
    /// What follows the language: the place where it is run.
    mark: &'a str,
    code: &'a str,
}

impl Block<'_> {
    fn is_command(&self) -> bool {
        ["sh", "console"].contains(&self.language)
    }
}

impl Examples {
    /// The blocks of `document` that are marked for `place`, such as `kubernetes`; with "" those without a mark.
    pub fn of(document: &str, place: &str) -> Self {
        let mut found = Self { script: "set -euo pipefail\n".to_owned(), examples: Vec::new() };
        for block in blocks(document) {
            match block.language {
                _ if block.mark != place => {}
                "sh" => found.shell(block.code),
                "console" => found.console(block.code),
                _ => {}
            }
        }
        found
    }

    /// A block that says nothing of what it prints.
    fn shell(&mut self, code: &str) {
        self.run(code, "…");
    }

    fn run(&mut self, command: &str, printed: &str) {
        let _ = write!(self.script, "{command}\nprintf '\\n%s\\n' '{MARK}'\n");
        self.examples.push(Example { command: command.into(), printed: printed.into() });
    }

    fn console(&mut self, code: &str) {
        for line in code.replace("\\\n", "\u{1}").lines() {
            let line = line.replace('\u{1}', "\\\n");
            match (line.strip_prefix("$ "), self.examples.last_mut()) {
                (Some(command), _) => self.run(command, ""),
                (None, Some(example)) => {
                    example.printed += &line;
                    example.printed.push('\n');
                }
                (None, None) => {}
            }
        }
    }

    /// How many commands there are.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The script that runs them, for bash.
    pub fn script(&self) -> &str {
        &self.script
    }

    /// Fails with the first command that did not print what the document says, or that failed.
    ///
    /// # Panics
    /// That is how it fails.
    pub fn check(&self, output: &Output) {
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let answers: Vec<&str> = printed.split(MARK).map(str::trim).collect();
        for (index, Example { command, printed }) in self.examples.iter().enumerate() {
            // The last piece is what was printed after the last mark.
            assert!(
                index + 1 < answers.len(),
                "$ {command}\nfailed; it printed: {}\n{errors}",
                answers.last().unwrap_or(&"")
            );
            let (expected, got) = (printed.trim(), answers[index]);
            assert!(
                fits(expected, got),
                "$ {command}\nthe page says: {expected}\nand it prints: {got}\n{errors}"
            );
        }
        assert!(output.status.success(), "{errors}");
    }
}

/// The blocks that no test runs and whose last line before them does not say so: those marked `untested`, and files.
pub fn unexplained(document: &str) -> Vec<&str> {
    blocks(document)
        .into_iter()
        .filter(|block| block.mark == "untested" || !block.is_command())
        .filter(|block| {
            let paragraph = block.before.trim_end().rsplit("\n\n").next().unwrap_or_default();
            !paragraph.contains("Not run by the tests")
        })
        .map(|block| block.code)
        .collect()
}

/// The marks of a document's commands that are neither empty nor one of [`PLACES`].
pub fn unknown_marks(document: &str) -> Vec<&str> {
    let commands = blocks(document).into_iter().filter(Block::is_command);
    commands.map(|block| block.mark).filter(|m| !m.is_empty() && !PLACES.contains(m)).collect()
}

/// The chapter below a heading, with the chapters below that.
///
/// # Panics
/// Where there is no such heading.
pub fn chapter<'a>(document: &'a str, heading: &str) -> &'a str {
    let rank = |line: &str| line.find(|c| c != '#').unwrap_or_default();
    let (mut begin, mut at, mut in_code) = (None, 0, false);
    for line in document.split_inclusive('\n') {
        in_code ^= line.starts_with("```");
        match begin {
            None if line.trim_end() == heading => begin = Some(at),
            Some(begin) if !in_code && (1..=rank(heading)).contains(&rank(line)) => {
                return &document[begin..at];
            }
            _ => {}
        }
        at += line.len();
    }
    let Some(begin) = begin else { panic!("there is no heading {heading:?}") };
    &document[begin..]
}

fn blocks(document: &str) -> Vec<Block<'_>> {
    let pieces: Vec<&str> = document.split("\n```").collect();
    let mut blocks = Vec::new();
    for pair in pieces.chunks(2) {
        let [before, block] = pair else { continue };
        let (kind, code) = block.split_once('\n').unwrap_or((block, ""));
        let (language, mark) = kind.split_once(' ').unwrap_or((kind, ""));
        blocks.push(Block { before, language, mark, code });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "Text.

```sh
a=1
```

```console
$ echo $a \\
  b
1 b
$ true
```

Somewhere else:

```console there
$ elsewhere
```

Not run by the tests, since it is a picture:

```text
x
```

Nobody knows why:

```sh untested
rm -rf x
```
";

    #[test]
    fn blocks_are_taken_by_their_mark() {
        let here = Examples::of(PAGE, "");
        assert_eq!(here.len(), 3);
        assert!(here.script().contains("a=1\n") && here.script().contains("echo $a \\\n  b\n"));
        assert_eq!(here.examples[1].printed, "1 b\n");
        assert_eq!(Examples::of(PAGE, "there").examples[0].command, "elsewhere");
        assert!(Examples::of(PAGE, "nowhere").is_empty());
    }

    #[test]
    fn what_is_not_run_must_be_explained() {
        assert_eq!(unexplained(PAGE), ["rm -rf x"]);
    }

    #[test]
    fn a_mark_that_no_test_knows_is_found() {
        assert_eq!(unknown_marks(PAGE), ["there"]);
    }

    #[test]
    fn a_chapter_ends_at_the_next_one_of_its_rank() {
        let page = "# A\n## B\nb\n### C\n```sh\n# no heading\n```\n## D\nd\n# E\n";
        assert_eq!(chapter(page, "## B"), "## B\nb\n### C\n```sh\n# no heading\n```\n");
        assert_eq!(chapter(page, "### C"), "### C\n```sh\n# no heading\n```\n");
        assert_eq!(chapter(page, "## D"), "## D\nd\n");
        assert_eq!(chapter(page, "# E"), "# E\n");
    }

    fn run(script: &str) -> Output {
        std::process::Command::new("bash").args(["-c", script]).output().expect("bash runs")
    }

    #[test]
    fn the_page_above_prints_what_it_says() {
        let here = Examples::of(PAGE, "");
        here.check(&run(here.script()));
    }

    #[test]
    #[should_panic(expected = "the page says: 2")]
    fn another_answer_fails() {
        let page = Examples::of("\n```console\n$ echo 1\n2\n```", "");
        page.check(&run(page.script()));
    }

    #[test]
    #[should_panic(expected = "$ false\nfailed")]
    fn a_failed_block_fails() {
        let page = Examples::of("\n```sh\nfalse\n```\n\n```console\n$ true\n```", "");
        page.check(&run(page.script()));
    }

    #[test]
    #[should_panic(expected = "$ false\nfailed")]
    fn a_failed_command_fails() {
        let page = Examples::of("\n```console\n$ echo 1\n1\n$ false\n$ true\n```", "");
        page.check(&run(page.script()));
    }
}
