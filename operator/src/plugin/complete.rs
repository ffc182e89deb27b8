//! Completes a line that is being typed, as kubectl asks its plugins to: a candidate a line, and a directive at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::config::Kubeconfig;

use super::backups;
use super::cli::Cli;
use super::cluster::{Cluster, Kind};
use super::connect::{KubeFlags, Timeout};
use super::error::Error;
use super::output::print;
use crate::crd::{AgentFS, AgentFSRestore};

/// The word that asks for completion; the words of the line follow, the last of them being the one that is completed.
pub(super) const COMMAND: &str = "__complete";
/// Somebody waits with a key pressed.
const PATIENCE: Duration = Duration::from_secs(3);
/// cobra's directives: kubectl hands the answer to its own shell script.
const NO_FILES: &str = ":4";
const FILES: &str = ":0";

/// Prints what the last of these words may become.
pub(super) async fn run(words: Vec<String>) -> Result<(), Error> {
    let line = Line::read(&Cli::command(), &words);
    let names = tokio::time::timeout(PATIENCE, line.names()).await.unwrap_or_default();
    print(&line.answer(&names))?;
    Ok(())
}

/// What is completed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// One of these, with what each is.
    Words(Vec<(String, String)>),
    /// The name of something, by the id of its argument.
    Name(String),
    /// A file or folder.
    File,
    /// Something that nobody can know.
    Free,
}

/// A line that is being typed.
#[derive(Debug)]
struct Line {
    wanted: Wanted,
    /// What stands before the value in the word, as `--namespace=`.
    prefix: String,
    /// The beginning of the value.
    begun: String,
    /// The values that were given already, by the id of the argument.
    given: BTreeMap<String, String>,
}

impl Line {
    /// Reads the words of a line; the last one is to be completed.
    fn read(root: &Command, words: &[String]) -> Self {
        let (begun, before) = match words.split_last() {
            Some((last, before)) => (last.as_str(), before),
            None => ("", [].as_slice()),
        };
        let mut root = root.clone();
        root.build();
        let (mut command, mut given, mut positions) = (&root, BTreeMap::new(), 0);
        let mut awaited: Option<&Arg> = None;
        for word in before {
            if let Some(arg) = awaited.take() {
                given.insert(arg.get_id().to_string(), word.clone());
            } else if let Some((arg, value)) = option(command, word) {
                match value {
                    Some(value) => drop(given.insert(arg.get_id().to_string(), value.to_owned())),
                    None if takes_word(arg) => awaited = Some(arg),
                    None => {}
                }
            } else if let Some(sub) =
                command.find_subcommand(word).filter(|_| !word.starts_with('-'))
            {
                (command, positions) = (sub, 0);
            } else {
                let position = command.get_positionals().nth(positions);
                given.extend(position.map(|arg| (arg.get_id().to_string(), word.clone())));
                positions += 1;
            }
        }
        let line = |wanted, prefix: &str, begun: &str| Self {
            wanted,
            prefix: prefix.to_owned(),
            begun: begun.to_owned(),
            given: given.clone(),
        };
        if let Some(arg) = awaited {
            return line(values(arg), "", begun);
        }
        if let Some((arg, Some(value))) = option(command, begun) {
            let prefix = begun.strip_suffix(value).unwrap_or_default();
            return line(values(arg), prefix, value);
        }
        if begun.starts_with('-') {
            return line(Wanted::Words(flags(command)), "", begun);
        }
        if command.has_subcommands() {
            return line(Wanted::Words(commands(command)), "", begun);
        }
        let position = command.get_positionals().nth(positions);
        line(position.map_or(Wanted::Words(Vec::new()), values), "", begun)
    }

    /// The names that the cluster or the kubeconfig has for it.
    async fn names(&self) -> Vec<String> {
        let Wanted::Name(of) = &self.wanted else { return Vec::new() };
        if let "context" | "cluster" | "user" = of.as_str() {
            return self.in_kubeconfig(of);
        }
        let Ok(cluster) = self.flags().cluster().await else { return Vec::new() };
        match (of.as_str(), self.given.get("name")) {
            ("namespace", _) => cluster.names_everywhere::<Namespace>().await,
            ("undo", _) => names_of::<AgentFSRestore>(&cluster).await,
            ("backup", Some(agentfs)) => {
                let found = backups::of(&cluster, agentfs).await.unwrap_or_default();
                found.iter().map(|found| found.name().to_owned()).collect()
            }
            ("name", _) => names_of::<AgentFS>(&cluster).await,
            _ => Vec::new(),
        }
    }

