"""Tomorrow's demand from the last three days: a GRU, beside the naive forecast that tomorrow is like today.

python examples/forecast.py [PICTURE.png]
"""

from __future__ import annotations

import sys

import numpy as np

import lamina
from lamina import layers

SEEN, AHEAD = 72, 24


def demand(days: int, rng: np.random.Generator) -> np.ndarray:
    """Hours of something like electricity: days, weeks, weather that comes and goes."""
    hours = np.arange(days * 24)
    weekend = np.isin(hours // 24 % 7, (5, 6))
    weather = np.zeros(len(hours))
    for hour in range(1, len(hours)):
        weather[hour] = 0.98 * weather[hour - 1] + rng.normal(0, 0.1)
    daily = np.sin(2 * np.pi * (hours % 24 - 8) / 24) + 0.4 * np.sin(4 * np.pi * hours / 24)
    return (daily * np.where(weekend, 0.3, 1.0) + 0.5 * weather).astype("float32")


def windows(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(hours seen, with the hour and day they are; the hours that follow), beginning at each midnight."""
    starts = np.arange(0, len(series) - SEEN - AHEAD, 24)
    places = starts[:, None] + np.arange(SEEN)
    clock = 2 * np.pi * places / 24
    day = places // 24 % 7
    x = np.stack([series[places], np.sin(clock), np.cos(clock), day == 4, day == 5, day == 6], axis=-1)
    return x.astype("float32"), series[starts[:, None] + SEEN + np.arange(AHEAD)]


def picture(path: str, truth: np.ndarray, forecast: np.ndarray, naive: np.ndarray) -> None:
    """Two weeks of forecasts against the truth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for label, values, style in (
        ("truth", truth, "k-"),
        ("forecast", forecast, "C0-"),
        ("naive", naive, "C1:"),
    ):
        axes.plot(values[:14].reshape(-1), style, label=label)
    axes.set(xlabel="hour", ylabel="demand")
    axes.legend()
    figure.savefig(path)


def main(path: str | None = None) -> None:
    lamina.utils.set_random_seed(1)
    x, y = windows(demand(700, np.random.default_rng(1)))
    train, test = slice(0, 550), slice(553, None)  # nothing that was seen in training is asked for
    model = lamina.Sequential([lamina.Input(x.shape[1:]), layers.GRU(32), layers.Dense(AHEAD)])
    model.compile(lamina.optimizers.Adam(0.005), "mse")
    model.fit(x[train], y[train], epochs=40, verbose=0)

    forecast, naive = model.predict(x[test], verbose=0), x[test][:, -AHEAD:, 0]
    for name, values in (("Tomorrow as today", naive), ("The GRU", forecast)):
        print(f"{name}: mean absolute error {np.abs(values - y[test]).mean():.3f}")
    if path is not None:
        picture(path, y[test], forecast, naive)
        print(f"Forecast and truth are in {path}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
