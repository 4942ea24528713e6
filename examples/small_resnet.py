"""A residual network (ResNet-20) on colour pictures of 32x32 pixels, shifted and mirrored while it learns.

Judged on pictures it has not seen, beside a look at which class has the most similar mean picture.

python examples/small_resnet.py                      pictures drawn here
python examples/small_resnet.py --data cifar10       CIFAR-10: from the cache, or downloaded (170 MB)

Source: K. He et al., "Deep Residual Learning for Image Recognition" (2016).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import lamina
from lamina import layers
from lamina.report import confusion_matrix, confusion_table, page

DRAWN = ("disc", "ring", "square", "frame", "diamond", "cross", "plus", "stripes", "columns", "checks")


def draw_shapes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [count, 32, 32, 3] of DRAWN shapes in random colours and places, and their numbers."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, len(DRAWN), count)
    row, column = np.mgrid[0:32, 0:32]
    centre, size = rng.uniform(11, 20, (2, count, 1, 1)), rng.uniform(6, 10, (count, 1, 1))
    down, right = np.abs(row - centre[0]), np.abs(column - centre[1])
    far, near, around = np.maximum(down, right), np.minimum(down, right), np.hypot(down, right)
    inside = far < size
    masks = np.stack(
        [
            around < size,
            (around < size) & (around > 0.6 * size),
            inside,
            inside & (far > 0.6 * size),
            down + right < size,
            inside & (far - near < 2.5),
            inside & (near < 2),
            inside & (row % 4 < 2),
            inside & (column % 4 < 2),
            inside & ((row // 3 + column // 3) % 2 == 0),
        ]
    )[kinds, np.arange(count)]
    ink, paper = rng.uniform(0, 255, (2, count, 1, 1, 3))
    pictures = np.where(masks[..., None], ink, paper) + rng.normal(0, 12, (count, 32, 32, 3))
    return np.clip(pictures, 0, 255).astype("uint8"), kinds


def nearest_mean(x: np.ndarray, y: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    """For each picture of `x_test`, the class whose mean picture is nearest."""
    means = np.stack([x[y == kind].mean(axis=0).ravel() for kind in np.unique(y)])
    pixels = x_test.reshape(len(x_test), -1).astype("float32")
    return np.unique(y)[(pixels @ means.T - np.square(means).sum(axis=1) / 2).argmax(axis=1)]


def normalized(x: Any) -> Any:
    """Batch normalisation, whose averages follow fast enough for short trainings."""
    return layers.BatchNormalization(momentum=0.9)(x)


def block(x: Any, filters: int, strides: int) -> Any:
    """relu(x + convolution(relu(convolution(x)))), each convolution with batch normalisation."""
    shortcut = x
    if strides > 1:
        shortcut = layers.Conv2D(filters, 1, strides=strides, use_bias=False)(x)
        shortcut = normalized(shortcut)
    x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
    x = layers.ReLU()(normalized(x))
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.Add()([normalized(x), shortcut]))


def build(classes: int, depth: int, steps: int) -> lamina.Model:
    """`depth` blocks of each of 16, 32 and 64 filters; 3 make ResNet-20."""
    image = lamina.Input((32, 32, 3))
    x = layers.RandomFlip("horizontal")(image)
    x = layers.RandomTranslation(0.1, 0.1, fill_mode="constant")(x)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(normalized(x))
    for filters in (16, 32, 64):
        for number in range(depth):
            x = block(x, filters, strides=2 if number == 0 and filters > 16 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    model = lamina.Model(image, layers.Dense(classes, activation="softmax")(x), name="small_resnet")
    learning_rate = lamina.optimizers.schedules.CosineDecay(0.003, decay_steps=steps)
    optimizer = lamina.optimizers.AdamW(learning_rate, weight_decay=0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["shapes", "cifar10"], default="shapes")
    parser.add_argument("--folder", help="where cifar-10-python.tar.gz is")
    parser.add_argument("--epochs", type=int, help="3 for shapes, 20 for CIFAR-10")
    parser.add_argument("--rows", type=int, default=50000, help="how many pictures to learn from")
    parser.add_argument("--depth", type=int, default=3, help="blocks of each width; 3 make ResNet-20")
    parser.add_argument("--page", type=Path, default=Path("small-resnet.html"))
    options = parser.parse_args()

    lamina.utils.set_random_seed(1)
    epochs = options.epochs or {"shapes": 3, "cifar10": 20}[options.data]
    if options.data == "shapes":
        names, rows = DRAWN, min(options.rows, 6000)
        (x, y), (x_test, y_test) = draw_shapes(rows, seed=1), draw_shapes(1000, seed=2)
    else:
        names = lamina.datasets.cifar10.CLASSES
        (x, y), (x_test, y_test) = lamina.datasets.cifar10.load_data(folder=options.folder)
        x, y, y_test = x[: options.rows], y[: options.rows, 0], y_test[:, 0]
    model = build(len(names), options.depth, steps=epochs * -(-len(x) // 64))
    print(f"{model.count_params()} weights")
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=2)

    answers = model.predict(x_test, verbose=0).argmax(axis=1)
    matrix = confusion_matrix(y_test, answers, len(names))
    console = Console()
    console.print(confusion_table(matrix, console))
    naive, accuracy = (nearest_mean(x, y, x_test) == y_test).mean(), (answers == y_test).mean()
    print(f"Nearest mean picture: accuracy {naive:.4f}")
    print(f"The network: accuracy {accuracy:.4f}")
    about = ", ".join(f"{number}: {name}" for number, name in enumerate(names))
    sections = [page.Section("What was taken for what", about, page.matrix_table(matrix))]
    facts = [("test accuracy", f"{accuracy:.1%}"), ("nearest mean picture", f"{naive:.1%}")]
    page.write_page(options.page, "A small ResNet", "Colour pictures of 32x32 pixels.", facts, sections)
    print(f"Page: {options.page.resolve().as_uri()}")


if __name__ == "__main__":
    main()
