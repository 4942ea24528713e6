"""Running one script against Lamina and against real Keras, and comparing what the two return.

A script is a function of `keras` - the package it is written for - that returns a structure of numbers,
arrays, names and dicts. It must give the same with both.
"""

import warnings

import numpy as np

import lamina


def run(script, package):
    """What the script returns, with names counted from the beginning."""
    package.utils.clear_session()
    package.utils.set_random_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if package is not lamina else "error")
        return script(package)


def compare(script, real_keras, rtol=2e-4, atol=2e-5):
    """Assert that the script does with Lamina what it does with Keras."""
    assert_alike(run(script, lamina), run(script, real_keras), script.__name__, rtol, atol)


def assert_alike(ours, theirs, place, rtol=2e-4, atol=2e-5):
    """Assert that two structures nest alike, that names are equal, and numbers close."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), (place, ours, theirs)
        assert list(ours) == list(theirs), f"{place}: keys {list(ours)} against Keras' {list(theirs)}"
        for key in theirs:
            assert_alike(ours[key], theirs[key], f"{place}[{key!r}]", rtol, atol)
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs), f"{place}: {type(ours)} against Keras' {type(theirs)}"
        assert len(ours) == len(theirs), f"{place}: {ours} against Keras' {theirs}"
        for position, (one, two) in enumerate(zip(ours, theirs)):
            assert_alike(one, two, f"{place}[{position}]", rtol, atol)
    elif isinstance(theirs, (str, bool, type(None))):
        assert ours == theirs, f"{place}: {ours!r} against Keras' {theirs!r}"
    else:
        one, two = np.asarray(ours), np.asarray(theirs)
        assert one.shape == two.shape, f"{place}: shape {one.shape} against Keras' {two.shape}"
        np.testing.assert_allclose(one, two, rtol=rtol, atol=atol, err_msg=place)


def fill(model, seed=3, scale=0.4):
    """Give all weights of a model the same values in both packages."""
    random = np.random.default_rng(seed)
    model.set_weights([scale * random.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


def history_of(history):
    """The numbers that `fit` recorded, by name. Lamina puts the loss first; Keras sorts the names."""
    return {name: [float(value) for value in values] for name, values in sorted(history.history.items())}


def sorted_logs(logs):
    """The results of a step or of `evaluate(return_dict=True)`, by name."""
    return {name: float(value) for name, value in sorted(logs.items())}


def names_of(model):
    """Names, shapes and paths of everything that a model holds."""
    return {
        "model": model.name,
        "layers": [layer.name for layer in model.layers],
        "weights": [weight.path for weight in model.weights],
        "trainable": [weight.path for weight in model.trainable_variables],
        "shapes": [tuple(weight.shape) for weight in model.weights],
        "count": model.count_params(),
    }


def flowers(rows=90, seed=0):
    """Three classes of flowers with four measurements, as in the iris data."""
    random = np.random.default_rng(seed)
    y = np.arange(rows) % 3
    centres = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])
    x = centres[y] + 0.3 * random.standard_normal((rows, 4))
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32"), y


def houses(rows=80, seed=1):
    """A table of numbers and prices."""
    random = np.random.default_rng(seed)
    x = random.uniform(0, 1, (rows, 6)).astype("float32")
    price = 3 * x[:, 0] - 2 * x[:, 1] + x[:, 2] * x[:, 3] + 0.1 * random.standard_normal(rows)
    return x, price.astype("float32")


def without(config, *names):
    """A config without entries that Lamina has no use for."""
    return {name: value for name, value in config.items() if name not in names}
