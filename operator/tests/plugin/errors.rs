//! Each error names what is wrong and what to do.

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::server::{Ran, Server, command, kubeconfig_at};

#[tokio::test]
async fn an_agentfs_that_is_not_there_is_told_with_those_that_are() {
    let server = Server::start().await;
    let ran = server.run("backup memroy").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        "error: there is no AgentFS memroy in namespace agents. There is memory\n"
    );
    let ran = server.run("status memory -n default").await;
    assert_eq!(
        ran.stderr,
        "error: there is no AgentFS memory in namespace default. There is memory in namespace agents; name another namespace with -n\n"
    );
    server.remove_all("agentfses");
    let ran = server.run("status memory").await;
    assert!(ran.stderr.contains("There is none; name another namespace with -n"), "{ran:?}");
    assert_eq!(server.created(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_cluster_without_the_operator_is_told_from_one_that_is_away() {
    let server = Server::without_kinds().await;
    let ran = server.run("status memory").await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.starts_with(
            "error: the cluster has no kind AgentFS: the AgentFS operator is not installed there"
        ),
        "{ran:?}"
    );

    let folder = TempDir::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let config = kubeconfig_at(folder.path(), &url);
    let ran = Ran::of(command(&config, "status memory").output().await.unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.starts_with(&format!("error: cannot reach the cluster at {url}")),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("refused"), "{ran:?}");
}

#[tokio::test]
async fn no_cluster_and_a_wrong_context_say_which_flag_helps() {
    let folder = TempDir::new().unwrap();
    let ran =
        Ran::of(command(&folder.path().join("none"), "status memory").output().await.unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no cluster:") && ran.stderr.contains("--kubeconfig"), "{ran:?}");
    let server = Server::start().await;
    let ran = server.run("status memory --context elsewhere").await;
    assert!(ran.stderr.contains("no cluster:") && ran.stderr.contains("elsewhere"), "{ran:?}");
}

#[tokio::test]
async fn a_missing_right_is_named_and_somebody_else_can_be_acted_as() {
    let server = Server::start().await;
    let message = "agentfsbackups.agentfs.io is forbidden: User \"ada\" cannot create resource \"agentfsbackups\" in API group";
    server.refuse("agentfsbackups", 403, message);
    let ran = server.run("backup memory --as bob --as-group sre").await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("kubectl auth can-i create agentfsbackups.agentfs.io -n agents"),
        "{ran:?}"
    );
    assert_eq!(server.impersonated()[..2], ["bob", "sre"]);
}

#[tokio::test]
async fn what_the_cluster_refuses_is_told_in_its_words() {
    let server = Server::start().await;
    server.refuse("agentfsdrills", 422, "AgentFSDrill is invalid: spec.agentFS: too long.");
    let ran = server.run("drill memory").await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "error: the cluster refuses it: AgentFSDrill is invalid: spec.agentFS: too long\n"
    );
}

#[tokio::test]
async fn a_wrong_use_ends_with_2() {
    let server = Server::start().await;
    for words in [
        "",
        "restore memory",
        "restore memory --latest --in-place --new-database x",
        "backup",
        "status memory -o toml",
    ] {
        let ran = server.run(words).await;
        assert_eq!(ran.code, Some(2), "{words}: {ran:?}");
    }
    assert_eq!(server.run("--help").await.code, Some(0));
}

#[tokio::test]
async fn an_object_of_another_release_is_told_as_that() {
    let server = Server::start().await;
    server.put(
        "agentfsbackups",
        "of-tomorrow",
        json!({"spec": {"agentFS": "memory", "scope": "Half"}}),
    );
    let ran = server.run("backups memory").await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("AgentFSBackup of-tomorrow cannot be read")
            && ran.stderr.contains("another release"),
        "{ran:?}"
    );
}
