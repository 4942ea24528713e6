"""Steps of one's own. Here scripts for Keras must change: Lamina has no tape.

With TensorFlow, gradients are taken from a tape that recorded the computation:

    with tf.GradientTape() as tape:
        loss = ...
    gradients = tape.gradient(loss, model.trainable_weights)

In Lamina a step is traced before it runs, so any tensor of it knows how it was computed:

    loss = ...
    gradients = lamina.gradients(loss, model.trainable_weights)

This works inside `train_step` and inside functions decorated with `lamina.function`, to any order, and the
whole step, updates included, becomes one program. Variables are differentiated at the values that they had
when the step began.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from keras_script import assert_alike, fill, flowers, history_of, houses, run

import lamina
from lamina import ops


def layers_of(keras, features=6, units=1, activation=None):
    return [
        keras.layers.Dense(6, activation="relu", name="hidden"),
        keras.layers.Dense(units, activation=activation, name="last"),
    ]


class Stack(lamina.Model):
    """A model that is called layer by layer; subclasses override its steps."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stack = layers_of(lamina)

    def call(self, inputs):
        for layer in self.stack:
            inputs = layer(inputs)
        return inputs


class OwnStep(Stack):
    """The step of the guide "Customizing what happens in fit()"."""

    def train_step(self, data):
        x, y, sample_weight = lamina.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
        gradients = lamina.gradients(loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        return {"loss": loss, "largest": ops.max(ops.abs(y - ops.squeeze(y_pred, -1)))}


class LowLevelStep(Stack):
    """The same with metrics and the loss held by the model itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.loss_tracker = lamina.metrics.Mean(name="loss")
        self.mae_metric = lamina.metrics.MeanAbsoluteError(name="mae")
        self.loss_fn = lamina.losses.MeanSquaredError()

    def train_step(self, data):
        x, y = data
        y_pred = self(x, training=True)
        loss = self.loss_fn(y, y_pred)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(lamina.gradients(loss, variables), variables))
        self.loss_tracker.update_state(loss)
        self.mae_metric.update_state(y, y_pred)
        return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

    @property
    def metrics(self):
        return [self.loss_tracker, self.mae_metric]


def plain_fit(keras):
    x, y = houses(60)
    model = fill(keras.Sequential([keras.Input((6,)), *layers_of(keras)]))
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    history = model.fit(x, y[:, None], batch_size=20, epochs=3, shuffle=False, verbose=0)
    return {"history": history_of(history), "weights": model.get_weights()}


@pytest.fixture(scope="module")
def fit_of_keras(real_keras):
    return run(plain_fit, real_keras)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_step_with_compiled_loss_does_what_fit_does(fit_of_keras, run_eagerly):
    x, y = houses(60)
    model = OwnStep()
    model.compile(lamina.optimizers.Adam(0.01), "mse", metrics=["mae"], run_eagerly=run_eagerly)
    model(x[:1])
    fill(model)
    history = model.fit(x, y[:, None], batch_size=20, epochs=3, shuffle=False, verbose=0)
    assert_alike(model.get_weights(), fit_of_keras["weights"], "weights")
    assert_alike(history_of(history), fit_of_keras["history"], "history")
    result = model.evaluate(x, y, batch_size=60, verbose=0, return_dict=True)
    assert result["largest"] == pytest.approx(np.abs(y - np.asarray(model(x))[:, 0]).max(), rel=1e-4)


def test_a_step_with_losses_and_metrics_of_the_model_does_what_fit_does(fit_of_keras):
    x, y = houses(60)
    model = LowLevelStep()
    model.compile(optimizer=lamina.optimizers.Adam(0.01))
    model(x[:1])
    fill(model)
    history = model.fit(x, y[:, None], batch_size=20, epochs=3, shuffle=False, verbose=0)
    assert_alike(history_of(history), fit_of_keras["history"], "history")
    assert_alike(model.get_weights(), fit_of_keras["weights"], "weights")


def test_a_loop_by_hand_does_what_fit_does(fit_of_keras):
    """The guide "Writing a training loop from scratch"."""
    x, y = houses(60)
    model = fill(lamina.Sequential([lamina.Input((6,)), *layers_of(lamina)]))
    optimizer = lamina.optimizers.Adam(learning_rate=0.01)
    loss_fn = lamina.losses.MeanSquaredError()
    metric = lamina.metrics.MeanAbsoluteError()

    @lamina.function
    def train_step(x, y):
        predictions = model(x, training=True)
        loss = loss_fn(y, predictions)
        optimizer.apply(lamina.gradients(loss, model.trainable_weights), model.trainable_weights)
        metric.update_state(y, predictions)
        return loss

    losses, metrics = [], []
    for _ in range(3):
        epoch = [train_step(x[start : start + 20], y[start : start + 20, None]) for start in range(0, 60, 20)]
        losses.append(float(np.mean(epoch)))
        metrics.append(float(metric.result()))
        metric.reset_state()
    assert_alike(
        {"loss": losses, "mean_absolute_error": metrics}["loss"], fit_of_keras["history"]["loss"], "loss"
    )
    assert_alike(metrics, fit_of_keras["history"]["mae"], "mae")
    assert_alike(model.get_weights(), fit_of_keras["weights"], "weights")
    assert int(optimizer.iterations) == 9


class Adversaries(lamina.Model):
    """A GAN as in the guides: two optimizers, a compile and a train_step of its own."""

    def __init__(self, discriminator, generator, latent_dim):
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator
        self.latent_dim = latent_dim
        self.d_loss_tracker = lamina.metrics.Mean(name="d_loss")
        self.g_loss_tracker = lamina.metrics.Mean(name="g_loss")
        self.seed_generator = lamina.random.SeedGenerator(1337)

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = loss_fn

    def train_step(self, real_images):
        if isinstance(real_images, tuple):
            real_images = real_images[0]
        batch_size = ops.shape(real_images)[0]
        latent = lamina.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
        combined = ops.concatenate([self.generator(latent), real_images], axis=0)
        labels = ops.concatenate([ops.ones((batch_size, 1)), ops.zeros((batch_size, 1))], axis=0)
        labels += 0.05 * lamina.random.uniform(ops.shape(labels), seed=self.seed_generator)

        d_loss = self.loss_fn(labels, self.discriminator(combined))
        self.d_optimizer.apply(
            lamina.gradients(d_loss, self.discriminator.trainable_weights),
            self.discriminator.trainable_weights,
        )
        latent = lamina.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
        g_loss = self.loss_fn(ops.zeros((batch_size, 1)), self.discriminator(self.generator(latent)))
        self.g_optimizer.apply(
            lamina.gradients(g_loss, self.generator.trainable_weights), self.generator.trainable_weights
        )
        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}


def test_a_gan_trains_and_repeats_itself():
    def train():
        lamina.utils.set_random_seed(0)
        real = np.random.default_rng(0).normal(3.0, 0.3, (256, 1)).astype("float32")
        gan = Adversaries(
            lamina.Sequential([lamina.Input((1,)), *layers_of(lamina)]),
            lamina.Sequential([lamina.Input((2,)), *layers_of(lamina)]),
            latent_dim=2,
        )
        gan.compile(
            d_optimizer=lamina.optimizers.Adam(0.01),
            g_optimizer=lamina.optimizers.Adam(0.01),
            loss_fn=lamina.losses.BinaryCrossentropy(from_logits=True),
        )
        history = gan.fit(real, epochs=20, batch_size=64, verbose=0)
        noise = np.random.default_rng(1).standard_normal((200, 2)).astype("float32")
        return history_of(history), np.asarray(gan.generator(noise))

    (first, images), (second, again) = train(), train()
    assert sorted(first) == ["d_loss", "g_loss"]
    assert first == second
    np.testing.assert_array_equal(images, again)
    assert abs(images.mean() - 3.0) < 2.5  # it starts near 0
    assert images.mean() > 0.5


def test_a_gradient_penalty_is_that_of_jax():
    """The penalty of WGAN-GP: a gradient with respect to data, inside a loss that is differentiated."""
    x, _ = flowers(16)
    critic = fill(
        lamina.Sequential(
            [lamina.Input((4,)), lamina.layers.Dense(5, activation="tanh"), lamina.layers.Dense(1)]
        ),
        scale=0.7,
    )

    @lamina.function
    def penalty_and_gradients(x):
        scores = ops.sum(critic(x))
        slopes = lamina.gradients(scores, [x])[0]
        norm = ops.sqrt(ops.sum(ops.square(slopes), axis=1))
        penalty = ops.mean(ops.square(norm - 1.0))
        return penalty, lamina.gradients(penalty, critic.trainable_variables)

    def jax_penalty(weights, x):
        kernel_1, bias_1, kernel_2, bias_2 = weights

        def score(row):
            return (jnp.tanh(row @ kernel_1 + bias_1) @ kernel_2 + bias_2)[0]

        norm = jnp.linalg.norm(jax.vmap(jax.grad(score))(x), axis=1)
        return jnp.mean((norm - 1.0) ** 2)

    penalty, slopes = penalty_and_gradients(x)
    wanted, wanted_slopes = jax.value_and_grad(jax_penalty)(critic.get_weights(), jnp.asarray(x))
    assert_alike([float(penalty), *slopes], [float(wanted), *wanted_slopes], "penalty")
    assert float(np.abs(slopes[0]).max()) > 1e-3


def test_gradients_of_gradients_of_data():
    """The derivative of a network with respect to its input, twice, as for differential equations."""
    network = fill(
        lamina.Sequential(
            [lamina.Input((1,)), lamina.layers.Dense(8, activation="tanh"), lamina.layers.Dense(1)]
        ),
        scale=1.0,
    )
    kernel_1, bias_1, kernel_2, bias_2 = network.get_weights()

    @lamina.function
    def derivatives(t):
        u = network(t)
        first = lamina.gradients(ops.sum(u), [t])[0]
        second = lamina.gradients(ops.sum(first), [t])[0]
        return u, first, second

    def scalar(t):
        return (jnp.tanh(t * kernel_1[0] + bias_1) @ kernel_2 + bias_2)[0]

    t = np.linspace(-1, 1, 7, dtype="float32")[:, None]
    u, first, second = derivatives(t)
    for ours, theirs in ((u, scalar), (first, jax.grad(scalar)), (second, jax.grad(jax.grad(scalar)))):
        assert_alike(np.asarray(ours)[:, 0], np.array([theirs(value) for value in t[:, 0]]), "derivative")


def test_a_tape_is_explained():
    with pytest.raises(lamina.core.errors.GradientError, match=r"lamina\.function"):
        lamina.gradients(np.float32(1.0), [])
    model = fill(lamina.Sequential([lamina.Input((6,)), *layers_of(lamina)]))
    loss = ops.mean(model(houses(4)[0]))
    with pytest.raises(lamina.core.errors.GradientError, match="eager arrays do not remember"):
        lamina.gradients(loss, model.trainable_variables)
