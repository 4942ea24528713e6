"""What StringLookup and IntegerLookup share: categories to numbers, and back, by a vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError, StateError
from lamina.interp import as_eager
from lamina.ir.symbolic import KerasTensor
from lamina.layers.arguments import positive_integer
from lamina.layers.category_arguments import bucket, checked_mode, checked_salt, refuse_sparse
from lamina.layers.host import STRING, Array, HostLayer, encode, encoded_shape
from lamina.layers.input_spec import describe_layer
from lamina.layers.token_counts import TokenCounts, batches_of

_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")


class IndexLookup(HostLayer):
    """What StringLookup and IntegerLookup share. Numbers are: the mask if there is one, buckets of unknown
    tokens, then the vocabulary, the most frequent token first.
    """

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary_dtype: str,
        vocabulary: Any,
        idf_weights: Any,
        invert: bool,
        output_mode: str,
        sparse: bool,
        pad_to_max_tokens: bool,
        oov_method: str,
        salt: Any,
        name: str | None,
        **kwargs: Any,
    ) -> None:
        size, fixed = kwargs.pop("vocabulary_size", None), kwargs.pop("has_input_vocabulary", None)
        del size  # Keras writes it into configs; it follows from the vocabulary
        super().__init__(name=name, **kwargs)
        if max_tokens is not None and positive_integer(max_tokens, "max_tokens", self) < 2:
            raise ArgumentError(f"{describe_layer(self)} cannot have max_tokens=1.", expected="at least 2")
        if pad_to_max_tokens and max_tokens is None:
            raise ArgumentError(f"{describe_layer(self)}: pad_to_max_tokens needs max_tokens.")
        if isinstance(num_oov_indices, bool) or not isinstance(num_oov_indices, int) or num_oov_indices < 0:
            raise ArgumentError(
                f"{describe_layer(self)} cannot have num_oov_indices={num_oov_indices!r}.",
                expected="a whole number of at least 0",
            )
        if oov_method not in ("floormod", "farmhash"):
            raise ArgumentError(f"{describe_layer(self)}: oov_method must be 'floormod' or 'farmhash'.")
        self.output_mode = checked_mode(output_mode, _MODES, self)
        if invert and self.output_mode != "int":
            raise ArgumentError(f"{describe_layer(self)}: invert=True goes with output_mode='int' only.")
        if idf_weights is not None and self.output_mode != "tf_idf":
            raise ArgumentError(f"{describe_layer(self)}: idf_weights go with output_mode='tf_idf' only.")
        self.sparse = refuse_sparse(sparse, self)
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.vocabulary_dtype = vocabulary_dtype
        self.invert = invert
        self.pad_to_max_tokens = pad_to_max_tokens
        self.oov_method = oov_method
        self.salt = checked_salt(salt, self)
        self._tokens: tuple[Any, ...] = ()
        self._numbers: dict[Any, int] = {}
        self._idf: Array | None = None
        self.reset_state()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        self._fixed = vocabulary is not None if fixed is None else bool(fixed)

    # --- the vocabulary ----------------------------------------------------------------------------

    @property
    def _first(self) -> int:
        """The number of the first token of the vocabulary."""
        return self._first_unknown + self.num_oov_indices

    @property
    def _first_unknown(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    def _special(self) -> list[Any]:
        return [self.mask_token] * self._first_unknown + [self.oov_token] * self.num_oov_indices

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens by number; without mask and unknown ones when `include_special_tokens` is False."""
        return [*(self._special() if include_special_tokens else ()), *self._tokens]

    def vocabulary_size(self) -> int:
        """The number of numbers, mask and buckets of unknown tokens included."""
        return self._first + len(self._tokens)

    @property
    def has_input_vocabulary(self) -> bool:
        """Whether the vocabulary was given, so that there is nothing to adapt to."""
        return self._fixed

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Use this vocabulary instead of one found by `adapt`.

        vocabulary: tokens, with or without the special ones in front, or the path of a text file with one per
        line. idf_weights: one weight per token, with output_mode="tf_idf".
        Raises ArgumentError for repeated tokens, too many, none, or special ones in the middle.
        """
        if (idf_weights is None) != (self.output_mode != "tf_idf"):
            what = "needs" if self.output_mode == "tf_idf" else "takes no"
            raise ArgumentError(
                f"{describe_layer(self)} with output_mode={self.output_mode!r} {what} idf_weights."
            )
        if isinstance(vocabulary, (str, Path)):
            if not Path(vocabulary).is_file():
                raise ArgumentError(
                    f"{describe_layer(self)}: there is no vocabulary file {str(vocabulary)!r}."
                )
            vocabulary = Path(vocabulary).read_text(encoding="utf-8").splitlines()
        given = [self._token(token) for token in np.asarray(vocabulary, dtype=object).reshape(-1).tolist()]
        special = self._special()
        has_special = given[: len(special)] == special
        tokens = given[len(special) :] if has_special else given
        self._check_tokens(tokens)
        self._put(tokens)
        if idf_weights is not None:
            self._put_idf(np.asarray(idf_weights, config.floatx), len(given), has_special)

    def _check_tokens(self, tokens: list[Any]) -> None:
        if not tokens:
            raise ArgumentError(f"{describe_layer(self)} got an empty vocabulary.")
        repeated = [token for token, count in Counter(tokens).items() if count > 1]
        if repeated:
            raise ArgumentError(
                f"{describe_layer(self)}: the vocabulary repeats tokens.", got=repr(repeated[:5])
            )
        if self.mask_token is not None and self.mask_token in tokens:
            raise ArgumentError(
                f"{describe_layer(self)}: the mask token {self.mask_token!r} is inside the vocabulary.",
                expected=f"no special tokens, or exactly {self._special()} in front",
            )
        if self.invert and self.oov_token in tokens:
            raise ArgumentError(
                f"{describe_layer(self)}: the unknown token {self.oov_token!r} is inside the vocabulary.",
                expected=f"no special tokens, or exactly {self._special()} in front",
            )
        size = self._first + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ArgumentError(
                f"{describe_layer(self)}: the vocabulary is larger than max_tokens={self.max_tokens}.",
                got=f"{size} tokens with the special ones",
            )

    def _put(self, tokens: Iterable[Any]) -> None:
        self._tokens = tuple(tokens)
        self._numbers = {token: self._first + place for place, token in enumerate(self._tokens)}

    def _put_idf(self, weights: Array, given: int, has_special: bool) -> None:
        if weights.shape != (given,):
            raise ArgumentError(
                f"{describe_layer(self)} needs one idf weight per token.", got=f"{weights.shape} for {given}"
            )
        front = [] if has_special else [weights.mean()] * self._first
        self._idf = np.asarray([*front, *weights], config.floatx)

    def _token(self, value: Any) -> Any:
        raise NotImplementedError

    # --- adapting ----------------------------------------------------------------------------------

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Make the vocabulary of the tokens in `data`, the most frequent ones first, up to `max_tokens`.

        data: an array, a list, or an iterable of batches, of which `steps` are looked at.
        """
        self.reset_state()
        for batch in batches_of(data, steps):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Count the tokens of these rows."""
        array = self._array(data)
        self._count_rows(array.reshape(len(array), -1).tolist() if array.ndim else [[array.item()]])

    def _count_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        if self._fixed:
            raise StateError(
                f"{describe_layer(self)} was given its vocabulary, so it cannot adapt.",
                fix="leave out vocabulary=..., or leave out adapt().",
            )
        for row in rows:
            self._counts.add([self._token(token) for token in row])

    def finalize_state(self) -> None:
        """Turn the counts into the vocabulary."""
        if self._fixed or not self._counts:
            return
        room = None if self.max_tokens is None else self.max_tokens - self._first
        order = self._counts.most_common(without=(self.mask_token, self.oov_token), most=room)
        self._put(order)
        if self.output_mode == "tf_idf":
            weights = self._counts.idf(order)
            front = [weights.mean()] * self._first if len(weights) else []
            self._idf = np.asarray([*front, *weights], config.floatx)
        self.reset_state()

    def reset_state(self) -> None:
        """Forget what was counted."""
        self._counts = TokenCounts(by_row=self.output_mode == "tf_idf")

    # --- looking up --------------------------------------------------------------------------------

    def call(self, inputs: Any) -> Any:
        array = self._array(inputs)
        if self.invert:
            return self._words(array)
        self._check_ready()
        numbers = self._numbers_of(array.reshape(-1).tolist()).reshape(array.shape)
        return self._encoded(numbers)

    def _check_ready(self) -> None:
        if not self._tokens:
            raise StateError(
                f"{describe_layer(self)} has no vocabulary yet.",
                fix="call adapt(data) on the training data, or give vocabulary=[...].",
            )

    def _encoded(self, numbers: Array) -> Any:
        if self.output_mode == "int":
            return encode(numbers, "int", 0, "int32")
        depth = self._depth()
        assert depth is not None
        if self.output_mode != "tf_idf":
            return encode(numbers, self.output_mode, depth, config.floatx)
        assert self._idf is not None
        weights = np.zeros(depth, config.floatx)
        weights[: len(self._idf)] = self._idf
        return as_eager(encode(numbers, "count", depth, config.floatx) * weights)

    def _numbers_of(self, tokens: Sequence[Any]) -> Array:
        known, unknown = self._numbers, self._unknown
        plain = [self._token(token) for token in tokens]
        return np.fromiter(
            (known[token] if token in known else unknown(token) for token in plain), np.int64, len(plain)
        )

    def _unknown(self, token: Any) -> int:
        if self.mask_token is not None and token == self.mask_token:
            return 0 if self.output_mode == "int" else -1
        if self.num_oov_indices == 0:
            raise DataError(
                f"{describe_layer(self)} got a token that is not in its vocabulary.",
                got=repr(token),
                fix="num_oov_indices=1 gives unknown tokens a number.",
            )
        if self.num_oov_indices == 1:
            return self._first_unknown
        if isinstance(token, int) and self.oov_method == "floormod":
            return self._first_unknown + token % self.num_oov_indices
        return self._first_unknown + bucket(str(token), self.num_oov_indices, self.salt)

    def _words(self, numbers: Array) -> Any:
        vocabulary = self.get_vocabulary()
        size = len(vocabulary)
        words = [
            vocabulary[number] if 0 <= number < size else self.oov_token
            for number in numbers.reshape(-1).astype("int64").tolist()
        ]
        if self.vocabulary_dtype != STRING:
            return as_eager(np.array(words, "int32").reshape(numbers.shape))
        result = np.empty(numbers.size, dtype=object)
        result[:] = words
        return result.reshape(numbers.shape)

    def _depth(self) -> int | None:
        if self.pad_to_max_tokens:
            return self.max_tokens
        return self.vocabulary_size() if self._tokens else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.output_mode != "int":
            self._check_ready()
        return encoded_shape(input_shape, self.output_mode, self._depth())

    def compute_output_spec(self, inputs: Any) -> Any:
        dtype = config.floatx if self.output_mode != "int" else "int32"
        if self.invert and self.vocabulary_dtype == STRING:
            dtype = STRING
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype)

    def save_assets(self, dir_path: Any) -> None:
        """Write the vocabulary into a folder, as vocabulary.txt."""
        text = "\n".join(str(token) for token in self.get_vocabulary())
        Path(dir_path, "vocabulary.txt").write_text(text, encoding="utf-8")

    def load_assets(self, dir_path: Any) -> None:
        """The inverse of `save_assets`."""
        lines = Path(dir_path, "vocabulary.txt").read_text(encoding="utf-8").splitlines()
        weights = self._idf
        self.set_vocabulary(lines, weights if self.output_mode == "tf_idf" else None)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "invert": self.invert,
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "oov_token": self.oov_token,
            "mask_token": self.mask_token,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "vocabulary_dtype": self.vocabulary_dtype,
            "idf_weights": None if self._idf is None else self._idf.tolist(),
            "vocabulary": self.get_vocabulary() if self._tokens else None,
            "vocabulary_size": self.vocabulary_size() if self._tokens else None,
            "has_input_vocabulary": self._fixed,
            "oov_method": self.oov_method,
            "salt": self.salt,
        }
