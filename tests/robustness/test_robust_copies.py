"""Copies of a trained model - by pickle, deepcopy, fork - go on exactly as the model itself would."""

import copy
import os
import pickle

import numpy as np
import pytest
from robust_models import classes, classifier, state_of
from robust_process import run_script

from lamina import Input, Model, layers
from lamina.utils import set_random_seed


def sequential():
    return classifier(), classes()


def functional():
    """Two inputs, two outputs, a shared layer."""
    first, second = Input((6,), name="first"), Input((6,), name="second")
    shared = layers.Dense(16, activation="relu")
    hidden = layers.Concatenate()([shared(first), shared(second)])
    outputs = [
        layers.Dense(3, activation="softmax", name="kind")(hidden),
        layers.Dense(1, name="size")(hidden),
    ]
    model = Model([first, second], outputs)
    model.compile("rmsprop", ["sparse_categorical_crossentropy", "mse"], loss_weights=[1.0, 0.5])
    x, y = classes()
    return model, ([x, x[::-1].copy()], [y, x[:, :1]])


def by_pickle(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("make", [sequential, functional])
def test_a_copy_trains_on_as_the_model_does(make, duplicate):
    set_random_seed(11)
    model, data = make()
    model.fit(*data, epochs=2, verbose=0)
    twin = duplicate(model)
    assert state_of(twin) == state_of(model)
    before, losses = state_of(model), []
    for trained in (twin, model):
        set_random_seed(12)
        losses.append(trained.fit(*data, epochs=3, verbose=0).history)
        if trained is twin:
            assert state_of(model) == before, "training the copy changed the model"
    assert losses[0] == losses[1]
    assert state_of(twin) == state_of(model) != before
    for one, other in zip(_flat(twin.predict(data[0], verbose=0)), _flat(model.predict(data[0], verbose=0))):
        np.testing.assert_array_equal(one, other)


def _flat(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


def test_a_copy_of_a_copy_before_the_first_step():
    set_random_seed(3)
    model = classifier()
    twin = by_pickle(copy.deepcopy(model))
    losses = []
    for trained in (model, twin):
        set_random_seed(4)
        losses.append(trained.fit(*classes(), epochs=2, verbose=0).history)
    assert losses[0] == losses[1]


_GO_ON = """
import pickle, sys
from robust_models import classes, state_of
from lamina.utils import set_random_seed
with open(sys.argv[1], "rb") as file:
    model = pickle.load(file)
set_random_seed(8)
model.fit(*classes(), epochs=2, verbose=0)
with open(sys.argv[2], "wb") as file:
    pickle.dump(state_of(model), file)
"""


def test_another_process_goes_on_with_a_pickled_model(tmp_path):
    model = classifier()
    model.fit(*classes(), epochs=2, verbose=0)
    given, result = tmp_path / "model", tmp_path / "state"
    given.write_bytes(pickle.dumps(model))
    run_script(_GO_ON, given, result)
    set_random_seed(8)
    model.fit(*classes(), epochs=2, verbose=0)
    assert pickle.loads(result.read_bytes()) == state_of(model)


# The parent trains in another thread, on shared worker threads, when it forks. A process of its own: where
# JAX was imported, forking warns.
_FORK = """
import hashlib, os, threading, warnings
from lamina.backends.cpu import executable
from lamina.callbacks import LambdaCallback
from lamina.core.config import config
from lamina.utils import set_random_seed
from robust_models import classes, classifier, counting_data, counting_model, state_of, assert_whole_state
executable.WORTH_SHARING = executable.WORTH_WAKING = 0.0
config.num_threads = 2
model, other = classifier(), counting_model()
model.fit(*classes(), verbose=0)
x, y = counting_data()
running = threading.Event()
watch = LambdaCallback(on_epoch_begin=lambda epoch, logs: running.set())
endless = dict(epochs=10**9, verbose=0, callbacks=[watch])
trainer = threading.Thread(target=other.fit, args=(x, y), kwargs=endless)
trainer.start()
running.wait()

def train(seed):
    set_random_seed(seed)
    model.fit(*classes(), epochs=2, verbose=0)
    fresh = classifier(dropout=0.0, optimizer="sgd")  # compiled from scratch
    fresh.fit(*classes(), epochs=2, verbose=0)
    fresh.predict(classes()[0], verbose=0)
    return b"".join(state_of(model) + state_of(fresh))

for attempt in range(3):
    here, there = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12+ on forking with threads
        child = os.fork()
    if child == 0:
        os.close(here)
        set_random_seed(2)
        os.write(there, hashlib.sha256(train(attempt)).digest())
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        result = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    print(result.hex(), flush=True)
other.stop_training = True
trainer.join()
assert_whole_state(other)
set_random_seed(2)
print(hashlib.sha256(train(0)).hexdigest())
"""

if hasattr(os, "fork"):  # not on Windows

    def test_forked_children_train_while_the_parent_trains():
        output, _ = run_script(_FORK)
        first, second, third, parent = output.split()
        assert first == parent
        assert len({first, second, third}) == 3
