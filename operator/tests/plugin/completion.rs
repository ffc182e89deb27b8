//! Completion: by kubectl, which runs a program beside the plugin, and by a shell's own script.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::record;
use super::server::{PROGRAM, Server};

#[tokio::test]
async fn names_are_asked_of_the_cluster() {
    let server = Server::start().await;
    server.put("agentfsbackups", "memory-b", record(27, true));
    let complete = async |words: &[&str]| {
        let output = server.command("__complete").args(words).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete(&["status", "m"]).await, "memory\n:4\n");
    assert_eq!(complete(&["restore", "memory", "--backup", ""]).await, "memory-b\n:4\n");
    assert_eq!(complete(&["status", "--context", ""]).await, "here\n:4\n");
    assert_eq!(complete(&["status", "-n", "other", ""]).await, ":4\n");
}

#[test]
fn install_writes_beside_the_plugin_what_kubectl_runs() {
    let folder = TempDir::new().unwrap();
    symlink(PROGRAM, folder.path().join("kubectl-agentfs")).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program)
            .args(words)
            .env("PATH", &path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let completer = folder.path().join("kubectl_complete-agentfs");
    let said = run(PROGRAM, &["completion", "install"]);
    assert!(said.starts_with(&format!("wrote {}\n", completer.display())), "{said}");
    assert_eq!(completer.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    let answer = run(completer.to_str().unwrap(), &["restore", "memory", "--strategy", ""]);
    let words: Vec<_> = answer.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(words, ["swap-schema", "rename-database", "clean", ":4"]);

    let elsewhere = TempDir::new().unwrap();
    let said =
        run(PROGRAM, &["completion", "install", "--dir", elsewhere.path().to_str().unwrap()]);
    assert!(said.contains("is not on PATH"), "{said}");
}

#[test]
fn the_script_for_bash_completes_in_bash() {
    let script = "source <(\"$0\" completion bash)
        complete=$(complete -p kubectl-agentfs | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=(kubectl-agentfs rest) COMP_CWORD=1
        $complete kubectl-agentfs rest kubectl-agentfs
        echo \"${COMPREPLY[*]}\"
        COMP_WORDS=(kubectl-agentfs restore --latest) COMP_CWORD=2
        $complete kubectl-agentfs --latest restore
        echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash").args(["-c", script, PROGRAM]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "restore\n--latest --latest-verified\n");
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        let output = Command::new(PROGRAM).args(["completion", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("latest-verified"), "{shell}");
    }
}
