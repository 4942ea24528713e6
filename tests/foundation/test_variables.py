"""Variables: their memory, reading and assigning inside and outside of traces, copies, refusals."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from lamina import ops
from lamina.core.errors import ArgumentError, DTypeError, ShapeError
from lamina.core.naming import auto_name, current_path, name_scope, reset_names, to_snake_case
from lamina.interp import Array
from lamina.ir import Tensor, Trace
from lamina.ir.trace import TracedValueError, current, suspended
from lamina.variables import ALIGNMENT, Variable, substituted

# --- making one ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initializer", "shape", "dtype"),
    [
        (3, (), "int32"),
        (2.5, (), "float32"),
        (True, (), "bool"),
        ([1.0, 2.0], (2,), "float32"),
        (np.ones((2, 3), np.float64), (2, 3), "float64"),
        (np.zeros((0, 4), np.uint8), (0, 4), "uint8"),
    ],
)
def test_values_keep_shape_and_dtype(initializer, shape, dtype):
    variable = Variable(initializer)
    assert variable.shape == shape
    assert variable.ndim == len(shape)
    assert variable.dtype == dtype
    assert np.array_equal(variable.numpy(), np.asarray(initializer))


def test_initializer_by_name_and_callable():
    assert np.array_equal(Variable("ones", shape=[2, 3]).numpy(), np.ones((2, 3)))
    variable = Variable(lambda shape, dtype: np.full(shape, 7, dtype), shape=4, dtype="int64")
    assert variable.shape == (4,)
    assert variable.dtype == "int64"
    assert variable.numpy().tolist() == [7, 7, 7, 7]


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (17, 31)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bool", "bfloat16"])
def test_memory_is_aligned_and_keeps_its_place(shape, dtype):
    variable = Variable("zeros", shape=shape, dtype=dtype)
    array, address = variable.array, variable.array.ctypes.data
    assert address % ALIGNMENT == 0
    assert array.flags.c_contiguous
    variable.assign(np.ones(shape))
    assert variable.array is array
    assert array.ctypes.data == address
    assert np.array_equal(array, np.ones(shape))


def test_initial_array_is_copied():
    source = np.zeros(3)
    variable = Variable(source)
    source += 1
    assert variable.numpy().tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"initializer": "ones"}, ArgumentError, "needs a shape"),
        ({"initializer": "ones", "shape": (None, 2)}, ShapeError, "not negative"),
        ({"initializer": "ones", "shape": (-1,)}, ShapeError, "not negative"),
        ({"initializer": "zerros", "shape": (1,)}, ArgumentError, "did you mean 'zeros'"),
        ({"initializer": ["a", "b"]}, DTypeError, "Cannot create variable"),
        ({"initializer": 1.0, "dtype": "float33"}, DTypeError, "Unknown dtype 'float33'"),
        ({"initializer": 1.0, "name": "a/b"}, ArgumentError, "without '/'"),
        ({"initializer": 1.0, "aggregation": "median"}, ArgumentError, "aggregation must be"),
        ({"initializer": 1.0, "synchronization": "never"}, ArgumentError, "synchronization must be"),
        ({"initializer": lambda shape, dtype: np.zeros(2), "shape": (3,)}, ShapeError, r"expected: \(3,\)"),
    ],
)
def test_what_makes_no_variable(arguments, error, text):
    with pytest.raises(error, match=text):
        Variable(**arguments)


# --- reading and assigning -------------------------------------------------------------------------


def test_value_is_a_copy():
    variable = Variable([1.0, 2.0])
    before, plain, plain_view = variable.value, variable.numpy(), np.asarray(variable)
    tensor = ops.convert_to_tensor(variable)
    variable.assign([3.0, 4.0])
    assert isinstance(before, Array)
    for old in (before, plain, plain_view, tensor):
        assert old.tolist() == [1.0, 2.0]
        old[0] = 99.0
    assert variable.numpy().tolist() == [3.0, 4.0]


def test_assign_returns_the_value_and_casts():
    variable = Variable([1, 2])
    result = variable.assign([2.9, -2.9])
    assert result.dtype == np.int32
    assert variable.numpy().tolist() == [2, -2]
    assert variable.assign_add([10, 10]).tolist() == [12, 8]
    assert variable.assign_sub([1, 1]).tolist() == [11, 7]
    assert variable.numpy().tolist() == [11, 7]


def test_assign_checks_the_shape():
    variable = Variable(np.zeros((2, 3)), name="kernel")
    for wrong in (np.zeros(3), np.zeros((3, 2)), 0.0, np.zeros((1, 2, 3))):
        with pytest.raises(ShapeError, match=r"'kernel'.*\n.*expected: \(2, 3\)\n.*got:"):
            variable.assign(wrong)
    with pytest.raises(DTypeError, match="Cannot assign to variable 'kernel'"):
        variable.assign([["a"] * 3] * 2)


def test_operators_and_numpy_functions():
    variable = Variable([1.0, 2.0, 3.0])
    array = np.array([2, 2, 2], np.int32)
    for result in (variable * array, array * variable, 2 * variable, variable * 2.0):
        assert isinstance(result, Array)
        assert result.dtype == np.float32
        assert result.tolist() == [2.0, 4.0, 6.0]
    assert (array / variable).dtype == np.float32
    assert (variable @ variable).item() == 14.0
    assert (variable**2)[-1] == 9.0
    assert (-variable).tolist() == [-1.0, -2.0, -3.0]
    assert (variable > 1.5).tolist() == [False, True, True]
    assert (variable == np.array([1.0, 0.0, 3.0], np.float32)).tolist() == [True, False, True]
    assert variable[1:].tolist() == [2.0, 3.0]
    assert [float(item) for item in variable] == [1.0, 2.0, 3.0]
    assert len(variable) == 3
    assert np.sqrt(variable).tolist() == pytest.approx([1.0, 2**0.5, 3**0.5])
    assert np.add.reduce(variable) == 6.0
    assert np.sum(variable) == 6.0
    assert not np.isnan(variable).any()


def test_scalars_convert_and_truth_is_refused():
    assert float(Variable(2.5)) == 2.5
    assert int(Variable([3.7])) == 3
    assert list(range(5))[Variable(2)] == 2
    with pytest.raises(TypeError, match="truth value"):
        bool(Variable(1.0))


def test_variables_are_keys():
    one, other = Variable([1.0, 1.0]), Variable([1.0, 1.0])
    table = {one: "one", other: "other"}
    assert table[one] == "one"
    assert table[other] == "other"


# --- inside a trace --------------------------------------------------------------------------------


def test_trace_reads_and_writes_state(run_traced):
    variable = Variable([1.0, 2.0], name="weight")

    def step(x):
        before = variable.value
        assert isinstance(before, Tensor)
        returned = variable.assign(before * x)
        assert returned.value is variable.value.value
        variable.assign_add([1, 1])
        return before, variable + 0.0

    before, after = run_traced(step, np.array([10.0, 20.0], np.float32))
    assert before.tolist() == [1.0, 2.0]
    assert after.tolist() == [11.0, 41.0]
    assert variable.numpy().tolist() == [11.0, 41.0]


def test_trace_assign_checks_shape_and_casts():
    variable = Variable(np.zeros(3, np.float32))
    with Trace() as trace:
        x = trace.input("x", (3,), "int32")
        variable.assign(x)
        assert variable.value.dtype == "float32"
        with pytest.raises(ShapeError, match="shapes differ"):
            variable.assign(trace.input("y", (2,), "float32"))
    assert [str(value.type) for _, value in trace.updates()] == ["float32[3]"]
    assert variable.numpy().tolist() == [0, 0, 0]


def test_no_numbers_leak_into_a_trace():
    variable = Variable([1.0])
    with Trace():
        for leak in (
            variable.numpy,
            lambda: np.asarray(variable),
            lambda: float(variable),
            lambda: np.sqrt(variable),
        ):
            with pytest.raises(TracedValueError):
                leak()


def test_variables_are_made_eagerly_inside_a_trace():
    with Trace() as trace:
        variable = Variable("glorot_uniform", shape=(2, 2))
        counter = Variable(ops.zeros((2,)) if current() is None else np.zeros(2))
        with suspended():
            assert current() is None
            assert isinstance(ops.add(variable, 1.0), Array)
        assert current() is trace
        assert isinstance(variable.value, Tensor)
    assert trace.states == [variable] or trace.states[0] is variable
    assert counter.shape == (2,)


def test_assigning_its_own_value_is_no_update():
    variable = Variable([1.0])
    with Trace() as trace:
        variable.assign(variable.value)
    assert trace.updates() == []


def test_substituted_values_are_given_back(run_traced):
    variable = Variable([1.0, 2.0])
    with substituted([variable], [np.array([5.0, 5.0])]):
        assert variable.numpy().tolist() == [5.0, 5.0]
        variable.assign([6.0, 6.0])
    assert variable.numpy().tolist() == [1.0, 2.0]

    def traced(x):
        with substituted([variable], [x]):
            variable.assign_add([1.0, 1.0])
            inside = variable.value
        return inside, variable.value

    inside, outside = run_traced(traced, np.array([7.0, 8.0], np.float32))
    assert inside.tolist() == [8.0, 9.0]
    assert outside.tolist() == [1.0, 2.0]
    with pytest.raises(ArgumentError, match="1 variables need as many values"), substituted([variable], []):
        pass


# --- properties, copies, memory --------------------------------------------------------------------


def test_properties():
    variable = Variable(0.0, trainable=False, name="count")
    assert (variable.name, variable.trainable, variable.autocast) == ("count", False, True)
    variable.trainable = True
    assert variable.trainable is True
    variable.regularizer, variable.constraint = abs, abs
    assert variable.regularizer is variable.constraint is abs
    variable.overwrite_with_gradient = True
    assert variable.overwrite_with_gradient is True
    for attribute in ("regularizer", "constraint"):
        with pytest.raises(ArgumentError, match=f"{attribute} must be callable"):
            setattr(variable, attribute, "l2")
    with pytest.raises(ArgumentError, match="must be True or False"):
        variable.overwrite_with_gradient = 1
    assert "path=count, shape=(), dtype=float32" in repr(variable)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_independent_and_aligned(duplicate):
    variable = Variable(np.arange(5.0), trainable=False, name="scale")
    variable.constraint = abs
    twin = duplicate({"a": variable, "b": variable})
    assert twin["a"] is twin["b"]
    other = twin["a"]
    assert (other.name, other.path, other.trainable, other.dtype) == ("scale", "scale", False, "float64")
    assert other.constraint is abs
    assert other.array.ctypes.data % ALIGNMENT == 0
    other.assign(np.zeros(5))
    assert variable.numpy().tolist() == [0, 1, 2, 3, 4]


def test_memory_is_freed_without_the_garbage_collector():
    gc.disable()
    try:
        variable = Variable(np.zeros(1000))
        reference = weakref.ref(variable)
        variable.assign_add(np.ones(1000))
        del variable
        assert reference() is None
    finally:
        gc.enable()


# --- names -----------------------------------------------------------------------------------------


def test_paths_follow_the_scopes():
    assert current_path() == ""
    owner = object()
    with name_scope("model"), name_scope("dense", caller=owner):
        assert Variable(0.0, name="bias").path == "model/dense/bias"
        with name_scope("dense", caller=owner):
            assert current_path() == "model/dense"
        with name_scope("dense"):
            assert current_path() == "model/dense/dense"
        with name_scope("inner", override_parent="elsewhere"):
            assert Variable(0.0, name="bias").path == "elsewhere/inner/bias"
    assert current_path() == ""
    with pytest.raises(ArgumentError, match="without '/'"):
        name_scope("a/b")


def test_automatic_names_count(monkeypatch):
    monkeypatch.setattr("lamina.core.naming._counts", type(__import__("collections").Counter())())
    assert [auto_name("MyLayer") for _ in range(3)] == ["my_layer", "my_layer_1", "my_layer_2"]
    assert Variable(0.0).name == "variable"
    assert Variable(0.0).name == "variable_1"
    reset_names()
    assert auto_name("MyLayer") == "my_layer"


@pytest.mark.parametrize(
    "name", ["Dense", "Conv2DTranspose", "LSTMCell", "RMSprop", "AdamW", "MyLayer3D", "PReLU"]
)
def test_snake_case_is_that_of_keras(name, real_keras):
    from keras.src.utils.naming import to_snake_case as keras_snake_case

    assert to_snake_case(name) == keras_snake_case(name)
