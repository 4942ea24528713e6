"""Two networks against each other: one draws the digits it is asked for, the other tells them from real ones.

python examples/gan.py --epochs 40

A conditional generative adversarial network. Whether it draws what it is asked for is judged by a third
network, which has learned to read real digits and never sees a drawn one before the end. The digits are in
the package, so this runs offline; a page shows eight drawings of each.

Source: Mirza and Osindero, Conditional Generative Adversarial Nets (2014).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import lamina
from lamina import layers, ops
from lamina.datasets import digits
from lamina.report import page

CLASSES, NOISE = 10, 24


def generator() -> lamina.Model:
    """From noise and the asked digit to an image."""
    noise, asked = lamina.Input((NOISE,)), lamina.Input((CLASSES,))
    x = layers.Dense(2 * 2 * 64)(layers.concatenate([noise, asked]))
    x = layers.LeakyReLU(0.2)(layers.Reshape((2, 2, 64))(x))
    x = layers.Conv2DTranspose(64, 4, strides=2, padding="same")(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Conv2DTranspose(32, 4, strides=2, padding="same")(x)
    x = layers.LeakyReLU(0.2)(x)
    image = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)
    return lamina.Model([noise, asked], image, name="generator")


def discriminator() -> lamina.Model:
    """From an image and the digit it should be to a number: above zero for real ones."""
    image, asked = lamina.Input((8, 8, 1)), lamina.Input((CLASSES,))
    planes = layers.Reshape((8, 8, CLASSES))(layers.RepeatVector(64)(asked))
    x = layers.concatenate([image, planes])
    x = layers.LeakyReLU(0.2)(layers.Conv2D(32, 3, padding="same")(x))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(64, 3, strides=2, padding="same")(x))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(64, 3, strides=2, padding="same")(x))
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    return lamina.Model([image, asked], layers.Dense(1)(x), name="discriminator")


class ConditionalGAN(lamina.Model):
    """Both networks; each step trains the discriminator, then the generator against it."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = generator(), discriminator()
        self.generator_loss = lamina.metrics.Mean("generator_loss")
        self.discriminator_loss = lamina.metrics.Mean("discriminator_loss")

    def compile(self, generator_optimizer, discriminator_optimizer) -> None:
        super().compile()
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.loss_of = lamina.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, data):
        images, asked = data
        rows = images.shape[0]
        real, drawn = ops.ones((rows, 1)), ops.zeros((rows, 1))

        noise = lamina.random.normal((rows, NOISE))
        drawings = ops.stop_gradient(self.generator([noise, asked], training=True))
        judged_real = self.discriminator([images, asked], training=True)
        judged_drawn = self.discriminator([drawings, asked], training=True)
        # Real ones count as nine tenths real: a discriminator that is too sure teaches nothing.
        discriminator_loss = self.loss_of(0.9 * real, judged_real) + self.loss_of(drawn, judged_drawn)
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(lamina.gradients(discriminator_loss, variables), variables)

        noise = lamina.random.normal((rows, NOISE))
        judged = self.discriminator([self.generator([noise, asked], training=True), asked], training=True)
        generator_loss = self.loss_of(real, judged)
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply(lamina.gradients(generator_loss, variables), variables)

        self.discriminator_loss.update_state(discriminator_loss)
        self.generator_loss.update_state(generator_loss)
        return {"d_loss": self.discriminator_loss.result(), "g_loss": self.generator_loss.result()}


def reader(x: np.ndarray, y: np.ndarray) -> lamina.Model:
    """A network that reads real digits."""
    model = lamina.Sequential(
        [
            lamina.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=15, verbose=0)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--page", type=Path, default=Path("gan.html"))
    options = parser.parse_args()

    lamina.utils.set_random_seed(1)
    (x, y), (x_test, y_test) = digits.load_data()
    x, x_test = (images[..., None].astype("float32") / 16 for images in (x, x_test))
    model = ConditionalGAN()
    model.compile(lamina.optimizers.Adam(1e-3, beta_1=0.5), lamina.optimizers.Adam(1e-3, beta_1=0.5))
    model.fit(x, np.eye(CLASSES, dtype="float32")[y], batch_size=32, epochs=options.epochs, verbose=2)

    judge = reader(x, y)
    asked = np.repeat(np.arange(CLASSES), 100)
    noise = np.random.default_rng(1).standard_normal((len(asked), NOISE)).astype("float32")
    drawings = model.generator.predict([noise, np.eye(CLASSES, dtype="float32")[asked]], verbose=0)
    of_real = judge.evaluate(x_test, y_test, verbose=0)[1]
    of_drawn = judge.evaluate(drawings, asked, verbose=0)[1]
    spread = spread_of(drawings, asked) / spread_of(x_test, y_test)
    print(f"Read as what they are: {of_real:.3f} of real digits")
    print(f"Read as what was asked for: {of_drawn:.3f} of drawn ones (chance: {1 / CLASSES:.3f})")
    print(f"Drawings of a digit differ from each other {spread:.2f} times as much as real ones")
    write_page(options.page, drawings, of_drawn)


def spread_of(images: np.ndarray, labels: np.ndarray) -> float:
    """The mean distance of images from the mean of their class: zero if all look alike."""
    classes = [images[labels == label] for label in range(CLASSES)]
    return float(np.mean([np.sqrt(((each - each.mean(0)) ** 2).sum((1, 2, 3))).mean() for each in classes]))


def write_page(path: Path, drawings: np.ndarray, accuracy: float) -> None:
    cards = [
        page.card(
            str(label),
            "",
            [page.picture(drawings[100 * label + number, ..., 0], 1.0, "") for number in range(8)],
        )
        for label in range(CLASSES)
    ]
    section = page.Section("Eight drawings of each digit", "", page.cards(cards))
    facts = [("read as what was asked for", f"{accuracy:.3f}")]
    page.write_page(path, "Drawn digits", "A conditional generative adversarial network.", facts, [section])
    print(f"Pictures: {path.resolve().as_uri()}")


if __name__ == "__main__":
    main()
