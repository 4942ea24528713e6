"""TextVectorization: sentences to sequences of word numbers, or to counts of words."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from lamina.core.config import config
from lamina.core.errors import ArgumentError
from lamina.core.serialization import deserialize_object, serialize_object
from lamina.interp import as_eager
from lamina.ir.symbolic import KerasTensor
from lamina.layers.arguments import positive_integer
from lamina.layers.category_arguments import checked_mode, refuse_sparse
from lamina.layers.host import Array, HostLayer, as_text, encoded_shape
from lamina.layers.input_spec import describe_layer
from lamina.layers.lookup import StringLookup
from lamina.layers.registry import REGISTRY
from lamina.layers.token_counts import batches_of

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_STRIP = str.maketrans("", "", string.punctuation)
_LOWER_AND_STRIP = {**_STRIP, **_LOWER}
_STANDARDIZE: dict[Any, Any] = {
    None: {},
    "lower": _LOWER,
    "strip_punctuation": _STRIP,
    "lower_and_strip_punctuation": _LOWER_AND_STRIP,
}
_MODES = ("int", "multi_hot", "count", "tf_idf")


@REGISTRY.register
class TextVectorization(HostLayer):
    """Sentences (batch,) or (batch, 1) to word numbers (batch, length): 0 for padding, 1 for unknown words.

    Each sentence is standardized, split into tokens, made into n-grams, and looked up in the vocabulary that
    `adapt` finds or `vocabulary` gives.

    max_tokens: size of the vocabulary with its special tokens. standardize: "lower_and_strip_punctuation",
    "lower", "strip_punctuation" (of ASCII, as in Keras), None, or a function of an array of strings. split:
    "whitespace", "character", None, or a function from an array of strings to a list of tokens for each.
    ngrams: n for all n-grams up to n words, or a tuple of the n wanted. output_mode: "int"; or rows as long
    as the vocabulary: "multi_hot", "count", "tf_idf". output_sequence_length: pad or cut to this length; the
    longest sentence when left out. pad_to_max_tokens: rows of max_tokens, not of the vocabulary's size.
    Runs on the host: call it on arrays of strings, or begin a model with it and an Input of dtype "string".

    >>> layer = TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["The sea is blue.", "The sky is blue, too!"])
    >>> layer(["the green sea"])
    Array([[2, 1, 7, 0]], dtype=int32)
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: str | Callable[[Array], Any] | None = "lower_and_strip_punctuation",
        split: str | Callable[[Array], Any] | None = "whitespace",
        ngrams: int | Sequence[int] | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        known = {key: kwargs.pop(key) for key in ("has_input_vocabulary", "vocabulary_size") if key in kwargs}
        super().__init__(name=name, **kwargs)
        if ragged:
            raise ArgumentError(
                f"{describe_layer(self)}: Lamina has dense tensors only.", fix="leave out ragged."
            )
        self.sparse = refuse_sparse(sparse, self)
        if not callable(standardize) and standardize not in _STANDARDIZE:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have standardize={standardize!r}.",
                expected=f"one of {', '.join(map(repr, _STANDARDIZE))}, or a function",
            )
        if not callable(split) and split not in (None, "whitespace", "character"):
            raise ArgumentError(
                f"{describe_layer(self)} cannot have split={split!r}.",
                expected="'whitespace', 'character', None, or a function",
            )
        self.output_mode = checked_mode(output_mode, _MODES, self)
        if output_sequence_length is not None:
            positive_integer(output_sequence_length, "output_sequence_length", self)
            if self.output_mode != "int":
                raise ArgumentError(
                    f"{describe_layer(self)}: output_sequence_length goes with output_mode='int'."
                )
        self._ngrams = _widths(ngrams, self)
        self.standardize = standardize
        self.split = split
        self.ngrams = tuple(ngrams) if isinstance(ngrams, (list, tuple)) else ngrams
        self.output_sequence_length = output_sequence_length
        self.encoding = encoding
        self._lookup = StringLookup(
            max_tokens=max_tokens,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            mask_token="",
            output_mode=self.output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
            encoding=encoding,
            name=f"{self.name}_lookup",
            **known,
        )

    # --- the vocabulary ----------------------------------------------------------------------------

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Make the vocabulary of the tokens in `data`: strings, or an iterable of batches of them."""
        self._lookup.reset_state()
        for batch in batches_of(data, steps):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Count the tokens of these sentences."""
        self._lookup._count_rows(self._tokens(data))

    def finalize_state(self) -> None:
        """Turn the counts into the vocabulary."""
        self._lookup.finalize_state()

    def reset_state(self) -> None:
        """Forget what was counted."""
        self._lookup.reset_state()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The tokens by number; without "" and "[UNK]" when `include_special_tokens` is False."""
        return self._lookup.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """The number of token numbers, padding and unknown included."""
        return self._lookup.vocabulary_size()

    @property
    def has_input_vocabulary(self) -> bool:
        """Whether the vocabulary was given, so that there is nothing to adapt to."""
        return self._lookup.has_input_vocabulary

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Use this vocabulary: tokens, or the path of a text file with one per line."""
        self._lookup.set_vocabulary(vocabulary, idf_weights)

    # --- tokens ------------------------------------------------------------------------------------

    def _tokens(self, inputs: Any) -> list[list[str]]:
        """The tokens of each sentence."""
        array = self._array(inputs)
        if array.dtype != object:
            array = as_text(array.astype(object))
        if callable(self.standardize):
            array = np.asarray(self.standardize(array.astype(str)), dtype=object)
        if self.split is not None:
            if array.ndim > 1 and array.shape[-1] != 1:
                raise ArgumentError(
                    f"{describe_layer(self)} splits sentences, one in each row.",
                    expected="shape (batch,) or (batch, 1)",
                    got=str(array.shape),
                    fix="split=None for tokens that are split already.",
                )
            array = array.reshape(-1)
        elif array.ndim < 2:
            array = array.reshape(-1, 1)
        table = None if callable(self.standardize) else _STANDARDIZE[self.standardize]
        if self.split is None:
            rows = [[_changed(token, table) for token in row] for row in array.tolist()]
        elif callable(self.split):
            rows = [
                list(map(str, row))
                for row in self.split(np.array([_changed(s, table) for s in array.tolist()]))
            ]
        else:
            cut = str.split if self.split == "whitespace" else list
            rows = [cut(_changed(sentence, table)) for sentence in array.tolist()]
        return rows if self._ngrams is None else [_grams(row, self._ngrams) for row in rows]

    def call(self, inputs: Any) -> Any:
        lookup = self._lookup
        lookup._check_ready()
        rows = self._tokens(inputs)
        numbers = [lookup._numbers_of(row) for row in rows]
        longest = max((len(row) for row in numbers), default=0)
        length = self.output_sequence_length or max(longest, 1)
        padding = 0 if self.output_mode == "int" else -1
        padded = np.full((len(numbers), length), padding, np.int64)
        for place, row in enumerate(numbers):
            padded[place, : min(len(row), length)] = row[:length]
        return as_eager(padded.astype("int32")) if self.output_mode == "int" else lookup._encoded(padded)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.output_mode == "int":
            return (input_shape[0], self.output_sequence_length)
        self._lookup._check_ready()
        return encoded_shape((input_shape[0], None), self.output_mode, self._lookup._depth())

    def compute_output_spec(self, inputs: Any) -> Any:
        dtype = "int32" if self.output_mode == "int" else config.floatx
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype)

    # --- files and configs -------------------------------------------------------------------------

    def save_assets(self, dir_path: Any) -> None:
        """Write the vocabulary into a folder, as vocabulary.txt."""
        self._lookup.save_assets(dir_path)

    def load_assets(self, dir_path: Any) -> None:
        """The inverse of `save_assets`."""
        self._lookup.load_assets(dir_path)

    def get_config(self) -> dict[str, Any]:
        lookup = self._lookup.get_config()
        shared = ("max_tokens", "pad_to_max_tokens", "vocabulary", "idf_weights", "vocabulary_size")
        return {
            **super().get_config(),
            "standardize": serialize_object(self.standardize),
            "split": serialize_object(self.split),
            "ngrams": self.ngrams,
            "output_mode": self.output_mode,
            "output_sequence_length": self.output_sequence_length,
            "sparse": self.sparse,
            "ragged": False,
            "encoding": self.encoding,
            **{key: lookup[key] for key in (*shared, "has_input_vocabulary")},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        functions: dict[str, Any] = {
            key: deserialize_object(config[key]) for key in ("standardize", "split") if key in config
        }
        return super().from_config({**config, **functions})


def _changed(text: str, table: dict[int, Any] | None) -> str:
    return text.translate(table) if table else text


def _widths(ngrams: Any, layer: Any) -> tuple[int, ...] | None:
    if ngrams is None:
        return None
    if isinstance(ngrams, int):
        return tuple(range(1, positive_integer(ngrams, "ngrams", layer) + 1))
    return tuple(positive_integer(width, "ngrams", layer) for width in ngrams)


def _grams(tokens: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        " ".join(tokens[start : start + width])
        for width in widths
        for start in range(max(len(tokens) - width + 1, 0))
    ]
