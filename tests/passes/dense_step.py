"""The training step of a small dense classifier, from primitives alone: what the passes are made for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from lamina.grad import gradients
from lamina.ir import primitives as p
from lamina.ir.bind import constant_value, full
from lamina.ir.graph import Graph, TensorType, Value
from lamina.ir.trace import new_input

FLOAT = "float32"


def dense_step(widths: tuple[int, ...] = (8, 16, 3), batch: int = 4) -> Graph:
    """relu layers, softmax cross-entropy from logits, accuracy, SGD with momentum.

    Inputs: x (batch, widths[0]), labels (batch,), learning rate, kernel and bias of each layer, momenta.
    Outputs: loss, accuracy, and the new values of weights and momenta.
    """
    x, labels = an_input("x", batch, widths[0]), new_input("labels", TensorType((batch,), "int32"))
    rate = an_input("learning_rate")
    weights: list[Value] = []
    for fan_in, fan_out in pairwise(widths):
        weights += [an_input("kernel", fan_in, fan_out), an_input("bias", fan_out)]
    logits = forward(x, weights)
    loss = mean(crossentropy(logits, labels))
    correct = p.cast(p.equal(p.argmax(logits, axis=1), labels), dtype=FLOAT)
    momenta = [an_input("momentum", *weight.shape) for weight in weights]
    updates = []
    for weight, momentum, gradient in zip(weights, momenta, gradients(loss, weights)):
        step = p.multiply(gradient, to_shape(rate, weight.shape))
        moved = p.subtract(p.multiply(momentum, full(weight.shape, 0.9, FLOAT)), step)
        updates += [p.add(weight, moved), moved]
    return Graph((x, labels, rate, *weights, *momenta), (loss, mean(correct), *updates))


def an_input(name: str, *shape: int) -> Value:
    return new_input(name, TensorType(shape, FLOAT))


def to_shape(x: Value, shape: tuple[int, ...]) -> Value:
    """Broadcasting as NumPy's."""
    return p.broadcast(x, shape=shape, axes=tuple(range(len(shape) - x.ndim, len(shape))))


def mean(x: Value) -> Value:
    total = p.reduce_sum(x, axes=tuple(range(x.ndim)))
    return p.divide(total, constant_value(x.size, FLOAT))


def forward(x: Value, weights: list[Value]) -> Value:
    for position in range(0, len(weights), 2):
        kernel, bias = weights[position : position + 2]
        x = p.dot(x, kernel, contract=((1,), (0,)), batch=((), ()))
        x = p.add(x, to_shape(bias, x.shape))
        if position + 2 < len(weights):
            x = p.maximum(x, full(x.shape, 0, FLOAT))
    return x


def crossentropy(logits: Value, labels: Value) -> Value:
    column = (*logits.shape[:1], 1)
    peak = p.stop_gradient(p.reshape(p.reduce_max(logits, axes=(1,)), shape=column))
    shifted = p.subtract(logits, to_shape(peak, logits.shape))
    total = p.reshape(p.reduce_sum(p.exp(shifted), axes=(1,)), shape=column)
    log_probabilities = p.subtract(shifted, to_shape(p.log(total), logits.shape))
    classes = to_shape(constant_value(np.arange(logits.shape[1]), "int32"), logits.shape)
    is_label = p.equal(to_shape(p.reshape(labels, shape=column), logits.shape), classes)
    return p.negative(p.reduce_sum(p.multiply(p.cast(is_label, dtype=FLOAT), log_probabilities), axes=(1,)))
