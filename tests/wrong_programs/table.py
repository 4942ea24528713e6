"""Programs that are wrong, as data: a name, what the program does, and what its error has to say.

Each row is `name: (function, fragments of the message)`. None may train silently, and none may crash.
"""

import numpy as np

from lamina import Model, Sequential, generate, layers, losses, metrics, ops, optimizers
from lamina.callbacks import Callback, EarlyStopping, LambdaCallback, LearningRateScheduler
from lamina.models import load_model
from lamina.utils import PyDataset, split_dataset

RNG = np.random.default_rng(3)
X = RNG.normal(size=(64, 4)).astype("float32")
LABELS = np.digitize(X[:, 0], [-0.5, 0.5]).astype("int64")
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
BITS = (X[:, 0] > 0).astype("int64")
REAL = X @ np.array([1.0, -1.0, 0.5, 2.0], "float32")

ROWS = {}


def row(name, *fragments):
    """Add a wrong program to the table."""

    def add(program):
        ROWS[name] = (program, fragments)
        return program

    return add


def model(units=3, activation="softmax", loss="sparse_categorical_crossentropy", **compile_arguments):
    made = Sequential(
        [layers.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(units, activation)]
    )
    made.compile(**{"optimizer": "adam", "loss": loss, **compile_arguments})
    return made


def regressor(loss="mse", **compile_arguments):
    return model(1, None, loss, **compile_arguments)


def two_outputs(**compile_arguments):
    inputs = layers.Input((4,), name="features")
    outputs = [
        layers.Dense(3, activation="softmax", name="kind")(inputs),
        layers.Dense(1, name="size")(inputs),
    ]
    made = Model(inputs, outputs)
    made.compile(
        **{"optimizer": "sgd", "loss": ["sparse_categorical_crossentropy", "mse"], **compile_arguments}
    )
    return made


def two_inputs():
    left, right = layers.Input((4,), name="left"), layers.Input((2,), name="right")
    made = Model([left, right], layers.Dense(1)(layers.Concatenate()([left, right])))
    made.compile("sgd", "mse")
    return made


IDS = np.random.default_rng(4).integers(0, 20, (64, 3))


