"""Event files that TensorBoard reads, written with the tensorboard package's own writer."""

from __future__ import annotations

import struct
import time
import zlib
from typing import Any

import numpy as np

from lamina.core.errors import StateError
from lamina.ir import primitives as p
from lamina.ir.graph import Graph


class EventWriter:
    """One folder of events. StateError when the tensorboard package is not there."""

    def __init__(self, folder: str) -> None:
        try:
            from tensorboard.compat import proto  # noqa: F401 - the import is the question
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise StateError(
                "The TensorBoard callback needs the package tensorboard.",
                fix='pip install "lamina[tensorboard]"; or use CSVLogger, which needs nothing.',
            ) from error
        self._file: Any = EventFileWriter(folder)

    def scalar(self, tag: str, value: float, step: int) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._add(scalar_pb(tag, value), step)

    def histogram(self, tag: str, values: np.ndarray[Any, Any], step: int) -> None:
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        self._add(histogram_pb(tag, values), step)

    def image(self, tag: str, images: np.ndarray[Any, Any], step: int) -> None:
        """images: (number, height, width, 1, 3 or 4), scaled so that the smallest number is black."""
        from tensorboard.plugins.image.metadata import create_summary_metadata

        low, high = float(images.min()), float(images.max())
        pixels = np.round((images - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)
        height, width = pixels.shape[1:3]
        parts = [str(width).encode(), str(height).encode(), *map(_png, pixels)]
        self._add_tensor(tag, np.array(parts, dtype=object), create_summary_metadata(tag, ""), step)

    def layer_graph(self, tag: str, json: str) -> None:
        """The layers of a model, from `model.to_json()`."""
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata

        metadata = SummaryMetadata()
        metadata.plugin_data.plugin_name = "graph_keras_model"
        metadata.plugin_data.content = b"1"
        self._add_tensor(tag, np.array(json.encode(), dtype=object), metadata, 0)

    def program_graph(self, graph: Graph) -> None:
        """What a program computes, primitive by primitive."""
        from tensorboard.compat.proto.event_pb2 import Event

        self._file.add_event(Event(wall_time=time.time(), graph_def=_graph_def(graph).SerializeToString()))

    def _add_tensor(self, tag: str, values: np.ndarray[Any, Any], metadata: Any, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.util.tensor_util import make_tensor_proto

        value = Summary.Value(tag=tag, tensor=make_tensor_proto(values), metadata=metadata)
        self._add(Summary(value=[value]), step)

    def _add(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._file.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _graph_def(graph: Graph) -> Any:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    definition = GraphDef()
    definition.versions.producer = 22
    names: dict[Any, str] = {}
    for number, value in enumerate(graph.inputs):
        names[value] = f"inputs/{number}_{value.node.attributes['name']}"
        definition.node.add(name=names[value], op="input", attr=_shapes([value]))
    for number, node in enumerate(graph.nodes()):
        if node.primitive is p.input:
            continue
        name = f"{node.primitive.name}_{number}"
        for place, value in enumerate(node.outputs):
            names[value] = name if place == 0 else f"{name}:{place}"
        definition.node.add(
            name=name,
            op=node.primitive.name,
            input=[names[value] for value in node.inputs],
            attr=_shapes(node.outputs),
        )
    return definition


def _shapes(values: Any) -> dict[str, Any]:
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue

    shapes = AttrValue()
    for value in values:
        shape = shapes.list.shape.add()
        for extent in value.shape:
            shape.dim.add(size=extent)
    return {"_output_shapes": shapes, "dtype": AttrValue(s=values[0].dtype.encode())}


_COLOURS = {1: 0, 3: 2, 4: 6}  # channels to PNG's number for grey, RGB, RGBA


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    """(height, width, channels) of uint8 as a PNG file."""
    height, width, channels = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    body = zlib.compress(rows.tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
