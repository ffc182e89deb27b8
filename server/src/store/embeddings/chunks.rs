//! Further chunks: the vectors of long values after the first one.

use sqlx::postgres::PgConnection;

use super::{Embedded, keys};
use crate::store::StoreError;

/// `OFFSET 0` has each entry looked up by its key, also in a table that was never analysed.
const REMOVE: &str = "
DELETE FROM embedding_chunks
 WHERE ctid = ANY (ARRAY (
       SELECT c.ctid
         FROM unnest($2::uuid[], $3::text[], $4::text[]) AS k (tenant_id, agent_id, path)
        CROSS JOIN LATERAL (
              SELECT c.ctid
                FROM embedding_chunks c
               WHERE c.tenant_id = k.tenant_id AND c.agent_id = k.agent_id AND c.path = k.path AND c.model_id = $1
              OFFSET 0) c))";

/// Passes all vectors in one array, `$8` numbers each.
const WRITE: &str = "
INSERT INTO embedding_chunks (tenant_id, agent_id, path, model_id, n, version_id, embedding)
SELECT k.tenant_id, k.agent_id, k.path, $1, k.chunk, k.version_id, ($7::real[])[(k.n - 1) * $8 + 1 : k.n * $8]::halfvec
  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::int[])
       WITH ORDINALITY AS k (tenant_id, agent_id, path, version_id, chunk, n)";

/// Writes the further chunks of entries whose embeddings the transaction has written, in place of those that there are.
pub(super) async fn replace(
    connection: &mut PgConnection,
    model: i32,
    embedded: &[Embedded<'_>],
) -> Result<(), StoreError> {
    if embedded.is_empty() {
        return Ok(());
    }
    let (tenants, agents, paths, _) = keys(embedded);
    sqlx::query(REMOVE)
        .bind(model)
        .bind(tenants)
        .bind(agents)
        .bind(paths)
        .execute(&mut *connection)
        .await?;
    let further: Vec<(Embedded<'_>, i32)> = embedded
        .iter()
        .flat_map(|&(job, vectors)| {
            let chunks = vectors.chunks(1).zip(0..).skip(1);
            chunks.map(move |(vector, n)| ((job, vector), n))
        })
        .collect();
    let Some(((_, [vector]), _)) = further.first() else { return Ok(()) };
    let dimensions = vector.len() as i64;
    let (each, numbers): (Vec<Embedded<'_>>, Vec<i32>) = further.into_iter().unzip();
    let (tenants, agents, paths, versions) = keys(&each);
    let all: Vec<f32> = each.iter().flat_map(|(_, vectors)| vectors.concat()).collect();
    sqlx::query(WRITE)
        .bind(model)
        .bind(tenants)
        .bind(agents)
        .bind(paths)
        .bind(versions)
        .bind(numbers)
        .bind(all)
        .bind(dimensions)
        .execute(connection)
        .await?;
    Ok(())
}