def words():
    made = Sequential(
        [
            layers.Input((3,), dtype="int32"),
            layers.Embedding(20, 4),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


def ids_as_vectors():
    return layers.Embedding(20, 4)(IDS)


def changed(array, index, value):
    array = np.array(array, copy=True)
    array[index] = value
    return array


# --- targets against outputs -----------------------------------------------------------------------
row("one number against three outputs", "(64,)", "(64, 3)")(
    lambda: model(3, None, "mse").fit(X, REAL, batch_size=64, verbose=0)
)
row("one column against three outputs", "shape", "(32, 1)")(
    lambda: model(3, None, "mse").fit(X, REAL[:, None], verbose=0)
)
row("three columns against one output", "shape", "3")(lambda: regressor().fit(X, ONE_HOT, verbose=0))
row("as many rows as outputs, so that it would broadcast", "shape")(
    lambda: model(3, None, "mse").fit(X[:3], REAL[:3], verbose=0)
)
row("one-hot targets for a sparse loss", "categorical_crossentropy")(
    lambda: model().fit(X, ONE_HOT, verbose=0)
)
row("class numbers for a one-hot loss", "sparse_categorical_crossentropy")(
    lambda: model(loss="categorical_crossentropy").fit(X, LABELS, verbose=0)
)
row("bits for a softmax of two with a binary loss", "shape")(
    lambda: model(2, "softmax", "binary_crossentropy").fit(X, BITS, verbose=0)
)
row("a softmax of a single unit", "softmax over a single unit", "sigmoid")(
    lambda: model(1, "softmax", "binary_crossentropy").fit(X, BITS, verbose=0)
)
row("a sparse loss on a single unit", "class")(lambda: model(1, "sigmoid").fit(X, BITS, verbose=0))
row("no targets", "targets", "y")(lambda: model().fit(X, verbose=0))
row("too few target arrays", "y", "kind, size")(lambda: two_outputs().fit(X, LABELS, verbose=0))
row("targets for an output that does not exist", "y", "kind, size")(
    lambda: two_outputs().fit(X, {"kind": LABELS, "sizes": REAL}, verbose=0)
)

# --- labels ----------------------------------------------------------------------------------------
row("a label too large", "0 to 2", "3", "row 5")(lambda: model().fit(X, changed(LABELS, 5, 3), verbose=0))
row("labels from one", "count from 0")(lambda: model().fit(X, LABELS + 1, verbose=0))
row("a negative label", "-1", "row 9")(lambda: model().fit(X, changed(LABELS, 9, -1), verbose=0))
row("too few units", "units", "7")(lambda: model(5).fit(X, changed(LABELS, 0, 6), verbose=0))
row("fractional labels for a sparse loss", "class number", "0.5")(
    lambda: model().fit(X, changed(LABELS.astype("float32"), 2, 0.5), verbose=0)
)
row("labels -1 and 1 for a binary crossentropy", "0 and 1", "hinge")(
    lambda: model(1, "sigmoid", "binary_crossentropy").fit(X, 2 * BITS - 1, verbose=0)
)
row("labels 1 and 2 for a binary crossentropy", "- 1")(
    lambda: model(1, "sigmoid", "binary_crossentropy").fit(X, BITS + 1, verbose=0)
)
row("three classes for a binary crossentropy", "sparse_categorical_crossentropy")(
    lambda: model(1, "sigmoid", "binary_crossentropy").fit(X, LABELS, verbose=0)
)
row("quantities for a binary crossentropy", "mse")(
    lambda: model(1, "sigmoid", "binary_crossentropy").fit(X, REAL * 10, verbose=0)
)
row("several ones in a row of one-hot targets", "row 4", "sums to 2")(
    lambda: model(loss="categorical_crossentropy").fit(X, changed(ONE_HOT, 4, [1, 1, 0]), verbose=0)
)
row("negative counts", "negative", "row 3")(
    lambda: model(1, "exponential", "poisson").fit(X, changed(BITS, 3, -2), verbose=0)
)
row("three classes for hinge", "two classes")(lambda: regressor("hinge").fit(X, LABELS, verbose=0))
row("a wrong label in the validation data", "0 to 2")(
    lambda: model().fit(X, LABELS, validation_data=(X, LABELS + 5), verbose=0)
)
row("a wrong label in evaluate", "0 to 2")(lambda: model().evaluate(X, LABELS + 5, verbose=0))
row("a wrong label in train_on_batch", "0 to 2")(lambda: model().train_on_batch(X, LABELS + 5))
row("labels as words", "np.unique")(
    lambda: model().fit(X, np.array(["cat", "dog", "cat", "fox"] * 16), verbose=0)
)

# --- numbers ---------------------------------------------------------------------------------------
row("a NaN in x", "NaN", "row 17, column 2")(
    lambda: model().fit(changed(X, (17, 2), np.nan), LABELS, verbose=0)
)
row("an infinity in x", "infinity", "row 3, column 0")(
    lambda: model().fit(changed(X, (3, 0), np.inf), LABELS, verbose=0)
)
row("a NaN in y", "y contains NaN", "row 8")(lambda: regressor().fit(X, changed(REAL, 8, np.nan), verbose=0))
row("a NaN in the sample weights", "sample_weight contains NaN")(
    lambda: regressor().fit(X, REAL, sample_weight=changed(np.ones(64), 1, np.nan), verbose=0)
)
row("a NaN in the validation data", "NaN")(
    lambda: regressor().fit(X, REAL, validation_data=(changed(X, 0, np.nan), REAL), verbose=0)
)
row("numbers too large for float32", "too large for float32", "1e+300")(
    lambda: regressor().fit(changed(X.astype("float64"), (5, 1), 1e300), REAL, verbose=0)
)
row("ids too large for int32", "too large for int32", "row 2")(
    lambda: model().fit(changed(np.zeros((64, 4), "int64"), (2, 0), 2**40), LABELS, verbose=0)
)
row("a loss that explodes", "step", "learning rate", "not applied")(
    lambda: regressor(optimizer=optimizers.SGD(1e6)).fit(X, REAL, epochs=50, verbose=0)
)
row("the logarithm of a negative number in a layer", "NaN", "lambda", "step 1")(
    lambda: _with_log().fit(X, REAL, verbose=0)
)

# --- ids of words ----------------------------------------------------------------------------------
row("an id as large as the table", "20", "row 5, position 1", "0 to 19", "input_dim=21")(
    lambda: words().fit(changed(IDS, (5, 1), 20), LABELS, verbose=0)
)
row("a negative id", "-1", "row 63", "padding")(
    lambda: words().fit(changed(IDS, (63, 0), -1), LABELS, verbose=0)
)
row("a wrong id in the validation data", "99", "row 2")(
    lambda: words().fit(IDS, LABELS, validation_data=(changed(IDS, (2, 2), 99), LABELS), verbose=0)
)
row("a wrong id in predict", "33", "row 4")(lambda: words().predict(changed(IDS, (4, 0), 33), verbose=0))


@row("writing with a model that looks ahead", "cannot go on one position at a time", "use_causal_mask")
def _():
    tokens = layers.Input((8,), dtype="int32")
    read = layers.Embedding(5, 4)(tokens)
    scores = layers.Dense(5)(layers.MultiHeadAttention(1, 4)(read, read))
    generate(Model(tokens, scores), [[1, 2]], 3)


@row("more tokens to write than a model has positions", "knows 8 positions", "12 tokens")
def _():
    tokens = layers.Input((8,), dtype="int32")
    read = layers.Embedding(5, 4)(tokens)
    scores = layers.Dense(5)(layers.MultiHeadAttention(1, 4)(read, read, use_causal_mask=True))
    generate(Model(tokens, scores), [[1, 2]], 10)


row("a mask of a wrong shape", "attention_mask", "(batch, 3, 3)", "(3, 2)")(
    lambda: layers.MultiHeadAttention(1, 2)(
        ids_as_vectors(), ids_as_vectors(), attention_mask=np.ones((3, 2))
    )
)

# --- arrays ----------------------------------------------------------------------------------------
row("no rows", "no rows")(lambda: model().fit(X[:0], LABELS[:0], verbose=0))
row("an empty list", "no rows")(lambda: model().fit([], [], verbose=0))
row("no data at all", "no data")(lambda: model().fit(verbose=0))
row("fewer targets than rows", "x: 64", "y: 60")(lambda: model().fit(X, LABELS[:60], verbose=0))
row("fewer weights than rows", "sample_weight: 3")(
    lambda: model().fit(X, LABELS, sample_weight=np.ones(3), verbose=0)
)
row("weights that are all zero", "sample weights")(
    lambda: model().fit(X, LABELS, sample_weight=np.zeros(64), verbose=0)
)
row("text in x", "strings", "astype")(lambda: model().fit(X.astype(str), LABELS, verbose=0))
row("sentences for a numeric model", "TextVectorization", "StringLookup")(
    lambda: model().fit(np.array(["good film", "bad film"] * 32), LABELS, verbose=0)
)
row("a column of words", "holds strings", "StringLookup")(
    lambda: model().fit(np.array(["good", "bad"] * 32, object), LABELS, verbose=0)
)
row("a column with gaps", "gaps (None)", "fill the gaps")(
    lambda: model().fit(X, np.array([None] + [True] * 63, object), verbose=0)
)


class LazyTable:
    """A query of polars that nobody has run yet."""

    def collect(self):
        return X


row("a query that was not run", "LazyTable", "x.collect()")(
    lambda: model().fit(LazyTable(), LABELS, verbose=0)
)
row("Python objects in x", "Python objects")(lambda: model().fit(X.astype(object), LABELS, verbose=0))
row("dates in x", "dates")(lambda: model().fit(np.zeros((64, 4), "datetime64[s]"), LABELS, verbose=0))
row("complex numbers in x", "complex")(lambda: model().fit(X.astype("complex64"), LABELS, verbose=0))
row("rows of different lengths", "different lengths")(
    lambda: model().fit([[1.0, 2.0, 3.0, 4.0], [1.0]], [0, 1], verbose=0)
)
row("a masked array", "masked")(lambda: model().fit(np.ma.masked_less(X, 0), LABELS, verbose=0))
row("a single number for x", "single number")(lambda: model().fit(np.float32(1), LABELS, verbose=0))
row("an object that is no data", "no array")(lambda: model().fit(object(), LABELS, verbose=0))
row("a table with a column of words", "column 'b'")(lambda: model().fit(_table(), LABELS, verbose=0))
row("a missing value in a table", "NaN", "'c'")(lambda: model().fit(_table_with_gap(), LABELS, verbose=0))

# --- inputs of the model ---------------------------------------------------------------------------
row("too many features", "4", "6")(lambda: model().fit(np.zeros((64, 6), "float32"), LABELS, verbose=0))
row("images for a model of vectors", "shape", "(2, 2)")(
    lambda: model().fit(X.reshape(64, 2, 2), LABELS, verbose=0)
)
row("one array for two inputs", "2 inputs", "left, right")(lambda: two_inputs().fit(X, REAL, verbose=0))
row("three arrays for two inputs", "2 inputs", "3 arrays")(
    lambda: two_inputs().fit([X, X[:, :2], X], REAL, verbose=0)
)
row("a list of rows instead of one array", "np.stack")(lambda: model().fit(list(X), LABELS, verbose=0))
row("an input missing from a dict", "'right'")(
    lambda: two_inputs().fit({"left": X, "rihgt": X[:, :2], "more": X}, REAL, verbose=0)
)
row("too many features in predict", "4", "5")(lambda: model().predict(np.zeros((3, 5), "float32"), verbose=0))
row("text in predict", "strings")(lambda: model().predict(np.array([["a", "b", "c", "d"]]), verbose=0))

# --- arguments of fit ------------------------------------------------------------------------------
row("batch size 0", "batch_size", "0")(lambda: model().fit(X, LABELS, batch_size=0, verbose=0))
row("a negative batch size", "batch_size", "-5")(lambda: model().fit(X, LABELS, batch_size=-5, verbose=0))
row("a fractional batch size", "batch_size=32")(lambda: model().fit(X, LABELS, batch_size=32.0, verbose=0))
row("no epochs", "epochs")(lambda: model().fit(X, LABELS, epochs=0, verbose=0))
row("negative epochs", "epochs")(lambda: model().fit(X, LABELS, epochs=-1, verbose=0))
row("a first epoch behind the last", "initial_epoch")(
    lambda: model().fit(X, LABELS, epochs=3, initial_epoch=5, verbose=0)
)
row("a validation split above 1", "validation_split")(
    lambda: model().fit(X, LABELS, validation_split=1.5, verbose=0)
)
row("a validation split that leaves nothing", "validation_split")(
    lambda: model().fit(X[:2], LABELS[:2], validation_split=0.9, verbose=0)
)
row("an unknown verbosity", "verbose")(lambda: model().fit(X, LABELS, verbose=7))
row("an unknown argument of fit", "batchsize")(lambda: model().fit(X, LABELS, batchsize=3))
row("an unknown argument of evaluate", "batch_size")(lambda: model().evaluate(X, LABELS, batchsize=3))
row("a class weight for a class that does not occur", "class_weight")(
    lambda: model().fit(X, LABELS, class_weight={7: 2.0}, verbose=0)
)
row("a class weight by name", "class_weight", "'cat'")(
    lambda: model().fit(X, LABELS, class_weight={"cat": 2.0}, verbose=0)
)
row("a negative class weight", "class_weight", "-1")(
    lambda: model().fit(X, LABELS, class_weight={0: -1.0}, verbose=0)
)
row("one class weight for two outputs", "class_weight", "kind, size")(
    lambda: two_outputs().fit(X, [LABELS, REAL], class_weight={0: 2.0}, verbose=0)
)
row("a callback class instead of an object", "EarlyStopping()")(
    lambda: model().fit(X, LABELS, callbacks=[EarlyStopping], verbose=0)
)
row("a function as a callback", "LambdaCallback")(
    lambda: model().fit(X, LABELS, callbacks=[print], verbose=0)
)
row("an unknown hook", "on_epoch_end")(lambda: LambdaCallback(on_epoch_ends=print))
row("early stopping that cannot tell which way is better", "mode='max'")(
    lambda: model(metrics=[_own_metric]).fit(
        X, LABELS, epochs=3, callbacks=[EarlyStopping("_own_metric", patience=1)], verbose=0
    )
)
row("targets beside a generator", "yields batches")(
    lambda: model().fit(iter([(X, LABELS)]), LABELS, verbose=0)
)
row("a generator that yields nothing", "no batch")(lambda: model().fit(iter([]), verbose=0))
row("a generator for two epochs", "only once", "steps")(
    lambda: model().fit(iter([(X, LABELS)]), epochs=2, verbose=0)
)
row("a generator for two validations", "only once")(
    lambda: model().fit(X, LABELS, epochs=2, validation_data=iter([(X, LABELS)]), verbose=0)
)
row("a generator that is exhausted", "exhausted")(
    lambda: model().fit(iter([(X, LABELS)]), steps_per_epoch=1, epochs=2, verbose=0)
)
row("a batch of four things", "tuple of 4")(lambda: model().fit(iter([(X, LABELS, BITS, REAL)]), verbose=0))
row("an iterable that yields None midway", "batch", "None")(
    lambda: model().fit(iter([(X, LABELS), None]), verbose=0)
)
row("a batch of another structure midway", "another structure", "x['a']")(
    lambda: model().fit(iter([(X, LABELS), ({"a": X}, LABELS)]), verbose=0)
)
row("a batch of another dtype midway", "another kind", "int32", "astype('float32')")(
    lambda: model().fit(iter([(X, LABELS), (X.astype("int32"), LABELS)]), verbose=0)
)
row("a batch of strings midway", "strings")(
    lambda: model().fit(iter([(X, LABELS), (X.astype(str), LABELS)]), verbose=0)
)
row("a batch of another width midway", "(4,)", "(3,)")(
    lambda: model().fit(iter([(X, LABELS), (X[:, :3], LABELS)]), verbose=0)
)
row("a batch without rows midway", "no rows")(
    lambda: model().fit(iter([(X, LABELS), (X[:0], LABELS[:0])]), verbose=0)
)
row("a batch without targets midway", "another structure")(
    lambda: model().fit(iter([(X, LABELS), (X,)]), verbose=0)
)
row("a data set whose worker fails", "the disk is gone", "batch", "_Slices")(
    lambda: model().fit(_Slices(fails_at=2, workers=2), verbose=0)
)
row("a data set that says it has no batches", "no batches", "0")(
    lambda: model().fit(_Slices(count=0), verbose=0)
)
row("an exception in a callback", "out of paper")(
    lambda: model().fit(X, LABELS, callbacks=[_Failing()], verbose=0)
)

# --- arguments of compile --------------------------------------------------------------------------
row("an unknown loss", "'mse'")(lambda: regressor("mze"))
row("an unknown optimizer", "'Adam'")(lambda: regressor(optimizer="adm"))
row("an unknown metric", "'accuracy'")(lambda: model(metrics=["acuracy"]))
row("a metric without a list", "['accuracy']")(lambda: model(metrics="accuracy"))
row("an unknown backend", "cpu")(lambda: regressor(backend="gpu"))
row("a loss that is a number", "3")(lambda: regressor(3))
row("a loss class instead of an object", "MeanSquaredError()")(lambda: regressor(losses.MeanSquaredError))
row("a metric class instead of an object", "Mean()")(lambda: model(metrics=[metrics.Mean]))
row("a loss for an output that does not exist", "'kinds'", "'kind'")(
    lambda: two_outputs(loss={"kinds": "mse", "size": "mse"}).fit(X, [ONE_HOT, REAL], verbose=0)
)
row("a loss missing for an output", "'kind'")(
    lambda: two_outputs(loss={"size": "mse"}).fit(X, [ONE_HOT, REAL], verbose=0)
)
row("three losses for two outputs", "3 entries", "2 outputs")(
    lambda: two_outputs(loss=["mse", "mse", "mse"]).fit(X, [ONE_HOT, REAL], verbose=0)
)
row("a metric for an output that does not exist", "'sizes'")(
    lambda: two_outputs(metrics={"sizes": "mae"}).fit(X, [LABELS, REAL], verbose=0)
)
row("loss weights that are no numbers", "loss_weights")(lambda: regressor(loss_weights="half"))
row("steps per execution 0", "steps_per_execution")(lambda: regressor(steps_per_execution=0))
row("a learning rate that is text", "learning rate", "'fast'")(lambda: optimizers.SGD("fast"))

# --- the order of things ---------------------------------------------------------------------------
row("fit before compile", "compile")(lambda: Sequential([layers.Dense(1)]).fit(X, REAL, verbose=0))
row("evaluate before compile", "compile")(lambda: Sequential([layers.Dense(1)]).evaluate(X, REAL, verbose=0))
row("no loss", "loss")(lambda: regressor(None).fit(X, REAL, verbose=0))
row("weights before build", "built")(lambda: layers.Dense(3).kernel)
row("an optimizer of another model", "optimizer")(lambda: _shared_optimizer())
row("a model without weights", "weights")(lambda: _without_weights())

# --- code of the user's own ------------------------------------------------------------------------
row("a branch on a traced number", "run_eagerly")(lambda: _model_of(_branching).fit(X, REAL, verbose=0))
row("NumPy in a layer", "Tensor", "lambda")(lambda: _model_of(np.tanh).fit(X, REAL, verbose=0))
row("a train_step that returns nothing", "train_step", "dict")(lambda: _silent_step().fit(X, REAL, verbose=0))
row("a loss that is not a scalar", "scalar")(lambda: _vector_loss().fit(X, REAL, verbose=0))
row("a layer that forgets super().__init__()", "super().__init__()")(lambda: _Forgetful()(X))
row("a loss of a shape of its own", "(7,)", "64 numbers, one for each row")(
    lambda: regressor(lambda y, p: ops.ones((7,)) * ops.sum(p)).fit(X, REAL, batch_size=64, verbose=0)
)
row("a metric of a shape of its own", "lambda", "(3, 2)", "64 numbers")(
    lambda: regressor(metrics=[lambda y, p: ops.ones((3, 2))]).fit(X, REAL, batch_size=64, verbose=0)
)
row("a metric without a result", "result()", "return")(
    lambda: regressor(metrics=[_Resultless()]).fit(X, REAL, verbose=0)
)
row("a metric that assigns another shape", "(3,)", "(2,)")(
    lambda: regressor(metrics=[_Growing()]).fit(X, REAL, verbose=0)
)
row("a schedule that falls below zero", "step 3", "learning rate", "not applied", "ops.maximum")(
    lambda: regressor(optimizer=optimizers.SGD(_falling())).fit(X, REAL, batch_size=8, verbose=0)
)
row("a scheduler that goes below zero", "learning rate", "-0.1")(
    lambda: regressor().fit(X, REAL, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: -0.1)])
)
row("a scheduler that returns text", "return a number", "'fast'")(
    lambda: regressor().fit(X, REAL, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: "fast")])
)
row("a learning rate set below zero", "learning rate", "-1")(
    lambda: setattr(regressor().optimizer, "learning_rate", -1.0)
)
row("a loss function of the wrong shape", "shape")(
    lambda: regressor(lambda y, p: ops.matmul(y, p)).fit(X, np.zeros((64, 3), "float32"), verbose=0)
)


