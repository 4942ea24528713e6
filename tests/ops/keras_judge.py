"""Run as a program: what Keras gives for the sample rows, with its NumPy backend, which compiles nothing.

Keras has one backend per process, and in the tests' own process it is JAX.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings

os.environ["KERAS_BACKEND"] = "numpy"
warnings.simplefilter("ignore")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from op_samples import ROWS  # noqa: E402

from lamina.core import tree  # noqa: E402


def main(path: str) -> None:
    """Write {(op, row): arrays, or the text of an error} to a file."""
    results = {}
    for name, samples in ROWS.items():
        shown = "get_item" if name == "getitem" else name
        function = getattr(keras.ops, shown, None) or getattr(keras.ops.image, shown)
        for position, sample in enumerate(samples):
            if sample.judge != "numpy":
                continue
            try:
                result = function(*sample.build(np.random.default_rng(position)), **sample.keywords)
                results[name, position] = [np.asarray(leaf) for leaf in tree.flatten(result)]
            except Exception as error:
                results[name, position] = repr(error)
    with open(path, "wb") as file:
        pickle.dump(results, file)


if __name__ == "__main__":
    main(sys.argv[1])
