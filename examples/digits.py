"""Learn to read handwritten digits, and look at what was read as what.

python examples/digits.py
"""

from __future__ import annotations

from rich.console import Console

import lamina
from lamina import layers
from lamina.report import confusion_matrix, confusion_table


def main() -> None:
    lamina.utils.set_random_seed(1)
    (x, y), (x_test, y_test) = lamina.datasets.digits.load_data()
    model = lamina.Sequential(
        [
            lamina.Input((8, 8)),
            layers.Rescaling(1 / 16),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = lamina.callbacks.EarlyStopping("val_loss", patience=10, restore_best_weights=True)
    model.fit(x, y, epochs=100, validation_split=0.1, callbacks=[stop], verbose=0)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    console = Console()
    answers = model.predict(x_test, verbose=0).argmax(axis=1)
    console.print(confusion_table(confusion_matrix(y_test, answers, 10), console))
    print(f"Test accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
