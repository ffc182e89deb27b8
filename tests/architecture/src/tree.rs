//! Compares what the sources of a crate use with what its layers allow.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr as _;

use proc_macro2::TokenStream;

use crate::layers::{Crate, FILE};
use crate::paths::{Named, named};

/// A file of a crate.
#[derive(Debug)]
pub struct Source {
    /// From the root of the checkout on.
    pub(crate) file: String,
    /// The module that it is; empty for the crate's root.
    module: Vec<String>,
    text: String,
}

impl Source {
    /// The file `file` of the folder `folder`.
    pub fn new(folder: &str, file: &str, text: String) -> Self {
        let path = file.trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        let root = ["lib", "main"].contains(&path);
        let module = if root { Vec::new() } else { path.split('/').map(str::to_owned).collect() };
        Self { file: format!("{folder}/{file}"), module, text }
    }

    /// The name of its module in the layers.
    fn path(&self) -> Vec<String> {
        if self.module.is_empty() {
            let name = if self.file.ends_with("main.rs") { "main" } else { "lib" };
            return vec![name.to_owned()];
        }
        self.module.clone()
    }
}

/// The sources of a crate, by its folder below `root`.
///
/// # Errors
/// Where they cannot be read.
pub fn sources(root: &Path, folder: &str) -> io::Result<Vec<Source>> {
    let mut found = Vec::new();
    read(&root.join(folder), folder, "", &mut found)?;
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

fn read(at: &Path, folder: &str, below: &str, found: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let file = format!("{below}{}", entry.file_name().display());
        if entry.file_type()?.is_dir() {
            read(&entry.path(), folder, &format!("{file}/"), found)?;
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            found.push(Source::new(folder, &file, fs::read_to_string(entry.path())?));
        }
    }
    Ok(())
}

/// Each arrow that is not allowed, and each line that says more than there is, in a sentence.
pub fn differences(krate: &Crate, sources: &[Source]) -> Vec<String> {
    let own = own_name(&krate.folder);
    let mut said = Vec::new();
    let mut seen = BTreeSet::new();
    let mut used = BTreeSet::new();
    for source in sources {
        let Some(from) = krate.module(&source.path()) else {
            let sentence = without_line(krate, source);
            if seen.insert((String::new(), source.path().into_iter().next().unwrap_or_default())) {
                said.push(sentence);
            }
            continue;
        };
        used.insert((from.name.as_str(), None));
        let tokens = match TokenStream::from_str(&source.text) {
            Ok(tokens) => tokens,
            Err(error) => {
                said.push(format!("{}: it is not Rust: {error}", source.file));
                continue;
            }
        };
        for name in named(tokens, source.module.clone(), &own, &krate.watched) {
            let Some(to) = target(krate, sources, &name).filter(|to| *to != from.name) else {
                continue;
            };
            used.insert((from.name.as_str(), from.uses.iter().find(|name| **name == to)));
            let allowed = from.uses.contains(&to);
            if !allowed && seen.insert((source.file.clone(), to.clone())) {
                said.push(not_allowed(krate, source, &from.name, &to, &name));
            }
        }
    }
    for module in &krate.modules {
        let (line, name) = (module.line, &module.name);
        if !used.contains(&(name.as_str(), None)) {
            said.push(format!("{FILE}:{line}: there is no module {name}; remove the line"));
            continue;
        }
        for target in module.uses.iter().filter(|to| !used.contains(&(name.as_str(), Some(to)))) {
            said.push(format!(
                "{FILE}:{line}: nothing of {name} uses {target} any more; take it off the line"
            ));
        }
    }
    said
}

/// The name by which a crate's binary knows its library, by our custom of naming folders.
fn own_name(folder: &str) -> String {
    let name = folder.trim_end_matches("/src").rsplit('/').next().unwrap_or_default();
    format!("agentfs_{}", name.replace('-', "_"))
}

/// The line that a path leads to; what is not in a module is the root's.
fn target(krate: &Crate, sources: &[Source], name: &Named) -> Option<String> {
    if name.foreign {
        return name.path.first().cloned();
    }
    let first = name.path.first();
    if first.is_some_and(|first| sources.iter().any(|source| source.module.first() == Some(first)))
    {
        return krate.module(&name.path).map(|module| module.name.clone());
    }
    let lib = sources.iter().any(|source| source.file.ends_with("/lib.rs"));
    Some(if lib { "lib" } else { "main" }.to_owned())
}

fn without_line(krate: &Crate, source: &Source) -> String {
    let module = source.path().first().cloned().unwrap_or_default();
    let (file, folder) = (&source.file, &krate.folder);
    format!(
        "{file}: the module {module} has no line in {FILE}; add `{module} ->` with what it may use below [{folder}]"
    )
}

fn not_allowed(krate: &Crate, source: &Source, from: &str, to: &str, name: &Named) -> String {
    let path = [
        if name.foreign { None } else { Some("crate") }.into_iter().collect(),
        name.path.iter().map(String::as_str).collect::<Vec<_>>(),
    ]
    .concat();
    let (file, line, path, folder) = (&source.file, name.line, path.join("::"), &krate.folder);
    let arrow = format!("{file}:{line}: {from} uses {to} ({path})");
    match krate.forbids(from, to) {
        Some(rule) => format!(
            "{arrow}, and {FILE} forbids it (`{rule}`). Move what is needed to where both may use it."
        ),
        None => format!(
            "{arrow}, which {FILE} does not allow. Move what is needed to where both may use it; or, if the arrow is right, add \
             `{to}` to the line `{from} ->` below [{folder}]."
        ),
    }
}
