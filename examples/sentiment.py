"""Whether a review is good or bad, where "not" and "hardly" turn words around: a bidirectional LSTM.

A model that only counts words cannot tell "not good, but gripping" from "not gripping, but good".

python examples/sentiment.py
"""

from __future__ import annotations

import random

import numpy as np

import lamina
from lamina import layers

GOOD = ["good", "gripping", "funny", "warm", "clever", "moving", "fresh", "bright", "honest", "lively"]
BAD = ["bad", "boring", "silly", "cold", "stupid", "flat", "stale", "dull", "false", "slow"]
THINGS = ["film", "plot", "cast", "music", "ending", "dialogue", "camera", "opening"]


def review(rng: random.Random) -> tuple[str, int]:
    """A few sentences and whether most of what they say is good."""
    count, score, sentences = rng.choice((3, 5)), 0, []
    for _ in range(count):
        is_good_word, is_turned = rng.random() < 0.5, rng.random() < 0.5
        word = rng.choice(GOOD if is_good_word else BAD)
        turn = rng.choice(("not", "hardly", "never")) if is_turned else rng.choice(("very", "really", "so"))
        sentences.append(f"The {rng.choice(THINGS)} was {turn} {word}")
        score += 1 if is_good_word != is_turned else -1
    return ". ".join(sentences) + ".", int(score > 0)


def words_counted(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """The accuracy of a model that sees which words occur, in any order."""
    count = layers.TextVectorization(output_mode="count")
    count.adapt(x)
    model = lamina.Sequential([lamina.Input((1,), dtype="string"), count, layers.Dense(1, "sigmoid")])
    model.compile(lamina.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=8, verbose=0)
    return float(model.evaluate(x_test, y_test, verbose=0)[1])


def main() -> None:
    lamina.utils.set_random_seed(1)
    rng = random.Random(1)
    texts, labels = zip(*(review(rng) for _ in range(3000)))
    x, y = np.array(texts), np.array(labels)
    train, test = slice(0, 2500), slice(2500, None)

    vectorize = layers.TextVectorization(output_sequence_length=25)
    vectorize.adapt(x[train])
    model = lamina.Sequential(
        [
            lamina.Input((1,), dtype="string"),
            vectorize,
            layers.Embedding(vectorize.vocabulary_size(), 16, mask_zero=True),
            layers.Bidirectional(layers.LSTM(16)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(lamina.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x[train], y[train], epochs=6, verbose=0)
    accuracy = model.evaluate(x[test], y[test], verbose=0)[1]
    print(f"Counting words: accuracy {words_counted(x[train], y[train], x[test], y[test]):.3f}")
    print(f"Reading them in order: accuracy {accuracy:.3f}")
    for text in ("The plot was not boring.", "The cast was hardly funny."):
        print(f"{text} {'good' if model.predict([text], verbose=0)[0, 0] > 0.5 else 'bad'}")


if __name__ == "__main__":
    main()
