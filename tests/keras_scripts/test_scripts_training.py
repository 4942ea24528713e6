"""Scripts about training itself: callbacks with every hook, losses and metrics of one's own, batches."""

import numpy as np
import pytest
from keras_script import compare, fill, flowers, history_of, houses


def small_model(keras, units=1, features=6, activation=None, name=None):
    model = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(6, activation="relu"),
            keras.layers.Dense(units, activation=activation),
        ],
        name=name,
    )
    return fill(model)


def every_hook(keras):
    class Diary(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.pages = []

        def note(self, hook, *numbers, logs=None):
            self.pages.append([hook, *numbers, sorted(logs or {})])

        def on_train_begin(self, logs=None):
            self.note("train begin", logs=logs)

        def on_train_end(self, logs=None):
            self.note("train end", logs=logs)

        def on_epoch_begin(self, epoch, logs=None):
            self.note("epoch begin", epoch, logs=logs)

        def on_epoch_end(self, epoch, logs=None):
            self.note("epoch end", epoch, logs=logs)

        def on_test_begin(self, logs=None):
            self.note("test begin", logs=logs)

        def on_test_end(self, logs=None):
            self.note("test end", logs=logs)

        def on_predict_begin(self, logs=None):
            self.note("predict begin", logs=logs)

        def on_predict_end(self, logs=None):
            self.note("predict end", logs=logs)

        def on_train_batch_begin(self, batch, logs=None):
            self.note("train batch begin", batch, logs=logs)

        def on_train_batch_end(self, batch, logs=None):
            self.note("train batch end", batch, logs=logs)
            self.losses = [*getattr(self, "losses", []), float(logs["loss"])]

        def on_test_batch_begin(self, batch, logs=None):
            self.note("test batch begin", batch, logs=logs)

        def on_test_batch_end(self, batch, logs=None):
            self.note("test batch end", batch, logs=logs)

        def on_predict_batch_begin(self, batch, logs=None):
            self.note("predict batch begin", batch, logs=logs)

        def on_predict_batch_end(self, batch, logs=None):
            self.note("predict batch end", batch, logs=logs)
            self.outputs = np.asarray(logs["outputs"]).shape

    x, y = houses(50)
    model = small_model(keras)
    model.compile("sgd", "mse", metrics=["mae"])
    diary = Diary()
    model.fit(
        x, y, batch_size=20, epochs=2, shuffle=False, validation_split=0.2, callbacks=[diary], verbose=0
    )
    model.evaluate(x, y, batch_size=20, callbacks=[diary], verbose=0)
    model.predict(x, batch_size=20, callbacks=[diary], verbose=0)
    return {
        "pages": diary.pages,
        "losses": diary.losses,
        "outputs": diary.outputs,
        "params": diary.params,
        "model": diary.model is model,
    }


def stopping_early(keras):
    x, y = houses(40)

    class EarlyStoppingAtMinLoss(keras.callbacks.Callback):
        def __init__(self, patience=0):
            super().__init__()
            self.patience = patience
            self.best_weights = None

        def on_train_begin(self, logs=None):
            self.wait = 0
            self.stopped_epoch = 0
            self.best = np.inf

        def on_epoch_end(self, epoch, logs=None):
            current = logs.get("loss")
            if np.less(current, self.best):
                self.best = current
                self.wait = 0
                self.best_weights = self.model.get_weights()
            else:
                self.wait += 1
                if self.wait >= self.patience:
                    self.stopped_epoch = epoch
                    self.model.stop_training = True
                    self.model.set_weights(self.best_weights)

    results = {}
    for name, stopping in {
        "own": EarlyStoppingAtMinLoss(patience=2),
        "built in": keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=2, min_delta=0.05, restore_best_weights=True
        ),
        "baseline": keras.callbacks.EarlyStopping(
            "val_mae", patience=1, baseline=0.01, mode="min", start_from_epoch=1
        ),
    }.items():
        model = small_model(keras)
        model.compile(keras.optimizers.SGD(1.1), "huber", metrics=["mae"])
        history = model.fit(
            x,
            y,
            batch_size=20,
            epochs=12,
            shuffle=False,
            validation_data=(x, y),
            callbacks=stopping,
            verbose=0,
        )
        results[name] = {
            "history": history_of(history),
            "epoch": stopping.stopped_epoch,
            "best": float(stopping.best),
            "weights": model.get_weights(),
        }
    return results