class _Slices(PyDataset):
    """Batches of which one may fail."""

    def __init__(self, fails_at=None, count=4, **kwargs):
        super().__init__(**kwargs)
        self.fails_at, self.count = fails_at, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == self.fails_at:
            raise RuntimeError("the disk is gone")
        return X[:16], LABELS[:16]


class _Growing(metrics.Metric):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.total = self.add_weight(shape=(3,), initializer="zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign(ops.ones((2,)))

    def result(self):
        return self.total


class _Resultless(_Growing):
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign(ops.ones((3,)))

    def result(self):
        self.total.value + 1


def _falling():
    return optimizers.schedules.PolynomialDecay(0.1, 3, end_learning_rate=-0.1)


def _own_metric(y_true, y_pred):
    return ops.mean(y_pred, axis=-1)


def _with_log():
    made = Sequential(
        [layers.Input((4,)), layers.Dense(1), layers.Lambda(lambda x: ops.log(-ops.square(x)), name="lambda")]
    )
    made.compile("sgd", "mse")
    return made


def _table():
    import pandas

    return pandas.DataFrame({"a": X[:, 0], "b": ["word"] * 64, "c": X[:, 2], "d": X[:, 3]})


def _table_with_gap():
    import pandas

    return pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": changed(X[:, 2], 4, np.nan), "d": X[:, 3]})


class _Failing(Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise RuntimeError("out of paper")


def _shared_optimizer():
    optimizer = optimizers.Adam()
    regressor(optimizer=optimizer).fit(X, REAL, verbose=0)
    regressor(optimizer=optimizer).fit(X, REAL, verbose=0)


def _without_weights():
    made = Sequential([layers.Input((4,)), layers.Activation("relu")])
    made.compile("sgd", "mse")
    made.fit(X, X, verbose=0)


def _model_of(function):
    made = Sequential([layers.Input((4,)), layers.Dense(1), layers.Lambda(function)])
    made.compile("sgd", "mse")
    return made


def _branching(x):
    return x if ops.sum(x) > 0 else -x


class _Silent(Sequential):
    def train_step(self, data):
        self(data[0])


def _silent_step():
    made = _Silent([layers.Input((4,)), layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


class _VectorLoss(Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.square(y_pred[:, 0] - y)


def _vector_loss():
    made = _VectorLoss([layers.Input((4,)), layers.Dense(1)])
    made.compile("sgd")
    return made


class _Forgetful(layers.Layer):
    def __init__(self):
        self.units = 3

    def call(self, inputs):
        return inputs


# --- images ----------------------------------------------------------------------------------------
IMAGES = RNG.normal(size=(8, 6, 5, 3)).astype("float32")
row("padding for channels first", "'channels_first'", "np.moveaxis(x, 1, -1)")(
    lambda: layers.ZeroPadding2D(data_format="channels_first")
)
row("padding of a single image", "'zero_padding2d", "4 axes", "x[None]")(
    lambda: layers.ZeroPadding2D()(IMAGES[0])
)
row("margins for two axes of three", "padding=(1, 2)", "3 pairs")(lambda: layers.ZeroPadding3D((1, 2)))
row("cropping everything off", "cut everything off", "(8, 6, 5, 3)")(lambda: layers.Cropping2D(3)(IMAGES))
row("negative cropping", "cropping=-1", "at least 0")(lambda: layers.Cropping1D(-1))
row("upsampling by zero", "size=0", "at least 1")(lambda: layers.UpSampling2D(0))
row("channels that are not divisible into groups", "4 groups", "multiple of 4", "3 in shape")(
    lambda: layers.GroupNormalization(4)(IMAGES)
)
CHANNELS_FIRST = np.moveaxis(IMAGES, -1, 1)


def convnet(*inner, shape=(6, 5, 3)):
    made = Sequential(
        [layers.Input(shape), *inner, layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")]
    )
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


row("a convolution for channels first", "'channels_first'", "np.moveaxis(x, 1, -1)")(
    lambda: layers.Conv2D(8, 3, data_format="channels_first")
)
row("images with the channels first", "8 x 8", "look channels-first, (3, 6, 5)", "np.moveaxis(x, 1, -1)")(
    lambda: layers.Conv2D(4, 8)(CHANNELS_FIRST)
)
row("channels first, found at the pooling", "'max_pooling2d", "np.moveaxis(x, 1, -1)")(
    lambda: convnet(layers.MaxPooling2D(4), shape=(3, 32, 32))
)
row("grey images without channels", "'conv2d", "4 axes", "(8, 6, 5)", "x[..., None]")(
    lambda: layers.Conv2D(4, 3)(IMAGES[..., 0])
)
row("a kernel larger than the image", "'conv2d", "7 x 7", "6 in shape (8, 6, 5, 3)", "padding='same'")(
    lambda: layers.Conv2D(4, 7)(IMAGES)
)
row("a dilated kernel larger than the image", "at least 7 places along axis 1", "(None, 6, 5, 3)")(
    lambda: convnet(layers.Conv2D(4, 3, dilation_rate=3))
)
row("pooling more often than there are pixels", "'max_pooling2d", "window of 2 x 2", "1 in shape")(
    lambda: convnet(layers.MaxPooling2D(), layers.MaxPooling2D(), layers.MaxPooling2D())
)
row("channels that groups do not divide", "2 groups", "3 in shape (8, 6, 5, 3)")(
    lambda: layers.Conv2D(4, 3, groups=2)(IMAGES)
)
row("filters that groups do not divide", "5 filters into 2 groups")(lambda: layers.Conv2D(5, 3, groups=2))
row("no filters", "filters=0", "at least 1")(lambda: layers.Conv2D(0, 3))
row("a kernel of two sizes for volumes", "kernel_size=(3, 3)", "3 of them")(lambda: layers.Conv3D(4, (3, 3)))
row("strides of zero", "strides=0", "at least 1")(lambda: layers.Conv2D(4, 3, strides=0))
row("an unknown padding", "padding='full'", "'valid', 'same'")(lambda: layers.Conv2D(4, 3, padding="full"))
row("causal images", "padding='causal'", "'valid', 'same'")(lambda: layers.Conv2D(4, 3, padding="causal"))
row("padding for one axis of two", "padding=((1, 1),)", "2 pairs")(
    lambda: layers.Conv2D(4, 3, padding=((1, 1),))
)
row("more output padding than strides", "output_padding=2", "(2, 2)")(
    lambda: layers.Conv2DTranspose(4, 3, strides=2, output_padding=2)
)
row("images with other channels than at first", "(6, 5, 3)", "(6, 5, 1)")(
    lambda: convnet(layers.Conv2D(4, 3)).predict(IMAGES[..., :1], verbose=0)
)
row("images that have their channels first", "channels come last", "x = np.moveaxis(x, 1, -1)")(
    lambda: convnet(layers.Conv2D(4, 3)).fit(CHANNELS_FIRST, BITS[:8], verbose=0)
)
row("pooling of a vector", "'global_average_pooling1d", "3 axes", "(64, 4)")(
    lambda: layers.GlobalAveragePooling1D()(X)
)
row("adaptive pooling to nothing", "output_size=0", "at least 1")(lambda: layers.AdaptiveMaxPooling2D(0))


# --- losses, metrics and schedules that give something else -------------------------------------------


def given_back(**compile_arguments):
    """Train a regressor that was compiled so; with weights, so that shapes matter."""
    regressor(**compile_arguments).fit(X, REAL, sample_weight=np.ones(64), verbose=0)


@row("loss that returns nothing", "The loss 'forgetful' returned nothing", "give the function a `return`")
def _():
    def forgetful(y_true, y_pred):
        ops.square(y_true - y_pred)

    given_back(loss=forgetful)


@row("loss that returns a dict", "The loss 'several' returned dict", "return a tensor")
def _():
    def several(y_true, y_pred):
        return {"error": ops.square(y_true - y_pred)}

    given_back(loss=several)


@row("loss over the wrong axis", "The loss 'doubled' returned values", "32 rows", "(64, 1)")
def _():
    def doubled(y_true, y_pred):
        return ops.concatenate([y_true - y_pred, y_true - y_pred], axis=0)

    given_back(loss=doubled)


@row("loss without reduction", "gives many numbers", "shape (32,)", "sum_over_batch_size")
def _():
    given_back(loss=losses.MeanSquaredError(reduction="none"))


@row("metric function that returns nothing", "The metric 'forgetful' returned nothing")
def _():
    def forgetful(y_true, y_pred):
        ops.abs(y_true - y_pred)

    given_back(metrics=[forgetful])


@row("weighted metric of the wrong shape", "The metric 'tripled' returned values", "(96, 1)")
def _():
    def tripled(y_true, y_pred):
        return ops.concatenate([y_pred] * 3, axis=0)

    given_back(weighted_metrics=[tripled])


class ResultOf(metrics.Metric):
    def __init__(self, value):
        super().__init__(name="odd")
        self.value = value

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Nothing is kept."""

    def result(self):
        return self.value


@row("metric whose result is nothing", "The metric 'odd' has no number as its result: None", "`return`")
def _():
    given_back(metrics=[ResultOf(None)])


@row("metric whose result is text", "The metric 'odd' has no number as its result: 'high'")
def _():
    given_back(metrics=[ResultOf({"level": "high"})])


@row("metric that stores a batch in a number", "Cannot assign to variable", "(32, 1)")
def _():
    class Stored(metrics.Metric):
        def __init__(self):
            super().__init__(name="stored")
            self.total = self.add_weight(name="total")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.total.assign(y_pred)

        def result(self):
            return self.total

    given_back(metrics=[Stored()])


class Falling(optimizers.schedules.LearningRateSchedule):
    def __init__(self, make):
        self.make = make

    def __call__(self, step):
        return self.make(ops.cast(step, "float32"))


def state_is_kept(**fit_arguments):
    """A schedule that goes below zero at the third step: the weights are those after the second."""
    schedule = optimizers.schedules.PolynomialDecay(0.1, 2, end_learning_rate=-0.1)
    made, two_steps = (regressor(optimizer=optimizers.SGD(schedule)) for _ in range(2))
    two_steps.set_weights(made.get_weights())
    two_steps.fit(X[:32], REAL[:32], batch_size=16, shuffle=False, verbose=0)
    try:
        made.fit(X, REAL, batch_size=16, shuffle=False, verbose=0, **fit_arguments)
    except ArithmeticError:
        for weight, expected in zip(made.get_weights(), two_steps.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)
        assert int(made.optimizer.iterations) == 2
        raise


# --- files and sources -----------------------------------------------------------------------------
row("a file that does not exist", "no file", "missing.keras")(lambda: load_model("missing.keras"))
row("a model saved under another ending", ".keras")(lambda: model().save("model.pt"))
row("saving before building", "not built")(lambda: Sequential([layers.Dense(2)]).save("model.keras"))
row("weights of another kind of file", "kind of file", ".safetensors")(lambda: model().load_weights(__file__))
row("batches of tuples of four", "tuple of 4")(
    lambda: model().fit(iter([(X, LABELS, None, None)]), verbose=0)
)
row("a data set without batches", "no batch")(lambda: model().fit(iter([]), verbose=0))
row("a split that leaves nothing", "3 rows cannot be split")(lambda: split_dataset(X[:3], 0.01))


@row("schedule that goes negative", "Epoch 1, step 3: the learning rate is -0.1", "ops.maximum")
def _():
    state_is_kept()


@row("schedule that gives NaN", "the learning rate is nan", "The step was not applied")
def _():
    schedule = Falling(lambda step: ops.sqrt(0.5 - step))
    regressor(optimizer=optimizers.Adam(schedule)).fit(X, REAL, verbose=0)


@row("schedule that gives several rates", "schedule Falling must give one number", "shape (3,)")
def _():
    regressor(optimizer=optimizers.SGD(Falling(lambda step: ops.ones(3)))).fit(X, REAL, verbose=0)


@row("schedule that gives nothing", "schedule Falling must give one number", "nothing")
def _():
    regressor(optimizer=optimizers.SGD(Falling(lambda step: None))).fit(X, REAL, verbose=0)
