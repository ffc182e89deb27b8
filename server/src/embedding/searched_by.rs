//! Says in the log what searches go by. A model's folder that was forgotten, or is another model's, would turn semantic search off
//! without a word.

use std::time::Duration;

use tokio::time::sleep;

use crate::store::connection::pool::Pool;
use crate::store::embeddings::models::serving;

const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Says it once, as soon as the database answers. `models`: those that this server embeds queries with.
pub async fn tell(pool: Pool, models: Vec<String>) {
    let serving = loop {
        match serving(&pool).await {
            Ok(serving) => break serving.map(|model| model.name),
            // It is not there, not migrated, or being restored, which others say.
            Err(_) => sleep(TRY_AGAIN).await,
        }
    };
    match searches(serving.as_deref(), &models) {
        Ok(sentence) => tracing::info!("{sentence}"),
        Err(sentence) => tracing::warn!("{sentence}"),
    }
}

/// An error where the database has embeddings and this server cannot search by them.
fn searches(serving: Option<&str>, models: &[String]) -> Result<String, String> {
    match (serving, models) {
        (None, []) => Ok("searches go by words: no embedding provider is set".into()),
        (None, _) => Ok("searches go by words until a worker has made the first embeddings".into()),
        (Some(model), models) if models.iter().any(|of| of == model) => {
            Ok(format!("searches go by words and by embeddings of {model}"))
        }
        (Some(model), []) => Err(format!(
            "searches go by words alone: the database has embeddings of {model}, and no embedding provider is set; set \
             EMBEDDING_MODEL_DIR to the folder of that model, or OPENAI_BASE_URL to its endpoint"
        )),
        (Some(model), models) => Err(format!(
            "searches go by words alone: the database has embeddings of {model}, and this server has {} instead; provide {model}, \
             or change the model (docs/OPERATIONS.md, Switch the embedding model)",
            models.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_the_model_of_the_database_says_so() {
        let one = ["one".to_owned()];
        assert!(searches(None, &[]).unwrap().contains("by words"));
        assert!(searches(None, &one).unwrap().contains("until a worker"));
        assert!(searches(Some("one"), &one).unwrap().contains("embeddings of one"));
        assert!(searches(Some("one"), &[]).unwrap_err().contains("EMBEDDING_MODEL_DIR"));
        assert!(searches(Some("two"), &one).unwrap_err().contains("has one instead"));
    }
}
