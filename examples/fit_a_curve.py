"""Not a network: fit a damped oscillation to noisy measurements, with variables, gradients and an optimizer.

`lamina.function` compiles the whole step. The numbers found are printed beside those the data was made with.

python examples/fit_a_curve.py
"""

from __future__ import annotations

import numpy as np

import lamina
from lamina import ops

TRUE = {"amplitude": 2.0, "decay": 0.35, "frequency": 3.0}


def measurements() -> tuple[np.ndarray, np.ndarray]:
    """(times, heights), float32 [200]."""
    random = np.random.default_rng(0)
    times = np.linspace(0, 5, 200, dtype="float32")
    heights = TRUE["amplitude"] * np.exp(-TRUE["decay"] * times) * np.cos(TRUE["frequency"] * times)
    return times, (heights + random.normal(scale=0.05, size=200)).astype("float32")


def main() -> None:
    times, heights = measurements()
    amplitude, decay, frequency = (
        lamina.Variable(start, name=name)
        for start, name in ((1.0, "amplitude"), (0.1, "decay"), (2.7, "frequency"))
    )
    variables = [amplitude, decay, frequency]
    optimizer = lamina.optimizers.Adam(learning_rate=0.02)
    optimizer.build(variables)

    @lamina.function
    def step(t, measured):
        curve = amplitude * ops.exp(-decay * t) * ops.cos(frequency * t)
        loss = ops.mean(ops.square(curve - measured))
        optimizer.apply(lamina.gradients(loss, variables), variables)
        return loss

    for _ in range(1000):
        loss = step(times, heights)
    print(f"mean squared error {float(loss):.4f}")
    for variable in variables:
        print(f"{variable.name:10} {float(variable.numpy()):6.3f}   (true: {TRUE[variable.name]})")


if __name__ == "__main__":
    main()
