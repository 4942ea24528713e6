"""A small GPT: two transformer blocks that read Python's documentation and go on writing it, word by word.

Judged on text it has not seen: the share of next words it guesses, beside a table of word pairs.

python examples/gpt.py
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pydoc_data.topics import topics

import numpy as np

import lamina
from lamina import layers

LENGTH, WIDTH, VOCABULARY = 32, 64, 1000


def words() -> tuple[np.ndarray, list[str]]:
    """The text as word numbers, 0 for rare words, and the words."""
    text = "\n".join(topics[name] for name in sorted(topics)).lower()
    tokens = re.findall(r"[a-z_]+|[0-9]+|[^\sa-z0-9]", text)[:60_000]
    known = ["?", *(word for word, _ in Counter(tokens).most_common(VOCABULARY - 1))]
    number = {word: place for place, word in enumerate(known)}
    return np.array([number.get(token, 0) for token in tokens], "int32"), known


def windows(text: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    starts = np.arange(0, len(text) - LENGTH - 1, step)
    pieces = text[starts[:, None] + np.arange(LENGTH + 1)]
    return pieces[:, :-1], pieces[:, 1:]


def pairs(train: np.ndarray, test: np.ndarray) -> float:
    """How often the most common follower of each word comes."""
    followers: dict[int, Counter[int]] = defaultdict(Counter)
    for one, other in zip(train[:-1].tolist(), train[1:].tolist()):
        followers[one][other] += 1
    best = {word: found.most_common(1)[0][0] for word, found in followers.items()}
    return float(
        np.mean([best.get(one, 0) == other for one, other in zip(test[:-1].tolist(), test[1:].tolist())])
    )


class WithPlaces(layers.Layer):
    """Adds a learnt vector for each place to the vectors of the words."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.places = self.add_weight(shape=input_shape[1:], initializer="uniform", name="places")

    def call(self, inputs: lamina.KerasTensor) -> lamina.KerasTensor:
        return inputs + self.places


def block(x: lamina.KerasTensor) -> lamina.KerasTensor:
    normal = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(4, WIDTH // 4)(normal, normal, use_causal_mask=True)])
    inner = layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dense(WIDTH)(inner)])


def write(model: lamina.Model, known: list[str], start: list[str]) -> str:
    """`start`, continued to the last place that the model knows."""
    prompt = [known.index(word) for word in start]
    text = lamina.generate(model, prompt, LENGTH - len(start), temperature=0.7, top_k=20, seed=2)
    return " ".join(known[word] for word in text)


def main() -> None:
    lamina.utils.set_random_seed(1)
    text, known = words()
    cut = len(text) * 9 // 10
    (x, y), (x_test, y_test) = windows(text[:cut], LENGTH // 2), windows(text[cut:], LENGTH)

    tokens = lamina.Input((LENGTH,), dtype="int32")
    hidden = block(block(WithPlaces()(layers.Embedding(VOCABULARY, WIDTH)(tokens))))
    model = lamina.Model(tokens, layers.Dense(VOCABULARY)(layers.LayerNormalization()(hidden)))
    loss = lamina.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(lamina.optimizers.Adam(0.002), loss, metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)

    accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    print(f"Word pairs: {pairs(text[:cut], text[cut:]):.3f} of the next words guessed")
    print(f"The GPT: {accuracy:.3f} of the next words guessed")
    print(write(model, known, ["the", "value", "of"]))


if __name__ == "__main__":
    main()
