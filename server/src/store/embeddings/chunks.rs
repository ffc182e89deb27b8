//! Further chunks: the vectors of long values after the first one, numbered from 1 on. The last one has the negative of its number where
//! the value goes on behind it, so that a search can tell without reading any value.

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
    let (each, numbers): (Vec<Embedded<'_>>, Vec<i32>) = embedded.iter().flat_map(further).unzip();
    let Some(Embedded { vectors: [vector], .. }) = each.first() else { return Ok(()) };
    let dimensions = vector.len() as i64;
    let (tenants, agents, paths, versions) = keys(&each);
    let all: Vec<f32> = each.iter().flat_map(|chunk| chunk.vectors.concat()).collect();
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

/// The chunks of a value after the first one, each by itself, and their numbers.
fn further<'a>(embedded: &Embedded<'a>) -> impl Iterator<Item = (Embedded<'a>, i32)> {
    let Embedded { job, vectors, is_cut } = *embedded;
    let last = vectors.len() as i32 - 1;
    let chunks = vectors.chunks(1).zip(0..).skip(1);
    chunks.map(move |(vector, n)| {
        let number = if is_cut && n == last { -n } else { n };
        (Embedded { job, vectors: vector, is_cut }, number)
    })
}
