//! What goes with what.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Restore {
    #[command(flatten)]
    args: RestoreArgs,
}

fn parsed(line: &str) -> Result<RestoreArgs, String> {
    let words = std::iter::once("restore").chain(line.split_whitespace());
    let parsed = Restore::try_parse_from(words).map_err(|error| error.to_string())?;
    Ok(parsed.args)
}

fn asked(line: &str) -> Result<What, String> {
    parsed(line)?.what()
}

#[test]
fn each_form_is_known() {
    for (line, what) in [
        ("--from /b --backup latest-verified --in-place --yes", What::InPlace),
        ("--backup latest --into-database look --template t --indexes later", What::IntoDatabase),
        ("--file b.dump --in-place --jobs 4 --max-rate 50MB --free-space 2TB", What::InPlace),
        ("--file b.dump --into-database look --jobs 4 --max-rate 50MB", What::IntoDatabase),
        ("--backup b --in-place --strategy rename-database --template t", What::InPlace),
        ("--backup b --in-place --strategy clean --force", What::InPlace),
        ("--undo --restore 0199aaaa-0000-7000-8000-000000000000", What::Undo),
        ("--undo --keep-previous 2d --switch-patience 30s -y", What::Undo),
        ("--drop-previous --yes --output json", What::DropPrevious),
    ] {
        assert_eq!(asked(line), Ok(what), "{line}");
    }
}

#[test]
fn without_one_of_the_four_they_are_named() {
    let error = asked("--backup latest").unwrap_err();
    for option in ["--in-place", "--into-database <NAME>", "--undo", "--drop-previous"] {
        assert!(error.contains(option), "{option}: {error}");
    }
}

#[test]
fn what_does_not_go_together_is_told_with_what_to_do() {
    for (line, told) in [
        ("--in-place --undo --backup latest", "'--in-place' cannot be used with '--undo'"),
        ("--in-place", "add --backup ID (or latest, or latest-verified), or --file FILE"),
        ("--into-database look", "or --file FILE"),
        ("--in-place --backup latest --file b", "cannot be used with '--file <FILE>'"),
        ("--in-place --from /b --file b", "leave --from out"),
        (
            "--undo --backup latest",
            "--backup does not go with --undo, but with --in-place and --into-database: leave it out",
        ),
        (
            "--undo --strategy rename-database",
            "--strategy does not go with --undo, but with --in-place: leave it out",
        ),
        (
            "--in-place --backup b --template t",
            "--template does not go with --in-place, but with --into-database",
        ),
        ("--undo --template t", "--template does not go with --undo"),
        ("--in-place --backup b --restore r", "invalid value 'r' for '--restore <ID>'"),
        (
            "--in-place --backup b --restore 0199aaaa-0000-7000-8000-000000000000",
            "--restore does not go with --in-place, but with --undo: leave it out",
        ),
        (
            "--into-database l --backup b --security from-backup",
            "--security does not go with --into-database",
        ),
        (
            "--drop-previous --keep-previous 1h",
            "--keep-previous does not go with --drop-previous, but with --in-place and --undo",
        ),
        ("--in-place --backup b --index-memory lots", "such as 512MB or 2GB"),
        ("--in-place --backup b --max-rate 50", "such as 512MB or 2GB"),
        ("--in-place --backup b --max-rate 1023kB", "give 1MB at least"),
        (
            "--in-place --backup b --strategy clean --template t",
            "--template does not go with --in-place",
        ),
        (
            "--in-place --backup b --strategy rename-database --lost-to l",
            "--lost-to lists what the tables of before have, which only --strategy swap-schema keeps",
        ),
        ("--in-place --backup b --jobs 0", "1..=64"),
        ("--in-place --backup b --keep-previous soon", "a duration such as 30m"),
    ] {
        let error = asked(line).unwrap_err();
        assert!(error.contains(told), "{line}: {error}");
    }
}

#[test]
fn what_is_not_said_has_a_default() {
    let args = parsed("--file b.dump --in-place").unwrap();
    assert_eq!(args.strategy(), Strategy::SwapSchema);
    let said = "--file b --in-place --strategy rename-database --index-memory 2GB";
    let args = parsed(said).unwrap();
    assert_eq!(args.strategy(), Strategy::RenameDatabase);
    assert_eq!(args.index_memory.as_deref(), Some("2097152kB"));
}
