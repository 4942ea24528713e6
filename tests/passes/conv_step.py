"""The training step of a small convolutional classifier, from primitives alone."""

from __future__ import annotations

from dense_step import FLOAT, an_input, crossentropy, mean, to_shape

from lamina.grad import gradients
from lamina.ir import primitives as p
from lamina.ir.bind import full
from lamina.ir.graph import Graph, TensorType, Value
from lamina.ir.trace import new_input


def conv_step(batch: int = 4, size: int = 8, filters: tuple[int, int] = (4, 6), classes: int = 3) -> Graph:
    """Convolution, relu, maximum; strided convolution, relu, average; a dense layer, cross-entropy, SGD.

    Inputs: images (batch, size, size, 1), labels (batch,), kernel and bias of each layer. Outputs: the loss
    and the new weights.
    """
    images, labels = (
        an_input("images", batch, size, size, 1),
        new_input("labels", TensorType((batch,), "int32")),
    )
    first, second = filters
    weights = [
        an_input("kernel", 3, 3, 1, first), an_input("bias", first),
        an_input("kernel", 3, 3, first, second), an_input("bias", second),
        an_input("kernel", second, classes), an_input("bias", classes),
    ]  # fmt: skip
    x = layer(images, weights[0], weights[1], stride=1)
    x = p.max_window(x, **pool(2))[0]
    x = layer(x, weights[2], weights[3], stride=2)
    total = p.reshape(p.sum_window(x, **pool(x.shape[1])), shape=(batch, second))
    average = p.divide(total, full(total.shape, x.shape[1] ** 2, FLOAT))
    logits = p.dot(average, weights[4], contract=((1,), (0,)), batch=((), ()))
    loss = mean(crossentropy(p.add(logits, to_shape(weights[5], logits.shape)), labels))
    updates = [
        p.subtract(weight, p.multiply(gradient, full(weight.shape, 0.1, FLOAT)))
        for weight, gradient in zip(weights, gradients(loss, weights))
    ]
    return Graph((images, labels, *weights), (loss, *updates))


def layer(x: Value, kernel: Value, bias: Value, stride: int) -> Value:
    y = p.conv(x, kernel, strides=(stride,) * 2, padding=((1, 1),) * 2, dilation=(1, 1), groups=1)
    y = p.add(y, to_shape(bias, y.shape))
    return p.maximum(y, full(y.shape, 0, FLOAT))


def pool(size: int) -> dict[str, tuple[object, ...]]:
    return {"sizes": (size,) * 2, "strides": (size,) * 2, "padding": ((0, 0),) * 2, "dilation": (1, 1)}