    fn in_kubeconfig(&self, of: &str) -> Vec<String> {
        let read = match self.given.get("kubeconfig") {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let Ok(config) = read else { return Vec::new() };
        match of {
            "context" => config.contexts.into_iter().map(|context| context.name).collect(),
            "cluster" => config.clusters.into_iter().map(|cluster| cluster.name).collect(),
            _ => config.auth_infos.into_iter().map(|user| user.name).collect(),
        }
    }

    fn flags(&self) -> KubeFlags {
        let given = |id: &str| self.given.get(id).cloned();
        KubeFlags {
            namespace: given("namespace"),
            context: given("context"),
            kubeconfig: given("kubeconfig").map(Into::into),
            cluster: given("cluster"),
            user: given("user"),
            as_user: given("as_user"),
            as_group: given("as_group").into_iter().collect(),
            request_timeout: Timeout(Some(PATIENCE)),
        }
    }

    /// What kubectl reads.
    fn answer(&self, names: &[String]) -> String {
        let names = names.iter().map(|name| (name.clone(), String::new()));
        let words = match &self.wanted {
            Wanted::Words(words) => words.clone(),
            Wanted::Name(_) => names.collect(),
            Wanted::File => return format!("{FILES}\n"),
            Wanted::Free => Vec::new(),
        };
        let fitting = words.into_iter().filter(|(word, _)| word.starts_with(&self.begun));
        let lines = fitting.map(|(word, what)| match what.as_str() {
            "" => format!("{}{word}\n", self.prefix),
            what => format!("{}{word}\t{what}\n", self.prefix),
        });
        lines.collect::<String>() + NO_FILES + "\n"
    }
}

async fn names_of<K: Kind>(cluster: &Cluster) -> Vec<String> {
    let found = cluster.list::<K>().await.unwrap_or_default();
    found.iter().map(|found| found.name().to_owned()).collect()
}

/// The option that a word names, and the value that it has in the same word.
fn option<'a, 'w>(command: &'a Command, word: &'w str) -> Option<(&'a Arg, Option<&'w str>)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name))?;
        return Some((arg, value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let first = letters.next()?;
    let arg = command.get_arguments().find(|arg| arg.get_short() == Some(first))?;
    let value = letters.as_str().trim_start_matches('=');
    Some((arg, (!value.is_empty()).then_some(value)))
}

/// Whether the word after an option is its value.
fn takes_word(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

/// What the value of an argument may be.
fn values(arg: &Arg) -> Wanted {
    const NAMES: [&str; 7] = ["name", "backup", "undo", "namespace", "context", "cluster", "user"];
    let id = arg.get_id().as_str();
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let word = |value: &clap::builder::PossibleValue| {
            (value.get_name().to_owned(), value.get_help().map(first_sentence).unwrap_or_default())
        };
        return Wanted::Words(possible.iter().map(word).collect());
    }
    match id {
        "kubeconfig" | "dir" => Wanted::File,
        "wait" => {
            Wanted::Words(["true", "false"].map(|word| (word.to_owned(), String::new())).into())
        }
        id if NAMES.contains(&id) => Wanted::Name(id.to_owned()),
        _ => Wanted::Free,
    }
}

fn flags(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown
        .filter_map(|arg| {
            let help = arg.get_help().map(first_sentence).unwrap_or_default();
            Some((format!("--{}", arg.get_long()?), help))
        })
        .collect()
}

fn commands(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown
        .map(|sub| {
            (sub.get_name().to_owned(), sub.get_about().map(first_sentence).unwrap_or_default())
        })
        .collect()
}

/// What fits behind a candidate.
fn first_sentence(text: &clap::builder::StyledStr) -> String {
    let text = text.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split(". ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(words: &[&str], names: &[&str]) -> String {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        Line::read(&Cli::command(), &words).answer(&names)
    }

    fn candidates(words: &[&str]) -> Vec<String> {
        let answer = answer(words, &[]);
        let words =
            answer.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        words.collect()
    }

    fn wanted(words: &[&str]) -> Wanted {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        Line::read(&Cli::command(), &words).wanted
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        assert_eq!(candidates(&["ba"]), ["backup", "backups", ":4"]);
        assert_eq!(
            candidates(&["restore", "memory", "--latest"]),
            ["--latest", "--latest-verified", ":4"]
        );
        assert_eq!(candidates(&["restore", "memory", "--strategy", "s"]), ["swap-schema", ":4"]);
        assert_eq!(
            candidates(&["restore", "memory", "--strategy=s"]),
            ["--strategy=swap-schema", ":4"]
        );
        assert_eq!(candidates(&["backups", "memory", "-o", "j"]), ["json", ":4"]);
        assert_eq!(candidates(&["backup", "memory", "--wait=f"]), ["--wait=false", ":4"]);
        assert_eq!(candidates(&["completion", "b"]), ["bash", ":4"]);
        assert_eq!(candidates(&["restore", "memory", "--kubeconfig", ""]), [":0"]);
        let described = answer(&["dril"], &[]);
        assert_eq!(
            described,
            "drill\tRun a disaster recovery drill, which does not affect what is live\n:4\n"
        );
    }

    #[test]
    fn names_are_those_of_what_is_asked_for() {
        let name = |of: &str| Wanted::Name(of.into());
        assert_eq!(wanted(&["status", ""]), name("name"));
        assert_eq!(wanted(&["-n", "agents", "status", ""]), name("name"));
        assert_eq!(wanted(&["status", "-n", ""]), name("namespace"));
        assert_eq!(wanted(&["status", "--namespace="]), name("namespace"));
        assert_eq!(wanted(&["status", "--context", ""]), name("context"));
        assert_eq!(wanted(&["restore", "--undo", ""]), name("undo"));
        assert_eq!(wanted(&["restore", "memory", "--backup", ""]), name("backup"));
        assert_eq!(wanted(&["restore", "memory", ""]), Wanted::Words(Vec::new()));
        assert_eq!(wanted(&["restore", "memory", "--new-database", ""]), Wanted::Free);
        // A flag with no value of its own takes no word.
        assert_eq!(wanted(&["restore", "--latest", ""]), name("name"));
        assert_eq!(wanted(&["restore", "--wait", ""]), name("name"));
        assert_eq!(answer(&["status", "b"], &["blue", "memory"]), "blue\n:4\n");
        assert_eq!(answer(&["status", "--namespace=a"], &["agents"]), "--namespace=agents\n:4\n");
    }

    #[test]
    fn what_was_typed_before_leads_to_the_cluster() {
        let words = ["restore", "memory", "-n", "agents", "--context=prod", "--backup", ""];
        let line = Line::read(&Cli::command(), &words.map(str::to_owned));
        let flags = line.flags();
        assert_eq!(
            (flags.namespace.as_deref(), flags.context.as_deref()),
            (Some("agents"), Some("prod"))
        );
        assert_eq!(line.given.get("name").map(String::as_str), Some("memory"));
    }
}
