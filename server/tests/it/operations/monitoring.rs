//! Alerts, dashboard and docs/MONITORING.md against the metrics that there are: those of a real API and a real worker, and those
//! that the operator's source names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use agentfs_documents::links::anchors;
use agentfs_server::embedding::embedders::embedders;
use agentfs_server::runtime::metrics::Metrics;
use agentfs_server::worker::work;
use regex::Regex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::api::Api;
use crate::support::backups::Backups;
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::proofs::prove_latest;
use crate::support::provider::Provider;
use crate::support::worker::{settings, variables};

const ALERTS: &str = include_str!("../../../../manifests/monitoring/alerts.yaml");
const DASHBOARD: &str = include_str!("../../../../manifests/monitoring/dashboard.json");
const DOCUMENT: &str = include_str!("../../../../docs/MONITORING.md");
const OPERATOR: &str = include_str!("../../../../operator/src/process/metrics.rs");

/// What Prometheus adds to every series.
const TARGET: [&str; 3] = ["job", "instance", "namespace"];

/// Series with the names of their labels.
type Series = BTreeMap<String, BTreeSet<String>>;

fn found<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    let pattern = Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|c| c.get(1).unwrap().as_str()).collect()
}

/// The series of `text`, as /metrics shows it.
fn exposed(text: &str) -> Series {
    let mut series = Series::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let labels = found(r#"[{,](\w+)=""#, line).into_iter().map(str::to_owned);
        series.entry(name.to_owned()).or_default().extend(labels);
    }
    series
}

