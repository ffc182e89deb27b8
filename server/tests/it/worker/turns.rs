//! Tenants take turns: no one's jobs keep another's waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use agentfs_server::domain::TenantId;
use agentfs_server::store::embeddings::jobs::{Round, Wanted, claim};
use serde_json::{Value, json};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::support::api::{Api, tenants_key};
use crate::support::database::Database;
use crate::support::provider::{Provider, TORRENT};
use crate::support::worker::{EMBEDDED, Worker, until};
use crate::support::{jobs, semantic};

async fn name_of(database: &Database, model: i32) -> String {
    let name = sqlx::query_scalar("SELECT name FROM embedding_models WHERE id = $1").bind(model);
    name.fetch_one(&mut database.connect().await).await.unwrap()
}

/// What claims give, one after another in a round: the jobs of each tenant, by the last digits of its id.
async fn claimed(
    database: &Database,
    limit: usize,
    tokens_per_day: Option<i64>,
    without: &[TenantId],
    round: &mut Round,
) -> BTreeMap<u128, usize> {
    let model = database.number("SELECT min(id)::bigint FROM embedding_models").await;
    let (model, lease) = (model.try_into().unwrap(), Duration::from_secs(100));
    let name = &name_of(database, model).await;
    let wanted = Wanted { model, name, limit, lease, tokens_per_day, without };
    let claim = claim(&database.address().pool(1), wanted, round).await.unwrap();
    let mut of_tenants = BTreeMap::new();
    for job in claim.into_iter().flat_map(|claim| claim.jobs) {
        *of_tenants.entry(job.tenant.0.as_u128()).or_default() += 1;
    }
    of_tenants
}

/// Jobs that are due, with no entry, of tenants by the last digits of their ids: 5000 of the first, and one of each other.
async fn with_jobs(tenants: u128) -> Database {
    let database = Database::migrated().await;
    for tenant in 0..tenants {
        jobs::add(&database, Uuid::from_u128(tenant), "queued", if tenant == 0 { 5000 } else { 1 })
            .await;
    }
    database
        .execute(
            "UPDATE embedding_jobs SET attempts = 0, next_attempt_at = now() - interval '1 minute', leased_until = NULL;",
        )
        .await;
    database.execute("ANALYZE embedding_jobs").await;
    database
}

#[tokio::test]
async fn tenants_take_turns_however_many_jobs_one_has() {
    let database = with_jobs(3).await;
    let mut round = Round::default();
    let first = claimed(&database, 64, None, &[], &mut round).await;
    assert_eq!(first, [(0, 21), (1, 1), (2, 1)].into());
    assert!(!round.is_idle(), "one of them has more");
    assert_eq!(claimed(&database, 64, None, &[], &mut round).await, [(0, 64)].into());
    let paused = [TenantId(Uuid::nil())];
    assert_eq!(claimed(&database, 64, None, &paused, &mut round).await, BTreeMap::new());
    assert!(round.is_idle());
}

#[tokio::test]
async fn jobs_of_another_model_with_the_same_id_are_left() {
    let database = with_jobs(2).await;
    let model = database.number("SELECT min(id)::bigint FROM embedding_models").await;
    let wanted = Wanted {
        model: model.try_into().unwrap(),
        name: "as it was before a restore",
        limit: 64,
        lease: Duration::from_secs(100),
        tokens_per_day: None,
        without: &[],
    };
    let claim = claim(&database.address().pool(1), wanted, &mut Round::default()).await.unwrap();
    assert!(claim.is_none_or(|claim| claim.jobs.is_empty()));
}

#[tokio::test]
async fn who_asks_for_few_jobs_goes_on_where_the_claim_before_ended() {
    let database = with_jobs(5).await;
    let mut round = Round::default();
    let mut taken = Vec::new();
    for _ in 0..8 {
        taken.extend(claimed(&database, 2, None, &[], &mut round).await);
    }
    let tenants: Vec<u128> = taken.iter().map(|(tenant, _)| *tenant).collect();
    assert_eq!(tenants[..5], [0, 1, 2, 3, 4]);
    assert!(tenants[5..].iter().all(|tenant| *tenant == 0), "{taken:?}");
    assert!(!round.is_idle());
}

