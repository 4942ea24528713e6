"""Function: a layer graph that can be called like a layer, without being one."""

from __future__ import annotations

from typing import Any

from lamina.core import tree
from lamina.core.errors import ArgumentError, ShapeError
from lamina.ir.symbolic import KerasTensor, is_symbolic
from lamina.layers import shapes
from lamina.layers.call_arguments import convert_leaf
from lamina.layers.node import Node
from lamina.layers.operation import Operation
from lamina.models import pickling
from lamina.models.graph import LayerGraph, connect


class Function(Operation):
    """The computation from KerasTensors `inputs` to KerasTensors `outputs`, both nested as you like.

    Raises ArgumentError when the outputs do not follow from the inputs.

    >>> x = lamina.Input((3,))
    >>> Function(x, ops.sum(x, axis=-1))(np.ones((2, 3)))
    Array([3., 3.])
    """

    _graph: LayerGraph

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self._graph = connect(inputs, outputs, self.name)

    @property
    def operations(self) -> list[Any]:
        """The layers and recorded ops, the farthest from the outputs first."""
        return list(self._graph.operations)

    @property
    def inputs(self) -> list[KerasTensor]:
        """The inputs as a flat list."""
        return self._graph.flat_inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The outputs as a flat list."""
        return self._graph.flat_outputs

    @property
    def input(self) -> Any:
        """The inputs, nested as they were given."""
        return self._graph.inputs

    @property
    def output(self) -> Any:
        """The outputs, nested as they were given."""
        return self._graph.outputs

    def __call__(self, inputs: Any) -> Any:
        if not is_symbolic((inputs,)):
            return self.call(inputs)
        outputs = self.compute_output_spec(inputs)
        Node(self, (inputs,), {}, outputs)
        return outputs

    def call(self, inputs: Any) -> Any:
        """The outputs for these inputs."""
        self._check_structure(inputs)
        values = [convert_leaf(leaf, "float32", autocast=False) for leaf in tree.leaves(inputs)]
        return self._graph.run(values, lambda operation, args, kwargs: operation(*args, **kwargs))

    def compute_output_spec(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """KerasTensors like the outputs, for KerasTensors of other shapes than the graph's own."""
        given = tree.flatten(inputs)
        if [tensor.shape for tensor in given] == [tensor.shape for tensor in self.inputs]:
            return tree.map_structure(
                lambda tensor: KerasTensor(tensor.shape, tensor.dtype), self._graph.outputs
            )
        return self._graph.run(
            given, lambda operation, args, kwargs: operation.compute_output_spec(*args, **kwargs)
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shapes of the outputs for a structure of shapes like `inputs`."""
        given = _flatten_shapes(input_shape)
        tensors = [KerasTensor(shape, tensor.dtype) for shape, tensor in zip(given, self.inputs, strict=True)]
        return tree.map_structure(lambda tensor: tensor.shape, self.compute_output_spec(tensors))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_graph": pickling.pack(self._graph)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_graph"] = pickling.unpack(state["_graph"])

    def _check_structure(self, inputs: Any) -> None:
        try:
            tree.assert_same_structure(self._graph.inputs, inputs)
        except ValueError as error:
            raise ArgumentError(
                f"Function '{self.name}' was called with another structure of inputs: {error}"
            ) from None
        for tensor, value in zip(self.inputs, tree.leaves(inputs)):
            shape = tuple(value.shape)
            if len(shape) != tensor.ndim or any(w not in (None, g) for w, g in zip(tensor.shape, shape)):
                raise ShapeError(
                    f"Function '{self.name}' does not accept the shape of input '{tensor.name}'.",
                    expected=str(tensor.shape),
                    got=str(shape),
                )


def _flatten_shapes(structure: Any) -> list[shapes.Shape]:
    found: list[shapes.Shape] = []
    shapes.map_shapes(found.append, _sorted_like_trees(structure))
    return found


def _sorted_like_trees(structure: Any) -> Any:
    """Dicts with their keys in the order in which trees are flattened."""
    if isinstance(structure, dict):
        return {key: _sorted_like_trees(structure[key]) for key in sorted(structure)}
    return structure
