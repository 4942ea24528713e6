"""Native code against the reference interpreter: trainings with every loss, metric, optimizer, activation."""

import numpy as np
import pytest
from keras_script import assert_alike, fill, history_of

import lamina
from lamina import layers, losses, metrics, optimizers

ROWS = 43


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    numbers = random.standard_normal((ROWS, 3)).astype("float32")
    classes = random.integers(0, 3, ROWS)
    return {
        "x": random.standard_normal((ROWS, 5)).astype("float32"),
        "numbers": numbers,
        "amounts": np.abs(numbers),
        "bits": (numbers > 0).astype("float32"),
        "classes": classes,
        "one_hot": np.eye(3, dtype="float32")[classes],
        "weights": np.linspace(0, 2, ROWS, dtype="float32"),
    }


def train(backend, build, optimizer, x, y, **arguments):
    """The history, weights, optimizer state, predictions and evaluation of a short training."""
    fitting = ("sample_weight", "epochs", "batch_size")
    options = {name: arguments.pop(name) for name in fitting if name in arguments}
    lamina.utils.clear_session()
    lamina.utils.set_random_seed(3)
    model = fill(build())
    model.compile(optimizer(), backend=backend, **arguments)
    history = model.fit(x, y, shuffle=False, verbose=0, **options)
    return {
        "history": history_of(history),
        "weights": model.get_weights(),
        "optimizer": [variable.numpy() for variable in model.optimizer.variables],
        "evaluated": model.evaluate(x, y, batch_size=ROWS, verbose=0),
    }


def compare(build, x, y, optimizer=lambda: optimizers.SGD(0.01), rtol=2e-4, atol=2e-5, **arguments):
    expected = train("reference", build, optimizer, x, y, **arguments)
    assert_alike(train("cpu", build, optimizer, x, y, **arguments), expected, "native", rtol, atol)


def branches(activations):
    """One output of three units for each activation, behind a common layer."""

    def build():
        inputs = lamina.Input((5,))
        hidden = layers.Dense(7, activation="tanh")(inputs)
        outputs = [
            layers.Dense(3, activation=activation, name=f"out_{position}")(hidden)
            for position, activation in enumerate(activations)
        ]
        return lamina.Model(inputs, outputs)

    return build


LOSSES = [
    (losses.MeanSquaredError(), "numbers", None),
    (losses.MeanAbsoluteError(), "numbers", None),
    (losses.MeanAbsolutePercentageError(), "numbers", None),
    (losses.MeanSquaredLogarithmicError(), "amounts", "softplus"),
    (losses.Huber(0.5), "numbers", None),
    (losses.LogCosh(), "numbers", None),
    (losses.CosineSimilarity(), "numbers", None),
    (losses.Poisson(), "amounts", "softplus"),
    (losses.KLDivergence(), "one_hot", "softmax"),
    (losses.Hinge(), "bits", None),
    (losses.SquaredHinge(), "bits", None),
    (losses.CategoricalHinge(), "one_hot", None),
    (losses.BinaryCrossentropy(label_smoothing=0.1), "bits", "sigmoid"),
    (losses.BinaryCrossentropy(from_logits=True), "bits", None),
    (losses.BinaryFocalCrossentropy(apply_class_balancing=True), "bits", "sigmoid"),
    (losses.CategoricalCrossentropy(label_smoothing=0.1), "one_hot", "softmax"),
    (losses.CategoricalCrossentropy(from_logits=True), "one_hot", None),
    (losses.CategoricalFocalCrossentropy(), "one_hot", "softmax"),
    (losses.CategoricalGeneralizedCrossEntropy(), "classes", "softmax"),
    (losses.SparseCategoricalCrossentropy(), "classes", "softmax"),
    (losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=1), "classes", None),
    (losses.Dice(), "bits", "sigmoid"),
    (losses.Tversky(alpha=0.3), "bits", "sigmoid"),
    (losses.Circle(gamma=2), "classes", None),
]


def test_losses(data):
    chosen, targets, activations = zip(*LOSSES)
    y = [data[target] for target in targets]
    weights = [data["weights"]] * len(y)
    build = branches(activations)
    compare(build, data["x"], y, loss=list(chosen), batch_size=ROWS, sample_weight=weights, atol=1e-4)


def test_every_loss_is_here():
    present = {type(loss).__name__ for loss, _, _ in LOSSES}
    classes = {name for name in losses.__all__ if isinstance(getattr(losses, name), type)}
    # CTC takes sequences, and is compared in tests/sequences.
    assert present == classes - {"Loss", "LossFunctionWrapper", "CTC"}


