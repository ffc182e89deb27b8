//! Links of documents: to files of the checkout, and to headings in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The documents below `folder`; hidden folders and what is built are left out.
pub fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            found.extend(documents(&path));
        } else if is_document(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The links of the document at `path` that lead nowhere. Those to other sites are not looked at.
pub fn broken(path: &Path) -> Vec<String> {
    let mut links = links(path);
    links.retain(|(_, file, anchor)| {
        !file.exists() || !(anchor.is_empty() || anchors(file).contains(anchor))
    });
    links.into_iter().map(|(target, ..)| target).collect()
}

/// The documents that are found from the one at `path` by following links, itself included.
pub fn reached(path: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut ahead) = (BTreeSet::new(), vec![path.to_owned()]);
    while let Some(page) = ahead.pop().and_then(|page| page.canonicalize().ok()) {
        if found.contains(&page) {
            continue;
        }
        let linked = links(&page).into_iter().map(|(_, file, _)| file);
        ahead.extend(linked.filter(|file| is_document(file) && file.exists()));
        found.insert(page);
    }
    found
}

/// The links of a document to files of the checkout: as they are written, the file, and the anchor in it.
fn links(path: &Path) -> Vec<(String, PathBuf, String)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let folder = path.parent().unwrap_or(path);
    targets(&without_code(&prose(&text)))
        .into_iter()
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { path.to_owned() } else { folder.join(file) };
            let anchor = anchor.to_owned();
            (target, file, anchor)
        })
        .collect()
}

fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// A document without its blocks of code.
pub(crate) fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// The lines of a text without what is in backticks.
pub(crate) fn without_code(text: &str) -> String {
    let line = |line: &str| line.split('`').step_by(2).collect::<String>();
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What the links of a text lead to: the part in brackets behind `](`.
fn targets(text: &str) -> Vec<String> {
    let links = text.split("](").skip(1);
    links.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of a document's headings, as code forges make them.
pub fn anchors(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let prose = prose(&text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

pub(crate) fn anchor(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_made_of_headings() {
        assert_eq!(anchor("The API does not start"), "the-api-does-not-start");
        assert_eq!(anchor("`SecretMissing`"), "secretmissing");
        assert_eq!(anchor("What, then? (1.2)"), "what-then-12");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let folder = std::env::temp_dir().join(format!("links-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let page = folder.join("page.md");
        let text = "# One thing\n[a](#one-thing) [b](#another) [c](page.md#one-thing) [d](none.md) [e](https://x)\n";
        fs::write(&page, text).unwrap();
        assert_eq!(broken(&page), ["#another", "none.md"]);
        let other = folder.join("none.md");
        fs::write(&other, "[back](page.md)").unwrap();
        assert_eq!(documents(&folder), [other.clone(), page.clone()]);
        let pages = [other, page.clone()].map(|page| page.canonicalize().unwrap());
        assert_eq!(reached(&page), pages.into());
        fs::remove_dir_all(folder).unwrap();
    }
}
