"""Models whose state shows at a glance whether it is that after some whole step."""

import numpy as np

from lamina import Input, Model, Sequential, layers, ops, optimizers

UNITS = 16  # so that numbers up to a million steps are exact


def counting_model(heads=3):
    """Every weight is the number of steps done: the gradients are 1 / UNITS, the learning rate UNITS.

    Input: rows of UNITS ones. Each of the outputs is then UNITS times the number of steps, exactly.
    """
    x = Input((UNITS,))
    outputs = [
        layers.Dense(UNITS, use_bias=False, kernel_initializer="zeros", name=f"head_{number}")(x)
        for number in range(heads)
    ]
    model = Model(x, outputs)
    model.compile(optimizers.SGD(float(UNITS)), [_minus_mean] * heads)
    return model


def _minus_mean(y_true, y_pred):
    return -ops.mean(y_pred, axis=-1)


def counting_data(rows=1024, heads=3):
    """(x, targets that nobody looks at)."""
    ones = np.ones((rows, UNITS), "float32")
    return ones, [ones] * heads


def steps_seen(outputs):
    """The number of steps that these outputs of a counting model show; AssertionError for a torn state."""
    values = np.unique(np.concatenate([np.ravel(output) for output in outputs]))
    assert len(values) == 1, f"states of different steps: {values / UNITS}"
    steps = values[0] / UNITS
    assert steps == round(steps), f"half a step: {steps}"
    return int(steps)


def assert_whole_state(model):
    """Weights and the optimizer agree on how many steps were done; returns that number."""
    steps = int(model.optimizer.iterations.array)
    for variable in model.weights:
        assert np.unique(variable.array).tolist() == [steps], variable.path
    return steps


def classifier(dropout=0.2, optimizer="adam"):
    """A small classifier with some of everything that a state can hold: slots, seeds, metrics."""
    model = Sequential(
        [
            layers.Input((6,)),
            layers.Dense(40, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(24, activation="tanh"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def classes(rows=160):
    """(x, y) with three classes that can be learnt."""
    x = np.random.default_rng(5).normal(size=(rows, 6)).astype("float32")
    return x, np.digitize(x[:, 0] - x[:, 1], [-0.7, 0.7]).astype("int32")


def state_of(model):
    """The bits of everything that training changes."""
    return [np.asarray(v.array).tobytes() for v in (*model.variables, *model.optimizer.variables)]
