"""ONNX Runtime on the convolutional network for digits, with the weights of the same network in Lamina."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import lamina
from benchmarks.peers import forward, images

Array = np.ndarray[Any, Any]


def prepare(task: dict[str, Any]) -> Callable[[], float]:
    model = images.build(lamina, task)
    x, _ = images.data(task)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.get("threads", 2)
    session = onnxruntime.InferenceSession(
        exported(model.get_weights()), options, providers=["CPUExecutionProvider"]
    )
    given = {"images": x}
    # A race of different networks would prove nothing.
    np.testing.assert_allclose(session.run(None, given)[0], model.predict_on_batch(x), rtol=1e-3, atol=1e-5)
    return forward.timed(lambda: session.run(None, given), task["inference"])


def exported(weights: list[Array]) -> bytes:
    """The network "mnist" of `images`, for images (batch, 28, 28, 1), as an ONNX model."""
    kernel1, bias1, kernel2, bias2, dense, bias3 = weights
    # Flattening goes by channels first in ONNX: the rows of the last matrix are put in that order.
    side = round((len(dense) / kernel2.shape[-1]) ** 0.5)
    dense = dense.reshape(side, side, -1, dense.shape[-1]).transpose(2, 0, 1, 3).reshape(dense.shape)
    held = {
        "kernel1": kernel1.transpose(3, 2, 0, 1), "bias1": bias1,
        "kernel2": kernel2.transpose(3, 2, 0, 1), "bias2": bias2, "dense": dense, "bias3": bias3,
        "shape": np.array([-1, 1, 28, 28]),
    }  # fmt: skip
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        # One channel: the data lie alike in both orders.
        helper.make_node("Reshape", ["images", "shape"], ["a"]),
        helper.make_node("Conv", ["a", "kernel1", "bias1"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["d"], **pool),
        helper.make_node("Conv", ["d", "kernel2", "bias2"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("MaxPool", ["f"], ["g"], **pool),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "dense", "bias3"], ["i"]),
        helper.make_node("Softmax", ["i"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 28, 28, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", images.CLASSES])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in held.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()