def rates_from_callbacks(keras):
    x, y = houses(40)
    seen = []

    class CustomLearningRateScheduler(keras.callbacks.Callback):
        def __init__(self, schedule):
            super().__init__()
            self.schedule = schedule

        def on_epoch_begin(self, epoch, logs=None):
            rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
            self.model.optimizer.learning_rate = self.schedule(epoch, rate)
            seen.append(float(self.model.optimizer.learning_rate))

    class Growing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.optimizer.learning_rate *= 1.5

    model = small_model(keras)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5 if epoch else rate)
    histories = [
        model.fit(x, y, batch_size=20, epochs=3, shuffle=False, callbacks=[callback], verbose=0)
        for callback in (
            CustomLearningRateScheduler(lambda epoch, rate: rate / (epoch + 1)),
            scheduler,
            Growing(),
        )
    ]
    told = []
    simple = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: told.append([epoch, sorted(logs)]),
        on_train_begin=lambda logs: told.append("begin"),
    )
    model.fit(x, y, epochs=4, initial_epoch=2, callbacks=[simple], shuffle=False, verbose=0)
    return {
        "histories": [history_of(history) for history in histories],
        "seen": seen,
        "rate": float(model.optimizer.learning_rate),
        "told": told,
        "iterations": int(model.optimizer.iterations.numpy()),
    }


def losses_of_ones_own(keras):
    ops = keras.ops

    def huber_fn(y_true, y_pred):
        error = y_true - y_pred
        small = ops.abs(error) < 0.5
        return ops.where(small, ops.square(error) / 2, 0.5 * (ops.abs(error) - 0.25))

    def quantile(q):
        return lambda y_true, y_pred: ops.mean(
            ops.maximum(q * (y_true - y_pred), (q - 1) * (y_true - y_pred))
        )

    class CustomMSE(keras.losses.Loss):
        def __init__(self, factor=0.1, name="custom_mse"):
            super().__init__(name=name)
            self.factor = factor

        def call(self, y_true, y_pred):
            mse = ops.mean(ops.square(y_true - y_pred), axis=-1)
            penalty = ops.mean(ops.square(0.5 - y_pred), axis=-1)
            return mse + penalty * self.factor

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    x, y = houses(40)
    results = []
    for loss in (
        huber_fn,
        quantile(0.7),
        CustomMSE(0.3),
        keras.losses.mean_squared_error,
        keras.losses.get("mae"),
    ):
        model = small_model(keras)
        model.compile("sgd", loss, metrics=[huber_fn])
        history = model.fit(
            x, y[:, None], sample_weight=np.linspace(0, 1, 40), batch_size=20, shuffle=False, verbose=0
        )
        results.append(history_of(history))
    direct = CustomMSE(0.3)
    return {
        "results": results,
        "direct": float(direct(y[:4, None], x[:4, :1])),
        "weighted": float(direct(y[:4, None], x[:4, :1], sample_weight=np.array([1, 2, 0, 1]))),
        "none": np.asarray(keras.losses.MeanAbsoluteError(reduction="none")(y[:4, None], x[:4, :1])),
        "config": direct.get_config(),
        "function": np.asarray(
            huber_fn(ops.convert_to_tensor([0.0, 2.0]), ops.convert_to_tensor([0.1, 0.0]))
        ),
    }


