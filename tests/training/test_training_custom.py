"""Steps, losses and metrics of the user's own, eager steps, frozen layers, configs."""

import numpy as np
import pytest

import lamina
from lamina import Model, Sequential, layers, metrics, ops, optimizers
from lamina.core.errors import ArgumentError, StateError

X = np.random.default_rng(4).normal(size=(60, 4)).astype("float32")
Y = (X @ np.array([1.0, -1.0, 0.5, 0.0], "float32"))[:, None]


def stack(cls=Sequential):
    return cls([layers.Input((4,)), layers.Dense(5, "tanh"), layers.Dense(1)])


def alike(first, second, **fit):
    """Both models, trained from the same weights, have the same weights again."""
    second.set_weights(first.get_weights())
    for model in (first, second):
        model.fit(X, Y, **{"epochs": 2, "shuffle": False, "verbose": 0, **fit})
    for one, other in zip(first.get_weights(), second.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


class OwnStep(Sequential):
    def train_step(self, data):
        x, y = data
        y_pred = self(x, training=True)
        loss = ops.mean(ops.square(y - y_pred))
        gradients = lamina.gradients(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        self._loss_tracker.update_state(loss)
        return {"loss": self._loss_tracker.result(), "largest": ops.max(y_pred)}


def test_a_step_of_ones_own_is_compiled_whole():
    own, plain = stack(OwnStep), stack()
    own.compile("sgd", "mse")
    plain.compile("sgd", "mse")
    alike(own, plain)
    assert set(own.history.history) == {"loss", "largest"}
    programs = [report.program for report in own.compile_report().programs]
    assert len([name for name in programs if name.endswith("train")]) == 2  # one for the last, smaller batch


def test_updates_of_a_step_of_ones_own_are_kept_only_if_finite():
    own = stack(OwnStep)
    own.compile(optimizers.SGD(1e30), "mse")
    before = own.get_weights()
    with pytest.raises(ArithmeticError, match="not applied"):
        own.fit(X, Y, epochs=9, verbose=0)
    assert all(np.isfinite(weight).all() for weight in own.get_weights())
    assert len(before) == len(own.get_weights())


class Adversaries(Model):
    """Two networks with an optimizer each: what custom steps are for."""

    def __init__(self):
        super().__init__()
        self.generator = Sequential([layers.Input((2,)), layers.Dense(4)])
        self.critic = Sequential([layers.Input((4,)), layers.Dense(1)])

    def compile(self, generator_optimizer, critic_optimizer):
        super().compile()
        self.generator_optimizer = generator_optimizer
        self.critic_optimizer = critic_optimizer
        self.generator_loss = metrics.Mean(name="generator_loss")
        self.critic_loss = metrics.Mean(name="critic_loss")

    @property
    def metrics(self):
        return [self.generator_loss, self.critic_loss]

    def train_step(self, real):
        noise = lamina.random.normal((real.shape[0], 2))
        critic, generator = self.critic.trainable_variables, self.generator.trainable_variables
        fake = self.generator(noise, training=True)
        gap = ops.mean(self.critic(fake)) - ops.mean(self.critic(real))
        self.critic_optimizer.apply(lamina.gradients(gap, critic), critic)
        wanted = -ops.mean(self.critic(self.generator(noise)))
        self.generator_optimizer.apply(lamina.gradients(wanted, generator), generator)
        self.critic_loss.update_state(gap)
        self.generator_loss.update_state(wanted)
        return {metric.name: metric.result() for metric in self.metrics}


def test_two_optimizers_in_one_step():
    model = Adversaries()
    model.compile(optimizers.SGD(0.01), optimizers.SGD(0.1))
    before = [model.generator.get_weights(), model.critic.get_weights()]
    history = model.fit(X, epochs=2, verbose=0)
    assert set(history.history) == {"generator_loss", "critic_loss"}
    for old, network in zip(before, (model.generator, model.critic)):
        assert (old[0] != network.get_weights()[0]).any()
    assert np.isfinite(history.history["critic_loss"]).all()


class OwnLoss(Sequential):
    def compute_loss(self, x, y, y_pred, sample_weight):  # without `training`, as before Keras 3.3
        return ops.mean(ops.square(y - y_pred)) + 0.1 * ops.mean(ops.square(x))


def test_a_loss_of_ones_own():
    own, plain = stack(OwnLoss), stack()
    own.compile("sgd")
    plain.compile("sgd", "mse")
    alike(own, plain, batch_size=60)
    extra = 0.1 * np.mean(X**2)
    np.testing.assert_allclose(
        own.history.history["loss"], np.add(plain.history.history["loss"], extra), rtol=1e-5
    )


class WithMetric(Sequential):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.bias = metrics.Mean(name="bias")

    def compute_metrics(self, x, y, y_pred, sample_weight):
        self.bias.update_state(y_pred - y)
        return super().compute_metrics(x, y, y_pred, sample_weight)


def test_metrics_of_ones_own_are_reset_each_epoch():
    model = stack(WithMetric)
    model.compile(optimizers.SGD(0.0), "mse", metrics=["mae"])
    history = model.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_allclose(history.history["bias"], [np.mean(model.predict(X) - Y)] * 2, rtol=1e-4)
    assert model.metrics_names == ["loss", "mae", "bias"]


def test_functions_are_losses_and_metrics():
    def cubic(y_true, y_pred):
        return ops.mean(ops.power(ops.absolute(y_true - y_pred), 3), axis=-1)

    model = stack()
    model.compile("sgd", cubic, metrics=[cubic, metrics.MeanAbsoluteError(name="distance")])
    history = model.fit(X, Y, batch_size=60, verbose=0).history
    assert set(history) == {"loss", "cubic", "distance"}
    np.testing.assert_allclose(history["loss"], history["cubic"], rtol=1e-5)


def test_several_losses_of_one_output_are_summed():
    model, first, second = stack(), stack(), stack()
    for other in (first, second):
        other.set_weights(model.get_weights())
    model.compile(optimizers.SGD(0.0), ["mse", "mae"], loss_weights=[1.0, 0.5])
    first.compile("sgd", "mse")
    second.compile("sgd", "mae")
    expected = first.evaluate(X, Y, verbose=0) + 0.5 * second.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0)[0], expected, rtol=1e-5)


