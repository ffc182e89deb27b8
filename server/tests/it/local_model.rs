//! The local model: its vectors are those of other programs, and what they are for works.

use std::path::PathBuf;
use std::process::Command;

use agentfs_server::embedding::local::Local;
use agentfs_server::embedding::{Embedder as _, Embedding};

/// The folder of the model, which is fetched first where it is not there yet.
pub fn folder() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/model");
    let output = Command::new(script).output().expect("scripts/model runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("a path").trim_end().into()
}

async fn embed(model: &Local, texts: &[&str]) -> Vec<Embedding> {
    model.embed(texts).await.expect("embeds")
}

fn cosine(a: &Embedding, b: &Embedding) -> f32 {
    a.vector.iter().zip(&b.vector).map(|(a, b)| a * b).sum()
}

/// Texts with their tokens, whether they are cut, and their vectors' first numbers, computed with numpy in double precision
/// from the same weights.
const KNOWN: [(&str, i64, bool, [f32; 6]); 6] = [
    ("This is an example sentence", 7, false, [0.06766, 0.0635, 0.04871, 0.0793, 0.03745, 0.00265]),
    (
        "Each sentence is converted",
        6,
        false,
        [0.08644, 0.10276, 0.00539, 0.00204, -0.00996, 0.02539],
    ),
    (
        "Ada is allergic to peanuts",
        7,
        false,
        [-0.04526, 0.00039, 0.00158, 0.05625, -0.00459, 0.02752],
    ),
    ("food she must not eat", 7, false, [0.02159, 0.04307, 0.00631, 0.05048, -0.07946, 0.0368]),
    (
        "Die Küche schließt um 22 Uhr.",
        15,
        false,
        [0.01081, 0.09969, 0.06104, -0.04035, -0.05055, 0.15631],
    ),
    ("word ×400", 256, true, [-0.00812, -0.09559, -0.03867, 0.04966, -0.04379, 0.02372]),
];

#[tokio::test]
async fn its_vectors_are_those_of_other_programs() {
    let model = Local::load(&folder()).unwrap();
    assert_eq!((model.model().name.as_str(), model.model().dimensions), ("all-MiniLM-L6-v2", 384));
    let long = "word ".repeat(400);
    let texts = KNOWN.map(|(text, ..)| if text == "word ×400" { long.as_str() } else { text });
    // Together, so that they are padded and sorted, and each alone.
    let together = embed(&model, &texts).await;
    for ((text, embedding), (_, tokens, cut, first)) in texts.iter().zip(&together).zip(KNOWN) {
        assert_eq!((embedding.tokens, embedding.cut), (tokens, cut), "{text:.40}");
        let alone = &embed(&model, &[text]).await[0];
        for of in [embedding, alone] {
            assert_eq!(of.vector.len(), 384);
            for (number, known) in of.vector.iter().zip(first) {
                assert!((number - known).abs() < 1e-4, "{text:.40}: {number} is not {known}");
            }
        }
    }
    assert!((cosine(&together[0], &together[1]) - 0.40456).abs() < 1e-4);
    assert!((cosine(&together[2], &together[3]) - 0.18952).abs() < 1e-4);
    assert!(embed(&model, &[]).await.is_empty());
}

#[tokio::test]
async fn a_note_is_found_by_a_question_in_other_words() {
    let model = Local::load(&folder()).unwrap();
    let questions: Vec<(&str, &str)> =
        include_str!("data/questions.tsv").lines().map(|l| l.split_once('\t').unwrap()).collect();
    let mut notes: Vec<&str> = questions.iter().map(|(note, _)| *note).collect();
    notes.extend(include_str!("data/notes.txt").lines());
    assert_eq!((notes.len(), questions.len()), (300, 30));
    let found = embed(&model, &notes).await;
    let asked: Vec<&str> = questions.iter().map(|(_, question)| *question).collect();
    let places: Vec<usize> = embed(&model, &asked)
        .await
        .iter()
        .enumerate()
        .map(|(right, asked)| {
            let similarity = cosine(asked, &found[right]);
            found.iter().filter(|other| cosine(asked, other) > similarity).count()
        })
        .collect();
    let within = |place| 100 * places.iter().filter(|p| **p < place).count() / places.len();
    println!("the right note first: {} %, among the first three: {} %", within(1), within(3));
    for (place, (note, question)) in places.iter().zip(&questions).filter(|(p, _)| **p > 0) {
        println!("  place {}: {question:?} for {note:?}", place + 1);
    }
    assert!(within(1) >= 80 && within(3) >= 90, "{places:?}");
}

#[test]
fn a_folder_without_the_model_is_refused_with_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let said = Local::load(empty.path()).unwrap_err().to_string();
    assert!(said.contains("config.json cannot be read"), "{said}");
    assert!(said.ends_with("EMBEDDING_MODEL_DIR must be the folder that scripts/model prints"));
    std::fs::copy(folder().join("config.json"), empty.path().join("config.json")).unwrap();
    std::fs::copy(folder().join("tokenizer.json"), empty.path().join("tokenizer.json")).unwrap();
    std::fs::write(empty.path().join("model.safetensors"), b"nothing").unwrap();
    let said = Local::load(empty.path()).unwrap_err().to_string();
    assert!(said.contains("model.safetensors is not of all-MiniLM-L6-v2"), "{said}");
}
