"""Learn to remove noise from handwritten digits: a convolutional autoencoder with transposed convolutions.

python examples/autoencoder.py --epochs 40

The digits are in the package, so this runs offline. A page shows digits, what noise made of them, and what
the network made of that.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import lamina
from lamina import layers
from lamina.datasets import digits
from lamina.report import page

NOISE = 0.35


def build() -> lamina.Model:
    image = lamina.Input((8, 8, 1))
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(x)
    code = layers.Conv2D(16, 2, activation="relu", name="code")(x)  # 64 pixels become 16 numbers
    x = layers.Conv2DTranspose(64, 2, activation="relu")(code)
    x = layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu")(x)
    restored = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="restored")(x)
    model = lamina.Model(image, restored, name="autoencoder")
    model.compile("adam", "mse")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--page", type=Path, default=Path("autoencoder.html"))
    options = parser.parse_args()

    lamina.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    (x, _), (x_test, _) = digits.load_data()
    clean, clean_test = (images[..., None].astype("float32") / 16 for images in (x, x_test))
    noisy, noisy_test = (
        np.clip(images + rng.normal(0, NOISE, images.shape), 0, 1).astype("float32")
        for images in (clean, clean_test)
    )
    model = build()
    model.summary()
    model.fit(noisy, clean, batch_size=32, epochs=options.epochs, verbose=2)

    restored = model.predict(noisy_test, verbose=0)
    before = float(np.mean((noisy_test - clean_test) ** 2))
    after = float(np.mean((restored - clean_test) ** 2))
    print(f"Mean squared error: {before:.4f} with noise, {after:.4f} restored")
    write_page(options.page, clean_test, noisy_test, restored, before, after)


def write_page(
    path: Path, clean: np.ndarray, noisy: np.ndarray, restored: np.ndarray, before: float, after: float
) -> None:
    cards = [
        page.card(
            "",
            "",
            [
                page.picture(noisy[row, ..., 0], 1.0, "with noise"),
                page.picture(restored[row, ..., 0], 1.0, "restored"),
                page.picture(clean[row, ..., 0], 1.0, "the digit"),
            ],
        )
        for row in range(18)
    ]
    section = page.Section("With noise, restored, and as it was", "", page.cards(cards))
    facts = [("error with noise", f"{before:.4f}"), ("error restored", f"{after:.4f}")]
    page.write_page(
        path, "Digits out of noise", "A convolutional autoencoder on test images.", facts, [section]
    )
    print(f"Pictures: {path.resolve().as_uri()}")


if __name__ == "__main__":
    main()
