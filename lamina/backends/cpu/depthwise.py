"""Convolutions that keep channels apart, one filter for each, as weighted pooling.

For half precision, three spatial axes and large kernels; others have kernels of their own (in
`convolve_depthwise`). With the channels in the vectors, such a convolution is a walk over its window like
that of pooling, times a weight at every tap.
"""

from __future__ import annotations

from typing import Any

from lamina.ir import primitives as p
from lamina.ir.graph import Node, TensorType, Value, make
from lamina.ir.primitives import Primitive


def _weigh(x: TensorType, kernel: TensorType, **how: Any) -> TensorType:
    return p.sum_window.infer((x,), how)[0]


def _unweigh(y: TensorType, kernel: TensorType, **how: Any) -> TensorType:
    return p.spread_window.infer((y,), how)[0]


# conv and conv_input_grad with a kernel [*sizes, channels]; attributes as sum_window and spread_window have
weigh_window = Primitive("weigh_window", 2, _weigh)
unweigh_window = Primitive("unweigh_window", 2, _unweigh)


def as_weighing(node: Node, inputs: tuple[Value, ...]) -> Value | None:
    """A convolution with one filter for each channel, or its gradient for x, as weighted pooling; or None."""
    if node.primitive not in (p.conv, p.conv_input_grad):
        return None
    x, kernel = inputs
    attributes = dict(node.attributes)
    groups = attributes.pop("groups")
    if groups == 1 or kernel.shape[-2:] != (1, groups):
        return None
    weights = p.reshape(kernel, shape=(*kernel.shape[:-2], groups))
    primitive = weigh_window if node.primitive is p.conv else unweigh_window
    return make(primitive, (x, weights), {"sizes": kernel.shape[:-2], **attributes}, node.types).outputs[0]
