"""The table of metrics under test: a name, constructor arguments, and which data fits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

CLASSES = 4


class Case(NamedTuple):
    """name: of the class in `metrics`. data: a row of `make_batch`. weights: whether Keras takes one weight
    per sample for such data."""

    name: str
    data: str
    arguments: dict[str, Any] = {}
    weights: bool = True

    @property
    def id(self) -> str:
        shown = "-".join(f"{key}={value}" for key, value in self.arguments.items())
        return f"{self.name}-{self.data}" + (f"-{shown}" if shown else "")


COUNTS = ["TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives"]
CURVES = [(c, m) for c in ("ROC", "PR", "PRGAIN") for m in ("interpolation", "majoring", "minoring")]
POINTS = [
    ("SensitivityAtSpecificity", {"specificity": 0.6}),
    ("SpecificityAtSensitivity", {"sensitivity": 0.6}),
    ("PrecisionAtRecall", {"recall": 0.6}),
    ("RecallAtPrecision", {"precision": 0.6}),
]

CASES = [
    # reduction: `values` has no targets, see `arguments_of`
    Case("Mean", "values"),
    Case("Mean", "matrix"),
    Case("Sum", "values"),
    Case("Sum", "matrix"),
    # regression
    Case("MeanSquaredError", "real"),
    Case("MeanSquaredError", "column"),
    Case("RootMeanSquaredError", "real"),
    Case("MeanAbsoluteError", "real"),
    Case("MeanAbsolutePercentageError", "real"),
    Case("MeanSquaredLogarithmicError", "positive"),
    Case("CosineSimilarity", "real"),
    Case("LogCoshError", "real"),
    Case("R2Score", "real"),
    Case("R2Score", "real", {"class_aggregation": None}),
    Case("R2Score", "real", {"class_aggregation": "variance_weighted_average"}),
    Case("R2Score", "real", {"num_regressors": 3}),
    Case("PearsonCorrelation", "real"),
    Case("ConcordanceCorrelation", "real"),
    # probabilistic, hinge
    Case("KLDivergence", "distributions"),
    Case("Poisson", "positive"),
    Case("BinaryCrossentropy", "several_hot"),
    Case("BinaryCrossentropy", "several_hot", {"from_logits": True, "label_smoothing": 0.1}),
    Case("CategoricalCrossentropy", "one_hot"),
    Case("CategoricalCrossentropy", "one_hot", {"label_smoothing": 0.1}),
    Case("SparseCategoricalCrossentropy", "labels"),
    Case("SparseCategoricalCrossentropy", "labels", {"from_logits": True}),
    Case("Hinge", "signs"),
    Case("SquaredHinge", "signs"),
    Case("CategoricalHinge", "one_hot"),
    # accuracy
    Case("Accuracy", "numbers"),
    Case("BinaryAccuracy", "binary"),
    Case("BinaryAccuracy", "several_hot", {"threshold": 0.3}),
    Case("CategoricalAccuracy", "one_hot"),
    Case("SparseCategoricalAccuracy", "labels"),
    Case("SparseCategoricalAccuracy", "label_column"),
    Case("SparseCategoricalAccuracy", "pixel_labels", {}, False),
    Case("TopKCategoricalAccuracy", "one_hot", {"k": 2}),
    Case("SparseTopKCategoricalAccuracy", "labels", {"k": 2}),
    Case("SparseTopKCategoricalAccuracy", "pixel_labels", {"k": 3}, False),
    Case("SparseTopKCategoricalAccuracy", "sorted_ids", {"k": 2, "from_sorted_ids": True}),
    # counts
    *(Case(name, "binary") for name in COUNTS),
    *(Case(name, "several_hot", {"thresholds": [0.2, 0.9, 0.5]}) for name in COUNTS),
    *(Case(name, "binary", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}) for name in COUNTS),
    *(Case(name, "binary_column") for name in ("Precision", "Recall")),
    *(Case(name, "several_hot", {"thresholds": [0.1, 0.7]}) for name in ("Precision", "Recall")),
    *(Case(name, "one_hot", {"top_k": 2}) for name in ("Precision", "Recall")),
    *(Case(name, "one_hot", {"class_id": 1}) for name in ("Precision", "Recall")),
    *(Case(name, "one_hot", {"top_k": 2, "class_id": 3}) for name in ("Precision", "Recall")),
    *(Case("AUC", "binary", {"curve": c, "summation_method": m}) for c, m in CURVES),
    Case("AUC", "several_hot", {"num_thresholds": 13}),
    Case("AUC", "several_hot", {"multi_label": True}),
    Case("AUC", "several_hot", {"multi_label": True, "num_labels": CLASSES, "curve": "PR"}),
    Case("AUC", "several_hot", {"multi_label": True, "label_weights": [0.1, 0.2, 0.3, 0.4]}),
    Case("AUC", "several_hot", {"label_weights": [0.1, 0.2, 0.3, 0.4]}),
    Case("AUC", "binary", {"thresholds": [0.1, 0.33, 0.8]}),
    Case("AUC", "several_hot", {"thresholds": [0.1, 0.33, 0.8], "multi_label": True}, False),
    Case("AUC", "binary", {"thresholds": [0.25, 0.5, 0.75]}),
    Case("AUC", "binary", {"from_logits": True}),
    *(Case(name, "binary", arguments) for name, arguments in POINTS),
    *(Case(name, "binary", {**arguments, "num_thresholds": 1}) for name, arguments in POINTS),
    *(Case(name, "one_hot", {**arguments, "class_id": 2}) for name, arguments in POINTS),
    # overlap
    Case("F1Score", "one_hot"),
    Case("F1Score", "one_hot", {"average": "weighted"}),
    Case("FBetaScore", "several_hot", {"average": "micro", "beta": 2.0, "threshold": 0.5}),
    Case("FBetaScore", "several_hot", {"average": "macro", "beta": 0.5, "threshold": 0.4}),
    Case("IoU", "numbers", {"num_classes": CLASSES, "target_class_ids": [0, 2], "dtype": "float32"}),
    Case("IoU", "numbers", {"num_classes": CLASSES, "target_class_ids": [0], "ignore_class": 1}, False),
    Case("BinaryIoU", "binary", {"threshold": 0.3}, False),
    Case("MeanIoU", "numbers", {"num_classes": CLASSES}, False),
    Case("OneHotIoU", "one_hot", {"num_classes": CLASSES, "target_class_ids": [1, 3]}, False),
    Case("OneHotMeanIoU", "one_hot", {"num_classes": CLASSES, "dtype": "float32"}),
]


def make_batch(kind: str, rng: np.random.Generator, rows: int) -> tuple[Any, ...]:
    """The arguments of `update_state`, without weights."""
    real = rng.normal(size=(rows, CLASSES)).astype(np.float32)
    other = (real + rng.normal(size=(rows, CLASSES))).astype(np.float32)
    labels = rng.integers(0, CLASSES, rows).astype(np.int32)
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    binary = (other > 0).astype(np.float32)
    # On a grid, so that predictions at a threshold occur.
    probabilities = np.round(1 / (1 + np.exp(-real)) * 20).astype(np.float32) / 20
    distribution = np.exp(real) / np.exp(real).sum(-1, keepdims=True)
    pixels = rng.normal(size=(rows, 3, CLASSES)).astype(np.float32)
    return {
        "values": lambda: (real[:, 0],),
        "matrix": lambda: (real,),
        "real": lambda: (other, real),
        "column": lambda: (other[:, 0], real[:, :1]),
        "positive": lambda: (np.abs(other), np.abs(real)),
        "distributions": lambda: (np.exp(other) / np.exp(other).sum(-1, keepdims=True), distribution),
        "signs": lambda: (2 * binary - 1, real),
        "binary": lambda: (binary[:, 0], probabilities[:, 0]),
        "binary_column": lambda: (binary[:, :1], probabilities[:, :1]),
        "several_hot": lambda: (binary, probabilities),
        "one_hot": lambda: (one_hot, distribution),
        "labels": lambda: (labels, distribution),
        "label_column": lambda: (labels[:, None], distribution),
        "pixel_labels": lambda: (rng.integers(0, CLASSES, (rows, 3)).astype(np.int32), pixels),
        "sorted_ids": lambda: (labels, np.argsort(-real).astype(np.int32)),
        "numbers": lambda: (labels, rng.integers(0, CLASSES, rows).astype(np.int32)),
    }[kind]()
