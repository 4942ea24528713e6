"""A network that writes like the documentation of Python, letter by letter, at several temperatures.

It is judged on text it has not seen: bits per letter, beside those of a table of letter pairs.

python examples/text_generation.py
"""

from __future__ import annotations

from pydoc_data.topics import topics

import numpy as np

import lamina
from lamina import layers, ops

LENGTH = 64


def letters() -> tuple[np.ndarray, list[str]]:
    """Python's own help texts as letter numbers, and the letters."""
    text = "\n".join(topics[name] for name in sorted(topics))[:120_000]
    alphabet = sorted(set(text))
    number = {letter: place for place, letter in enumerate(alphabet)}
    return np.array([number[letter] for letter in text], "int32"), alphabet


def windows(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of text, and the same pieces one letter later."""
    count = (len(text) - 1) // LENGTH
    return text[: count * LENGTH].reshape(count, LENGTH), text[1 : count * LENGTH + 1].reshape(count, LENGTH)


def pairs(train: np.ndarray, test: np.ndarray, size: int) -> float:
    """Bits per letter of a table of how often each letter follows each other one."""
    counts = np.full((size, size), 0.1)
    np.add.at(counts, (train[:-1], train[1:]), 1)
    chances = counts / counts.sum(axis=1, keepdims=True)
    return float(-np.log2(chances[test[:-1], test[1:]]).mean())


def write(model: lamina.Model, alphabet: list[str], start: str, length: int, temperature: float) -> str:
    """`start`, continued: the lower the temperature, the safer the letters."""
    prompt = [alphabet.index(letter) for letter in start]
    text = lamina.generate(model, prompt, length, temperature=temperature, seed=3)
    return "".join(alphabet[letter] for letter in text)


def main() -> None:
    lamina.utils.set_random_seed(1)
    text, alphabet = letters()
    size, cut = len(alphabet), len(text) * 9 // 10
    (x, y), (x_test, y_test) = windows(text[:cut]), windows(text[cut:])
    model = lamina.Sequential(
        [
            lamina.Input((LENGTH,), dtype="int32"),
            layers.Embedding(size, 32),
            layers.GRU(96, return_sequences=True),
            layers.Dense(size),
        ]
    )
    loss = lamina.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(lamina.optimizers.Adam(0.005), loss)
    model.fit(x, y, epochs=6, verbose=0)
    bits = model.evaluate(x_test, y_test, verbose=0) / float(ops.log(2.0))
    print(f"Letter pairs: {pairs(text[:cut], text[cut:], size):.3f} bits per letter")
    print(f"The network: {bits:.3f} bits per letter")
    for temperature in (0.3, 0.7, 1.0):
        print(f"\nTemperature {temperature}: {write(model, alphabet, 'The value of ', 120, temperature)!r}")


if __name__ == "__main__":
    main()