def metrics_of_ones_own(keras):
    ops = keras.ops

    class BinaryTruePositives(keras.metrics.Metric):
        def __init__(self, name="binary_true_positives", **kwargs):
            super().__init__(name=name, **kwargs)
            self.true_positives = self.add_weight(name="tp", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            y_true, y_pred = ops.cast(y_true, "bool"), ops.cast(y_pred > 0.5, "bool")
            values = ops.cast(ops.logical_and(ops.equal(y_true, True), ops.equal(y_pred, True)), self.dtype)
            if sample_weight is not None:
                sample_weight = ops.broadcast_to(ops.cast(sample_weight, self.dtype), values.shape)
                values = values * sample_weight
            self.true_positives.assign(self.true_positives + ops.sum(values))

        def result(self):
            return self.true_positives.value

        def reset_state(self):
            self.true_positives.assign(0)

    class HuberMetric(keras.metrics.Mean):
        def __init__(self, threshold=1.0, name="HuberMetric", dtype=None):
            self.threshold = threshold
            self.huber = keras.losses.Huber(threshold)
            super().__init__(name=name, dtype=dtype)

        def update_state(self, y_true, y_pred, sample_weight=None):
            return super().update_state(self.huber(y_true, y_pred), sample_weight)

    def rounded_share(y_true, y_pred):
        return ops.mean(ops.cast(ops.equal(ops.round(y_pred), y_true), "float32"))

    x, y = flowers(60)
    y = (y == 1).astype("float32")[:, None]
    model = small_model(keras, features=4, activation="sigmoid")
    model.compile("rmsprop", "bce", metrics=[BinaryTruePositives(), HuberMetric(2.0), rounded_share])
    history = model.fit(x, y, batch_size=20, epochs=2, shuffle=False, verbose=0)
    single = BinaryTruePositives()
    single.update_state([0, 1, 1, 1], np.array([0.2, 0.9, 0.4, 0.8]))
    before = float(single.result())
    single.reset_state()
    mean = keras.metrics.Mean()
    mean.update_state([1, 3, 5, 7], sample_weight=[1, 1, 0, 0])
    auc = keras.metrics.AUC(num_thresholds=50)
    auc.update_state([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    return {
        "history": history_of(history),
        "before": before,
        "after": float(single.result()),
        "mean": mean.result().numpy() if hasattr(mean.result(), "numpy") else np.asarray(mean.result()),
        "auc": float(auc.result()),
        "function": float(rounded_share(ops.ones((3, 1)), ops.convert_to_tensor([[0.7], [0.2], [0.9]]))),
        "variables": [variable.name for variable in single.variables],
    }


def adversaries(keras):
    """Generator and discriminator trained in turns with train_on_batch, the older way of writing a GAN."""
    random = np.random.default_rng(5)
    generator = small_model(keras, units=2, features=3, name="generator")
    discriminator = small_model(keras, units=1, features=2, activation="sigmoid", name="discriminator")
    discriminator.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    discriminator.trainable = False
    noise_input = keras.Input((3,))
    gan = keras.Model(noise_input, discriminator(generator(noise_input)))
    gan.compile("rmsprop", "binary_crossentropy")
    logs = []
    for _ in range(3):
        noise = random.standard_normal((8, 3)).astype("float32")
        real = random.standard_normal((8, 2)).astype("float32") + 2
        fake = generator.predict_on_batch(noise)
        x, y = np.concatenate([fake, real]), np.concatenate([np.zeros((8, 1)), np.ones((8, 1))])
        discriminator.trainable = True
        loss, accuracy = discriminator.train_on_batch(x, y)
        discriminator.trainable = False
        logs.append([float(loss), float(accuracy), float(gan.train_on_batch(noise, np.ones((8, 1))))])
    return {"logs": logs, "weights": [*generator.get_weights(), *discriminator.get_weights()]}


def distillation(keras):
    """A student that learns from a teacher, by overriding compute_loss."""
    ops = keras.ops

    class Distiller(keras.Model):
        def __init__(self, student, teacher):
            super().__init__()
            self.teacher = teacher
            self.student = student

        def compile(
            self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1, temperature=3
        ):
            super().compile(optimizer=optimizer, metrics=metrics)
            self.student_loss_fn = student_loss_fn
            self.distillation_loss_fn = distillation_loss_fn
            self.alpha = alpha
            self.temperature = temperature

        def compute_loss(
            self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False, training=True
        ):
            teacher_pred = self.teacher(x, training=False)
            student_loss = self.student_loss_fn(y, y_pred)
            distillation_loss = self.distillation_loss_fn(
                ops.softmax(teacher_pred / self.temperature, axis=1),
                ops.softmax(y_pred / self.temperature, axis=1),
            ) * (self.temperature**2)
            return self.alpha * student_loss + (1 - self.alpha) * distillation_loss

        def call(self, x):
            return self.student(x)

    x, y = flowers(48)
    teacher = small_model(keras, units=3, features=4)
    student = fill(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), seed=9)
    teacher.trainable = False
    distiller = Distiller(student, teacher)
    distiller.compile(
        optimizer=keras.optimizers.Adam(0.01),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        student_loss_fn=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        distillation_loss_fn=keras.losses.KLDivergence(),
    )
    history = distiller.fit(x, y, epochs=2, batch_size=24, shuffle=False, verbose=0)
    return {
        "history": history_of(history),
        "evaluated": distiller.evaluate(x, y, batch_size=24, verbose=0),
        "student": student.get_weights(),
        "teacher": teacher.get_weights(),
    }


def batches_from_generators(keras):
    x, y = houses(60)

    def generate(repeat):
        while True:
            for start in range(0, 60, 20):
                yield x[start : start + 20], y[start : start + 20]
            if not repeat:
                return

    model = small_model(keras)
    model.compile("adam", "mse")
    endless = model.fit(
        generate(True),
        steps_per_epoch=4,
        epochs=2,
        validation_data=generate(True),
        validation_steps=2,
        validation_freq=2,
        verbose=0,
    )
    single = model.fit(generate(False), epochs=1, verbose=0)
    steps = model.fit(x, y, batch_size=20, steps_per_epoch=1, epochs=3, shuffle=False, verbose=0)
    often = model.fit(
        x, y, batch_size=30, epochs=3, shuffle=False, validation_data=(x, y), validation_freq=2, verbose=0
    )
    return {
        "endless": history_of(endless),
        "single": history_of(single),
        "steps": history_of(steps),
        "often": history_of(often),
        "evaluated": model.evaluate(generate(False), verbose=0),
        "evaluated_steps": model.evaluate(x, y, batch_size=20, steps=2, verbose=0),
        "predicted": model.predict(generate(True), steps=2, verbose=0).shape,
    }


def several_losses(keras):
    """A list of losses and weights for outputs without names of their own, a missing loss, shared targets."""
    x, y = houses(40)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(5, activation="relu")(inputs)
    outputs = [keras.layers.Dense(1, name=name)(hidden) for name in ("first", "second", "third")]
    model = fill(keras.Model(inputs, outputs))
    model.compile(
        "sgd", ["mse", "mae", "huber"], loss_weights=[1.0, 0.5, 0.1], metrics=[["mae"], [], ["mse"]]
    )
    history = model.fit(x, [y, 2 * y, -y], batch_size=20, epochs=2, shuffle=False, verbose=0)
    evaluated = model.evaluate(x, [y, 2 * y, -y], batch_size=20, verbose=0)
    model = fill(keras.Model(inputs, outputs))
    model.compile("sgd", {"first": "mse", "second": None, "third": "mse"})
    partly = model.fit(x, [y, y, y], batch_size=20, shuffle=False, verbose=0)
    return {"history": history_of(history), "evaluated": evaluated, "partly": history_of(partly)}


SCRIPTS = [
    every_hook,
    stopping_early,
    rates_from_callbacks,
    losses_of_ones_own,
    metrics_of_ones_own,
    adversaries,
    distillation,
    batches_from_generators,
    several_losses,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_script(script, real_keras):
    compare(script, real_keras)
