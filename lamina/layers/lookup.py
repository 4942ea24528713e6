"""StringLookup and IntegerLookup: words, and identifiers, as numbers by a vocabulary."""

from __future__ import annotations

from typing import Any

from lamina.core.errors import ArgumentError, DataError
from lamina.layers.host import STRING
from lamina.layers.index_lookup import IndexLookup
from lamina.layers.input_spec import describe_layer
from lamina.layers.registry import REGISTRY


@REGISTRY.register
class StringLookup(IndexLookup):
    """Words and other strings as numbers by a vocabulary, which `adapt` finds or `vocabulary` gives.

    max_tokens: size of the vocabulary with its special tokens. num_oov_indices: how many numbers unknown
    tokens share, by their hash; with 0 they are an error. mask_token: becomes 0. invert: from numbers to
    strings. output_mode: "int"; "one_hot", each string on its own; "multi_hot", "count", "tf_idf", each row.
    pad_to_max_tokens: make rows max_tokens long. salt: of the hash.
    Runs on the host: call it on arrays of strings, or begin a model with it and an Input of dtype "string".

    >>> layer = StringLookup(vocabulary=["a", "b"])
    >>> layer(np.array(["b", "x"]))
    Array([2, 0], dtype=int32)
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("vocabulary_dtype", None)
        self.encoding = encoding
        super().__init__(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            STRING,
            vocabulary,
            idf_weights,
            invert,
            output_mode,
            sparse,
            pad_to_max_tokens,
            kwargs.pop("oov_method", "floormod"),
            salt,
            name,
            **kwargs,
        )

    @property
    def input_dtype(self) -> str:
        return "int32" if self.invert else STRING

    def _token(self, value: Any) -> str:
        return value.decode(self.encoding) if isinstance(value, bytes) else str(value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoding": self.encoding}


@REGISTRY.register
class IntegerLookup(IndexLookup):
    """Whole numbers of any size, such as identifiers, as numbers 0, 1, 2, ... by a vocabulary.

    The arguments are those of StringLookup. oov_method: how unknown numbers share their indices, "floormod"
    (the remainder) or "farmhash".

    >>> layer = IntegerLookup(vocabulary=[1001, 7])
    >>> layer(np.array([7, 5]))
    Array([2, 0], dtype=int32)
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            vocabulary_dtype,
            vocabulary,
            idf_weights,
            invert,
            output_mode,
            sparse,
            pad_to_max_tokens,
            oov_method,
            salt,
            name,
            **kwargs,
        )
        if self.salt is not None and oov_method != "farmhash":
            raise ArgumentError(f"{describe_layer(self)}: salt goes with oov_method='farmhash' only.")

    @property
    def input_dtype(self) -> str:
        return "int32"

    def _token(self, value: Any) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise DataError(
                f"{describe_layer(self)} takes whole numbers.",
                got=repr(value),
                fix="StringLookup turns strings into numbers.",
            ) from None
        return number
