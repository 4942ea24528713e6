"""Adding numbers written as text: one LSTM reads "57+38", another writes "95".

Sequence to sequence: the reader's last state is all the writer gets. Sums that were never shown are tested.

python examples/addition.py
"""

from __future__ import annotations

import numpy as np

import lamina
from lamina import layers

LETTERS = "0123456789+ "
ONE_HOT = np.eye(len(LETTERS), dtype="float32")


def encode(texts: list[str]) -> np.ndarray:
    """Texts of one length as rows of letter numbers."""
    return np.array([[LETTERS.index(letter) for letter in text] for text in texts])


def main() -> None:
    lamina.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    pairs = rng.permutation([(a, b) for a in range(100) for b in range(100)])
    # The question is written backwards, so that the units come last and are remembered best.
    questions = encode([f"{a}+{b}".ljust(5)[::-1] for a, b in pairs])
    answers = encode([str(a + b).ljust(3) for a, b in pairs])
    x, train, test = ONE_HOT[questions], slice(0, 9000), slice(9000, None)

    model = lamina.Sequential(
        [
            lamina.Input((5, len(LETTERS))),
            layers.LSTM(64),
            layers.RepeatVector(3),
            layers.LSTM(64, return_sequences=True),
            layers.Dense(len(LETTERS), activation="softmax"),
        ]
    )
    model.compile(lamina.optimizers.Adam(0.008), "sparse_categorical_crossentropy")
    model.fit(x[train], answers[train], batch_size=128, epochs=30, verbose=0)
    written = model.predict(x[test], verbose=0).argmax(axis=-1)
    right = (written == answers[test]).all(axis=1)
    most_common = max(np.unique(answers[train], axis=0, return_counts=True)[1]) / 9000
    print(f"Always the most common sum: {most_common:.3f} right")
    print(f"The network: {right.mean():.3f} of 1000 new sums right")
    for question, answer in list(zip(questions[test], written))[:5]:
        shown = "".join(LETTERS[letter] for letter in question)[::-1].strip()
        print(f"{shown} = {''.join(LETTERS[letter] for letter in answer).strip()}")


if __name__ == "__main__":
    main()
