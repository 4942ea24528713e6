"""CTC: the loss and its gradients against real Keras, decoding, a network that learns unaligned labels."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, losses, ops
from lamina.core.errors import ArgumentError, DataError, ShapeError

RNG = np.random.default_rng(9)
LOGITS = RNG.normal(size=(4, 6, 5)).astype("float32")
LABELS = np.array([[1, 2, 3], [2, 2, 0], [4, 0, 0], [3, 3, 3]])
LABEL_LENGTHS = np.array([3, 2, 1, 3])
LENGTHS = np.array([6, 5, 4, 6])


def test_loss_and_gradients(real_keras):
    import jax

    def judged(logits):
        return real_keras.ops.ctc_loss(LABELS, logits, LABEL_LENGTHS, LENGTHS)

    @lamina.function
    def mine(logits):
        values = ops.ctc_loss(LABELS, logits, LABEL_LENGTHS, LENGTHS)
        return values, lamina.gradients(ops.sum(values * np.arange(1.0, 5.0, dtype="float32")), [logits])[0]

    values, slopes = mine(LOGITS)
    weights = np.arange(1.0, 5.0, dtype="float32")
    expected = jax.grad(lambda logits: (judged(logits) * weights).sum())(LOGITS)
    np.testing.assert_allclose(values, judged(LOGITS), rtol=1e-4)
    np.testing.assert_allclose(slopes, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ops.ctc_loss(LABELS, LOGITS, LABEL_LENGTHS, LENGTHS), values, rtol=1e-4)


def test_loss_is_the_sum_over_alignments():
    logits = RNG.normal(size=(1, 3, 3)).astype("float32")
    chances = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=-1, keepdims=True)
    total = 0.0
    for path in np.ndindex(3, 3, 3):
        merged = [c for place, c in enumerate(path) if c and (place == 0 or path[place - 1] != c)]
        if merged == [1, 2]:
            total += np.prod([chances[time, c] for time, c in enumerate(path)])
    loss = ops.ctc_loss(np.array([[1, 2]]), logits, np.array([2]), np.array([3]))
    np.testing.assert_allclose(loss, [-np.log(total)], rtol=1e-4)


@pytest.mark.parametrize("merge_repeated", [True, False])
def test_greedy_decoding(merge_repeated, real_keras):
    keywords = {"strategy": "greedy", "merge_repeated": merge_repeated}
    expected = real_keras.ops.ctc_decode(LOGITS, LENGTHS, **keywords)
    compiled = lamina.function(lambda x: ops.ctc_decode(x, LENGTHS, **keywords))(LOGITS)
    for found in (ops.ctc_decode(LOGITS, LENGTHS, **keywords), compiled):
        np.testing.assert_array_equal(found[0], np.asarray(expected[0]))
        np.testing.assert_allclose(found[1], np.asarray(expected[1]), rtol=1e-5)


def test_beam_search(real_keras):
    keywords = {"strategy": "beam_search", "beam_width": 6, "top_paths": 3}
    labels, scores = ops.ctc_decode(3 * LOGITS, LENGTHS, **keywords)
    expected, judged = real_keras.ops.ctc_decode(3 * LOGITS, LENGTHS, **keywords)
    np.testing.assert_array_equal(labels, np.asarray(expected))
    np.testing.assert_allclose(scores, np.asarray(judged), rtol=1e-4)


def test_the_loss_class(real_keras):
    mine, theirs = losses.CTC(), real_keras.losses.CTC()
    np.testing.assert_allclose(mine(LABELS, LOGITS), theirs(LABELS, LOGITS), rtol=1e-4)
    assert losses.CTC.from_config(mine.get_config()).get_config() == theirs.get_config()
    assert isinstance(losses.deserialize(losses.serialize(mine)), losses.CTC)


def test_a_network_learns_labels_without_knowing_when():
    lamina.utils.set_random_seed(0)
    rng = np.random.default_rng(1)
    labels = rng.integers(1, 4, (200, 2))
    x = np.zeros((200, 8, 3), "float32")
    for row, (first, second) in enumerate(labels):
        early, late = rng.integers(0, 3), rng.integers(4, 8)
        x[row, early, first - 1], x[row, late, second - 1] = 1, 1
    model = lamina.Sequential([lamina.Input((8, 3)), layers.Dense(16, "relu"), layers.Dense(4)])
    model.compile(lamina.optimizers.Adam(0.02), "ctc")
    model.fit(x, labels, epochs=20, verbose=0)
    decoded, _ = ops.ctc_decode(model.predict(x), np.full(200, 8))
    assert (decoded[0, :, :2] == labels).all(axis=1).mean() > 0.98


@pytest.mark.parametrize(
    ("action", "error", "part"),
    [
        (
            lambda: ops.ctc_loss(LABELS, LOGITS[:2], LABEL_LENGTHS, LENGTHS),
            ShapeError,
            "(batch, time, classes)",
        ),
        (lambda: ops.ctc_decode(LOGITS, LENGTHS, strategy="best"), ArgumentError, "'best'"),
        (lambda: losses.CTC()(LABELS[:, 0], LOGITS), ShapeError, "labels (batch, length)"),
        (lambda: _fit(LABELS + 4), DataError, "row 0"),
    ],
)
def test_wrong_uses(action, error, part):
    with pytest.raises(error) as caught:
        action()
    assert part in str(caught.value)


def _fit(labels):
    model = lamina.Sequential([lamina.Input((6, 5)), layers.Dense(5)])
    model.compile("adam", "ctc")
    model.fit(LOGITS, labels, verbose=0)
