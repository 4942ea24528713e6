"""Shared by all tests: real Keras on JAX as the judge, and a code cache of its own for each run."""

import os
import signal
import tempfile
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# JAX is the judge of numbers here, not of speed: it compiles in a third of the time without optimizing.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("LAMINA_CACHE_DIR", tempfile.mkdtemp(prefix="lamina-test-cache-"))

import numpy as np
import pytest


def pytest_make_parametrize_id(val, argname):
    """Bytes name no test: an archive holds the second it was made in, and all workers must agree on names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def real_keras():
    """Keras 3 itself, on JAX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    return keras


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_interrupts():
    """A process started in the background ignores Ctrl-C; the tests of it need Python's own handler."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture
def run_traced():
    from lamina.core import dtypes
    from lamina.core.tree import flatten, pack_like
    from lamina.interp import run_graph
    from lamina.ir import Graph, Trace

    def run(function, *arrays):
        """Trace `function`, run its graph on `arrays` and the state, put the new state into the variables."""
        with Trace() as trace:
            tensors = [trace.input(f"x{i}", x.shape, dtypes.of_numpy(x.dtype)) for i, x in enumerate(arrays)]
            results = function(*tensors)
        updates, states = trace.updates(), [state.array for state in trace.states]
        outputs = [tensor.value for tensor in flatten(results)] if results is not None else []
        graph = Graph((*trace.state_inputs, *trace.inputs), (*outputs, *(value for _, value in updates)))
        values = [np.array(value) for value in run_graph(graph, [*states, *arrays])]
        for (position, _), value in zip(updates, values[len(outputs) :]):
            trace.states[position].array[...] = value
        return None if results is None else pack_like(results, values[: len(outputs)])

    return run
