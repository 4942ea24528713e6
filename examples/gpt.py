"""A small GPT: two transformer blocks that read Python's documentation and go on writing it, word by word.

Judged on text it has not seen: the share of next words it guesses, beside a table of word pairs.

python examples/gpt.py                a minute on two cores
python examples/gpt.py --epochs 20    better text
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from pydoc_data.topics import topics

import numpy as np

import lamina
from lamina import layers

LENGTH, WIDTH, VOCABULARY, BATCH = 64, 128, 1000, 32


def words(most: int | None) -> tuple[np.ndarray, list[str]]:
    """The text as word numbers, 0 for rare words, and the words."""
    text = "\n".join(topics[name] for name in sorted(topics)).lower()
    text = re.sub(r"[-=*+|~^]{3,}", " ", text)  # lines under headings, borders of tables
    tokens = re.findall(r"[a-z_]+|[0-9]+|[^\sa-z0-9]", text)[:most]
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
    read = layers.MultiHeadAttention(4, WIDTH // 4)(normal, normal, use_causal_mask=True)
    x = layers.Add()([x, layers.Dropout(0.2)(read)])
    inner = layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dropout(0.2)(layers.Dense(WIDTH)(inner))])


def gpt(steps: int) -> lamina.Model:
    """The network, compiled for that many steps: the learning rate rises in the first and then falls."""
    tokens = lamina.Input((LENGTH,), dtype="int32")
    hidden = layers.Dropout(0.2)(WithPlaces()(layers.Embedding(VOCABULARY, WIDTH)(tokens)))
    hidden = layers.LayerNormalization()(block(block(hidden)))
    model = lamina.Model(tokens, layers.Dense(VOCABULARY)(hidden))
    warm = steps // 20
    rate = lamina.optimizers.schedules.CosineDecay(1e-4, steps - warm, warmup_target=3e-3, warmup_steps=warm)
    loss = lamina.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(lamina.optimizers.AdamW(rate, weight_decay=0.1), loss, metrics=["accuracy"])
    return model


def write(model: lamina.Model, known: list[str], start: list[str]) -> str:
    """`start`, continued to the last place that the model knows."""
    prompt = [known.index(word) for word in start]
    text = lamina.generate(model, prompt, LENGTH - len(start), temperature=0.7, top_k=20, seed=2)
    return " ".join(known[word] for word in text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--words", type=int, help="how many words of the text to use; all by default")
    options = parser.parse_args()

    lamina.utils.set_random_seed(1)
    text, known = words(options.words)
    cut = len(text) * 9 // 10
    (x, y), (x_test, y_test) = windows(text[:cut], LENGTH // 4), windows(text[cut:], LENGTH)
    model = gpt(steps=options.epochs * -(-len(x) // BATCH))
    model.fit(x, y, batch_size=BATCH, epochs=options.epochs, verbose=2)

    accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    print(f"Word pairs: {pairs(text[:cut], text[cut:]):.3f} of the next words guessed")
    print(f"The GPT: {accuracy:.3f} of the next words guessed")
    print(write(model, known, ["the", "value", "of"]))


if __name__ == "__main__":
    main()
