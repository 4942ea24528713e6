"""Finding heartbeats that are not like the others: an autoencoder that has only seen normal ones.

What it cannot rebuild from eight numbers is unusual.

python examples/anomaly.py
"""

from __future__ import annotations

import numpy as np

import lamina
from lamina import layers

LENGTH = 64
TIME = np.linspace(0, 1, LENGTH)


def bump(place: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    return height[:, None] * np.exp(-(((TIME - place[:, None]) / width[:, None]) ** 2))


def beats(count: int, rng: np.random.Generator, late: float = 0.0) -> np.ndarray:
    """Waves like heartbeats: a small bump, a sharp one, a broad one. late: how much the last comes late."""

    def around(mean: float, spread: float) -> np.ndarray:
        return rng.normal(mean, spread, count)

    waves = bump(around(0.25, 0.01), around(0.04, 0.004), around(0.2, 0.03))
    waves += bump(around(0.45, 0.01), around(0.02, 0.002), around(1.0, 0.1))
    waves += bump(around(0.7 + late, 0.01), around(0.07, 0.005), around(0.35, 0.04))
    return (waves + rng.normal(0, 0.03, waves.shape)).astype("float32")


def main() -> None:
    lamina.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    normal, test_normal, odd = beats(2000, rng), beats(400, rng), beats(400, rng, late=0.06)

    model = lamina.Sequential(
        [
            lamina.Input((LENGTH,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(8),
            layers.Dense(32, activation="relu"),
            layers.Dense(LENGTH),
        ]
    )
    model.compile(lamina.optimizers.Adam(0.003), "mse")
    model.fit(normal, normal, epochs=40, validation_split=0.1, verbose=0)

    def error(waves: np.ndarray) -> np.ndarray:
        return np.square(model.predict(waves, verbose=0) - waves).mean(axis=1)

    truth = np.repeat([0, 1], 400)
    scores = {
        "How large a wave is": np.concatenate([np.square(x).mean(axis=1) for x in (test_normal, odd)]),
        "What the autoencoder cannot rebuild": np.concatenate([error(test_normal), error(odd)]),
    }
    for name, score in scores.items():
        area = lamina.metrics.AUC(num_thresholds=1000)
        area.update_state(truth, (score - score.min()) / (score.max() - score.min()))
        print(f"{name}: area under the curve {float(area.result()):.3f}")
    limit = np.quantile(error(normal), 0.99)
    print(f"Alarm above {limit:.5f}: {(error(odd) > limit).mean():.1%} of odd beats, ", end="")
    print(f"{(error(test_normal) > limit).mean():.1%} of normal ones")


if __name__ == "__main__":
    main()
