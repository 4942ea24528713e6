"""What layers of categories share: checks of their arguments, and the buckets of hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina.core.errors import ArgumentError
from lamina.core.fingerprints import fingerprint64, siphash
from lamina.layers.input_spec import describe_layer

_OLD_NAMES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


def checked_mode(mode: Any, allowed: Sequence[str], layer: Any) -> str:
    """`mode`, in its present name; ArgumentError unless it is allowed."""
    mode = _OLD_NAMES.get(mode, mode)
    if mode not in allowed:
        raise ArgumentError(
            f"{describe_layer(layer)} cannot have output_mode={mode!r}.",
            expected=f"one of {', '.join(allowed)}",
        )
    return str(mode)


def checked_salt(salt: Any, layer: Any) -> list[int] | None:
    """`salt`, a whole number or two, as a list of two."""
    if salt is None:
        return None
    pair = [salt, salt] if isinstance(salt, int) else list(salt) if isinstance(salt, (list, tuple)) else []
    if len(pair) != 2 or not all(isinstance(part, int) for part in pair):
        raise ArgumentError(
            f"{describe_layer(layer)} cannot have salt={salt!r}.", expected="a whole number, or two of them"
        )
    return pair


def refuse_sparse(sparse: bool, layer: Any) -> bool:
    if sparse:
        raise ArgumentError(
            f"{describe_layer(layer)}: Lamina has dense tensors only.", fix="leave out sparse."
        )
    return False


def bucket(text: str, count: int, salt: Sequence[int] | None) -> int:
    """Which of `count` buckets a word falls into."""
    data = text.encode("utf-8")
    return (fingerprint64(data) if salt is None else siphash(data, (salt[0], salt[1]))) % count