METRICS = {
    "numbers": [
        metrics.MeanSquaredError,
        metrics.MeanAbsoluteError,
        metrics.MeanAbsolutePercentageError,
        metrics.RootMeanSquaredError,
        metrics.LogCoshError,
        metrics.CosineSimilarity,
        metrics.R2Score,
        metrics.PearsonCorrelation,
        metrics.ConcordanceCorrelation,
        metrics.Accuracy,
    ],
    "amounts": [metrics.Poisson, metrics.MeanSquaredLogarithmicError],
    "bits": [
        metrics.BinaryAccuracy,
        metrics.BinaryCrossentropy,
        metrics.AUC,
        lambda: metrics.AUC(curve="PR", multi_label=True, num_labels=3, name="per_label"),
        metrics.Precision,
        metrics.Recall,
        metrics.TruePositives,
        metrics.TrueNegatives,
        metrics.FalsePositives,
        metrics.FalseNegatives,
        lambda: metrics.PrecisionAtRecall(0.5),
        lambda: metrics.RecallAtPrecision(0.5),
        lambda: metrics.SensitivityAtSpecificity(0.5),
        lambda: metrics.SpecificityAtSensitivity(0.5),
        lambda: metrics.F1Score(average="macro"),
        lambda: metrics.FBetaScore(average="weighted", beta=2.0),
        lambda: metrics.BinaryIoU(),
        metrics.Hinge,
        metrics.SquaredHinge,
    ],
    "one_hot": [
        metrics.CategoricalAccuracy,
        metrics.CategoricalCrossentropy,
        metrics.CategoricalHinge,
        metrics.TopKCategoricalAccuracy,
        metrics.KLDivergence,
        lambda: metrics.OneHotIoU(3, [0, 2]),
        lambda: metrics.OneHotMeanIoU(3),
    ],
    "classes": [
        metrics.SparseCategoricalAccuracy,
        metrics.SparseCategoricalCrossentropy,
        lambda: metrics.SparseTopKCategoricalAccuracy(k=2),
        lambda: metrics.IoU(3, [1], sparse_y_pred=False),
        lambda: metrics.MeanIoU(3, sparse_y_pred=False),
    ],
}


def test_metrics(data):
    activations = {"numbers": None, "amounts": "softplus", "bits": "sigmoid"}
    build = branches([activations.get(target, "softmax") for target in METRICS])
    y = [data[target] for target in METRICS]
    chosen = ["mse", "poisson", "bce", "categorical_crossentropy", "sparse_categorical_crossentropy"]
    for kind in ("metrics", "weighted_metrics"):
        fresh = lambda: [[make() for make in makers] for makers in METRICS.values()]  # noqa: E731
        expected, found = (
            train(
                backend,
                build,
                lambda: optimizers.SGD(0.01),
                data["x"],
                y,
                loss=chosen,
                batch_size=ROWS,
                sample_weight=[data["weights"]] * len(y),
                **{kind: fresh()},
            )
            for backend in ("reference", "cpu")
        )
        assert_alike(found, expected, kind)
        assert len(expected["history"]) == 1 + len(chosen) + sum(map(len, METRICS.values()))


def test_every_metric_is_here():
    present = {type(make()).__name__ for makers in METRICS.values() for make in makers}
    classes = {name for name in metrics.__all__ if isinstance(getattr(metrics, name), type)}
    assert present == classes - {"Metric", "Mean", "Sum", "MeanMetricWrapper"}


ACTIVATIONS = [
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh"),
    *("leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid"),
    *("silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid"),
    *("sparsemax", "squareplus", "tanh", "tanh_shrink"),
]


def test_activations(data):
    """Of numbers that reach from where they are linear to where they saturate."""
    y = [data["numbers"]] * len(ACTIVATIONS)
    compare(branches(ACTIVATIONS), 10 * data["x"], y, loss="mae", batch_size=ROWS)