/// The text of /metrics of an API and of a worker that have had something to do.
async fn texts() -> [String; 2] {
    let (database, provider) = (Database::migrated().await, Provider::start().await);
    let backups = Backups::new();
    backups.make(&database, &[]);
    prove_latest(backups.path(), None).await;
    let location = [("BACKUP_LOCATION", backups.path().to_str().unwrap())];
    let api = Api::start_with(&database, &[], &variables(&provider, &location)).await;
    let put = json!({"agent_id": "ada", "path": "/x", "value": "a text", "searchable": true});
    api.client.ok("/v1/put", put).await;
    api.client.get("/x").await;
    let (metrics, settings) = (Metrics::new().unwrap(), settings(&provider, &[]));
    let (end, ended) = watch::channel(false);
    let embedders = embedders(&settings).unwrap();
    let work = work(database.address().pool(6), embedders, settings, metrics.clone(), ended);
    let worker = tokio::spawn(work);
    let done = r#"agentfs_embedding_outcomes_total{outcome="embedded"} 1"#;
    eventually(done, async || metrics.render().unwrap(), |text| text.contains(done)).await;
    end.send_replace(true);
    worker.await.unwrap();
    api.until_metric(r#"agentfs_embedding_jobs_total{status="succeeded"}"#, |n| n > 0.0).await;
    api.until_metric("agentfs_backup_catalogue_up", |up| up > 0.0).await;
    eventually(
        "gauges",
        async || api.metrics().await,
        |text| text.contains("agentfs_backup_count"),
    )
    .await;
    [api.metrics().await, metrics.render().unwrap()]
}

/// What a server does not show.
fn others() -> Series {
    let set = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    let mut series = Series::new();
    for name in found(r#""(agentfs_operator_\w+)""#, OPERATOR) {
        // The labels follow the name, before the next one.
        let rest = &OPERATOR[OPERATOR.find(&format!("\"{name}\"")).unwrap() + name.len() + 2..];
        let own = rest.split("\"agentfs_operator_").next().unwrap();
        let labels = found(r"&\[([^\]]*)\]", own).first().copied().unwrap_or_default();
        series.insert(name.to_owned(), set(&found(r#""(\w+)""#, labels)));
    }
    series.insert("up".to_owned(), BTreeSet::new());
    series
}

/// The expressions of alerts and dashboard.
fn expressions() -> Vec<String> {
    let one_line = Regex::new(r"(?m)^ +expr: ([^|\n].*)$").unwrap();
    let block = Regex::new(r"(?m)^( +)expr: \|\n((?: {10,}.*\n)+)").unwrap();
    let mut all: Vec<String> = one_line.captures_iter(ALERTS).map(|c| c[1].to_owned()).collect();
    all.extend(block.captures_iter(ALERTS).map(|c| c[2].to_owned()));
    assert_eq!(all.len(), ALERTS.matches("- alert:").count(), "an expression was not found");
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    all
}

/// What is wrong with `expression`: series that there are not, and labels that none of its series has.
fn wrong(expression: &str, known: &Series) -> Vec<String> {
    let (mut wrong, mut labels) = (Vec::new(), BTreeSet::from(TARGET));
    for name in found(r"\b((?:agentfs|kube|process)_\w+|up\b)", expression) {
        match known.get(name) {
            Some(own) => labels.extend(own.iter().map(String::as_str)),
            None => wrong.push(name.to_owned()),
        }
    }
    let selected = found(r"[{,](\w+)(?:=~|!~|!=|=)", expression);
    let grouped = found(r"\b(?:by|on) \(([^)]*)\)", expression);
    let grouped = grouped.into_iter().flat_map(|list| list.split(", "));
    let unknown = selected.into_iter().chain(grouped).filter(|label| !labels.contains(label));
    wrong.extend(unknown.map(str::to_owned));
    wrong
}

#[tokio::test]
async fn every_metric_of_alerts_and_dashboard_exists_and_the_page_names_all() {
    let texts = texts().await;
    let mut known = others();
    for (name, labels) in texts.iter().flat_map(|text| exposed(text)) {
        known.entry(name).or_default().extend(labels);
    }
    for expression in expressions() {
        let wrong = wrong(&expression, &known);
        assert!(wrong.is_empty(), "there is no {wrong:?}, which is in: {expression}");
    }
    for text in &texts {
        for name in found(r"(?m)^# TYPE (\w+)", text) {
            let row = Regex::new(&format!(r"(?m)^\| `{name}(?:\{{([\w,]+)\}})?` \|")).unwrap();
            let row = row.captures(DOCUMENT).unwrap_or_else(|| panic!("{name} is not documented"));
            let named: BTreeSet<&str> =
                row.get(1).map(|labels| labels.as_str().split(',').collect()).unwrap_or_default();
            let of = |series: &str| known.get(series).cloned().unwrap_or_default();
            let there = of(name).into_iter().chain(of(&format!("{name}_count")));
            let there: BTreeSet<String> = there.collect();
            // A counter without events shows no labels.
            assert!(there.iter().all(|label| named.contains(label.as_str())), "{name}: {there:?}");
        }
    }
    for name in others().keys().filter(|name| name.starts_with("agentfs_operator_")) {
        assert!(DOCUMENT.contains(&format!("| `{name}")), "{name} is not documented");
    }
}

#[test]
fn a_metric_or_a_label_that_is_not_there_is_seen() {
    let known = exposed("agentfs_x_total{route=\"/v1/put\",status=\"200\"} 1\n");
    assert!(
        wrong(r#"sum by (route) (rate(agentfs_x_total{status="200"}[5m]))"#, &known).is_empty()
    );
    let expression = r#"sum by (root) (agentfs_x_total{state="200"}) / agentfs_y_total > 1"#;
    assert_eq!(wrong(expression, &known), ["agentfs_y_total", "state", "root"]);
}

#[test]
fn every_alert_says_what_to_do_and_leads_to_its_chapter() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATIONS.md");
    let chapters = anchors(&page);
    for alert in ALERTS.split("- alert: ").skip(1) {
        let links = found(r"runbook_url: docs/OPERATIONS\.md#([\w-]+)\n", alert);
        let [link] = links[..] else { panic!("no runbook_url in {alert}") };
        assert!(chapters.iter().any(|chapter| chapter == link), "no chapter {link}: {alert}");
        assert_eq!(found(r"severity: (critical|warning)\}", alert).len(), 1, "{alert}");
        assert_eq!(found(r"(?m)^ +description: (.+)$", alert).len(), 1, "{alert}");
        let name = alert.lines().next().unwrap();
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name} is not documented");
    }
}
