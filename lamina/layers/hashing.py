"""Hashing and HashedCrossing: categories to bucket numbers without a vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.config import config
from lamina.core.errors import ArgumentError, DTypeError
from lamina.core.fingerprints import concatenated, fingerprint64
from lamina.ir.symbolic import KerasTensor
from lamina.layers.arguments import positive_integer
from lamina.layers.category_arguments import bucket, checked_mode, checked_salt, refuse_sparse
from lamina.layers.host import Array, HostLayer, encode, encoded_shape
from lamina.layers.input_spec import describe_layer
from lamina.layers.registry import REGISTRY

_CROSSING_KEY = 0xDECAFCAFFE


def _dtype(given: Any, mode: str) -> Any:
    return "int32" if given is None and mode == "int" else given


@REGISTRY.register
class Hashing(HostLayer):
    """Strings or whole numbers to one of `num_bins` numbers, by their hash; the shape stays.

    mask_value: this value becomes 0, and no other does. salt: a whole number, or two, for another hash
    (SipHash instead of FarmHash). output_mode: "int", "one_hot", "multi_hot", "count", as in StringLookup.
    The same value has the same number on every machine, in Keras as well. Runs on the host.

    >>> Hashing(num_bins=3)(np.array([["A"], ["B"]]))
    Array([[1],
           [0]], dtype=int32)
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": _dtype(kwargs.get("dtype"), output_mode)})
        self.num_bins = positive_integer(num_bins, "num_bins", self)
        self.mask_value = mask_value
        self.salt = checked_salt(salt, self)
        self.output_mode = checked_mode(output_mode, ("int", "one_hot", "multi_hot", "count"), self)
        self.sparse = refuse_sparse(sparse, self)

    def call(self, inputs: Any) -> Any:
        array = self._array(inputs)
        if array.dtype.kind == "f":
            array = array.astype("int64")
        values, places = np.unique(array.reshape(-1), return_inverse=True)
        bins = np.array([self._bin(value) for value in values.tolist()], "int64")
        numbers = bins[places].reshape(array.shape) if len(bins) else np.zeros(array.shape, "int64")
        return encode(numbers, self.output_mode, self.num_bins, self.compute_dtype)

    def _bin(self, value: Any) -> int:
        masked = self.mask_value is not None and self.num_bins > 1
        if masked and value == self.mask_value:
            return 0
        return bucket(str(value), self.num_bins - masked, self.salt) + masked

    def compute_output_shape(self, input_shape: Any) -> Any:
        return encoded_shape(input_shape, self.output_mode, self.num_bins)

    def compute_output_spec(self, inputs: Any) -> Any:
        return KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "salt": self.salt,
            "mask_value": self.mask_value,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
        }


@REGISTRY.register
class HashedCrossing(HostLayer):
    """Several categories at once to one of `num_bins` numbers, by the hash of their combination.

    Called on a list of arrays of strings or whole numbers, each (batch,) or (batch, 1). output_mode: "int" or
    "one_hot". Runs on the host.

    >>> HashedCrossing(num_bins=5)([np.array(["A", "B"]), np.array([101, 101])])
    Array([1, 4], dtype=int32)
    """

    def __init__(
        self,
        num_bins: int,
        output_mode: str = "int",
        sparse: bool = False,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, dtype=_dtype(dtype, output_mode), **kwargs)
        self.num_bins = positive_integer(num_bins, "num_bins", self)
        self.output_mode = checked_mode(output_mode, ("int", "one_hot"), self)
        self.sparse = refuse_sparse(sparse, self)

    def call(self, inputs: Any) -> Any:
        arrays = self._columns(inputs)
        crossed = [_CROSSING_KEY] * arrays[0].size
        for array in arrays:
            column = [_fingerprint(value) for value in array.reshape(-1).tolist()]
            crossed = [concatenated(before, value) for before, value in zip(crossed, column)]
        numbers = np.array([value % self.num_bins for value in crossed], "int64").reshape(arrays[0].shape)
        return encode(numbers, self.output_mode, self.num_bins, self.compute_dtype)

    def _columns(self, inputs: Any) -> list[Array]:
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ArgumentError(f"{describe_layer(self)} is called on a list of at least two arrays.")
        arrays = [self._array(entry) for entry in inputs]
        shape = arrays[0].shape
        if (
            any(array.shape != shape for array in arrays)
            or len(shape) > 2
            or (len(shape) == 2 and shape[1] != 1)
        ):
            raise ArgumentError(
                f"{describe_layer(self)}: the shapes do not fit.",
                expected="one shape for all, (batch,) or (batch, 1)",
                got=", ".join(str(array.shape) for array in arrays),
            )
        for array in arrays:
            if array.dtype.kind == "f":
                raise DTypeError(
                    f"{describe_layer(self)} takes strings and whole numbers, got {array.dtype}."
                )
        return arrays

    def compute_output_shape(self, input_shape: Any) -> Any:
        return encoded_shape(input_shape[0], self.output_mode, self.num_bins)

    def compute_output_spec(self, inputs: Any) -> Any:
        shape = self.compute_output_shape([tensor.shape for tensor in inputs])
        return KerasTensor(shape, self.compute_dtype if self.output_mode == "int" else config.floatx)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
        }


def _fingerprint(value: Any) -> int:
    return fingerprint64(value.encode("utf-8")) if isinstance(value, str) else int(value) & (2**64 - 1)