#[tokio::test]
async fn jobs_of_a_tenant_that_has_used_up_its_tokens_cost_a_claim_nothing() {
    let database = with_jobs(2).await;
    let used = "INSERT INTO quota_usage (tenant_id, day, embed_tokens)
                VALUES ('00000000-0000-0000-0000-000000000000', (now() AT TIME ZONE 'UTC')::date, 5)";
    database.execute(used).await;
    let mut connection = database.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    let model = sqlx::query_scalar("SELECT min(id) FROM embedding_models");
    let model = model.fetch_one(&mut *transaction).await.unwrap();
    let lease = Duration::from_secs(100);
    let name = &name_of(&database, model).await;
    let wanted = Wanted { model, name, limit: 64, lease, tokens_per_day: Some(5), without: &[] };
    let mut round = Round::default();
    let claim = claim(&mut *transaction, wanted, &mut round).await.unwrap().unwrap();
    assert_eq!(claim.jobs.len(), 1);
    let looked_at: i64 = sqlx::query_scalar(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
          WHERE relname = 'embedding_jobs'",
    )
    .fetch_one(&mut *transaction)
    .await
    .unwrap();
    assert!(looked_at < 50, "{looked_at} of 5001 rows");
    transaction.rollback().await.unwrap();
    // By hand, as in the runbook, and by command.
    for reset in
        ["UPDATE quota_usage SET embed_tokens = 0", "UPDATE quota_usage SET embed_tokens = 4"]
    {
        let mut round = Round::default();
        assert_eq!(claimed(&database, 64, Some(5), &[], &mut round).await.get(&0), None);
        database.execute(reset).await;
        let due = claimed(&database, 64, Some(5), &[], &mut round).await;
        assert!(due[&0] >= 32, "{due:?}");
        database.execute("UPDATE quota_usage SET embed_tokens = 5").await;
    }
}

#[tokio::test]
async fn what_is_queued_by_hand_is_due_whatever_its_times_say() {
    let database = with_jobs(1).await;
    let mut round = Round::default();
    for later in [
        "UPDATE embedding_jobs SET attempts = 3, next_attempt_at = now() + interval '1 day'",
        "UPDATE embedding_jobs SET status = 'running', attempts = 3, next_attempt_at = now() + interval '1 day', leased_until = now() + interval '1 day'",
    ] {
        database.execute(later).await;
        assert_eq!(claimed(&database, 64, None, &[], &mut round).await, BTreeMap::new());
        database
            .execute("UPDATE embedding_jobs SET status = 'queued', attempts = 0 WHERE id % 2 = 0")
            .await;
        let due = async || {
            let mut round = Round::default();
            claimed(&database, 5000, None, &[], &mut round)
                .await
                .get(&0)
                .copied()
                .unwrap_or_default()
        };
        let mut all = 0;
        for _ in 0..5 {
            all += due().await;
        }
        assert_eq!(all, 2500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_one_note_is_embedded_among_the_first_of_a_thousand() {
    let (api, database) = Api::start().await;
    let provider = Provider::start().await;
    for hundred in 0..10 {
        let put = |n| json!({"op": "put", "agent_id": "ada", "path": format!("/{n}"), "value": format!("note {n}"), "searchable": true});
        let operations: Vec<Value> = (0..100).map(|n| put(100 * hundred + n)).collect();
        api.client.ok("/v1/batch", json!({"operations": operations})).await;
    }
    let other = api.client.with_key(&tenants_key(&database).await);
    semantic::put(&other, "/one", "the only one").await;
    // The jobs are made before they are taken, so that all of them wait.
    let model =
        "INSERT INTO embedding_models (name, dimensions, state) VALUES ('fake/8', 8, 'serving')";
    database.execute(model).await;
    let jobs = "INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id)
                SELECT e.tenant_id, e.agent_id, e.path, e.latest_version_id, m.id FROM embedding_models m, entries e ORDER BY e.tenant_id";
    database.execute(jobs).await;
    let one_by_one = [
        ("EMBED_CONCURRENCY", "1"),
        ("EMBED_BATCH_SIZE", "20"),
        ("EMBED_TOKENS_QUOTA_PER_DAY", "0"),
    ];
    let worker = Worker::start(&database, &provider, &one_by_one);
    until(&database, EMBEDDED, 1001).await;
    worker.stop().await;
    let requests = provider.requests();
    let among_first = requests[..2].iter().flatten().any(|text| text == "the only one");
    assert!(among_first, "{:?}", requests.iter().map(Vec::len).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_puts_off_for_one_tenant_is_embedded_for_others() {
    let (api, database) = Api::start().await;
    let provider = Provider::start().await;
    semantic::put(&api.client, "/loud", &format!("a {TORRENT} of words")).await;
    semantic::put(&api.client, "/quiet", "quiet").await;
    let other = api.client.with_key(&tenants_key(&database).await);
    semantic::put(&other, "/0", "other 0").await;
    // Of several at once, one may take what another has just put back.
    let worker = Worker::start(&database, &provider, &[("EMBED_CONCURRENCY", "1")]);
    until(&database, EMBEDDED, 1).await;
    let put_back = "SELECT count(*) FROM embedding_jobs WHERE status = 'queued' AND attempts = 0 AND last_error LIKE '%429%'";
    until(&database, put_back, 2).await;
    semantic::put(&other, "/1", "other 1").await;
    until(&database, EMBEDDED, 2).await;
    worker.stop().await;
    assert_eq!(provider.sent("other 1"), 1);
    assert!(provider.sent("quiet") <= 2, "the tenant waits");
}
