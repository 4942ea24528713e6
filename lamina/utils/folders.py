"""Folders of files as data sets: which files there are, their classes, their parts, their batches."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError
from lamina.training.py_dataset import PyDataset

Array = np.ndarray[Any, Any]
Readable = Callable[[list[str]], "list[bool]"]


@dataclass(frozen=True)
class Files:
    """Some files, and the label of each; `class_names` says what the labels mean.

    shuffle: whether their order is another one in every epoch; `seed` decides which.
    """

    paths: list[str]
    labels: Array | None
    class_names: list[str] | None
    shuffle: bool
    seed: int | None

    def part(self, rows: slice, shuffle: bool) -> Files:
        """These rows of them."""
        labels = None if self.labels is None else self.labels[rows]
        return Files(self.paths[rows], labels, self.class_names, shuffle, self.seed)


class FileBatches(PyDataset, ABC):
    """Batches (contents, labels) from files, or of contents alone; made when they are asked for.

    A subclass writes `read`, and `collate` where the contents of several files are not simply stacked.
    """

    def __init__(self, files: Files, batch_size: int) -> None:
        super().__init__(workers=min(4, os.cpu_count() or 1))
        self.file_paths = files.paths
        self.labels = files.labels
        self.class_names = files.class_names
        self.batch_size = batch_size
        self._rng = np.random.default_rng(files.seed) if files.shuffle else None
        self._order = np.arange(len(files.paths))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.file_paths) // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        contents = self.collate([self.read(self.file_paths[row]) for row in rows])
        return contents if self.labels is None else (contents, self.labels[rows])

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        if self._rng is not None:
            self._order = self._rng.permutation(len(self.file_paths))

    @abstractmethod
    def read(self, path: str) -> Any:
        """What is in one file; DataError, naming it, if it is damaged."""

    def collate(self, contents: list[Any]) -> Array:
        """The contents of some files as one array."""
        return np.stack(contents)


@dataclass(frozen=True)
class Request:
    """What a function `..._dataset_from_directory` was asked for: the arguments they all have."""

    caller: str
    directory: str | os.PathLike[str]
    labels: str | Sequence[int] | None
    label_mode: str | None
    class_names: Sequence[str] | None
    batch_size: int
    shuffle: bool
    seed: int | None
    validation_split: float | None
    subset: str | None
    follow_links: bool
    verbose: bool

    def __post_init__(self) -> None:
        self.choose("label_mode", self.label_mode, ("int", "binary", "categorical", None))
        positive("batch_size", self.batch_size)
        parts = (None, "training", "validation", "both")
        if (self.validation_split is None) != (self.subset is None) or self.subset not in parts:
            raise ArgumentError(
                "validation_split and subset belong together.",
                expected="a share, and 'training', 'validation' or 'both'",
                got=f"validation_split={self.validation_split!r}, subset={self.subset!r}",
            )
        if self.validation_split is not None and not 0 < self.validation_split < 1:
            raise ArgumentError(
                f"validation_split is a share between 0 and 1, got {self.validation_split!r}."
            )
        if self.subset in ("training", "validation") and self.shuffle and self.seed is None:
            raise ArgumentError(
                "The two subsets would overlap: each call shuffles anew.",
                fix="give both calls the same seed.",
            )

    def choose(self, argument: str, value: Any, allowed: Iterable[Any]) -> None:
        """ArgumentError unless `value` is one of those allowed."""
        if value not in allowed:
            raise ArgumentError(
                f"{self.caller} cannot have {argument}={value!r}.",
                expected="one of " + ", ".join(map(repr, allowed)),
            )

    def datasets(
        self,
        kind: str,
        formats: tuple[str, ...],
        make: Callable[[Files], FileBatches],
        readable: Readable | None = None,
    ) -> Any:
        """The data set made of the files found, or, with subset="both", those for training and validation.

        kind: what the files are, in the plural. formats: how their names end. readable: which of the files
        are none, to be left out.
        """
        paths, numbers, names = self._find(formats)
        if readable is not None:
            kept = readable(paths)
            paths = [path for path, good in zip(paths, kept) if good]
            numbers = None if numbers is None else numbers[np.array(kept, bool)]
        if not paths:
            raise DataError(
                f"{self.directory} has no {kind}.", expected=f"files that end with {', '.join(formats)}"
            )
        if self.verbose and config.interactive_logging:
            print(f"Found {len(paths)} files" + (f" belonging to {len(names)} classes." if names else "."))
        seed = self.seed
        if self.shuffle:
            seed = int(np.random.randint(2**31)) if seed is None else seed
            order = np.random.default_rng(seed).permutation(len(paths))
            paths, numbers = [paths[row] for row in order], None if numbers is None else numbers[order]
        targets = _encoded(numbers, self.label_mode, len(names) if names else None)
        files = Files(paths, targets, names, self.shuffle, seed)
        if self.validation_split is None:
            return make(files)
        cut = len(paths) - int(self.validation_split * len(paths))
        if cut in (0, len(paths)):
            share = f"{self.validation_split:.0%}"
            raise DataError(f"{len(paths)} {kind} are too few to keep {share} for validation.")
        training, validation = files.part(slice(0, cut), self.shuffle), files.part(slice(cut, None), False)
        if self.subset == "both":
            return make(training), make(validation)
        return make(training if self.subset == "training" else validation)

    def _find(self, formats: tuple[str, ...]) -> tuple[list[str], Array | None, list[str] | None]:
        """The files, their numbers, and what the numbers are called."""
        directory = Path(self.directory)
        if not directory.is_dir():
            raise DataError(f"{directory} is not a folder.", got=f"in {Path.cwd()}")
        if isinstance(self.labels, str):
            return self._classes(directory, formats)
        if self.class_names is not None:
            raise ArgumentError("class_names are the names of subfolders: they need labels='inferred'.")
        paths = _below(directory, formats, self.follow_links)
        if self.labels is None:
            return paths, None, None
        numbers = np.asarray(self.labels)
        if numbers.shape != (len(paths),) or numbers.dtype.kind not in "iu":
            raise DataError(
                "labels must be one whole number for each file.",
                expected=f"{len(paths)} whole numbers",
                got=f"{numbers.dtype} of shape {numbers.shape}",
            )
        return paths, numbers.astype("int32"), [str(number) for number in sorted(set(numbers.tolist()))]

    def _classes(self, directory: Path, formats: tuple[str, ...]) -> tuple[list[str], Array, list[str]]:
        """The files below the subfolders, which are the classes."""
        if self.labels != "inferred":
            raise ArgumentError(
                f"There is no labels={self.labels!r}.", expected="'inferred', None, or whole numbers"
            )
        folders = sorted(
            entry.name for entry in directory.iterdir() if entry.is_dir() and entry.name[0] != "."
        )
        names = folders if self.class_names is None else list(self.class_names)
        unknown = [name for name in names if name not in folders]
        if unknown or not names:
            what = f"subfolder {unknown[0]!r}" if unknown else "subfolders"
            raise DataError(
                f"{directory} has no {what}.",
                expected="a subfolder for each class",
                got=f"the subfolders {', '.join(folders) or 'none'}",
                fix=None if names else "pass labels=None for files without labels.",
            )
        found = [_below(directory / name, formats, self.follow_links) for name in names]
        numbers = np.repeat(np.arange(len(names), dtype="int32"), [len(files) for files in found])
        return [path for files in found for path in files], numbers, names


def positive(argument: str, value: Any) -> None:
    """ArgumentError unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{argument} must be a whole number of at least 1, got {value!r}.")


def _below(folder: Path, formats: tuple[str, ...], follow_links: bool) -> list[str]:
    return sorted(
        os.path.join(place, file)
        for place, _, files in os.walk(folder, followlinks=follow_links)
        for file in files
        if file.lower().endswith(formats)
    )


def _encoded(numbers: Array | None, label_mode: str | None, classes: int | None) -> Array | None:
    if numbers is None or label_mode is None or classes is None:
        return None
    if label_mode == "binary":
        if classes != 2:
            raise ArgumentError("label_mode='binary' is for two classes.", got=f"{classes} classes")
        return numbers.astype("float32")[:, None]
    if label_mode == "categorical":
        return np.eye(classes, dtype="float32")[numbers]
    return numbers
