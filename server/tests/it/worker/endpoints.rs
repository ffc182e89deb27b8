//! Endpoints that nearly speak OpenAI's protocol: what can be understood is embedded, and what cannot is told as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use agentfs_server::embedding::openai::OpenAi;
use agentfs_server::embedding::{EmbedError, Embedder as _};
use agentfs_server::settings::{Provider as Setting, Settings};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// An endpoint, and the requests that it got.
struct Endpoint {
    client: OpenAi,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Endpoint {
    /// It answers as `answer` says.
    async fn start(
        model: &str,
        answer: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (answer, seen) = (Arc::new(answer), requests.clone());
        let embeddings = post(async move |Json(request): Json<Value>| {
            let (status, body) = answer(&request);
            seen.lock().unwrap().push(request);
            (StatusCode::from_u16(status).unwrap(), Json(body))
        });
        let routes = Router::new().route("/v1/embeddings", embeddings);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let variables = HashMap::from([
            ("DATABASE_URL", "postgres://u:p@h/d"),
            ("OPENAI_BASE_URL", &url),
            ("OPENAI_EMBED_MODEL", model),
            ("OPENAI_EMBED_DIMENSIONS", "2"),
        ]);
        let settings =
            Settings::read(|name| variables.get(name).map(ToString::to_string), 1 << 30).unwrap();
        let Setting::OpenAi(settings) = settings.embeddings.provider else { panic!("an endpoint") };
        Self { client: OpenAi::new(settings).unwrap(), requests }
    }

    /// One that always answers `body`.
    async fn answering(body: Value) -> Self {
        Self::start("fake", move |_| (200, body.clone())).await
    }

    /// The vectors and tokens of two texts, or why there are none.
    async fn embed(&self) -> Result<Vec<(Vec<f32>, i64)>, EmbedError> {
        let embedded = self.client.embed(&["a secret note", "another one"]).await?;
        Ok(embedded.into_iter().map(|of_text| (of_text.vector, of_text.tokens)).collect())
    }

    /// The fields of each request besides model and input.
    fn asked(&self) -> Vec<Vec<String>> {
        let requests = self.requests.lock().unwrap();
        let names = |request: &Value| {
            let names = request.as_object().unwrap().keys().cloned();
            names.filter(|name| !["model", "input"].contains(&name.as_str())).collect()
        };
        requests.iter().map(names).collect()
    }
}

fn vectors(embedded: &[(Vec<f32>, i64)]) -> Vec<f32> {
    embedded.iter().map(|(vector, _)| vector[0]).collect()
}

#[tokio::test]
async fn vectors_without_an_index_are_in_the_texts_order() {
    let vector = |first: f64| json!([first, 0]);
    for (data, first) in [
        (json!([{"embedding": vector(1.0)}, {"embedding": vector(2.0)}]), 1.0),
        (
            json!([{"index": null, "embedding": vector(1.0)}, {"index": null, "embedding": vector(2.0)}]),
            1.0,
        ),
        // Where 0 is what is not written.
        (json!([{"embedding": vector(1.0)}, {"index": 1, "embedding": vector(2.0)}]), 1.0),
        (
            json!([{"index": 1.0, "embedding": vector(2.0)}, {"index": 0.0, "embedding": vector(1.0)}]),
            1.0,
        ),
        (
            json!([{"index": 0, "embedding": vector(1.0), "object": "embedding", "truncated": {}}, {"index": 1, "embedding": vector(2.0)}]),
            1.0,
        ),
    ] {
        let endpoint = Endpoint::answering(json!({"data": data, "x_more": []})).await;
        let embedded = endpoint.embed().await.unwrap_or_else(|error| panic!("{data}: {error}"));
        assert_eq!(vectors(&embedded), [first, 3.0 - first], "{data}");
    }
    // Which text is whose cannot be told.
    for data in [
        json!([{"index": 1, "embedding": vector(1.0)}, {"embedding": vector(2.0)}]),
        json!([{"embedding": vector(1.0)}, {"index": 0, "embedding": vector(2.0)}]),
        json!([{"index": 0, "embedding": vector(1.0)}, {"index": 2, "embedding": vector(2.0)}]),
    ] {
        let error = Endpoint::answering(json!({"data": data})).await.embed().await.unwrap_err();
        assert!(
            matches!(&error, EmbedError::Wrong(reason) if reason.contains("where it cannot be")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn tokens_that_are_not_told_are_none() {
    let data = json!([{"index": 0, "embedding": [1, 0]}, {"index": 1, "embedding": [2, 0]}]);
    for (usage, tokens) in [
        (Value::Null, 0),
        (json!({}), 0),
        (json!("none"), 0),
        (json!({"total_tokens": null}), 0),
        (json!({"total_tokens": "12"}), 0),
        (json!({"total_tokens": -3}), 0),
        (json!({"total_tokens": 12.0}), 12),
        (json!({"total_tokens": 11.6}), 12),
        (json!({"prompt_tokens": 12}), 12),
        (json!({"total_tokens": 12, "prompt_tokens_details": {"cached": null}}), 12),
    ] {
        let body = json!({"data": data, "usage": usage});
        let embedded = Endpoint::answering(body).await.embed().await;
        let embedded = embedded.unwrap_or_else(|error| panic!("{usage}: {error}"));
        assert_eq!(embedded.iter().map(|(_, tokens)| tokens).sum::<i64>(), tokens, "{usage}");
    }
}

/// Answers of 400 to a parameter, as several endpoints give them.
fn unknown(parameter: &str) -> [Value; 4] {
    [
        json!({"error": {"message": format!("Unknown parameter: '{parameter}'."), "param": parameter, "code": "unknown_parameter"}}),
        json!({"detail": [{"type": "extra_forbidden", "loc": ["body", parameter], "msg": "Extra inputs are not permitted"}]}),
        json!([{"error": {"code": 400, "message": format!("Invalid JSON payload received. Unknown name \"{parameter}\": Cannot find field."), "status": "INVALID_ARGUMENT"}}]),
        json!({"object": "error", "message": format!("{parameter} is not supported")}),
    ]
}

#[tokio::test]
async fn parameters_that_an_endpoint_does_not_know_are_left_out_from_then_on() {
    let data = json!([{"index": 0, "embedding": [1, 0]}, {"index": 1, "embedding": [2, 0]}]);
    for (model, parameter, kept) in [
        ("fake", "encoding_format", vec![]),
        ("text-embedding-3-own", "encoding_format", vec!["dimensions"]),
        ("text-embedding-3-own", "dimensions", vec!["encoding_format"]),
    ] {
        for refusal in unknown(parameter) {
            let data = data.clone();
            let endpoint = Endpoint::start(model, move |request| match request.get(parameter) {
                Some(_) => (400, refusal.clone()),
                None => (200, json!({"data": data})),
            })
            .await;
            for _ in 0..2 {
                endpoint.embed().await.unwrap();
            }
            let asked = endpoint.asked();
            assert_eq!(asked.len(), 3, "asked in vain once: {asked:?}");
            assert_eq!(asked[1..], [kept.clone(), kept.clone()]);
        }
    }
}

#[tokio::test]
async fn what_an_endpoint_says_is_told_without_the_texts() {
    let leak = |body: Value| move |_: &Value| (400, body.clone());
    let says = async |status: u16, body: Value| {
        let endpoint = Endpoint::start("fake", move |_| (status, body.clone())).await;
        let error = endpoint.embed().await.unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        error
    };
    let model = json!({"error": {"message": "no a secret note", "param": "model", "code": "model_not_found"}});
    for status in [400, 422] {
        let error = says(status, model.clone()).await;
        let EmbedError::Down(reason) = &error else { panic!("{error:?}") };
        assert!(
            reason.contains(
                "(model_not_found): it refuses the parameter model; check OPENAI_EMBED_MODEL"
            ),
            "{reason}"
        );
    }
    let error =
        says(400, json!({"error": {"message": "a secret note", "type": "invalid_request_error"}}))
            .await;
    assert!(
        matches!(&error, EmbedError::Refused { reason, .. } if reason.ends_with("(invalid_request_error): it does not take this text")),
        "{error}"
    );
    // What is no plain word may be a text.
    let error = says(400, json!({"error": {"message": "no", "code": "a secret note"}})).await;
    assert!(error.to_string().ends_with("it does not take this text"), "{error}");

    for (body, sentence) in [
        (
            json!({"error": {"message": "a secret note", "code": 429}}),
            "an error (429) in place of data",
        ),
        (json!({"embeddings": [[1, 2]]}), "no list data"),
        (
            json!({"data": [{"index": 0, "embedding": [1, 0]}, {"index": 1, "embedding": "a secret note"}]}),
            "data[1] has no list of numbers embedding",
        ),
        (
            json!({"data": [{"index": "secret", "embedding": [1, 0]}]}),
            "data[0] has an index that is no number",
        ),
        (json!("a secret note"), "no list data"),
    ] {
        let error = says(200, body).await;
        assert!(
            matches!(&error, EmbedError::Wrong(reason) if reason.contains(sentence)),
            "{error}"
        );
    }
    // A parameter that is named in vain is not left out for ever.
    let endpoint =
        Endpoint::start("fake", leak(json!({"error": {"message": "encoding_format"}}))).await;
    for _ in 0..2 {
        assert!(matches!(endpoint.embed().await, Err(EmbedError::Refused { .. })));
    }
    assert_eq!(
        endpoint.asked(),
        [vec!["encoding_format"], vec![], vec!["encoding_format"], vec![]]
    );
}
