"""Models that are dropped leave nothing behind."""

import gc
import os
import weakref
from pathlib import Path

import numpy as np
from robust_models import classes, classifier

from lamina import Sequential, layers


def resident_megabytes():
    """The memory in use by this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def live_again(run, count):
    """(objects, megabytes) that are left after `run` was called that many times."""
    gc.collect()
    objects, megabytes = len(gc.get_objects()), resident_megabytes()
    for number in range(count):
        run(number)
    gc.collect()
    return len(gc.get_objects()) - objects, resident_megabytes() - megabytes


def test_two_hundred_models_built_trained_and_dropped():
    x, y = classes(64)
    models = []

    def build(number):
        units = 16 + 8 * (number % 4)
        model = Sequential([layers.Input((6,)), layers.Dense(units, "relu"), layers.Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0)
        model.predict(x[:5], verbose=0)
        models.append(weakref.ref(model))

    for number in range(20):
        build(number)
    objects, megabytes = live_again(build, 180)
    assert not any(model() for model in models)
    assert objects < 1000, "models leave objects behind"
    assert megabytes < 10


def test_a_model_that_trains_and_predicts_for_long():
    x, y = classes(64)
    model = classifier()

    def use(number):
        model.fit(x, y, verbose=0)
        model.train_on_batch(x, y)
        model.evaluate(x, y, verbose=0)
        model.predict(x[: 1 + number % 60], verbose=0)
        for _ in range(20):
            model.predict_on_batch(x[:1])

    for number in range(60):
        use(number)
    objects, megabytes = live_again(use, 150)
    assert objects < 500
    assert megabytes < 10


def test_outputs_are_the_callers_own():
    x, _ = classes(64)
    model = classifier()
    first = model.predict(x, verbose=0)
    kept = first.copy()
    second = model.predict(x[::-1].copy(), verbose=0)
    np.testing.assert_array_equal(first, kept)
    first[:] = 7.0
    np.testing.assert_array_equal(second, kept[::-1])
