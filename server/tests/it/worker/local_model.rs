//! The local model: its vectors are those that its authors publish, and what they are for works.

use std::path::Path;
use std::time::Instant;

use agentfs_embedder_local::{Embedding, LocalModel, Precision};
use tokio::time::timeout;

use crate::support::model::{DEFAULT, folder, folder_of};

fn load(precision: Precision) -> LocalModel {
    load_from(&folder(), precision)
}

fn load_from(folder: &Path, precision: Precision) -> LocalModel {
    LocalModel::load_with(folder, Some(precision)).expect("loads")
}

async fn embed(model: &LocalModel, texts: &[&str]) -> Vec<Embedding> {
    model.embed(texts).await.expect("embeds")
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A text, its tokens, and its vector as data/known_vectors.py computes it in double precision, sharing nothing with the
/// server but the model's files. The first vector is that of the model's page at Hugging Face: 0.0677, 0.0635, 0.0487, …
struct Known {
    text: String,
    tokens: i64,
    vector: Vec<f32>,
}

fn known() -> Vec<Known> {
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let mut next = || fields.next().expect("three fields");
        Known {
            text: serde_json::from_str(next()).unwrap(),
            tokens: next().parse().unwrap(),
            vector: serde_json::from_str(next()).unwrap(),
        }
    };
    include_str!("data/known_vectors.tsv").lines().map(line).collect()
}

/// Compares with the known vectors: of all texts together, and of each alone.
async fn least_cosine(precision: Precision) -> f32 {
    let (model, known) = (load(precision), known());
    assert_eq!((model.name(), model.dimensions()), ("all-MiniLM-L6-v2", 384));
    let texts: Vec<&str> = known.iter().map(|known| known.text.as_str()).collect();
    let together = embed(&model, &texts).await;
    let mut least = 1.0_f32;
    for ((text, embedding), known) in texts.iter().zip(&together).zip(&known) {
        let long = text.len() > 1000;
        assert_eq!((embedding.tokens, embedding.cut), (known.tokens, long), "{text:.40}");
        let alone = &embed(&model, &[text]).await[0];
        for of in [embedding, alone] {
            assert!((cosine(&of.vector, &of.vector) - 1.0).abs() < 1e-5, "{text:.40}");
            least = least.min(cosine(&of.vector, &known.vector));
        }
    }
    assert!(embed(&model, &[]).await.is_empty());
    println!("{precision:?}: cosine of at least {least}");
    least
}

#[tokio::test]
async fn its_vectors_are_those_of_another_program() {
    assert!(least_cosine(Precision::Single).await >= 0.9999);
}

#[tokio::test]
async fn its_vectors_in_eight_bits_are_nearly_those() {
    assert!(least_cosine(Precision::Eight).await >= 0.99);
}

#[tokio::test]
async fn a_text_without_words_and_one_that_never_ends_have_vectors() {
    let model = load(Precision::Single);
    let endless = "a".repeat(1 << 20);
    let spaces = " ".repeat(1 << 20);
    let found = embed(&model, &["", &endless, &spaces, "\u{0}\u{FFFD}"]).await;
    let seen: Vec<(i64, bool)> = found.iter().map(|found| (found.tokens, found.cut)).collect();
    assert_eq!(seen, [(2, false), (3, true), (2, true), (2, false)]);
    assert!(found.iter().flat_map(|found| &found.vector).all(|number| number.is_finite()));
}

#[tokio::test]
async fn what_nobody_waits_for_keeps_nobody_waiting() {
    let model = load(Precision::Single);
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let texts = vec![text.as_str(); 30];
    let begun = Instant::now();
    embed(&model, &texts).await;
    let whole = begun.elapsed();
    let left = timeout(whole / 20, model.embed(&texts)).await;
    assert!(left.is_err(), "it ended at once");
    let begun = Instant::now();
    embed(&model, &["food she must not eat"]).await;
    assert!(begun.elapsed() < whole / 2, "{:?} of {whole:?}", begun.elapsed());
}

