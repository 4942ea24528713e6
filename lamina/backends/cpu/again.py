"""A mark on what is made a second time (`decompose_again`): the same elements, as another node."""

from __future__ import annotations

from lamina.ir.primitives import ELEMENTWISE, Primitive

again = Primitive("again", 1, lambda x: x, frozenset({ELEMENTWISE}))

__all__ = ["again"]
