"""Initializers: statistics, fans, seeds, configs, and the same numbers on every machine."""

import json
import statistics

import numpy as np
import pytest

from lamina import initializers
from lamina.core.errors import ArgumentError, DTypeError, ShapeError
from lamina.initializers import draw
from lamina.interp import Array
from lamina.ir import Trace
from lamina.random import SeedGenerator, set_random_seed

PRESETS = ["GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal"]
ROWS = [
    ("Zeros", {}),
    ("Ones", {}),
    ("Constant", {"value": 2.5}),
    ("Identity", {"gain": 3.0}),
    ("RandomNormal", {"mean": 1.0, "stddev": 2.0, "seed": 3}),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 2.0, "seed": 3}),
    ("RandomUniform", {"minval": -1.0, "maxval": 3.0, "seed": 3}),
    ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "uniform", "seed": 3}),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "untruncated_normal", "seed": 3}),
    ("Orthogonal", {"gain": 0.5, "seed": 3}),
    *((name, {"seed": 3}) for name in PRESETS),
]
ROW_NAMES = [f"{name}-{number}" for number, (name, _) in enumerate(ROWS)]


def make(row):
    name, options = row
    return getattr(initializers, name)(**options)


@pytest.mark.parametrize("row", ROWS, ids=ROW_NAMES)
@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16", "float64"])
def test_shape_dtype_and_kind(row, dtype):
    from lamina.core.dtypes import to_numpy

    result = make(row)((6, 4), dtype=dtype)
    assert type(result) is Array
    assert result.shape == (6, 4)
    assert result.dtype == to_numpy(dtype)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (0, 3), (3, 3, 4, 5)])
@pytest.mark.parametrize(
    "name", ["Zeros", "Ones", "RandomNormal", "TruncatedNormal", "RandomUniform", *PRESETS]
)
def test_any_shape(name, shape):
    assert getattr(initializers, name)()(shape).shape == shape


def test_plain_values():
    assert make(("Constant", {"value": 2.5}))((2, 2)).tolist() == [[2.5, 2.5], [2.5, 2.5]]
    assert initializers.Identity(gain=3.0)((2, 3)).tolist() == [[3, 0, 0], [0, 3, 0]]
    assert initializers.Ones()((2,), dtype="int32").tolist() == [1, 1]
    assert initializers.Zeros()((2,), dtype="bool").tolist() == [False, False]


# --- statistics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
@pytest.mark.parametrize("shape", [(200, 300), (3, 3, 64, 96)])
def test_variance_is_scale_over_fan(mode, distribution, shape):
    fans = initializers.compute_fans(shape)
    fan = {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": sum(fans) / 2}[mode]
    result = initializers.VarianceScaling(1.5, mode, distribution, seed=11)(shape, "float64")
    deviations = result.size**0.5
    assert result.mean() == pytest.approx(0, abs=4 * (1.5 / fan) ** 0.5 / deviations)
    assert result.var() == pytest.approx(1.5 / fan, rel=4 * 2**0.5 / deviations)
    if distribution == "uniform":
        assert abs(result).max() <= (3 * 1.5 / fan) ** 0.5
    if distribution == "truncated_normal":
        assert abs(result).max() <= 2 * (1.5 / fan) ** 0.5 / 0.879625


@pytest.mark.parametrize("name", PRESETS)
def test_presets_spread_as_in_keras(name, real_keras):
    ours = getattr(initializers, name)(seed=5)((150, 250), "float64")
    theirs = np.asarray(getattr(real_keras.initializers, name)(seed=5)((150, 250)))
    assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
    assert abs(ours).max() == pytest.approx(abs(theirs).max(), rel=0.03)


def test_distributions():
    """The empirical distribution function lies within the Kolmogorov bound of the true one."""
    count, bound = 40_000, 1.95 / 40_000**0.5  # p = 0.001
    ranks = (np.arange(count) + 0.5) / count
    phi = np.vectorize(statistics.NormalDist().cdf)
    uniform = np.sort(initializers.RandomUniform(2.0, 5.0, seed=1)((count,), "float64"))
    assert abs((uniform - 2) / 3 - ranks).max() < bound
    normal = np.sort(initializers.RandomNormal(1.0, 3.0, seed=2)((count,), "float64"))
    assert abs(phi((normal - 1) / 3) - ranks).max() < bound
    cut = np.sort(initializers.TruncatedNormal(1.0, 3.0, seed=3)((count,), "float64"))
    below = statistics.NormalDist().cdf(-2)
    assert abs((phi((cut - 1) / 3) - below) / (1 - 2 * below) - ranks).max() < bound


def test_quantiles_are_those_of_the_normal_distribution():
    exact = statistics.NormalDist()
    probabilities = np.concatenate(
        [np.linspace(0.001, 0.999, 999), 2.0 ** -np.arange(2, 34), 1 - 2.0 ** -np.arange(2, 34)]
    )
    wanted = np.array([exact.inv_cdf(p) for p in probabilities])
    np.testing.assert_allclose(draw.normal_quantile(probabilities), wanted, rtol=2e-7, atol=1e-7)


def test_orthogonal():
    for shape in [(6, 4), (4, 6), (5, 5), (2, 3, 4)]:
        matrix = initializers.Orthogonal(gain=2.0, seed=1)(shape, "float64").reshape(-1, shape[-1])
        product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)
    signs = [np.sign(initializers.Orthogonal(seed=seed)((3, 3))[0, 0]) for seed in range(40)]
    assert 8 < signs.count(1) < 32


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (3, 4, 5), (2, 3, 4, 5)])
def test_fans_are_those_of_keras(shape, real_keras):
    from keras.src.initializers.random_initializers import compute_fans

    assert initializers.compute_fans(shape) == compute_fans(shape)
    if len(shape) == 4:
        assert initializers.compute_fans(shape, [0, 1], [3]) == compute_fans(shape, [0, 1], [3]) == (6, 5)


