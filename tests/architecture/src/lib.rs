//! Holds the layers: which module may use which stands in `layers.txt`, one line a module, and what the sources use is read
//! from them.

mod layers;
mod paths;
mod tree;

pub use layers::{Crate, Layers};
pub use tree::{Source, differences, sources};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_layers_hold() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let layers = Layers::parse(include_str!("../layers.txt")).unwrap();
        let found: Vec<String> = layers
            .crates
            .iter()
            .flat_map(|krate| {
                let sources = sources(&root, &krate.folder).unwrap();
                assert!(!sources.is_empty(), "no sources below {}", krate.folder);
                differences(krate, &sources)
            })
            .collect();
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }

    #[test]
    fn every_crate_of_the_product_has_its_layers() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let layers = Layers::parse(include_str!("../layers.txt")).unwrap();
        let shared = std::fs::read_dir(root.join("crates")).into_iter().flatten().flatten();
        let shared = shared.map(|entry| format!("crates/{}/src", entry.file_name().display()));
        for folder in shared.chain(["server/src".to_owned(), "operator/src".to_owned()]) {
            let there = layers.crates.iter().any(|krate| krate.folder == folder);
            assert!(there, "tests/architecture/layers.txt has no chapter [{folder}]");
        }
    }

    const LAYERS: &str = "
[server/src]
watch sqlx
never store -> http
only main -> commands
main -> commands
commands -> http
http -> store store/search
store -> domain sqlx
store/search -> store
domain ->
";

    fn source(file: &str, text: &str) -> Source {
        Source::new("server/src", file, text.to_owned())
    }

    /// What is wrong where `file` has this text, beside sources that are as the layers say.
    fn planted(file: &str, text: &str) -> Vec<String> {
        let mut sources = vec![
            source("main.rs", "mod commands; use agentfs_server::commands::run;"),
            source("commands.rs", "use crate::http;"),
            source("http/mod.rs", "use crate::store::{Store, search::{Hit, find}};"),
            source("store/mod.rs", "mod search; use sqlx::PgPool; pub use crate::domain::Key;"),
            source("store/search.rs", "use super::Store;"),
            source("domain.rs", "// use crate::http;\nconst TEXT: &str = \"crate::http\";"),
        ];
        let planted = source(file, text);
        sources.retain(|source| source.file != planted.file);
        sources.push(planted);
        let layers = Layers::parse(LAYERS).unwrap();
        differences(&layers.crates[0], &sources)
    }

    #[test]
    fn what_is_allowed_passes() {
        assert_eq!(
            planted("store/rows.rs", "use super::search::Hit; use self::x::Y;"),
            [
                "server/src/store/rows.rs:1: store uses store/search (crate::store::search::Hit), which tests/architecture/layers.txt \
             does not allow. Move what is needed to where both may use it; or, if the arrow is right, add `store/search` to the \
             line `store ->` below [server/src]."
            ]
        );
        assert_eq!(planted("http/get.rs", "pub(in crate::store) fn f() { g(super::h) }"), [""; 0]);
    }

    #[test]
    fn a_planted_import_is_found_in_any_form() {
        for (line, text) in [
            (1, "use crate::http::Error;"),
            (2, "\nuse crate::{domain::Key, http::{self, Error as E}};"),
            (3, "fn f() {\n\n    super::http::answer()\n}"),
            (1, "mod inner { use super::super::http; }"),
            (2, "fn f() {\n    log!(\"{}\", crate::http::answer());\n}"),
            (1, "#[path::to(crate::http::Error)] struct S;"),
            (1, "fn f(error: crate::http::Error) -> Result<(), super::Never> {}"),
            (1, "type Answer = Vec<crate::http::Answer>;"),
            (1, "use agentfs_server::http;"),
        ] {
            let found = planted("domain.rs", text);
            let found: Vec<_> =
                found.iter().filter(|line| line.contains("domain uses http")).collect();
            assert_eq!(found.len(), 1, "{text}");
            let place = format!("server/src/domain.rs:{line}: ");
            assert!(found[0].starts_with(&place), "{text}: {}", found[0]);
        }
        let found = planted("domain.rs", "use sqlx::PgPool;");
        assert!(found[0].contains("domain uses sqlx"), "{found:?}");
    }

    #[test]
    fn what_is_never_allowed_is_told_so() {
        let found = planted("store/rows.rs", "use crate::http;");
        assert!(found[0].contains("forbids it (`never store -> http`)"), "{found:?}");
        let found = planted(
            "http/mod.rs",
            "use crate::store; use crate::store::search; use crate::commands;",
        );
        assert!(found[0].contains("forbids it (`only main -> commands`)"), "{found:?}");
        let layers = LAYERS.replace("never store -> http", "never domain -> *");
        let layers = Layers::parse(&layers.replace("domain ->\n", "domain -> sqlx\ndomain/x ->\n"));
        let krate = &layers.unwrap().crates[0];
        assert_eq!(krate.forbids("domain/x", "store/search"), Some("never domain -> *"));
        assert_eq!(krate.forbids("domain/x", "domain").or(krate.forbids("domain", "sqlx")), None);
        let broken = LAYERS.replace("domain sqlx", "domain http sqlx");
        let error = Layers::parse(&broken).unwrap_err();
        assert_eq!(
            error,
            "tests/architecture/layers.txt:9: `store -> http` is forbidden by `never store -> http`"
        );
    }

    #[test]
    fn a_line_says_no_more_than_there_is() {
        let found = planted("store/mod.rs", "use sqlx::PgPool;");
        assert_eq!(
            found,
            [
                "tests/architecture/layers.txt:9: nothing of store uses domain any more; take it off the line"
            ]
        );
        let found = planted("extra/mod.rs", "");
        assert_eq!(
            found,
            [
                "server/src/extra/mod.rs: the module extra has no line in tests/architecture/layers.txt; add `extra ->` with \
             what it may use below [server/src]"
            ]
        );
        let layers = Layers::parse("[server/src]\nmain ->\ngone ->\n").unwrap();
        let found = differences(&layers.crates[0], &[source("main.rs", "")]);
        assert_eq!(
            found,
            ["tests/architecture/layers.txt:3: there is no module gone; remove the line"]
        );
    }
}
