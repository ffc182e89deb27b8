"""Writes known_vectors.tsv: what all-MiniLM-L6-v2 makes of some texts, computed from its weights in double precision.

It shares nothing with the server but the model's files. `pip install numpy safetensors tokenizers`, then
`python3 known_vectors.py "$(scripts/model all-MiniLM-L6-v2)" > known_vectors.tsv`: a line a text, with its tokens and its vector.
"""

import json
import math
import sys

import numpy
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TEXTS = [
    "This is an example sentence",
    "Each sentence is converted",
    "Ada is allergic to peanuts",
    "food she must not eat",
    "Die Küche schließt um 22 Uhr.",
    "東京は晴れです 🙂 naïve façade—x\t{\"total\": 12.50}",
    "word " * 400,
]
HEADS, LAYERS, MAX_TOKENS = 12, 6, 256

folder = sys.argv[1]
weights = {name: array.astype(numpy.float64) for name, array in load_file(f"{folder}/model.safetensors").items()}
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation(MAX_TOKENS)
erf = numpy.vectorize(math.erf)


def norm(x, name):
    centred = x - x.mean(-1, keepdims=True)
    spread = numpy.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return centred / spread * weights[name + ".weight"] + weights[name + ".bias"]


def linear(x, name):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def embed(text):
    ids = tokenizer.encode(text).ids
    tables = (weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type"))
    words, positions, sentences = tables
    x = norm(words[ids] + positions[: len(ids)] + sentences[0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        query, key, value = (
            linear(x, f"{at}attention.self.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        shares = numpy.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        attended = (shares @ value).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(x + linear(attended, at + "attention.output.dense"), at + "attention.output.LayerNorm")
        inner = linear(x, at + "intermediate.dense")
        inner *= (1 + erf(inner / math.sqrt(2))) / 2
        x = norm(x + linear(inner, at + "output.dense"), at + "output.LayerNorm")
    mean = x.mean(0)
    return mean / numpy.linalg.norm(mean), len(ids)


for text in TEXTS:
    vector, tokens = embed(text)
    print(json.dumps(text, ensure_ascii=False), tokens, json.dumps([round(float(x), 6) for x in vector]), sep="\t")