/// Of 90 questions, for how many hundredths the right note is first, and among the first three.
async fn found(model: &LocalModel) -> (usize, usize) {
    let precision = model.precision();
    let notes: Vec<&str> = include_str!("data/notes.txt").lines().collect();
    let questions: Vec<(&str, &str)> =
        include_str!("data/questions.tsv").lines().map(|l| l.split_once('\t').unwrap()).collect();
    assert_eq!((notes.len(), questions.len()), (300, 90));
    let vectors = embed(model, &notes).await;
    let prompt = model.query_prompt();
    let asked: Vec<String> =
        questions.iter().map(|(_, question)| format!("{prompt}{question}")).collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let asked = embed(model, &asked).await;
    let places = asked.iter().zip(&questions).map(|(asked, (note, question))| {
        let right = notes.iter().position(|other| other == note).expect("a note");
        let similarity = |note: &Embedding| cosine(&asked.vector, &note.vector);
        let nearer = |other: &&Embedding| similarity(other) > similarity(&vectors[right]);
        let place = vectors.iter().filter(nearer).count() + 1;
        if place > 1 {
            println!("  place {place}: {question:?} for {note:?}");
        }
        place
    });
    let places: Vec<usize> = places.collect();
    let within = |place| 100 * places.iter().filter(|p| **p <= place).count() / places.len();
    println!(
        "{precision:?}: right note first {} %, among the first three {} %",
        within(1),
        within(3)
    );
    (within(1), within(3))
}

/// The questions were written from the notes alone by three writers, 30 each, the last 60 for notes drawn by lot, before a model had
/// met them, and are not changed since. all-MiniLM-L6-v2 falls short of 80 % first in single precision too, used as
/// its authors recommend: in every fourth case the right note is second or third.
#[tokio::test]
async fn a_note_is_found_by_a_question_in_other_words() {
    for precision in [Precision::Single, Precision::Eight] {
        let (first, among_three) = found(&load(precision)).await;
        assert!(first >= 70 && among_three >= 95, "{first} %, {among_three} %");
    }
}

#[tokio::test]
#[ignore = "its model comes by Maven; make test-all runs it"]
async fn bge_finds_a_note_by_a_question_in_other_words() {
    for precision in [Precision::Single, Precision::Eight] {
        let (first, among_three) =
            found(&load_from(&folder_of("bge-small-en-v1.5"), precision)).await;
        assert!(first >= 80 && among_three >= 90, "{first} %, {among_three} %");
    }
}

async fn the_default_finds_nearly_every_note(precision: Precision) {
    let (first, among_three) = found(&load_from(&folder_of(DEFAULT), precision)).await;
    assert!(first >= 90 && among_three >= 95, "{first} %, {among_three} %");
}

#[tokio::test]
async fn the_default_model_finds_nearly_every_note_by_a_question_in_other_words() {
    the_default_finds_nearly_every_note(Precision::Eight).await;
}

#[tokio::test]
#[ignore = "it takes long in single precision; make test-all runs it"]
async fn the_default_model_does_so_in_single_precision() {
    the_default_finds_nearly_every_note(Precision::Single).await;
}

#[test]
fn a_folder_without_the_model_is_refused_with_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let said = || LocalModel::load(empty.path()).unwrap_err().to_string();
    assert!(said().contains("tokenizer.json cannot be read"), "{}", said());
    assert!(said().ends_with("EMBEDDING_MODEL_DIR must be the folder that scripts/model prints"));
    for name in ["tokenizer.json", "config.json"] {
        std::fs::copy(folder().join(name), empty.path().join(name)).unwrap();
    }
    std::fs::write(empty.path().join("model.safetensors"), b"nothing").unwrap();
    assert!(said().contains("model.safetensors cannot be used"), "{}", said());
    let config = std::fs::read_to_string(folder().join("config.json")).unwrap();
    let other = config.replace("\"hidden_size\": 384", "\"hidden_size\": 192");
    std::fs::write(empty.path().join("config.json"), other).unwrap();
    let weights = folder().join("model.safetensors");
    std::fs::copy(weights, empty.path().join("model.safetensors")).unwrap();
    assert!(said().contains("is not of single precision and of shape [192]"), "{}", said());
}
