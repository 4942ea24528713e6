"""Learn to tell clothes apart (Fashion-MNIST) with a small convolutional network, and show its mistakes.

python examples/fashion_mnist.py --epochs 6

The data comes from the cache, from Debian's package dataset-fashion-mnist, or is downloaded (31 MB). The
images stay bytes: they become floats inside the compiled step.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import lamina
from lamina import layers
from lamina.datasets import fashion_mnist
from lamina.report import page


def build(steps: int) -> lamina.Model:
    model = lamina.Sequential(
        [
            lamina.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ],
        name="clothes",
    )
    learning_rate = lamina.optimizers.schedules.CosineDecay(0.002, decay_steps=steps)
    model.compile(
        lamina.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rows", type=int, default=60000, help="how many images to learn from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, default=Path("fashion-mnist.html"))
    options = parser.parse_args()

    lamina.utils.set_random_seed(options.seed)
    (x, y), (x_test, y_test) = fashion_mnist.load_data()
    x, y = x[: options.rows, ..., None], y[: options.rows]
    model = build(steps=options.epochs * -(-len(x) // 128))
    model.summary()
    model.fit(x, y, batch_size=128, epochs=options.epochs, verbose=2)

    sureness = model.predict(x_test[..., None], batch_size=256, verbose=0)
    answers = sureness.argmax(axis=1)
    print(f"Nearest mean picture: accuracy {(nearest_mean(x, y, x_test) == y_test).mean():.4f}")
    print(f"Test accuracy {(answers == y_test).mean():.4f}")
    write_mistakes(options.page, x_test, y_test, answers, sureness.max(axis=1))


def nearest_mean(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """For each picture the class whose mean picture is nearest: what can be had without learning."""
    rows = asked.reshape(len(asked), -1).astype("float32")
    means = np.stack([x[y == kind].reshape(-1, rows.shape[1]).mean(axis=0) for kind in range(10)])
    return (np.square(means).sum(axis=1) - 2 * rows @ means.T).argmin(axis=1)


def write_mistakes(
    path: Path, images: np.ndarray, truth: np.ndarray, answers: np.ndarray, sureness: np.ndarray
) -> None:
    """A page with the mistakes the network was surest of."""
    wrong = np.flatnonzero(answers != truth)
    wrong = wrong[np.argsort(-sureness[wrong])][:24]
    cards = [
        page.card(
            f"{fashion_mnist.CLASSES[truth[row]]} taken for {fashion_mnist.CLASSES[answers[row]]}",
            f"{sureness[row]:.0%} sure",
            [page.picture(images[row], 255, "the image")],
        )
        for row in wrong
    ]
    facts = [
        ("test accuracy", f"{(answers == truth).mean():.1%}"),
        ("mistakes", str(int((answers != truth).sum()))),
    ]
    sections = [page.Section("The surest mistakes", "", page.cards(cards))]
    page.write_page(path, "Clothes", "A convolutional network on Fashion-MNIST.", facts, sections)
    print(f"Mistakes: {path.resolve().as_uri()}")


if __name__ == "__main__":
    main()