# --- seeds -----------------------------------------------------------------------------------------


def test_the_same_seed_gives_these_very_numbers():
    """Golden numbers: a change would change every seeded model, on every machine."""
    golden = {
        "RandomUniform": [
            "0x1.064c0c0000000p-6",
            "0x1.750be20000000p-5",
            "0x1.49165c0000000p-6",
            "-0x1.4cfcfa0000000p-6",
            "-0x1.8119fa0000000p-6",
            "-0x1.68b7300000000p-5",
        ],
        "RandomNormal": [
            "0x1.5219460000000p-6",
            "0x1.5c09f20000000p-4",
            "0x1.af9d320000000p-6",
            "-0x1.b53dbc0000000p-6",
            "-0x1.014a540000000p-5",
            "-0x1.3efaf40000000p-4",
        ],
        "TruncatedNormal": [
            "0x1.41e0680000000p-6",
            "0x1.3589d60000000p-4",
            "0x1.9a32f00000000p-6",
            "-0x1.9f7f540000000p-6",
            "-0x1.e818ac0000000p-6",
            "-0x1.2029340000000p-4",
        ],
    }
    for name, numbers in golden.items():
        drawn = getattr(initializers, name)(seed=42)((6,), "float32")
        assert [float(number).hex() for number in drawn] == numbers, name


@pytest.mark.parametrize("name", ["RandomNormal", "HeNormal", "Orthogonal"])
def test_seeds(name):
    cls = getattr(initializers, name)
    first, again = cls(seed=7), cls(seed=7)
    assert np.array_equal(first((4, 4)), first((4, 4)))
    assert np.array_equal(first((4, 4)), again((4, 4)))
    assert not np.array_equal(first((4, 4)), cls(seed=8)((4, 4)))
    unseeded = cls()
    assert np.array_equal(unseeded((4, 4)), unseeded((4, 4)))
    assert not np.array_equal(unseeded((4, 4)), cls()((4, 4)))
    flowing = cls(seed=SeedGenerator(7))
    assert not np.array_equal(flowing((4, 4)), flowing((4, 4)))
    set_random_seed(3)
    one = cls()((4, 4))
    set_random_seed(3)
    assert np.array_equal(one, cls()((4, 4)))
    with pytest.raises(ArgumentError, match="seed must be a whole number"):
        cls(seed="seven")


def test_prefixes_agree_across_blocks():
    """Element i does not depend on how many are drawn."""
    long, short = (initializers.RandomUniform(seed=1)((count,)) for count in (2 * draw.BLOCK + 1001, 77))
    assert np.array_equal(long[:77], short)
    assert len(np.unique(long)) > 0.99 * long.size


def test_initializers_are_eager_inside_a_trace():
    with Trace():
        result = initializers.GlorotUniform(seed=SeedGenerator(1))((2, 2))
    assert type(result) is Array


