"""Callbacks that write down, or send, what each epoch gave."""

from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from lamina.training.callbacks.base import Callback

_SECONDS_TO_WAIT = 10.0


class CSVLogger(Callback):
    """Writes a line for each epoch to a CSV file: the number of the epoch, then the logs sorted by name.

    filename: of the file; its folder must exist. separator: between the values. append: go on behind what the
    file has, instead of starting anew. Columns are those of the first epoch; if it was not validated, there
    are columns for validation all the same, with NA until there is one.

    >>> model.fit(x, y, callbacks=[CSVLogger("training.csv", append=True)])
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.csv_file: Any = None
        self._writer: Any = None
        self._keys: list[str] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.on_exit()
        mode = "a" if self.append else "w"
        self.csv_file = open(self.filename, mode, newline="", encoding="utf-8")  # noqa: SIM115 - see on_exit
        self._writer = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        if self._writer is None:
            self._keys = sorted(logs)
            if not any(key.startswith("val_") for key in self._keys):
                self._keys += [f"val_{key}" for key in self._keys]
            self._writer = csv.writer(self.csv_file, delimiter=self.sep, lineterminator="\n")
            if self.csv_file.tell() == 0:
                self._writer.writerow(["epoch", *self._keys])
        self._writer.writerow([epoch, *(_cell(logs.get(key, "NA")) for key in self._keys)])
        self.csv_file.flush()

    def on_train_end(self, logs: Any = None) -> None:
        self.on_exit()

    def on_exit(self) -> None:
        if self.csv_file is not None:
            self.csv_file.close()
            self.csv_file = None


def _cell(value: Any) -> Any:
    several = isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) > 0
    return f"[{', '.join(map(str, value))}]" if several else value


class RemoteMonitor(Callback):
    """Sends the logs of each epoch to a server, by HTTP POST.

    root, path: the address. field: the form field that holds the JSON. headers: of the request. send_as_json:
    send JSON itself instead of a form. A server that cannot be reached gives a warning.

    >>> RemoteMonitor(root="http://localhost:9000", path="/publish/epoch/end/", send_as_json=True)
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        from urllib import error, parse, request  # these take as long to import as all of Lamina's layers

        text = json.dumps({"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}})
        body = text if self.send_as_json else parse.urlencode({self.field: text})
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        message = request.Request(
            self.root + self.path, body.encode(), {"Content-Type": kind, **(self.headers or {})}
        )
        try:
            request.urlopen(message, timeout=_SECONDS_TO_WAIT).close()
        except error.HTTPError as answer:
            warnings.warn(f"RemoteMonitor: {self.root} answered {answer}.", stacklevel=2)
        except OSError as failure:
            warnings.warn(f"RemoteMonitor could not reach {self.root}: {failure}.", stacklevel=2)


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if isinstance(value, (np.ndarray, np.generic)) else value
