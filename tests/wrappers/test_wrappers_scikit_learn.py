"""Models as estimators of scikit-learn: its own checks, its tools, and the wrappers of Keras."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import lamina
from lamina.core.errors import DataError, StateError
from lamina.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

WRAPPERS = [SKLearnClassifier, SKLearnRegressor, SKLearnTransformer]


def network(X, y, units=8, activation="linear", loss="mse", package=lamina, seed=0, rate=0.01):
    """A compiled network for such data; the same one each time."""
    package.utils.set_random_seed(seed)
    start = package.initializers.RandomNormal(seed=1)
    model = package.Sequential(
        [
            package.Input((X.shape[1],)),
            package.layers.Dense(units, "tanh", kernel_initializer="glorot_uniform"),
            package.layers.Dense(y.shape[1], activation, kernel_initializer=start),
        ]
    )
    model.compile(package.optimizers.Adam(rate), loss)
    return model


# What scikit-learn's checks want otherwise: a decision_function of two classes that is one column with the
# sign of the second (it is the model's outputs, as in Keras), and estimates of several numbers as float64.
FAILING = {
    SKLearnClassifier: {"check_classifiers_classes", "check_classifiers_train"},
    SKLearnRegressor: {"check_regressor_multioutput"},
}
CLASSES = {"activation": "softmax", "loss": "categorical_crossentropy"}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(wrapper):
    arguments = {**(CLASSES if wrapper is SKLearnClassifier else {}), "rate": 0.03}
    estimator = wrapper(network, model_kwargs=arguments, fit_kwargs={"epochs": 30, "verbose": 0})
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {each["check_name"]: str(each["exception"]) for each in results if each["status"] == "failed"}
    assert failed.keys() <= FAILING.get(wrapper, set()), failed
    assert sum(each["status"] == "passed" for each in results) > 30


@pytest.fixture
def flowers(rng):
    """Two clouds, named."""
    x = rng.normal(size=(80, 3))
    return x, np.where(x[:, 0] + x[:, 1] > 0, "rose", "iris")


def test_search_over_a_pipeline(flowers):
    x, names = flowers
    estimator = SKLearnClassifier(network, model_kwargs=CLASSES, fit_kwargs={"verbose": 0, "epochs": 40})
    pipeline = make_pipeline(StandardScaler(), estimator)
    grid = [{**CLASSES, "units": 4, "rate": 0.0}, {**CLASSES, "units": 16, "rate": 0.05}]
    search = GridSearchCV(pipeline, {"sklearnclassifier__model_kwargs": grid}, cv=2).fit(x, names)
    assert search.best_params_["sklearnclassifier__model_kwargs"]["units"] == 16
    assert search.score(x, names) > 0.9
    assert set(search.predict(x)) == {"rose", "iris"}
    assert search.predict(x).dtype == names.dtype
    best = search.best_estimator_[-1]
    np.testing.assert_array_equal(best.classes_, ["iris", "rose"])
    assert best.decision_function(x).shape == (80, 2)
    assert best.epoch_ == 40


def test_a_transformer_before_another_estimator(flowers):
    x, names = flowers
    targets = np.stack([x[:, 0], x[:, 1]], axis=1)
    encoder = SKLearnTransformer(network, fit_kwargs={"verbose": 0, "epochs": 40})
    codes = encoder.fit_transform(x, targets)
    assert codes.shape == (80, 2)
    np.testing.assert_array_equal(codes, encoder.transform(x))
    assert LogisticRegression().fit(codes, names).score(codes, names) > 0.9


def test_cross_validation_with_a_model(rng):
    x = rng.normal(size=(64, 3))
    y = x @ [1.0, -1.0, 0.5]
    model = network(x, y[:, None], rate=0.05)
    before = model.get_weights()
    estimator = SKLearnRegressor(model, fit_kwargs={"verbose": 0, "epochs": 60})
    assert cross_val_score(estimator, x, y, cv=2).min() > 0.8
    estimator.fit(x, y)
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_clones_have_every_argument():
    estimator = SKLearnRegressor(
        network, warm_start=True, model_kwargs={"units": 3}, fit_kwargs={"epochs": 2}
    )
    assert clone(estimator).get_params() == estimator.get_params()


def test_arguments_of_fit_are_not_kept(rng):
    x = rng.normal(size=(8, 3))
    estimator = SKLearnRegressor(network, fit_kwargs={"epochs": 2, "verbose": 0})
    assert estimator.epoch_ == 0
    assert estimator.fit(x, x[:, 0], epochs=3).epoch_ == 3
    assert estimator.fit_kwargs == {"epochs": 2, "verbose": 0}
    assert len(estimator.fit(x, x[:, 0]).history_.history["loss"]) == 2


def test_warm_start_goes_on(rng):
    x = rng.normal(size=(32, 3))
    model = network(x, x[:, :1])
    estimator = SKLearnRegressor(model, warm_start=True, fit_kwargs={"verbose": 0, "epochs": 5})
    first = estimator.fit(x, x[:, 0]).history_.history["loss"]
    assert estimator.model_ is model
    second = estimator.fit(x, x[:, 0]).history_.history["loss"]
    assert second[0] < first[-1]
    made = SKLearnRegressor(network, warm_start=True, fit_kwargs={"verbose": 0, "epochs": 5})
    for losses in (first, second):
        assert made.fit(x, x[:, 0]).history_.history["loss"] == losses


@pytest.mark.parametrize("name", [wrapper.__name__ for wrapper in WRAPPERS])
def test_the_wrappers_of_keras_compute_the_same(name, real_keras, rng):
    x = rng.normal(size=(24, 3))
    y = rng.integers(0, 3, 24) if name == "SKLearnClassifier" else x @ [1.0, -1.0, 0.5]
    arguments = CLASSES if name == "SKLearnClassifier" else {}
    given = network(x, np.zeros((24, 3 if arguments else 1))).get_weights()
    found = []
    for package in (lamina, real_keras):

        def same(X, y, package=package):
            model = network(X, y, package=package, **arguments)
            model.set_weights(given)
            return model

        estimator = getattr(package.wrappers, name)(same)
        estimator.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
        method = {"SKLearnClassifier": "decision_function", "SKLearnRegressor": "predict"}.get(name)
        found.append((getattr(estimator, method or "transform")(x), estimator.predict(x)))
        if name != "SKLearnTransformer":
            found[-1] += (np.float64(estimator.score(x, y)),)
    for ours, theirs in zip(*found):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_several_targets(rng):
    x = rng.normal(size=(16, 3))
    estimator = SKLearnRegressor(network, fit_kwargs={"verbose": 0}).fit(x, x[:, :2])
    assert estimator.predict(x).shape == (16, 2)


def test_requests_for_routing():
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        estimator = SKLearnRegressor(network).set_fit_request(sample_weight=True)
        assert estimator.get_metadata_routing().fit.requests == {"sample_weight": True}
        assert clone(estimator).get_metadata_routing().fit.requests == {"sample_weight": True}


def uncompiled(X, y):
    return lamina.Sequential([lamina.layers.Dense(y.shape[1])])


@pytest.mark.parametrize(
    ("wrapper", "function", "y", "error", "part"),
    [
        (SKLearnRegressor, uncompiled, [1.0, 2.0], StateError, "not compiled"),
        (SKLearnClassifier, network, [1, 1], DataError, "only one class"),
        (SKLearnClassifier, network, [1.5, 2.5], ValueError, "Unknown label type"),
        (SKLearnRegressor, network, [1.0, np.nan], ValueError, "NaN"),
        (SKLearnRegressor, network, [1.0], ValueError, "inconsistent numbers of samples"),
    ],
)
def test_wrong_uses(wrapper, function, y, error, part):
    with pytest.raises(error, match=part):
        wrapper(function).fit([[1.0, 2.0], [3.0, 4.0]], y)


def test_warm_start_with_other_classes(flowers):
    x, names = flowers
    estimator = SKLearnClassifier(network, warm_start=True, model_kwargs=CLASSES)
    estimator.fit(x, names, verbose=0)
    with pytest.raises(DataError, match=r"those of the first fit(.|\n)*iris(.|\n)*thorn"):
        estimator.fit(x, np.where(names == "rose", "thorn", "iris"))
    np.testing.assert_array_equal(estimator.classes_, ["iris", "rose"])


def test_without_scikit_learn():
    code = """
import sys
sys.modules["sklearn"] = None
import lamina
print(lamina.wrappers.__all__)
try:
    lamina.wrappers.SKLearnRegressor
except ImportError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 'SKLearnRegressor needs scikit-learn: pip install "lamina[sklearn]"' in output
