"""F4: backends turn a `Program` into an `Executable`. They never import ops, layers or training."""

from lamina.backends.base import Executable, Program, Report, StepsResult
from lamina.backends.registry import choose

__all__ = ["Executable", "Program", "Report", "StepsResult", "choose"]
