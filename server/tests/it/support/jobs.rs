//! Embedding jobs as a worker leaves them.

use uuid::Uuid;

use super::database::Database;

/// Adds jobs of a tenant in a status, with attempts behind them and a long pause before them.
pub async fn add(database: &Database, tenant: Uuid, status: &str, count: i32) {
    sqlx::query(
        "WITH model AS (
             INSERT INTO embedding_models (name, dimensions, state) VALUES ('test', 3, 'filling')
             ON CONFLICT (name) DO UPDATE SET state = excluded.state RETURNING id
         )
         INSERT INTO embedding_jobs
                (tenant_id, agent_id, path, version_id, model_id, status, attempts, last_error, next_attempt_at, leased_until)
         SELECT $1, 'ada', '/' || n, gen_random_uuid(), model.id, $2, 5, 'provider said no', now() + interval '1 day',
                now() + interval '1 day'
           FROM model, generate_series(1, $3) AS n",
    )
    .bind(tenant)
    .bind(status)
    .bind(count)
    .execute(&mut database.connect().await)
    .await
    .expect("jobs");
}