# --- eager steps -----------------------------------------------------------------------------------


class Branching(Sequential):
    seen = ()

    def train_step(self, data):
        x, y = data
        y_pred = self(x, training=True)
        loss = ops.mean(ops.square(y - y_pred))
        if loss > 1.0:  # a number, because steps run eagerly
            loss = loss * 1.0
        self.seen = (*self.seen, float(loss), y_pred.numpy().shape)
        gradients = lamina.gradients(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._loss_tracker.update_state(loss, sample_weight=len(x))
        return {"loss": self._loss_tracker.result()}


def test_eager_steps_see_numbers_and_train_alike():
    eager, compiled = stack(Branching), stack()
    eager.compile("adam", "mse", run_eagerly=True)
    compiled.compile("adam", "mse")
    alike(eager, compiled)
    np.testing.assert_allclose(eager.history.history["loss"], compiled.history.history["loss"], rtol=1e-5)
    assert eager.seen[1] == (32, 1)
    assert eager.evaluate(X, Y, verbose=0) == pytest.approx(compiled.evaluate(X, Y, verbose=0), rel=1e-5)
    np.testing.assert_allclose(
        eager.predict(X, verbose=0), compiled.predict(X, verbose=0), rtol=1e-4, atol=1e-6
    )
    assert eager.compile_report().programs == []


def test_traced_steps_say_that_they_have_no_numbers():
    model = stack(Branching)
    model.compile("adam", "mse")
    with pytest.raises(TypeError, match="run_eagerly=True"):
        model.fit(X, Y, verbose=0)


# --- frozen layers ---------------------------------------------------------------------------------


def test_frozen_layers_stay_as_they_are():
    model = stack()
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    changed = [(one != other).any() for one, other in zip(before, model.get_weights())]
    assert changed == [False, False, True, True]


def test_freezing_takes_effect_with_compile():
    model = stack()
    model.compile("sgd", "mse")
    model.layers[0].trainable = False
    before = model.get_weights()
    with pytest.warns(UserWarning, match="compile\\(\\) is called again"):
        model.fit(X[:32], Y[:32], verbose=0)
    assert all((one != other).any() for one, other in zip(before, model.get_weights()))
    assert not model.layers[0].trainable
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X[:32], Y[:32], verbose=0)
    assert (before[0] == model.get_weights()[0]).all()


def test_an_optimizer_belongs_to_one_model():
    optimizer = optimizers.Adam()
    first, second = stack(), stack()
    for model in (first, second):
        model.compile(optimizer, "mse")
    first.fit(X, Y, verbose=0)
    with pytest.raises((StateError, ArgumentError), match="optimizer"):
        second.fit(X, Y, verbose=0)


# --- the face of compile ---------------------------------------------------------------------------


def test_the_configuration_of_compile_goes_around():
    model = stack()
    model.compile(
        optimizers.Adam(0.01),
        lamina.losses.Huber(delta=0.5),
        metrics=["mae", metrics.RootMeanSquaredError()],
        steps_per_execution=3,
    )
    other = stack()
    other.compile_from_config(model.get_compile_config())
    assert other.steps_per_execution == 3
    assert other.optimizer.built
    alike(model, other)
    assert model.history.history.keys() == other.history.history.keys()
    assert stack().get_compile_config() == {}


def test_compiling_again_starts_the_optimizer_anew():
    model = stack()
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    assert int(model.optimizer.iterations.array) == 2
    model.compile("adam", "mae")
    assert int(model.optimizer.iterations.array) == 0
    history = model.fit(X, Y, batch_size=60, verbose=0).history
    assert set(history) == {"loss"}


def test_models_are_built_by_their_first_batch():
    class Late(Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(3)
            self.outputs_layer = layers.Dense(1)

        def call(self, inputs, training=None):
            return self.outputs_layer(self.hidden(inputs))

    for model in (Late(), Sequential([layers.Dense(3), layers.Dense(1)])):
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0)
        assert [weight.shape for weight in model.get_weights()] == [(4, 3), (3,), (3, 1), (1,)]
    for model in (Late(), Sequential([layers.Dense(3), layers.Dense(1)])):
        assert model.predict(X, verbose=0).shape == (60, 1)
        assert model.predict_on_batch(X[:7]).shape == (7, 1)


def test_layers_added_later_are_predicted_with():
    model = Sequential([layers.Input((4,)), layers.Dense(3)])
    assert model.predict(X, verbose=0).shape == (60, 3)
    assert model.predict_on_batch(X).shape == (60, 3)
    model.add(layers.Dense(2))
    assert model.predict(X, verbose=0).shape == (60, 2)
    assert model.predict_on_batch(X).shape == (60, 2)


def test_a_linear_output_under_a_crossentropy_warns():
    model = Sequential([layers.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.warns(UserWarning, match="from_logits=True"):
        model.fit(X, np.zeros(60, "int32"), verbose=0)
    model = Sequential([layers.Input((4,)), layers.Dense(3, "softmax")])
    model.compile("sgd", lamina.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.warns(UserWarning, match="drop the activation"):
        model.fit(X, np.zeros(60, "int32"), verbose=0)
