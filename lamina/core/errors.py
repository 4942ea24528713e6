"""Errors written for the person who reads them at midnight: what happened, expected, got, how to mend it."""

from __future__ import annotations

from collections.abc import Iterable


def compose(what: str, *, expected: str | None = None, got: str | None = None, fix: str | None = None) -> str:
    """The one form of a Lamina message: one sentence, then labelled lines."""
    lines = [what]
    if expected is not None:
        lines.append(f"  expected: {expected}")
    if got is not None:
        lines.append(f"  got:      {got}")
    if fix is not None:
        lines.append(f"  fix:      {fix}")
    return "\n".join(lines)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, or None when nothing is near."""
    import difflib

    candidates = list(candidates)
    lowered = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(str(name).lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


class LaminaError(Exception):
    """Base of every error Lamina raises on purpose. `expected`, `got` and `fix` become labelled lines."""

    def __init__(
        self, what: str, *, expected: str | None = None, got: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(compose(what, expected=expected, got=got, fix=fix))


class ShapeError(LaminaError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(LaminaError, TypeError):
    """A dtype that is unknown or not allowed here."""


class ArgumentError(LaminaError, ValueError):
    """An argument with a value that makes no sense: a unit count of -3, an unknown name."""


class DataError(LaminaError, ValueError):
    """Data that must not be trained on: NaN, wrong labels, mismatched lengths, strings."""


class StateError(LaminaError, ValueError):
    """Something used before it is ready: a layer before build, fit before compile."""


class NonFiniteError(LaminaError, ArithmeticError):
    """A loss or gradient that became NaN or infinite; the step was not applied."""


class FileError(LaminaError, ValueError):
    """A file that is damaged, of another kind, or does not fit what it is loaded into."""


class MissingFileError(FileError, FileNotFoundError):
    """A file or folder that is not there."""


class GradientError(LaminaError, ValueError):
    """A derivative was asked for that does not exist."""


def unknown_name(kind: str, name: object, candidates: Iterable[str]) -> ArgumentError:
    """The error for a name that is not in a registry, with the nearest name that is.

    >>> print(unknown_name("optimizer", "adm", ["adam", "sgd"]))
    Unknown optimizer 'adm'.
      expected: one of adam, sgd
      fix:      did you mean 'adam'?
    """
    candidates = sorted(set(candidates))
    near = nearest(str(name), candidates)
    shown = ", ".join(candidates[:12]) + (", ..." if len(candidates) > 12 else "")
    return ArgumentError(
        f"Unknown {kind} {name!r}.",
        expected=f"one of {shown}",
        fix=f"did you mean '{near}'?" if near else f"pass a {kind} object, or one of these names.",
    )
