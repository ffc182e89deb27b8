//! Reads the answer of an endpoint.

use serde::Deserialize;
use serde_json::Value;

use super::refusal::code;
use crate::embedding::EmbedError;

/// The greatest number that is stored (as half precision).
const GREATEST: f32 = 65504.0;

/// The vectors of some texts.
#[derive(Debug)]
pub(super) struct Vectors {
    /// In the texts' order.
    pub(super) vectors: Vec<Vec<f32>>,
    /// The tokens of all texts together; 0 where the endpoint does not say.
    pub(super) tokens: i64,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Item {
    /// Some leave it out, always or where it is 0; some write it with a fraction.
    index: Option<f64>,
    embedding: Vec<Option<f32>>,
}

/// The vectors of `count` texts, of the length `dimensions`.
pub(super) fn parse(body: &[u8], count: usize, dimensions: usize) -> Result<Vectors, EmbedError> {
    let Answer { data, usage } = serde_json::from_slice(body).map_err(|_| wrong(&fault(body)))?;
    Ok(Vectors { vectors: in_order(data, count, dimensions)?, tokens: tokens(&usage) })
}

fn wrong(what: &str) -> EmbedError {
    EmbedError::Wrong(format!("the embedding provider's answer is not what it should be: {what}"))
}

/// A vector without an index is that of the text at its place.
fn in_order(
    items: Vec<Item>,
    count: usize,
    dimensions: usize,
) -> Result<Vec<Vec<f32>>, EmbedError> {
    if items.len() != count {
        return Err(wrong(&format!("{} vectors for {count} texts", items.len())));
    }
    let mut vectors = vec![None; count];
    for (place, item) in items.into_iter().enumerate() {
        let vector: Option<Vec<f32>> = item.embedding.into_iter().collect();
        let vector = vector.ok_or_else(|| wrong("a vector holds what is no number"))?;
        if vector.len() != dimensions {
            return Err(wrong(&format!(
                "vectors of {} numbers where {dimensions} are expected; set OPENAI_EMBED_DIMENSIONS to what the model gives",
                vector.len(),
            )));
        }
        if !vector.iter().all(|number| number.abs() <= GREATEST) {
            return Err(wrong("a vector holds a number that is not finite"));
        }
        if vector.iter().all(|number| *number == 0.0) {
            return Err(wrong("a vector is all 0, which points nowhere"));
        }
        let index = item.index.map_or_else(|| place.to_string(), |index| index.to_string());
        let slot = index.parse().ok().and_then(|index: usize| vectors.get_mut(index));
        let slot = slot.filter(|slot| slot.is_none());
        *slot.ok_or_else(|| wrong(&format!("index {index} where it cannot be")))? = Some(vector);
    }
    // As many as there are places, each in another one.
    Ok(vectors.into_iter().flatten().collect())
}

fn tokens(usage: &Value) -> i64 {
    let told = |name: &str| usage.get(name)?.as_f64().filter(|tokens| *tokens >= 0.0);
    let tokens = told("total_tokens").or_else(|| told("prompt_tokens"));
    tokens.unwrap_or_default().round() as i64
}

/// What is wrong with an answer, without a word of it.
fn fault(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return "it is no JSON".to_owned() };
    if body.get("error").is_some_and(|error| !error.is_null()) {
        return format!("an error{} in place of data", code(&body));
    }
    let Some(items) = body.get("data").and_then(Value::as_array) else {
        return "it has no list data".to_owned();
    };
    let first = |is_right: fn(&Value) -> bool, what: &str| {
        let place = items.iter().position(|item| !is_right(item))?;
        Some(format!("data[{place}] has {what}"))
    };
    first(has_vector, "no list of numbers embedding")
        .or_else(|| first(has_index, "an index that is no number"))
        .unwrap_or_else(|| "it has another form".to_owned())
}

fn has_vector(item: &Value) -> bool {
    item["embedding"].as_array().is_some_and(|numbers| numbers.iter().all(is_number))
}

fn has_index(item: &Value) -> bool {
    is_number(&item["index"])
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.is_null()
}
