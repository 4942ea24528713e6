"""Tell waveforms apart in noise: a one-dimensional convolutional network on time series.

python examples/time_series.py --epochs 6

The series are made here, so this runs offline. Each has a random frequency, phase and height; the network has
to look at the form.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

import lamina
from lamina import layers
from lamina.report import confusion_matrix, confusion_table, page

LENGTH = 200
FORMS = ("sine", "square", "triangle", "sawtooth", "chirp")


def make_series(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Series float32 [count, LENGTH, 1] and the numbers of their forms [count]."""
    rng = np.random.default_rng(seed)
    forms = rng.integers(0, len(FORMS), count)
    time = np.linspace(0, 1, LENGTH)
    turns = rng.uniform(3, 8, (count, 1)) * time + rng.uniform(0, 1, (count, 1))
    sweep = 6 * time**2 * rng.uniform(0.6, 1.4, (count, 1))
    phase = turns % 1
    shapes = np.stack(
        [
            np.sin(2 * np.pi * turns),
            np.sign(np.sin(2 * np.pi * turns)),
            4 * np.abs(phase - 0.5) - 1,
            2 * phase - 1,
            np.sin(2 * np.pi * (turns + sweep)),
        ]
    )
    series = shapes[forms, np.arange(count)] * rng.uniform(0.5, 1.5, (count, 1))
    series = series + rng.normal(0, 0.4, series.shape)
    return series[..., None].astype("float32"), forms


def build() -> lamina.Model:
    model = lamina.Sequential(
        [
            lamina.Input((LENGTH, 1)),
            layers.Conv1D(32, 7, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(64, 5, padding="same", dilation_rate=2, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dropout(0.2),
            layers.Dense(len(FORMS), activation="softmax"),
        ],
        name="waveforms",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rows", type=int, default=8000, help="how many series to learn from")
    parser.add_argument("--page", type=Path, default=Path("time-series.html"))
    options = parser.parse_args()

    lamina.utils.set_random_seed(1)
    (x, y), (x_test, y_test) = make_series(options.rows, seed=1), make_series(2000, seed=2)
    model = build()
    model.summary()
    model.fit(x, y, batch_size=64, epochs=options.epochs, verbose=2)

    answers = model.predict(x_test, verbose=0).argmax(axis=1)
    matrix = confusion_matrix(y_test, answers, len(FORMS))
    console = Console()
    console.print(", ".join(f"{number} {form}" for number, form in enumerate(FORMS)))
    console.print(confusion_table(matrix, console))
    print(f"Always the most common form: accuracy {np.bincount(y_test).max() / len(y_test):.4f}")
    print(f"Test accuracy {(answers == y_test).mean():.4f}")
    facts = [("test accuracy", f"{(answers == y_test).mean():.1%}")]
    about = ", ".join(f"{number}: {form}" for number, form in enumerate(FORMS))
    sections = [page.Section("What was taken for what", about, page.matrix_table(matrix))]
    page.write_page(options.page, "Waveforms", "A 1-D convolutional network.", facts, sections)
    print(f"Page: {options.page.resolve().as_uri()}")


if __name__ == "__main__":
    main()