# --- lookups and configs ---------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=ROW_NAMES)
def test_configs_go_round_and_read_those_of_keras(row, real_keras):
    made = make(row)
    description = json.loads(json.dumps(initializers.serialize(made)))
    back = initializers.deserialize(description)
    assert back.get_config() == made.get_config()
    assert np.array_equal(back((5, 4)), made((5, 4)))
    assert np.array_equal(made.clone()((5, 4)), made((5, 4)))
    theirs = real_keras.initializers.serialize(getattr(real_keras.initializers, row[0])(**row[1]))
    read = initializers.get(json.loads(json.dumps(theirs)))
    missing_in_keras = {"gain"} if row[0] == "Identity" else set()
    assert {k: v for k, v in read.get_config().items() if k not in missing_in_keras} == theirs["config"]


def test_a_seed_generator_survives_the_config():
    made = initializers.HeNormal(seed=SeedGenerator(9, name="seeds"))
    back = initializers.deserialize(json.loads(json.dumps(initializers.serialize(made))))
    assert isinstance(back.seed, SeedGenerator)
    assert np.array_equal(back((3, 3)), initializers.HeNormal(seed=SeedGenerator(9))((3, 3)))


NAMES = [
    "zeros",
    "ones",
    "zero",
    "one",
    "identity",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "normal",
    "uniform",
    "variance_scaling",
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "orthogonal",
    "Zeros",
    "GlorotUniform",
    "IdentityInitializer",
    "OrthogonalInitializer",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_keras(name, real_keras):
    assert type(initializers.get(name)).__name__ == type(real_keras.initializers.get(name)).__name__


def test_every_name_of_keras_is_here(real_keras):
    public = {name for name in vars(real_keras.initializers) if not name.startswith("_")}
    assert public <= set(vars(initializers))


def test_other_identifiers():
    assert initializers.get(None) is None
    assert initializers.get("constant")((2,)).tolist() == [0, 0]
    assert initializers.get({"class_name": "constant", "config": {}})((2,)).tolist() == [0, 0]
    assert type(initializers.get(initializers.Zeros)) is initializers.Zeros
    given = np.arange(4.0).reshape(2, 2)
    assert initializers.get(given)((2, 2), dtype="int32").tolist() == [[0, 1], [2, 3]]
    with pytest.raises(ShapeError, match=r"expected: \(3, 2\)\n.*got: .*\(2, 2\)"):
        initializers.get(given)((3, 2))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: initializers.get("glorot_unifrom"), ArgumentError, "did you mean 'glorot_uniform'"),
        (lambda: initializers.get(3), ArgumentError, "Cannot make"),
        (lambda: initializers.VarianceScaling(scale=0), ArgumentError, "must be positive, got 0"),
        (lambda: initializers.VarianceScaling(mode="fan"), ArgumentError, "Unknown mode 'fan'"),
        (
            lambda: initializers.VarianceScaling(distribution="gaussian"),
            ArgumentError,
            "Unknown distribution",
        ),
        (lambda: initializers.Identity()((3,)), ShapeError, r"fills matrices, got shape \(3,\)"),
        (lambda: initializers.Orthogonal()((3,)), ShapeError, "at least two axes"),
        (lambda: initializers.HeNormal()((3,), "int32"), DTypeError, "HeNormal draws floats.*int32"),
        (lambda: initializers.Zeros()((None, 3)), ShapeError, "cannot fill the shape"),
        (lambda: initializers.Zeros()((-1, 3)), ShapeError, "cannot fill the shape"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize(
    ("window", "scaling", "periodic"),
    [
        ("hann", "density", False),
        ("hamming", "spectrum", True),
        ("blackman", None, True),
        (None, "density", False),
        ("flattop", "density", True),
        ("nuttall", None, False),
        (list(range(1, 9)), "spectrum", False),
    ],
)
def test_stft_is_that_of_keras(real_keras, side, window, scaling, periodic):
    arguments = (side, window, scaling, periodic)
    ours, theirs = initializers.STFT(*arguments), real_keras.initializers.STFT(*arguments)
    expected = np.asarray(theirs((8, 1, 9)))
    np.testing.assert_allclose(ours((8, 1, 9)), expected, rtol=1e-4, atol=2e-6)
    again = initializers.deserialize(initializers.serialize(ours))
    np.testing.assert_array_equal(again((8, 1, 9)), ours((8, 1, 9)))


def test_stft_says_what_is_wrong():
    for arguments in (("both",), ("real", "round"), ("real", "hann", "half")):
        with pytest.raises(ArgumentError):
            initializers.STFT(*arguments)
    for initializer, shape in (
        (initializers.STFT(), (3, 4)),
        (initializers.STFT(window=[1.0, 2.0]), (3, 1, 4)),
    ):
        with pytest.raises(ShapeError):
            initializer(shape)