OPTIMIZERS = [
    lambda: optimizers.SGD(0.01),
    lambda: optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
    lambda: optimizers.RMSprop(0.01),
    lambda: optimizers.RMSprop(0.01, centered=True, momentum=0.5, clipvalue=0.01),
    lambda: optimizers.Adam(0.01),
    lambda: optimizers.Adam(0.01, amsgrad=True, clipnorm=0.1),
    lambda: optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=2, global_clipnorm=0.1),
    lambda: optimizers.Adam(0.01, gradient_accumulation_steps=2, loss_scale_factor=8.0),
    lambda: optimizers.AdamW(optimizers.schedules.CosineDecay(0.01, 5, warmup_target=0.02, warmup_steps=2)),
    lambda: optimizers.Adamax(0.01, weight_decay=0.1),
    lambda: optimizers.Nadam(0.01, use_ema=True),
    lambda: optimizers.Adagrad(0.01),
    lambda: optimizers.Adadelta(0.1),
    lambda: optimizers.Adafactor(0.01),
    lambda: optimizers.Ftrl(0.01, learning_rate_power=-0.6, l1_regularization_strength=0.01, beta=0.1),
    lambda: optimizers.Lamb(0.01, clipnorm=0.1),
    lambda: optimizers.Lion(0.001, weight_decay=0.1),
    lambda: optimizers.Muon(0.01),
    lambda: optimizers.ScheduleFreeAdamW(0.01, warmup_steps=3),
    lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01), 8.0, dynamic_growth_steps=2),
    lambda: optimizers.MultiOptimizer(
        optimizers.OptimizerMap(optimizers.Adam(0.01), {".*bias": optimizers.SGD(0.01)})
    ),
    lambda: optimizers.Adam(optimizers.schedules.CosineDecayRestarts(0.01, 3, t_mul=2.0, m_mul=0.9)),
    lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.01, 2, 0.9)),
    lambda: optimizers.SGD(optimizers.schedules.InverseTimeDecay(0.01, 2, 0.5, staircase=True)),
    lambda: optimizers.SGD(optimizers.schedules.PiecewiseConstantDecay([2, 4], [0.1, 0.05, 0.01])),
    lambda: optimizers.SGD(optimizers.schedules.PolynomialDecay(0.01, 5, cycle=True, power=2.0)),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda make: type(make()).__name__)
def test_optimizers(data, optimizer):
    arguments = {"loss": "mse", "epochs": 5, "batch_size": 24, "atol": 1e-4}
    compare(branches(["relu"]), data["x"], data["numbers"], optimizer, **arguments)


def every_layer():
    inputs = lamina.Input((5,))
    hidden = layers.Dense(6, kernel_regularizer="l1l2", bias_constraint="non_neg")(inputs)
    folded = layers.Permute((2, 1))(layers.Reshape((2, 3))(hidden))
    mixed = layers.EinsumDense("abc,cd->abd", (3, 4), bias_axes="d", activation="gelu")(folded)
    mixed = layers.PReLU()(mixed)
    flat = layers.Flatten()(mixed)
    narrow = layers.Dense(6, kernel_constraint="max_norm")(flat)
    merged = [
        layers.Add()([narrow, hidden]),
        layers.Subtract()([narrow, hidden]),
        layers.Multiply()([narrow, hidden]),
        layers.Average()([narrow, hidden]),
        layers.Maximum()([narrow, hidden]),
        layers.Minimum()([narrow, hidden]),
        layers.Dot(1, normalize=True)([narrow, hidden]),
    ]
    joined = layers.Concatenate()(merged)
    noisy = layers.GaussianNoise(0.1)(layers.Dropout(0.2)(joined))
    noisy = layers.AlphaDropout(0.1)(layers.GaussianDropout(0.1)(noisy))
    noisy = layers.ActivityRegularization(1e-3, 1e-3)(layers.Identity()(layers.Rescaling(0.5, 0.1)(noisy)))
    activated = layers.Concatenate()(
        [layers.ReLU(2.0)(noisy), layers.LeakyReLU()(noisy), layers.ELU()(noisy), layers.Softmax()(noisy)]
    )
    repeated = layers.RepeatVector(2)(activated)
    summed = layers.Lambda(lambda tensor: lamina.ops.sum(tensor, axis=1))(repeated)
    return lamina.Model(inputs, layers.Activation("tanh")(layers.Dense(3)(summed)))


def test_layers(data):
    """Random numbers included: both backends draw the same."""
    compare(every_layer, data["x"], data["numbers"], loss="mse", batch_size=16)


@pytest.mark.parametrize(("floatx", "tolerance"), [("float64", 1e-9), ("float16", 2e-2), ("bfloat16", 1e-1)])
def test_other_floats(data, floatx, tolerance):
    lamina.config.set_floatx(floatx)
    try:
        x, y = data["x"].astype("float64"), data["numbers"].astype("float64")
        compare(branches(["tanh"]), x, y, loss="mse", rtol=tolerance, atol=tolerance)
    finally:
        lamina.config.set_floatx("float32")
