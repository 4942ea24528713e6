"""Which chapter of Python's documentation is this? A small transformer classifies passages of forty words.

python examples/transformer.py
"""

from __future__ import annotations

from pydoc_data.topics import topics

import numpy as np

import lamina
from lamina import layers

WORDS = 40
CHAPTERS = 6


def passages() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces of the longest chapters, the chapter of each, and whether it is from the last fifth."""
    longest = sorted(topics, key=lambda name: -len(topics[name].split()))
    distinct = list({topics[name]: name for name in longest}.values())[:CHAPTERS]
    texts, labels, held_out = [], [], []
    for label, name in enumerate(distinct):
        words = topics[name].split()[:5000]
        starts = range(0, len(words) - WORDS, WORDS // 2)
        for start in starts:
            late = start > len(words) * 0.8
            if late or start + WORDS < len(words) * 0.8:  # no word of the last fifth is learnt from
                texts.append(" ".join(words[start : start + WORDS]))
                labels.append(label)
                held_out.append(late)
    return np.array(texts), np.array(labels), np.array(held_out)


class WithPlaces(layers.Layer):
    """Adds a learnt vector for each place to the vectors of the words."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.places = self.add_weight(shape=input_shape[1:], initializer="uniform", name="places")

    def call(self, inputs: lamina.KerasTensor) -> lamina.KerasTensor:
        return inputs + self.places


def block(x: lamina.KerasTensor, heads: int, size: int) -> lamina.KerasTensor:
    """Attention, then a layer for each word, both beside a way around them."""
    width = x.shape[-1]
    attended = layers.MultiHeadAttention(heads, size)(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(0.2)(attended)]))
    inner = layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(x))
    return layers.LayerNormalization()(layers.Add()([x, layers.Dropout(0.2)(inner)]))


def main() -> None:
    lamina.utils.set_random_seed(1)
    texts, labels, held_out = passages()
    vectorize = layers.TextVectorization(max_tokens=4000, output_sequence_length=WORDS)
    vectorize.adapt(texts[~held_out])

    words = lamina.Input((1,), dtype="string")
    numbers = vectorize(words)
    x = WithPlaces()(layers.Embedding(4000, 32, mask_zero=True)(numbers))
    x = block(layers.Dropout(0.2)(x), heads=4, size=8)
    outputs = layers.Dense(CHAPTERS, activation="softmax")(layers.GlobalAveragePooling1D()(x))
    model = lamina.Model(words, outputs)
    model.compile(lamina.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(texts[~held_out], labels[~held_out], epochs=10, verbose=0)

    accuracy = model.evaluate(texts[held_out], labels[held_out], verbose=0)[1]
    guess = np.bincount(labels[held_out]).max() / held_out.sum()
    print(f"Always the longest chapter: accuracy {guess:.3f}")
    print(f"The transformer: accuracy {accuracy:.3f} on {held_out.sum()} passages of parts never read")


if __name__ == "__main__":
    main()
