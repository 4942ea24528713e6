"""TensorBoard: the course of training as event files."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError
from lamina.function import gradients, trace_program
from lamina.training.callbacks.base import Callback
from lamina.training.callbacks.events import EventWriter
from lamina.training.callbacks.plateau import learning_rates
from lamina.training.data import BatchType
from lamina.training.programs import Program
from lamina.training.run import Run


class TensorBoard(Callback):
    """Writes what `tensorboard --logdir logs` shows. Needs the package tensorboard: `lamina[tensorboard]`.

    log_dir: the folder; what belongs to training goes to its "train", the rest to its "validation".
    histogram_freq: every so many epochs, histograms of the weights; 0 for none. write_graph: the layers, and
      the compiled step. write_images: with the histograms, the weights as images. write_steps_per_second: how
      fast each epoch was. update_freq: "epoch", "batch", or a number of batches between two entries of
      training's metrics. embeddings_freq: every so many epochs, the tables of Embedding layers, for the
      projector; embeddings_metadata: the file with names of its rows, or a dict of them by layer.
      write_gradients (beyond Keras): with the histograms, those of the gradients of the first batch.
    profile_batch is accepted, with a warning: `model.compile_report()` tells what the step became.

    >>> model.fit(x, y, callbacks=[TensorBoard("logs", histogram_freq=1)])
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
        write_gradients: bool = False,
    ) -> None:
        super().__init__()
        if profile_batch:
            warnings.warn(
                "TensorBoard(profile_batch=...) writes no profile: steps run natively, many per call. "
                "See model.compile_report().",
                stacklevel=2,
            )
        whole = isinstance(update_freq, int) and not isinstance(update_freq, bool) and update_freq > 0
        if update_freq not in ("epoch", "batch") and not whole:
            raise ArgumentError(
                "update_freq must be 'epoch', 'batch' or a number of batches.", got=f"{update_freq!r}"
            )
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.embeddings_freq = embeddings_freq
        self.embeddings_metadata = embeddings_metadata
        self.write_gradients = write_gradients
        self._writers: dict[str, EventWriter] = {}
        self._run: Run | None = None
        self._gradients: Program | None = None
        self._batches = 0
        self._start = 0.0
        self._iterations = 0

    def wants_batches(self, kind: str) -> bool:
        return kind == "train" and self.update_freq != "epoch"

    def set_run(self, run: Run) -> None:
        self._run = run

    def _writer(self, name: str) -> EventWriter:
        if name not in self._writers:
            self._writers[name] = EventWriter(os.path.join(self.log_dir, name))
        return self._writers[name]

    # --- hooks -------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        self._batches = 0
        self._gradients = None
        writer = self._writer("train")  # the error, if there is one, comes before any step
        if self.write_graph:
            self._write_graphs(writer)
        if self.embeddings_freq:
            self._describe_embeddings()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = time.perf_counter()
        self._iterations = int(self.model.optimizer.iterations)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self.update_freq != "epoch" and self._batches % self.update_freq == 0:
            for name, value in (logs or {}).items():
                self._writer("train").scalar(f"batch_{name}", value, self._batches)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        numbers = {name: value for name, value in (logs or {}).items() if np.ndim(value) == 0}
        of_training = {name: value for name, value in numbers.items() if not name.startswith("val_")}
        of_training |= learning_rates(self.model.optimizer)
        if self.write_steps_per_second:
            steps = int(self.model.optimizer.iterations) - self._iterations
            of_training["steps_per_second"] = steps / (time.perf_counter() - self._start)
        for name, value in of_training.items():
            self._writer("train").scalar(f"epoch_{name}", value, epoch)
        for name, value in numbers.items():
            if name.startswith("val_"):
                self._writer("validation").scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings()
        for writer in self._writers.values():
            writer.flush()

    def on_test_end(self, logs: Any = None) -> None:
        step = int(self.model.optimizer.iterations)
        for name, value in (logs or {}).items():
            if np.ndim(value) == 0:
                self._writer("validation").scalar(f"evaluation_{name}_vs_iterations", value, step)

    def on_exit(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
        self._run = None

    # --- what is written ---------------------------------------------------------------------------

    def _write_graphs(self, writer: EventWriter) -> None:
        # A model without a config has no graph of layers.
        with suppress(NotImplementedError, ValueError, TypeError):
            writer.layer_graph("keras", self.model.to_json())
        for kind, program in self.model._programs.all():
            if kind == "train" and program.executable is not None:
                writer.program_graph(program.traced.program.graph)
                return

    def _write_weights(self, epoch: int) -> None:
        writer = self._writer("train")
        for weight in self.model.weights:
            writer.histogram(f"{weight.path}/histogram", weight.numpy(), epoch)
            images = as_images(weight.numpy()) if self.write_images else None
            if images is not None:
                writer.image(f"{weight.path}/image", images, epoch)
        if self.write_gradients and self._run is not None:
            batch_type, arrays = self._run.first_batch
            if self._gradients is None:
                self._gradients = _gradient_program(self.model, batch_type)
            for weight, slope in zip(self.model.trainable_variables, self._gradients.run(arrays)):
                writer.histogram(f"{weight.path}/gradient", slope, epoch)

    def _embeddings(self) -> list[Any]:
        from lamina.layers import Embedding

        return [layer for layer in self.model._flatten_layers() if isinstance(layer, Embedding)]

    def _describe_embeddings(self) -> None:
        layers = [layer.name for layer in self._embeddings()]
        metadata = self.embeddings_metadata or {}
        if not isinstance(metadata, Mapping):
            metadata = dict.fromkeys(layers, os.fspath(metadata))
        unknown = [name for name in metadata if name not in layers]
        if unknown:
            raise ArgumentError(
                f"embeddings_metadata names {unknown[0]!r}, which is no Embedding layer of the model.",
                expected=f"some of {', '.join(layers)}" if layers else "a model with Embedding layers",
            )
        lines = []
        for name in layers:
            lines += ["embeddings {", f"  tensor_name: {json.dumps(name)}"]
            lines.append(f"  tensor_path: {json.dumps(name + '.tsv')}")
            if name in metadata:
                lines.append(f"  metadata_path: {json.dumps(os.fspath(metadata[name]))}")
            lines.append("}")
        os.makedirs(self.log_dir, exist_ok=True)
        with open(os.path.join(self.log_dir, "projector_config.pbtxt"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def _write_embeddings(self) -> None:
        for layer in self._embeddings():
            table = np.asarray(layer.embeddings.numpy(), "float32")
            np.savetxt(os.path.join(self.log_dir, f"{layer.name}.tsv"), table, "%.6g", delimiter="\t")


def as_images(weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """A weight as (number, height, width, channels); None when it has too many axes for that."""
    squeezed = np.asarray(np.squeeze(weight), "float32")
    if squeezed.ndim == 1:
        return squeezed.reshape(1, 1, -1, 1)
    if squeezed.ndim == 2:
        wide = squeezed.T if squeezed.shape[0] > squeezed.shape[1] else squeezed
        return wide[None, :, :, None]
    if squeezed.ndim == 3:
        return np.moveaxis(squeezed, 2, 0)[..., None]
    return squeezed if squeezed.ndim == 4 and squeezed.shape[-1] in (1, 3, 4) else None


def _gradient_program(model: Any, batch_type: BatchType) -> Program:
    """The gradients of the loss, without dropout, on such a batch; it changes nothing."""

    def slopes(*tensors: Any) -> list[Any]:
        x, y, sample_weight = batch_type.pack(tensors)
        y_pred = model(x, training=False)
        loss = model._loss_of(x, y, y_pred, sample_weight, training=False)
        return gradients(loss, model.trainable_variables)

    traced = trace_program(slopes, batch_type.types, f"{model.name}_gradients")
    traced.program = replace(traced.program, updates=())
    return Program(traced, model._backend)
