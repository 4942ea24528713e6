"""The initializer whose convolution is a short-time Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.errors import ArgumentError, ShapeError
from lamina.initializers.base import REGISTRY, Initializer, checked_shape, numpy_dtype
from lamina.interp import Array, as_eager

# Sums of cosines with alternating signs: the names and coefficients of scipy.signal.windows.
_WINDOWS: dict[str, tuple[float, ...]] = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}


def window_of(name: str, length: int, periodic: bool) -> np.ndarray[Any, Any]:
    """A window of this many numbers. periodic: that the next number would be the first one again."""
    if name not in _WINDOWS:
        raise ArgumentError(f"There is no window {name!r}.", expected=f"one of {', '.join(_WINDOWS)}")
    if length == 1:
        return np.ones(1)
    turns = 2 * np.pi * np.arange(length) / (length if periodic else length - 1)
    terms = [(-1) ** n * factor * np.cos(n * turns) for n, factor in enumerate(_WINDOWS[name])]
    return np.asarray(np.sum(terms, axis=0))


class STFT(Initializer):
    """The kernel of a convolution along time that gives one side of a short-time Fourier transform.

    side: "real" or "imag". window: a name ("hann", "hamming", "blackman", ...), an array of numbers, or None.
    scaling: "density" divides by the window's L2 norm, "spectrum" by its L1 norm, None by nothing. periodic:
    whether a named window is periodic.

    It fills shapes (length of the window, 1, length of the transform // 2 + 1).

    >>> STFT("imag", window=None)((4, 1, 3)).shape
    (4, 1, 3)
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if side not in ("real", "imag"):
            raise ArgumentError("The side of STFT is 'real' or 'imag'.", got=repr(side))
        if scaling not in (None, "density", "spectrum"):
            raise ArgumentError("The scaling of STFT is 'density', 'spectrum' or None.", got=repr(scaling))
        if isinstance(window, str):
            window_of(window, 1, periodic)
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        extents = checked_shape(shape)
        if len(extents) != 3:
            raise ShapeError("STFT fills kernels (window, 1, frequencies).", got=f"shape {extents}")
        length, _, count = extents
        turns = 2 * np.pi * np.arange(length)[:, None, None] * np.arange(count) / max(2 * (count - 1), 1)
        kernel = np.cos(turns) if self.side == "real" else -np.sin(turns)
        return as_eager(np.broadcast_to(kernel * self._weights(length), extents).astype(numpy_dtype(dtype)))

    def _weights(self, length: int) -> Any:
        if self.window is None:
            return 1.0
        is_named = isinstance(self.window, str)
        window = window_of(self.window, length, self.periodic) if is_named else np.asarray(self.window)
        if window.shape != (length,):
            raise ShapeError(
                "The window of STFT has another length than the kernel.",
                expected=f"({length},)",
                got=str(window.shape),
            )
        norms = {"density": np.sqrt(np.sum(window**2)), "spectrum": np.sum(np.abs(window)), None: 1.0}
        return (window / norms[self.scaling])[:, None, None]

    def get_config(self) -> dict[str, Any]:
        window = self.window if self.window is None or isinstance(self.window, str) else list(self.window)
        return {"side": self.side, "window": window, "scaling": self.scaling, "periodic": self.periodic}


REGISTRY.register(STFT, "stft", "STFTInitializer")
