"""`lamina demo`: a network learns to read digits, is tested on ones it never saw, and shows its mistakes and
its reasons.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.cli.progress import EpochProgress

if TYPE_CHECKING:
    from rich.console import Console

Array = np.ndarray[Any, Any]

BATCH_SIZE = 32
VALIDATION_SHARE = 0.1
SHOWN = 6  # mistakes shown as pictures
BRIGHTEST = 16  # the images' values go from 0 to 16


@dataclass(frozen=True)
class Outcome:
    """What the test showed. Images, labels and what the model made of them, mistakes first, the surest ones
    before the others; `reasons` is pixel by pixel what spoke for the answer against the truth.
    """

    images: Array
    truth: Array
    answers: Array
    sureness: Array
    reasons: Array  # of the mistakes only

    @property
    def mistakes(self) -> int:
        return int((self.answers != self.truth).sum())

    @property
    def accuracy(self) -> float:
        return float((self.answers == self.truth).mean())

    @property
    def confusion(self) -> Array:
        from lamina.report import confusion_matrix

        return confusion_matrix(self.truth, self.answers, 10)


def run(epochs: int, seed: int, page: Path) -> float:
    """The whole demonstration; returns the test accuracy."""
    from rich.console import Console

    import lamina
    from lamina.datasets import digits

    console = Console(highlight=False)
    start = time.perf_counter()
    lamina.utils.set_random_seed(seed)
    (x, y), (x_test, y_test) = digits.load_data(seed=seed)
    console.print(
        f"[bold]Handwritten digits[/] (UCI, 8x8 pixels): {len(x)} images to learn from, {len(x_test)} kept "
        "for the test.\n"
    )
    model = build(epochs, len(x))
    model.summary()
    console.print()
    history = train(model, x, y, epochs, console)
    outcome = test(model, x_test, y_test)
    _show(outcome, console)
    seconds = time.perf_counter() - start
    console.print(
        f"\n[bold]Test accuracy {outcome.accuracy:.3f}[/]: {outcome.mistakes} mistakes in {len(y_test)} "
        f"images. {seconds:.1f} s in all."
    )
    _write_page(page, model, history.history, outcome, seconds)
    contents = "Curves, mistakes"
    if not _has_matplotlib():
        contents = "Mistakes"
        console.print("The page has no curves; for these: pip install matplotlib", markup=False)
    console.print(
        f"{contents} and the compiled kernels: {page.resolve().as_uri()}", soft_wrap=True, markup=False
    )
    return outcome.accuracy


def build(epochs: int, rows: int) -> Any:
    """The network of the demonstration, compiled for so many epochs over so many rows."""
    from lamina import layers, models, optimizers

    model = models.Sequential(
        [
            layers.Input((8, 8)),
            layers.Rescaling(1 / BRIGHTEST),
            layers.Reshape((8, 8, 1)),
            layers.GaussianNoise(0.15),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )
    steps = -(-round(rows * (1 - VALIDATION_SHARE)) // BATCH_SIZE) * epochs
    learning_rate = optimizers.schedules.CosineDecay(0.002, decay_steps=steps)
    model.compile(
        optimizers.Adam(learning_rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def train(model: Any, x: Array, y: Array, epochs: int, console: Console) -> Any:
    """Fit, with a bar in terminals and few lines in files; say what compiling took; return the History."""
    with EpochProgress(epochs, console) as progress:
        history = model.fit(
            x, y, batch_size=BATCH_SIZE, epochs=epochs, validation_split=VALIDATION_SHARE, verbose=0,
            callbacks=[progress],
        )  # fmt: skip
    step = model.compile_report().programs[0]
    threads = f"{step.threads} thread{'s' * (step.threads > 1)}"
    how = "loaded from the cache" if step.cache_hit else "compiled"
    console.print(
        f"\nThe training step was {how} in {1000 * step.compile_seconds:.0f} ms: "
        f"{len(step.kernels)} kernels, {threads}, {step.backend} backend."
    )
    return history


def test(model: Any, x: Array, y: Array) -> Outcome:
    """Read images the model never saw; find what it got wrong, and why."""
    from lamina.explain import input_contributions

    probabilities = np.asarray(model.predict(x, verbose=0))
    answers, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    order = np.lexsort((-sureness, answers == y))
    x, y, answers, sureness = x[order], y[order], answers[order], sureness[order]
    wrong = int((answers != y).sum())
    reasons = input_contributions(model, x[:wrong], answers[:wrong], against=y[:wrong])
    return Outcome(x, y, answers, sureness, reasons)


def _show(outcome: Outcome, console: Console) -> None:
    """The confusion matrix, and the surest mistakes as pictures."""
    from rich.columns import Columns

    from lamina.report import confusion_table, has_colours

    console.print("\n[bold]What was read as what[/]")
    console.print(confusion_table(outcome.confusion, console))
    if not outcome.mistakes:
        console.print("\nNo mistakes.")
        return
    marks = ("red points", "blue ones") if has_colours(console) else ("# and + points", "= and - ones")
    console.print(
        f"\n[bold]{'The mistakes' if outcome.mistakes <= SHOWN else 'The surest mistakes'}[/], and why: "
        f"{marks[0]} spoke for the answer, {marks[1]} for the truth."
    )
    shown = range(min(outcome.mistakes, SHOWN))
    console.print(Columns([_panel(outcome, row, console) for row in shown]))


def _panel(outcome: Outcome, row: int, console: Console) -> Any:
    """One mistake: the image, and beside it the reasons."""
    from rich.panel import Panel
    from rich.table import Table

    from lamina.report import picture

    reasons = outcome.reasons[row]
    pictures = Table.grid(padding=(0, 1))
    pictures.add_row(
        picture(outcome.images[row], BRIGHTEST, console),
        picture(reasons, float(np.abs(reasons).max()), console, signed=True),
    )
    return Panel(pictures, title=_title(outcome, row), subtitle=_detail(outcome, row), expand=False)


def _title(outcome: Outcome, row: int) -> str:
    return f"{outcome.truth[row]} read as {outcome.answers[row]}"


def _detail(outcome: Outcome, row: int) -> str:
    return f"{outcome.sureness[row]:.0%} sure"


def _has_matplotlib() -> bool:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def _write_page(path: Path, model: Any, history: dict[str, Any], outcome: Outcome, seconds: float) -> None:
    from lamina.report import page

    sections = []
    if _has_matplotlib():
        sections.append(page.Section("How it learned", "", page.curves(history)))
    sections.append(
        page.Section(
            "What was read as what",
            "Rows: the digit that was written; columns: the digit that was read.",
            page.matrix_table(outcome.confusion),
        )
    )
    if outcome.mistakes:
        entries = [
            page.card(
                _title(outcome, row),
                _detail(outcome, row),
                [
                    page.picture(outcome.images[row], BRIGHTEST, "the image"),
                    page.picture(reasons, float(np.abs(reasons).max()), "the reasons", signed=True),
                ],
            )
            for row, reasons in enumerate(outcome.reasons)
        ]
        about = (
            "The surest first. Beside each image: red pixels spoke for the answer, blue ones for the truth."
        )
        sections.append(page.Section("Mistakes and reasons", about, page.cards(entries)))
    sections += [
        page.Section("The network", "", page.wide(model._repr_html_())),
        page.Section(
            "What it was compiled to",
            "Each program, and each of its kernels with what was fused into it.",
            page.wide(model.compile_report()._repr_html_()),
        ),
    ]
    page.write_page(
        path,
        "A network reads handwritten digits",
        "Trained with Lamina on the UCI digits, and tested on images it never saw.",
        [
            ("test accuracy", f"{outcome.accuracy:.1%}"),
            (f"mistakes in {len(outcome.truth)} images", str(outcome.mistakes)),
            ("epochs", str(len(history["loss"]))),
            ("seconds in all", f"{seconds:.1f}"),
        ],
        sections,
    )
