"""Progress of many short epochs: a bar that moves in a terminal, and a line now and then everywhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from lamina.callbacks import Callback

if TYPE_CHECKING:
    from rich.console import Console


class EpochProgress(Callback):
    """A callback, and the context in which its bar is shown. In a log file only the lines appear.

    >>> with EpochProgress(epochs, console) as progress:
    ...     model.fit(x, y, epochs=epochs, verbose=0, callbacks=[progress])
    """

    LINES = 6

    def __init__(self, epochs: int, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        super().__init__()
        self._epochs = epochs
        self._console = console
        self._bar = Progress(
            TextColumn("Epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=epochs)

    def __enter__(self) -> EpochProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        self._bar.update(self._task, advance=1, description=f"loss {logs.get('loss', 0.0):.4f}")
        every = max(1, self._epochs // self.LINES)
        if (epoch + 1) % every == 0 or epoch + 1 == self._epochs:
            self._console.print(f"Epoch {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}  {numbers}")
