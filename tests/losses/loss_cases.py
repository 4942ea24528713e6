"""The table of losses under test: a name, constructor arguments, and which data fits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

ROWS, CLASSES = 6, 5


class Case(NamedTuple):
    """name: of the class in `losses`. data: a row of `make_data`. arguments: of the constructor."""

    name: str
    data: str
    arguments: dict[str, Any] = {}

    @property
    def id(self) -> str:
        shown = "-".join(f"{key}={value}" for key, value in self.arguments.items())
        return f"{self.name}-{self.data}" + (f"-{shown}" if shown else "")


CASES = [
    Case("MeanSquaredError", "real"),
    Case("MeanSquaredError", "column"),
    Case("MeanAbsoluteError", "real"),
    Case("MeanAbsolutePercentageError", "real"),
    Case("MeanSquaredLogarithmicError", "positive"),
    Case("CosineSimilarity", "real"),
    Case("CosineSimilarity", "real", {"axis": 0}),
    Case("Huber", "real"),
    Case("Huber", "real", {"delta": 0.3}),
    Case("LogCosh", "real"),
    Case("BinaryCrossentropy", "binary"),
    Case("BinaryCrossentropy", "binary", {"label_smoothing": 0.2}),
    Case("BinaryCrossentropy", "binary_logits", {"from_logits": True}),
    Case("BinaryCrossentropy", "binary_logits", {"from_logits": True, "label_smoothing": 0.1, "axis": 0}),
    Case("BinaryFocalCrossentropy", "binary"),
    Case("BinaryFocalCrossentropy", "binary", {"apply_class_balancing": True, "gamma": 1.5}),
    Case("BinaryFocalCrossentropy", "binary_logits", {"from_logits": True, "label_smoothing": 0.1}),
    Case("CategoricalCrossentropy", "one_hot"),
    Case("CategoricalCrossentropy", "one_hot", {"label_smoothing": 0.1}),
    Case("CategoricalCrossentropy", "one_hot_logits", {"from_logits": True}),
    Case("CategoricalFocalCrossentropy", "one_hot"),
    Case("CategoricalFocalCrossentropy", "one_hot_logits", {"from_logits": True, "alpha": 0.5, "gamma": 3.0}),
    Case("SparseCategoricalCrossentropy", "labels"),
    Case("SparseCategoricalCrossentropy", "label_column"),
    Case("SparseCategoricalCrossentropy", "labels_logits", {"from_logits": True}),
    Case("SparseCategoricalCrossentropy", "labels", {"ignore_class": 2}),
    Case("SparseCategoricalCrossentropy", "labels_with_minus_one", {"ignore_class": -1, "from_logits": True}),
    Case("SparseCategoricalCrossentropy", "pixel_labels", {"from_logits": True}),
    Case("CategoricalGeneralizedCrossEntropy", "labels", {"q": 0.3}),
    Case("KLDivergence", "distributions"),
    Case("Poisson", "positive"),
    Case("Hinge", "signs"),
    Case("Hinge", "binary_logits"),
    Case("SquaredHinge", "signs"),
    Case("CategoricalHinge", "one_hot_logits"),
    Case("Dice", "binary"),
    Case("Dice", "binary", {"axis": (1,)}),
    Case("Tversky", "binary", {"alpha": 0.3, "beta": 0.7}),
    Case("Tversky", "binary", {"axis": 1}),
    Case("Circle", "embeddings"),
    Case("Circle", "embeddings", {"gamma": 8.0, "margin": 0.2, "remove_diagonal": False}),
]


def make_data(kind: str, rng: np.random.Generator, rows: int = ROWS) -> tuple[Any, Any]:
    """Targets and predictions."""
    real = rng.normal(size=(rows, CLASSES)).astype(np.float32)
    other = rng.normal(size=(rows, CLASSES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, rows).astype(np.int32)
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    binary = (other > 0).astype(np.float32)
    pixels = rng.normal(size=(rows, 3, CLASSES)).astype(np.float32)
    directions = real / np.linalg.norm(real, axis=1, keepdims=True)
    return {
        "real": lambda: (other, real),
        "column": lambda: (other[:, 0], real[:, :1]),
        "positive": lambda: (np.abs(other), np.abs(real)),
        "binary": lambda: (binary, sigmoid(real)),
        "binary_logits": lambda: (binary, 3 * real),
        "one_hot": lambda: (one_hot, softmax(real)),
        "one_hot_logits": lambda: (one_hot, 3 * real),
        "distributions": lambda: (softmax(other), softmax(real)),
        "labels": lambda: (labels, softmax(real)),
        "label_column": lambda: (labels[:, None], softmax(real)),
        "labels_logits": lambda: (labels.astype(np.int64), 3 * real),
        "labels_with_minus_one": lambda: (np.where(labels == 1, -1, labels), 3 * real),
        "pixel_labels": lambda: (rng.integers(0, CLASSES, (rows, 3)).astype(np.int32), pixels),
        "signs": lambda: (2 * binary - 1, real),
        "embeddings": lambda: (labels % 2, directions),
    }[kind]()


def softmax(x: np.ndarray) -> np.ndarray:
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
