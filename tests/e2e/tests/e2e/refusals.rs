//! Nonsense is refused by the API server itself, with a sentence.

use agentfs_e2e::Failure;
use agentfs_e2e::namespace::Namespace;

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn nonsense_is_refused_with_a_sentence() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    let cases = [
        ("memory", "database: {}", "set exactly one of embedded, external"),
        (
            "memory",
            "database: {embedded: {storage: {size: lots}}}",
            "spec.database.embedded.storage.size",
        ),
        ("memory", "{database: {embedded: {}}, api: {replicas: -1}}", "spec.api.replicas"),
        (
            "memory",
            "{database: {embedded: {}}, backup: {schedule: \"2 o'clock\"}}",
            "must have five fields, minute hour day-of-month month day-of-week",
        ),
        ("memory", "{database: {embedded: {}}, backup: {schedule: 0 2 * * 7}}", "Sunday is 0"),
        (
            "memory",
            "{database: {embedded: {}}, backup: {schedule: TZ=UTC 0 2 * * *}}",
            "set timeZone",
        ),
        (
            "memory",
            "{database: {embedded: {}}, api: {resources: {limits: {memory: 512m}}}}",
            "memory must be at least 16Mi",
        ),
        (
            "memory",
            "{database: {embedded: {}}, migration: {resources: {requests: {cpu: 2}, limits: {cpu: 1500m}}}}",
            "requests must not be greater than limits",
        ),
        (
            "memory",
            "{database: {embedded: {}}, api: {trustProxy: [10.0.0.1]}}",
            "\"10.0.0.1\" is not a CIDR; example: 10.0.0.0/8",
        ),
        (
            "memory",
            "{database: {embedded: {}}, embeddings: {openAI: {model: text-embedding-3-small}}}",
            "set secretRef for api.openai.com, or baseUrl",
        ),
        ("1memory", "database: {embedded: {}}", "name"),
        (
            "a-name-that-is-longer-than-forty-characters",
            "database: {embedded: {}}",
            "40 characters",
        ),
    ];
    for (name, spec, sentence) in cases {
        let manifest = format!(
            "apiVersion: agentfs.io/v1alpha1\nkind: AgentFS\nmetadata: {{name: {name}}}\nspec: {}",
            if spec.starts_with('{') { spec.to_owned() } else { format!("{{{spec}}}") }
        );
        let refused = namespace
            .apply(&manifest)
            .await
            .map_or_else(|e| e.to_string(), |_| "accepted".to_owned());
        assert!(refused.contains(sentence), "{manifest}\nwas told: {refused}");
    }
    Ok(())
}
